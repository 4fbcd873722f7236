//! Kernels written as for upstream Rust-CUDA, for the tests in `tests/`: on the simulator, or with
//! `PSIONIC_TEST_BACKEND=cuda` on the GPU.

use cuda_device::{BackendChoice, Device, Program};

/// The kernels, compiled by `build.rs`.
pub static KERNELS: Program = cuda_device::program!();

/// The tests' device.
///
/// # Panics
/// If it cannot be used.
pub fn device() -> Device {
    Device::open(BackendChoice::for_tests(), &KERNELS).unwrap_or_else(|error| panic!("{error}"))
}
