//! Products of matrices by a warp, against plain loops.

use cuda_conformance::{Machine, Random, for_each_machine};
use cuda_conformance_kernels::mma as kernels;
use cuda_std::half::{bf16, f16};
use cuda_std::launch::{DevicePtr, DevicePtrMut, LaunchConfig};

#[test]
fn bytes_multiply_exactly() {
    for_each_machine(|m| {
        let config = LaunchConfig::new(1, 32);
        for Bytes { a, b, c } in bytes() {
            let (pa, pb, pc) = (m.buffer(&a), m.buffer(&b), m.buffer(&c));
            let expected = |left: fn(u8) -> i32| -> Vec<i32> {
                let sum = |i: usize| {
                    let (row, column) = (i / 8, i % 8);
                    let product = |k: usize| left(a[row * 32 + k]) * i32::from(b[k * 8 + column] as i8);
                    c[i] + (0..32).map(product).sum::<i32>()
                };
                (0..16 * 8).map(sum).collect()
            };
            let d = m.zeros::<i32>(16 * 8);
            m.launch(config, kernels::mma_i8::Args { a: pa.ptr(), b: pb.ptr(), c: pc.ptr(), d: d.ptr_mut() });
            assert_eq!(d.read(), expected(|byte| i32::from(byte as i8)), "signed");
            m.launch(
                config,
                kernels::mma_u8_i8::Args { a: pa.ptr(), b: pb.ptr(), c: pc.ptr(), d: d.ptr_mut() },
            );
            assert_eq!(d.read(), expected(i32::from), "unsigned on the left");
        }
    });
}

/// 16×32 and 32×8 bytes, and what their product is added to.
struct Bytes {
    a: Vec<u8>,
    b: Vec<u8>,
    c: Vec<i32>,
}

fn bytes() -> Vec<Bytes> {
    let mut random = Random::new(6);
    let mut of = |a: &dyn Fn(u64) -> u8, b: &dyn Fn(usize, u64) -> u8| Bytes {
        a: random.many(16 * 32, |r| a(r.word())),
        b: random.many(32 * 8, Random::word).into_iter().enumerate().map(|(i, word)| b(i, word)).collect(),
        c: random.many(16 * 8, |r| r.word() as i32 >> 8),
    };
    let any = |word| word as u8;
    let mut all: Vec<_> = (0..4).map(|_| of(&any, &|_, word| word as u8)).collect();
    // The largest sums of either sign, and the ends of the ranges in all pairs.
    for (left, right) in [(255, 128), (255, 127), (128, 128), (128, 127)] {
        all.push(of(&|_| left, &|_, _| right));
    }
    let end = |word| [0, 127, 128, 255][word as usize % 4];
    all.push(of(&end, &|_, word| end(word)));
    // Little on the right, which the simulator makes use of: a column, single bytes of few words, nothing.
    all.push(of(&any, &|i, word| if i % 8 == 5 { word as u8 } else { 0 }));
    for place in 0..4 {
        all.push(of(&any, &|i, word| if i / 8 % 12 == place { word as u8 | 1 } else { 0 }));
    }
    all.push(of(&any, &|_, _| 0));
    all
}

#[test]
fn bf16_multiplies_to_the_rounding_of_f32() {
    halves_multiply(
        |x| bf16::from_f64(x).to_bits(),
        |bits| bf16::from_bits(bits).to_f64(),
        |m, [a, b], c, d| {
            m.launch(LaunchConfig::new(1, 32), kernels::mma_bf16::Args { a, b, c, d });
        },
    );
}

#[test]
fn f16_multiplies_to_the_rounding_of_f32() {
    halves_multiply(
        |x| f16::from_f64(x).to_bits(),
        |bits| f16::from_bits(bits).to_f64(),
        |m, [a, b], c, d| {
            m.launch(LaunchConfig::new(1, 32), kernels::mma_f16::Args { a, b, c, d });
        },
    );
}

/// Holds `d = a b + c` of a kind of 16-bit floats, given by its bits and their value, against sums in `f64`.
fn halves_multiply(
    bits: fn(f64) -> u16,
    value: fn(u16) -> f64,
    launch: impl Fn(&Machine, [DevicePtr<u16>; 2], DevicePtr<f32>, DevicePtrMut<f32>),
) {
    for_each_machine(|m| {
        let mut random = Random::new(7);
        for _ in 0..4 {
            let mut half = |count| random.many(count, |r| bits(r.between(-3.0, 3.0)));
            let (a, b) = (half(16 * 16), half(16 * 8));
            let c = random.many(16 * 8, |r| r.between(-10.0, 10.0) as f32);
            let (pa, pb, pc, d) = (m.buffer(&a), m.buffer(&b), m.buffer(&c), m.zeros::<f32>(16 * 8));
            launch(m, [pa.ptr(), pb.ptr()], pc.ptr(), d.ptr_mut());
            for (i, seen) in d.read().into_iter().enumerate() {
                let (row, column) = (i / 8, i % 8);
                let product = |k: usize| value(a[row * 16 + k]) * value(b[k * 8 + column]);
                let expected = f64::from(c[i]) + (0..16).map(product).sum::<f64>();
                // Seventeen terms; tensor cores may cut where an addition would round.
                let size = f64::from(c[i]).abs() + (0..16).map(|k| product(k).abs()).sum::<f64>();
                let error = (f64::from(seen) - expected).abs();
                assert!(error <= 17.0 * size * 2f64.powi(-23), "{seen} for {expected} at {row}, {column}");
            }
        }
    });
}

#[test]
fn matrices_are_loaded_as_they_are_and_transposed() {
    for_each_machine(|m| {
        // Every element another one.
        let word = |i: usize| (2 * i) as u32 + (2 * i + 1) as u32 * 0x1_0000;
        let from: Vec<u32> = (0..4 * 8 * 4).map(word).collect();
        let (source, plain, transposed) =
            (m.buffer(&from), m.zeros::<u32>(from.len()), m.zeros::<u32>(from.len()));
        let args = kernels::load::Args {
            from: source.ptr(),
            plain: plain.ptr_mut(),
            transposed: transposed.ptr_mut(),
        };
        m.launch(LaunchConfig::new(1, 32), args);
        let element = |words: &[u32], m: usize, row: usize, column: usize| {
            words[(m * 8 + row) * 4 + column / 2] >> (16 * (column % 2)) & 0xffff
        };
        assert_eq!(plain.read(), from);
        let found = transposed.read();
        for i in 0..4 * 64 {
            let (m, row, column) = (i / 64, i / 8 % 8, i % 8);
            assert_eq!(
                element(&found, m, column, row),
                element(&from, m, row, column),
                "row {row}, column {column} of matrix {m}"
            );
        }
    });
}
