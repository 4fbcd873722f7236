//! Bytes of words.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::misc as kernels;
use cuda_std::launch::LaunchConfig;

#[test]
fn bytes_are_those_that_the_digits_say() {
    // Each digit in each place beside each other one, then whatever; a digit's highest bit counts for nothing.
    let count = 8 * 8 * 8 * 8 + 1024;
    let mut random = Random::new(8);
    let selectors: Vec<u32> = (0..count as u32)
        .map(|i| {
            if i < 4096 { (0..4).map(|k| (i >> (3 * k) & 7) << (4 * k)).sum() } else { random.word() as u32 }
        })
        .collect();
    let (a, b) = (random.many(count, |r| r.word() as u32), random.many(count, |r| r.word() as u32));
    let expected: Vec<u32> = (0..count)
        .map(|i| {
            let byte = |k: u32| {
                let number = selectors[i] >> (4 * k) & 7;
                let word = if number < 4 { a[i] } else { b[i] };
                (word >> (8 * (number % 4)) & 0xff) << (8 * k)
            };
            (0..4).map(byte).sum()
        })
        .collect();
    for_each_machine(|m| {
        let (pa, pb, selector) = (m.buffer(&a), m.buffer(&b), m.buffer(&selectors));
        let out = m.zeros::<u32>(count);
        m.launch(
            LaunchConfig::new(count as u32 / 256, 256),
            kernels::permuted::Args {
                a: pa.ptr(),
                b: pb.ptr(),
                selector: selector.ptr(),
                out: out.ptr_mut(),
            },
        );
        assert_eq!(out.read(), expected);
    });
}
