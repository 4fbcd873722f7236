//! Products of four bytes.

use cuda_conformance::{Random, for_each_machine};
use cuda_conformance_kernels::dot as kernels;
use cuda_std::launch::LaunchConfig;

#[test]
fn products_of_bytes_are_exact() {
    for_each_machine(|m| {
        let mut random = Random::new(5);
        let mut words = |extremes: [u32; 4]| {
            let mut words = random.many(1024, |r| r.word() as u32);
            words[..4].copy_from_slice(&extremes);
            words
        };
        let a = words([0x8080_8080, 0xffff_ffff, 0x7f7f_7f7f, 0]);
        let b = words([0x8080_8080, 0xffff_ffff, 0x8080_8080, !0]);
        let c = words([i32::MAX as u32, u32::MAX, i32::MIN as u32, 0]);
        let (pa, pb, pc) = (m.buffer(&a), m.buffer(&b), m.buffer(&c));
        let out = m.zeros::<[u32; 3]>(1024);
        m.launch(
            LaunchConfig::new(4, 256),
            kernels::dots::Args { a: pa.ptr(), b: pb.ptr(), c: pc.ptr(), out: out.ptr_mut() },
        );
        let expected: Vec<[u32; 3]> = (0..1024)
            .map(|i| {
                // In 64 bits nothing wraps until the end.
                let byte = |word: u32, k: u32, signed: bool| {
                    let byte = (word >> (8 * k)) as u8;
                    if signed { i64::from(byte as i8) } else { i64::from(byte) }
                };
                let dot = |sa, sb| {
                    (i64::from(c[i]) + (0..4).map(|k| byte(a[i], k, sa) * byte(b[i], k, sb)).sum::<i64>())
                        as u32
                };
                [dot(true, true), dot(false, true), dot(false, false)]
            })
            .collect();
        assert_eq!(out.read(), expected);
    });
}
