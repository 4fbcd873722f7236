//! Products of matrices by a warp, against plain loops.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::mma as kernels;
use cuda_std::half::bf16;
use cuda_std::launch::LaunchConfig;

#[test]
fn bytes_multiply_exactly() {
    for_each_machine(|m| {
        let mut random = Random::new(6);
        for _ in 0..4 {
            let a = random.many(16 * 32, |r| r.word() as i8);
            let b = random.many(32 * 8, |r| r.word() as i8);
            let c = random.many(16 * 8, |r| r.word() as i32 >> 8);
            let (pa, pb, pc, d) = (m.buffer(&a), m.buffer(&b), m.buffer(&c), m.zeros::<i32>(16 * 8));
            m.launch(
                LaunchConfig::new(1, 32),
                kernels::mma_i8::Args { a: pa.ptr(), b: pb.ptr(), c: pc.ptr(), d: d.ptr_mut() },
            );
            let expected: Vec<i32> = (0..16 * 8)
                .map(|i| {
                    let (row, column) = (i / 8, i % 8);
                    let products = (0..32).map(|k| i32::from(a[row * 32 + k]) * i32::from(b[k * 8 + column]));
                    c[i] + products.sum::<i32>()
                })
                .collect();
            assert_eq!(d.read(), expected);
        }
    });
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
