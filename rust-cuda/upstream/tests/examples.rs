//! What upstream's examples compute, against plain computations on the host.

use cuda_std::launch::{DevicePtr, DeviceSlice, LaunchConfig};
use cuda_upstream::device;
use cuda_upstream_kernels as kernels;
use sha2::{Digest, Sha256, Sha512};

/// Numbers without a pattern.
fn words(count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|_| next()).collect()
}

fn floats(count: usize) -> Vec<f32> {
    words(count).into_iter().map(|word| (word >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

#[test]
fn vectors_are_added() {
    const N: usize = 1000;
    let device = device();
    let (a, b) = (floats(N), floats(2 * N).split_off(N));
    let (on_a, on_b) = (device.upload(&a).unwrap(), device.upload(&b).unwrap());
    let c = device.zeroed::<f32>(N).unwrap();
    let args = kernels::vecadd::Args { a: on_a.as_slice(), b: on_b.as_slice(), c: c.as_mut_ptr() };
    // SAFETY: the buffers are equally long, and live until the download.
    unsafe { device.launch(LaunchConfig::new(8, 128), args) }.unwrap();
    let sums: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert_eq!(device.download(&c).unwrap(), sums);
}

#[test]
fn matrices_are_multiplied() {
    const M: usize = 37;
    const N: usize = 50;
    const K: usize = 41;
    let (alpha, beta) = (0.5f32, -2.0f32);
    let device = device();
    let (a, b, c) = (floats(M * K), floats(K * N), floats(M * N));
    let (on_a, on_b) = (device.upload(&a).unwrap(), device.upload(&b).unwrap());
    let config = LaunchConfig::new((N.div_ceil(16) as u32, M.div_ceil(16) as u32), (16, 16));
    for tiled in [false, true] {
        let on_c = device.upload(&c).unwrap();
        let (a, b, c) = (on_a.as_slice(), on_b.as_slice(), on_c.as_mut_ptr());
        let (m, n, k) = (M, N, K);
        // SAFETY: the matrices are that large, the grid covers c, and the buffers live until the download.
        let launched = unsafe {
            if tiled {
                device.launch(config, kernels::gemm_tiled::Args { a, b, c, m, n, k, alpha, beta })
            } else {
                device.launch(config, kernels::gemm_naive::Args { a, b, c, m, n, k, alpha, beta })
            }
        };
        launched.unwrap();
        check(&device.download(&on_c).unwrap());
    }
    fn entry(matrix: &[f32], width: usize, row: usize, column: usize) -> f64 {
        matrix[row * width + column].into()
    }
    fn check(seen: &[f32]) {
        let (a, b, c) = (floats(M * K), floats(K * N), floats(M * N));
        for (i, &seen) in seen.iter().enumerate() {
            let (row, column) = (i / N, i % N);
            let sum: f64 = (0..K).map(|k| entry(&a, K, row, k) * entry(&b, N, k, column)).sum();
            let exact = 0.5 * sum - 2.0 * f64::from(c[i]);
            assert!((f64::from(seen) - exact).abs() < 1e-5, "{seen} for {exact} at {row}, {column}");
        }
    }
}

#[test]
fn integers_of_128_bits_are_exact() {
    let words = words(4 * 100);
    let pair = |i: usize| u128::from(words[i]) << 64 | u128::from(words[i + 1]);
    // Of all lengths: quotients are long and short.
    let mut a: Vec<u128> = (0..100).map(|i| pair(4 * i) >> (i % 128)).collect();
    let mut b: Vec<u128> = (0..100).map(|i| pair(4 * i + 2) >> (i * 7 % 128)).collect();
    a.extend([0, u128::MAX, 1 << 127, u128::MAX]);
    b.extend([0, 1, u128::MAX, u128::MAX - 1]);
    let device = device();
    let halves = |numbers: &[u128]| -> Vec<u64> {
        numbers.iter().flat_map(|n| [*n as u64, (*n >> 64) as u64]).collect()
    };
    let (on_a, on_b) = (device.upload(&halves(&a)).unwrap(), device.upload(&halves(&b)).unwrap());
    let out = device.zeroed::<u64>(2 * kernels::RESULTS * a.len()).unwrap();
    // SAFETY: two words to a number.
    let numbers = |p: DevicePtr<u64>| unsafe { DeviceSlice::<u128>::new(p.cast(), a.len()) };
    let args = kernels::int128::Args {
        a: numbers(on_a.as_ptr()),
        b: numbers(on_b.as_ptr()),
        out: out.as_mut_ptr().cast(),
    };
    // SAFETY: the buffers are as long as the kernel demands, and live until the download.
    unsafe { device.launch(LaunchConfig::new(4, 32), args) }.unwrap();
    let expected: Vec<u128> = a.iter().zip(&b).flat_map(|(a, b)| kernels::all_of(*a, *b)).collect();
    assert_eq!(device.download(&out).unwrap(), halves(&expected));
}

#[test]
fn the_registrys_sha2_hashes_in_a_kernel() {
    const COUNT: usize = 200;
    let device = device();
    let input: Vec<u8> = words(COUNT).into_iter().map(|word| word as u8).collect();
    let on_input = device.upload(&input).unwrap();
    let (short, long) = (device.zeroed::<u8>(32 * COUNT).unwrap(), device.zeroed::<u8>(64 * COUNT).unwrap());
    let (input_slice, count) = (on_input.as_slice(), COUNT as u32);
    let config = LaunchConfig::new(7, 32);
    // SAFETY: an output for each of the threads that hash, alive until the downloads.
    unsafe {
        let out = short.as_mut_ptr().cast();
        device.launch(config, kernels::sha256::Args { input: input_slice, count, out }).unwrap();
        let out = long.as_mut_ptr().cast();
        device.launch(config, kernels::sha512::Args { input: input_slice, count, out }).unwrap();
    }
    let (short, long) = (device.download(&short).unwrap(), device.download(&long).unwrap());
    for i in 0..COUNT {
        assert_eq!(short[32 * i..][..32], *Sha256::digest(&input[..i]), "{i} bytes");
        assert_eq!(long[64 * i..][..64], *Sha512::digest(&input[..i]), "{i} bytes");
    }
    // FIPS 180-4: the digest of nothing.
    assert_eq!(short[..4], [0xe3, 0xb0, 0xc4, 0x42]);
}

#[test]
fn kernels_have_a_heap() {
    let device = device();
    let threads = 4 * 64u32;
    let out = device.zeroed::<u32>(4 * threads as usize).unwrap();
    // Twice: what the first launch has freed is there again.
    for _ in 0..2 {
        let args = kernels::collections::Args { out: out.as_mut_ptr().cast() };
        // SAFETY: four words for each thread, alive until the download.
        unsafe { device.launch(LaunchConfig::new(4, 64), args) }.unwrap();
    }
    let expected = (0..threads).flat_map(|me| {
        let numbers: Vec<u32> = (0..me % 20).rev().map(|i| i * me).collect();
        let mut keys = vec![me % 7, me % 5, me % 3];
        keys.sort();
        keys.dedup();
        let name = format!("thread {me} of Some(64)");
        [
            numbers.first().copied().unwrap_or(7) + numbers.iter().sum::<u32>(),
            if me % 2 == 0 { me * me } else { 3 * me },
            keys.len() as u32 + me,
            name.bytes().map(u32::from).sum::<u32>() + name.len() as u32,
        ]
    });
    assert_eq!(device.download(&out).unwrap(), expected.collect::<Vec<u32>>());
}

#[test]
fn statics_lie_where_they_are_said_to() {
    let device = device();
    let out = device.zeroed::<u32>(2 * 24).unwrap();
    // SAFETY: a word for each thread, alive until the download.
    unsafe {
        device.launch(LaunchConfig::new(2, (4, 3, 2)), kernels::places::Args { out: out.as_mut_ptr() })
    }
    .unwrap();
    let expected = (0..48u32).map(|i| {
        let (block, thread) = (i / 24, i % 24);
        let (x, y, z) = (thread % 4, thread / 4 % 3, thread / 12);
        5000 + (block * 4 + x) + y + z + block + 3 + 1 + 200
    });
    assert_eq!(device.download(&out).unwrap(), expected.collect::<Vec<u32>>());
    if let Some((_, ptx)) = cuda_upstream::KERNELS.ptx.first() {
        assert!(ptx.contains("VERSION"), "the visible static is not in the PTX");
    }
}
