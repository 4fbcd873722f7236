//! Where Psionic's kernels run: an NVIDIA GPU, or the simulator on the CPU.

pub use cuda_device::{
    Backend, BackendChoice, Buffer, Code, CodeSource, Device, DeviceError, DeviceInfo, Element, Mailbox,
    NoCodeCache, Program, Recording, code_cache,
};

/// The commit that this program was built from.
pub const COMMIT: &str = env!("PSIONIC_COMMIT");

/// The kernels, compiled by `build.rs`.
pub static KERNELS: Program = cuda_device::program!();

/// Opens a device with Psionic's kernels.
///
/// # Errors
/// As [`Device::open`].
pub fn open(choice: BackendChoice) -> Result<Device, DeviceError> {
    Device::open(choice, &KERNELS)
}
