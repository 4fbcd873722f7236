//! Mathematics against `std`, and the GPU's against the simulator's.

use std::f64::consts::PI;

use cuda_conformance::{Machine, Random, for_each_machine};
use cuda_conformance_kernels::float as kernels;
use cuda_std::launch::LaunchConfig;

/// Triples of numbers: ordinary ones of many sizes, then the special ones in all pairs.
fn numbers() -> Vec<[f64; 3]> {
    let mut random = Random::new(17);
    let mut numbers = random.many(3000, |r| {
        let size = 10f64.powf(r.between(-6.0, 3.0));
        [r.between(-size, size), r.between(-8.0, 8.0), r.between(-100.0, 100.0)]
    });
    numbers.extend(random.many(1000, |r| [r.between(-1.0, 1.0), r.between(0.1, 4.0), 0.0]));
    let special =
        [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e30];
    numbers.extend(special.iter().flat_map(|x| special.iter().map(|y| [*x, *y, 3.0])));
    numbers.resize(numbers.len().next_multiple_of(128), [1.0; 3]);
    numbers
}

/// Names of the results in order, the units in the last place that each may be wrong by, and `std`'s function.
macro_rules! table {
    ($ty:ident, $inexact:literal) => {{
        type F = fn([$ty; 3]) -> $ty;
        let table: [(&str, f64, F); kernels::EXACT] = [
            ("floor", 0.0, |[x, ..]| x.floor()),
            ("ceil", 0.0, |[x, ..]| x.ceil()),
            ("round", 0.0, |[x, ..]| x.round()),
            ("round_ties_even", 0.0, |[x, ..]| x.round_ties_even()),
            ("trunc", 0.0, |[x, ..]| x.trunc()),
            ("fract", 0.0, |[x, ..]| x.fract()),
            ("abs", 0.0, |[x, ..]| x.abs()),
            ("signum", 0.0, |[x, ..]| x.signum()),
            ("copysign", 0.0, |[x, y, _]| x.copysign(y)),
            ("mul_add", 0.0, |[x, y, z]| x.mul_add(y, z)),
            ("div_euclid", 0.0, |[x, y, _]| x.div_euclid(y)),
            ("rem_euclid", 0.0, |[x, y, _]| x.rem_euclid(y)),
            ("powi", 2.0, |[x, ..]| x.powi(3)),
            ("powf", 1.0, |[x, y, _]| x.abs().powf(y)),
            ("sqrt", 0.0, |[x, ..]| x.sqrt()),
            ("exp", 1.0, |[x, ..]| x.exp()),
            ("exp2", 1.0, |[x, ..]| x.exp2()),
            ("ln", 1.0, |[x, ..]| x.ln()),
            ("log", 4.0, |[x, y, _]| x.log(y)),
            ("log2", 1.0, |[x, ..]| x.log2()),
            ("log10", 2.0, |[x, ..]| x.log10()),
            ("cbrt", 1.0, |[x, ..]| x.cbrt()),
            ("hypot", 1.0, |[x, y, _]| x.hypot(y)),
            ("sin", 1.0, |[x, ..]| x.sin()),
            ("cos", 1.0, |[x, ..]| x.cos()),
            ("tan", 1.0, |[x, ..]| x.tan()),
            ("asin", 1.0, |[x, ..]| x.asin()),
            ("acos", 1.0, |[x, ..]| x.acos()),
            ("atan", 1.0, |[x, ..]| x.atan()),
            ("atan2", 1.0, |[x, y, _]| x.atan2(y)),
            ("sin_cos.0", 1.0, |[x, ..]| x.sin()),
            ("sin_cos.1", 1.0, |[x, ..]| x.cos()),
            ("exp_m1", 1.0, |[x, ..]| x.exp_m1()),
            ("ln_1p", 1.0, |[x, ..]| x.ln_1p()),
            ("sinh", 2.0, |[x, ..]| x.sinh()),
            ("cosh", 2.0, |[x, ..]| x.cosh()),
            ("tanh", 2.0, |[x, ..]| x.tanh()),
            // `std` computes these three by other formulas, which are no more exact: of `f32` they are taken in `f64`.
            ("asinh", $inexact, |[x, ..]| precise(x as f64, f64::asinh) as $ty),
            ("acosh", $inexact, |[x, ..]| precise(x as f64, acosh) as $ty),
            ("atanh", $inexact, |[x, ..]| precise(x as f64, atanh) as $ty),
            ("powi negative", 2.0, |[_, y, _]| y.powi(-2)),
        ];
        table
    }};
}

