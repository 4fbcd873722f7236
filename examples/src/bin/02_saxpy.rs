//! A grid of a size that suits the device, whatever the vector's length.

use cuda_std::launch::LaunchConfig;
use example_kernels::saxpy::saxpy;
use examples::{Outcome, check, device, noise};

fn main() -> Outcome {
    const N: usize = 50_000;
    const A: f32 = 1.5;
    let device = device()?;
    let (x, y) = (noise(N, 1), noise(N, 2));
    let (on_x, on_y) = (device.upload(&x)?, device.upload(&y)?);
    // ANCHOR: launch
    // Blocks that run at the same time: all the device holds, none of them waiting for another's end.
    let blocks = device.resident_blocks::<saxpy::Args>(256, 0)?;
    let args = saxpy::Args { a: A, x: on_x.as_slice(), y: on_y.as_mut_ptr() };
    // SAFETY: both buffers have N elements and live until the download.
    unsafe { device.launch(LaunchConfig::new(blocks, 256), args) }?;
    // ANCHOR_END: launch
    let exact = |i: usize| f64::from(A) * f64::from(x[i]) + f64::from(y[i]);
    check("y", &device.download(&on_y)?, exact, 3e-7)
}
