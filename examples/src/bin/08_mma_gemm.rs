//! A product of `bf16` matrices on tensor cores.

use cuda_std::bf16;
use cuda_std::launch::LaunchConfig;
use example_kernels::mma_gemm::{COLUMNS, DEPTH, ROWS, THREADS, mma_gemm};
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const M: usize = 2 * ROWS as usize;
    const N: usize = 3 * COLUMNS as usize;
    const K: usize = 4 * DEPTH as usize;
    let device = device()?;
    let round = |numbers: Vec<f32>| -> Vec<bf16> { numbers.into_iter().map(bf16::from_f32).collect() };
    let (a, b) = (round(noise(M * K, 1)), round(noise(N * K, 2)));
    let words = |matrix: &[bf16]| -> Vec<u32> {
        let pairs = matrix.chunks_exact(2);
        pairs.map(|pair| u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16).collect()
    };
    let (on_a, on_b) = (device.upload(&words(&a))?, device.upload(&words(&b))?);
    let on_c = device.zeroed::<f32>(M * N)?;
    let args =
        mma_gemm::Args { a: on_a.as_ptr(), b: on_b.as_ptr(), c: on_c.as_mut_ptr(), n: N as u32, k: K as u32 };
    let grid = (N as u32 / COLUMNS, M as u32 / ROWS);
    // SAFETY: the buffers hold the matrices, whose sides are multiples as demanded, and live until the download.
    unsafe { device.launch(LaunchConfig::new(grid, THREADS), args) }?;
    let exact = |i: usize| (0..K).map(|k| a[i / N * K + k].to_f64() * b[i % N * K + k].to_f64()).sum();
    check("c", &device.download(&on_c)?, exact, 2e-5)
}
