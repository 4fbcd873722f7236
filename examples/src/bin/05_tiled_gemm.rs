//! A product of matrices in `f32`, of sizes that are no multiples of the tile's.

use cuda_std::launch::LaunchConfig;
use example_kernels::tiled_gemm::{TILE, gemm};
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const M: usize = 70;
    const N: usize = 90;
    const K: usize = 50;
    let device = device()?;
    let (a, b) = (noise(M * K, 1), noise(K * N, 2));
    let (on_a, on_b, on_c) = (device.upload(&a)?, device.upload(&b)?, device.zeroed::<f32>(M * N)?);
    let args = gemm::Args {
        a: on_a.as_ptr(),
        b: on_b.as_ptr(),
        c: on_c.as_mut_ptr(),
        m: M as u32,
        n: N as u32,
        k: K as u32,
    };
    let tiles = |side: usize| (side as u32).div_ceil(TILE);
    // SAFETY: the buffers hold the matrices, the grid covers c, and they live until the download.
    unsafe { device.launch(LaunchConfig::new((tiles(N), tiles(M)), (TILE, TILE)), args) }?;
    let product =
        |row: usize, i: usize, column: usize| f64::from(a[row * K + i]) * f64::from(b[i * N + column]);
    let exact = |i: usize| (0..K).map(|k| product(i / N, k, i % N)).sum();
    check("c", &device.download(&on_c)?, exact, 1e-5)
}