/// Near 1 the usual formula loses most digits.
fn acosh(x: f64) -> f64 {
    let above = x - 1.0;
    if above < 0.0 { f64::NAN } else { (above + (above * (above + 2.0)).sqrt()).ln_1p() }
}

/// As [`acosh`], near -1.
fn atanh(x: f64) -> f64 {
    (0.5 * (2.0 * x.abs() / (1.0 - x.abs())).ln_1p()).copysign(x)
}

fn precise(x: f64, f: fn(f64) -> f64) -> f64 {
    f(x)
}

macro_rules! exact {
    ($test:ident, $kernel:ident, $host:ident, $ty:ident, $inexact:literal) => {
        #[test]
        fn $test() {
            let numbers: Vec<[$ty; 3]> = numbers().into_iter().map(|n| n.map(|x| x as $ty)).collect();
            let same = |a: $ty, b: $ty| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            let table = table!($ty, $inexact);
            let run = |m: &Machine| {
                let from = m.buffer(&numbers);
                let out = m.zeros::<$ty>(numbers.len() * kernels::EXACT);
                let args = kernels::$kernel::Args {
                    numbers: from.ptr(),
                    out: cuda_std::launch::DevicePtrMut::from_address(out.ptr_mut().address()),
                };
                m.launch(LaunchConfig::new((numbers.len() / 128) as u32, 128), args);
                out.read()
            };
            for_each_machine(|m| {
                let seen = run(m);
                for (given, results) in numbers.iter().zip(seen.chunks(kernels::EXACT)) {
                    let host = kernels::$host(given[0], given[1], given[2]);
                    for (i, (name, ulp, reference)) in table.iter().enumerate() {
                        assert!(
                            same(results[i], host[i]),
                            "{name} of {given:?}: {} and {}",
                            results[i],
                            host[i]
                        );
                        let expected = reference(*given);
                        let unit = (expected.abs().next_up() - expected.abs()) as f64;
                        let close = ((results[i] - expected).abs() as f64) <= ulp * unit;
                        assert!(
                            same(results[i], expected) || *ulp > 0.0 && close,
                            "{name} of {given:?}: {:e}, expected {expected:e}",
                            results[i]
                        );
                    }
                }
            });
        }
    };
}

exact!(functions_of_f32_are_those_of_libm, exact_f32, every_f32, f32, 4.0);
exact!(functions_of_f64_are_those_of_libm, exact_f64, every_f64, f64, 16.0);

/// Runs the approximations on numbers.
fn fast(m: &Machine, values: &[f32]) -> (Vec<[f32; 9]>, Vec<i32>) {
    let (from, out, rounded) =
        (m.buffer(values), m.zeros::<[f32; 9]>(values.len()), m.zeros::<i32>(values.len()));
    assert_eq!(values.len() % 128, 0);
    m.launch(
        LaunchConfig::new((values.len() / 128) as u32, 128),
        kernels::fast::Args { values: from.ptr(), out: out.ptr_mut(), rounded: rounded.ptr_mut() },
    );
    (out.read(), rounded.read())
}

