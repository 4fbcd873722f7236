//! Host code: the functions that launch the kernels.

use cuda_device::{Device, DeviceError, Program};
use cuda_std::launch::LaunchConfig;

/// The kernels, compiled by `build.rs`.
pub static KERNELS: Program = cuda_device::program!();

/// `a * x + y`, computed by the device.
///
/// # Errors
/// When the device has too little memory, or the kernel failed.
///
/// # Panics
/// If `x` and `y` are not equally long.
pub fn saxpy(device: &Device, a: f32, x: &[f32], y: &[f32]) -> Result<Vec<f32>, DeviceError> {
    const THREADS: usize = 256;
    assert_eq!(x.len(), y.len(), "the vectors must be equally long");
    let (on_x, on_y) = (device.upload(x)?, device.upload(y)?);
    let blocks = x.len().div_ceil(THREADS).max(1);
    let args = kernels::saxpy::Args { a, x: on_x.as_slice(), y: on_y.as_mut_ptr() };
    // SAFETY: the buffers are equally long, and live until the download has waited for the kernel.
    unsafe { device.launch(LaunchConfig::new(blocks as u32, THREADS as u32), args) }?;
    device.download(&on_y)
}
