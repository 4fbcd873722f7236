//! Tiles that are reversed while the next one is copied.

use cuda_std::F32x4;
use cuda_std::launch::{DevicePtr, DevicePtrMut, LaunchConfig};
use example_kernels::async_copies::{reverse_tiles, shared_bytes};
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const THREADS: u32 = 128;
    const TILE: usize = 4 * THREADS as usize;
    const TILES: usize = 50;
    let device = device()?;
    let x = noise(TILES * TILE, 1);
    let (on_x, on_y) = (device.upload(&x)?, device.zeroed::<f32>(x.len())?);
    let from: DevicePtr<F32x4> = on_x.as_ptr().cast();
    let to: DevicePtrMut<F32x4> = on_y.as_mut_ptr().cast();
    let args = reverse_tiles::Args { from, tiles: TILES as u32, to };
    let config = LaunchConfig::new(6, THREADS).shared_bytes(shared_bytes(THREADS));
    // SAFETY: both buffers hold the tiles, aligned as allocations are, and live until the download.
    unsafe { device.launch(config, args) }?;
    let reversed = |i: usize| x[i / TILE * TILE + TILE - 1 - i % TILE].into();
    check("reversed", &device.download(&on_y)?, reversed, 0.0)
}