#[test]
fn approximations_are_as_close_as_they_say() {
    let mut random = Random::new(18);
    let mut values = random.many(4096, |r| r.between(-PI, PI) as f32);
    values.extend(random.many(2048, |r| r.between(-80.0, 80.0) as f32));
    values.extend(random.many(2048, |r| 10f64.powf(r.between(-30.0, 30.0)) as f32));
    let ulp = |x: f64| f64::from((x.abs() as f32).next_up() - x.abs() as f32);
    for_each_machine(|m| {
        for (x, [exp2, log2, rsqrt, reciprocal, exp, sqrt, sin, cos, tanh]) in
            values.iter().zip(fast(m, &values).0)
        {
            let x = f64::from(*x);
            let check = |name: &str, seen: f32, expected: f64, error: f64| {
                let seen = f64::from(seen);
                let fine = if expected.abs() > f64::from(f32::MAX) {
                    seen.is_infinite()
                } else if expected.abs() < f64::from(f32::MIN_POSITIVE) {
                    seen.abs() <= f64::from(f32::MIN_POSITIVE)
                } else {
                    (seen - expected).abs() <= error
                };
                assert!(fine, "{name} of {x:e}: {seen:e}, expected {expected:e} to {error:e}");
            };
            check("fast_exp2", exp2, x.exp2(), 2.0 * ulp(x.exp2()));
            check("fast_exp", exp, x.exp(), (2.0 + x.abs() * 1.5) * ulp(x.exp()));
            check("fast_reciprocal", reciprocal, 1.0 / x, ulp(1.0 / x));
            check("fast_tanh", tanh, x.tanh(), x.tanh().abs() * 2f64.powi(-10));
            if x.abs() <= PI {
                check("fast_sin", sin, x.sin(), 2f64.powf(-20.5));
                check("fast_cos", cos, x.cos(), 2f64.powf(-20.5));
            }
            if x > 0.0 {
                let near = (0.5..=2.0).contains(&x);
                let relative = 2f64.powi(-22) * if near { 1.0 } else { x.log2().abs() };
                check("fast_log2", log2, x.log2(), relative);
                check("fast_sqrt", sqrt, x.sqrt(), x.sqrt() * 2f64.powi(-23));
                check("fast_rsqrt", rsqrt, 1.0 / x.sqrt(), 2f64.powf(-22.9) / x.sqrt());
            }
        }
    });
}

#[test]
fn approximations_of_special_numbers_are_as_on_a_gpu() {
    let subnormal = f32::from_bits(1000);
    let mut values = vec![
        0.0,
        subnormal,
        -subnormal,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        200.0,
        -200.0,
        128.0,
        -140.0,
    ];
    let known = values.len();
    values.resize(128, 1.0);
    for_each_machine(|m| {
        let (seen, _) = fast(m, &values);
        let column = |i: usize| seen[..known].iter().map(|r| r[i]).collect::<Vec<_>>();
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let same = |a: &[f32], b: &[f32]| {
            assert!(
                a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()),
                "{a:?}, expected {b:?}"
            );
        };
        same(&column(0), &[1.0, 1.0, 1.0, inf, 0.0, nan, inf, 0.0, inf, 0.0]);
        same(&column(1)[..6], &[-inf, -inf, -inf, inf, nan, nan]);
        same(&column(2)[..6], &[inf, inf, -inf, 0.0, nan, nan]);
        same(&column(3)[..6], &[inf, inf, -inf, 0.0, -0.0, nan]);
        same(&column(5)[..6], &[0.0, 0.0, -0.0, inf, nan, nan]);
        same(&column(8)[3..6], &[1.0, -1.0, nan]);
    });
}

#[test]
fn rounding_to_integers_is_to_even_and_clamped() {
    let mut random = Random::new(19);
    let mut values = random.many(900, |r| r.between(-1e6, 1e6) as f32);
    values.extend([
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        -2.5,
        3e9,
        -3e9,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        0.49999997,
    ]);
    values.resize(1024, 0.0);
    let expected: Vec<i32> = values
        .iter()
        .map(|x| {
            let (x, low) = (f64::from(*x), f64::from(*x).floor());
            let up = x - low > 0.5 || x - low == 0.5 && low.rem_euclid(2.0) == 1.0;
            (low + f64::from(u8::from(up))).clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
        })
        .collect();
    for_each_machine(|m| assert_eq!(fast(m, &values).1, expected));
}
