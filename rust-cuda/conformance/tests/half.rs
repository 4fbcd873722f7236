//! Conversions of 16-bit floats: every pattern one way, the interesting numbers the other.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::half as kernels;
use cuda_std::launch::LaunchConfig;

/// The value of a float of `exponent` and `fraction` bits, from the definition of the format.
fn value(bits: u16, exponent: u32, fraction: u32) -> f64 {
    let bias = (1 << (exponent - 1)) - 1;
    let (e, f) =
        (i32::from(bits >> fraction) & ((1 << exponent) - 1), f64::from(bits & ((1 << fraction) - 1)));
    let scale = 2f64.powi(-(fraction as i32));
    let size = match e {
        0 => f * scale * 2f64.powi(1 - bias),
        e if e == (1 << exponent) - 1 => {
            if f == 0.0 {
                f64::INFINITY
            } else {
                f64::NAN
            }
        }
        e => (1.0 + f * scale) * 2f64.powi(e - bias),
    };
    if bits >> 15 == 1 { -size } else { size }
}

fn agree(seen: u32, expected: f64) -> bool {
    let seen = f32::from_bits(seen);
    if expected.is_nan() { seen.is_nan() } else { seen.to_bits() == (expected as f32).to_bits() }
}

#[test]
fn every_pattern_widens_to_its_value() {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    for_each_machine(|m| {
        let bits = m.buffer(&patterns);
        let out = m.zeros::<[u32; 4]>(patterns.len());
        m.launch(LaunchConfig::new(256, 256), kernels::widen::Args { bits: bits.ptr(), out: out.ptr_mut() });
        for (bits, [half, brain, low, high]) in patterns.iter().zip(out.read()) {
            assert!(agree(half, value(*bits, 5, 10)), "f16 {bits:#06x}: {half:#010x}");
            assert!(agree(brain, value(*bits, 8, 7)), "bf16 {bits:#06x}: {brain:#010x}");
            assert!(agree(low, value(!bits, 5, 10)) && agree(high, value(*bits, 5, 10)), "pair {bits:#06x}");
        }
    });
}

/// The pattern nearest to `x`, ties to even: found by search among all finite ones, by their values alone.
fn nearest(x: f32, exponent: u32, fraction: u32) -> u16 {
    let infinity = (((1u32 << exponent) - 1) << fraction) as u16;
    if x.is_nan() {
        return 0x7fff;
    }
    let (sign, x) = (u16::from(x.is_sign_negative()) << 15, f64::from(x.abs()));
    let (mut low, mut high) = (0, infinity);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if value(middle, exponent, fraction) <= x { low = middle } else { high = middle }
    }
    // Beyond the greatest finite value, the next one is where infinity begins.
    let above = if high == infinity {
        2.0 * value(high - 1, exponent, fraction) - value(high - 2, exponent, fraction)
    } else {
        value(high, exponent, fraction)
    };
    let middle = (value(low, exponent, fraction) + above) / 2.0;
    sign | if x > middle || x == middle && low % 2 == 1 { high } else { low }
}

#[test]
fn floats_narrow_to_the_nearest_ties_to_even() {
    let mut random = Random::new(8);
    let mut values = random.many(40_000, |r| f32::from_bits(r.word() as u32));
    values.extend(random.many(20_000, |r| r.between(-70e3, 70e3) as f32));
    values.extend(random.many(5_000, |r| r.between(-1e-4, 1e-4) as f32));
    // Between two neighbours of each format, exactly and almost.
    for bits in (0..0x7c00u16).step_by(7) {
        let tie = ((value(bits, 5, 10) + value(bits + 1, 5, 10)) / 2.0) as f32;
        values.extend([tie, tie.next_up(), -tie.next_down()].into_iter().filter(|v| v.is_finite()));
        values.push(f32::from_bits(u32::from(bits) << 16 | 0x8000));
    }
    values.extend([
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        65504.0,
        65519.996,
        65520.0,
        f32::MAX,
    ]);
    values.resize(values.len().next_multiple_of(256), 1.0);
    for_each_machine(|m| {
        let from = m.buffer(&values);
        let out = m.zeros::<[u16; 4]>(values.len());
        let blocks = (values.len() / 256) as u32;
        m.launch(
            LaunchConfig::new(blocks, 256),
            kernels::narrow::Args { values: from.ptr(), out: out.ptr_mut() },
        );
        for (x, [half, brain, low, high]) in values.iter().zip(out.read()) {
            assert_eq!(half, nearest(*x, 5, 10), "f16 of {x:e}");
            assert_eq!(brain, nearest(*x, 8, 7), "bf16 of {x:e}");
            assert_eq!([low, high], [*x, -x].map(|x| nearest(x, 5, 10)), "pair of {x:e}");
        }
    });
}
