//! The device that tests run on: the simulator, or a GPU with `PSIONIC_TEST_BACKEND=cuda`.

use std::path::PathBuf;

use psionic::device::{self, BackendChoice, Device};

/// Whether the tests run on a GPU.
pub fn is_gpu() -> bool {
    matches!(BackendChoice::for_tests(), BackendChoice::Cuda)
}

/// The device.
pub fn device() -> Device {
    device::open(BackendChoice::for_tests())
        .unwrap_or_else(|error| panic!("the tests' device does not open: {error}"))
}

/// The project's folder. A test program that was built elsewhere is told by the environment.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}
