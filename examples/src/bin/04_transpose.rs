//! A transposition of a matrix whose sides are no multiples of the tile's.

use cuda_std::launch::LaunchConfig;
use example_kernels::transpose::{ROWS, TILE, transpose};
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const M: usize = 250;
    const N: usize = 170;
    let device = device()?;
    let matrix = noise(M * N, 1);
    let (from, to) = (device.upload(&matrix)?, device.zeroed::<f32>(M * N)?);
    let args =
        transpose::Args { from: from.as_ptr(), rows: M as u32, columns: N as u32, to: to.as_mut_ptr() };
    let tiles = |side: usize| (side as u32).div_ceil(TILE);
    // SAFETY: both matrices have M times N elements, the grid covers them, and they live until the download.
    unsafe { device.launch(LaunchConfig::new((tiles(N), tiles(M)), (TILE, ROWS)), args) }?;
    check("transposed", &device.download(&to)?, |i| matrix[i % M * N + i / M].into(), 0.0)
}
