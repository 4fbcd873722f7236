//! Products of matrices by a warp, against plain loops.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::mma as kernels;
use cuda_std::half::bf16;
use cuda_std::launch::LaunchConfig;

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
    for_each_machine(|m| {
        let mut random = Random::new(7);
        for _ in 0..4 {
            let mut half = |count| random.many(count, |r| bf16::from_f64(r.between(-3.0, 3.0)));
            let (a, b) = (half(16 * 16), half(16 * 8));
            let c = random.many(16 * 8, |r| r.between(-10.0, 10.0) as f32);
            let bits = |v: &[bf16]| m.buffer(&v.iter().map(|h| h.to_bits()).collect::<Vec<_>>());
            let (pa, pb, pc, d) = (bits(&a), bits(&b), m.buffer(&c), m.zeros::<f32>(16 * 8));
            m.launch(
                LaunchConfig::new(1, 32),
                kernels::mma_bf16::Args { a: pa.ptr(), b: pb.ptr(), c: pc.ptr(), d: d.ptr_mut() },
            );
            for (i, seen) in d.read().into_iter().enumerate() {
                let (row, column) = (i / 8, i % 8);
                let product = |k: usize| a[row * 16 + k].to_f64() * b[k * 8 + column].to_f64();
                let expected = f64::from(c[i]) + (0..16).map(product).sum::<f64>();
                // Seventeen terms; tensor cores may cut where an addition would round.
                let size = f64::from(c[i]).abs() + (0..16).map(|k| product(k).abs()).sum::<f64>();
                let error = (f64::from(seen) - expected).abs();
                assert!(error <= 17.0 * size * 2f64.powi(-23), "{seen} for {expected} at {row}, {column}");
            }
        }
    });
}
