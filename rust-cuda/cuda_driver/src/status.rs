//! Whether there is a driver that will do.

use std::ffi::c_int;

use cust::device::Device;
use cust::sys::{CUdevice_attribute, CUresult};

use crate::error::{DriverError, DriverVersion};
use crate::symbols::calls;

/// Starts the driver and returns the CUDA version that it supports, at least `required`.
///
/// The version is checked before the driver is started, so that an old driver is named as such, whatever else is
/// wrong with it.
pub fn status(required: DriverVersion) -> Result<DriverVersion, DriverError> {
    let mut raw: c_int = 0;
    // SAFETY: `raw` is valid for the write.
    unsafe { calls::cuDriverGetVersion(&mut raw) }.check().map_err(explain)?;
    let found = DriverVersion::from_raw(raw);
    if found < required {
        return Err(DriverError::TooOld { found, required });
    }
    // SAFETY: 0 is the only value that the flags may have.
    unsafe { calls::cuInit(0) }.check().map_err(explain)?;
    let mut devices: c_int = 0;
    // SAFETY: `devices` is valid for the write.
    unsafe { calls::cuDeviceGetCount(&mut devices) }.check().map_err(explain)?;
    if devices < 1 { Err(DriverError::NoDevice) } else { Ok(found) }
}

/// Gives the codes that only mean "no GPU" or "no driver" their own variants.
fn explain(error: DriverError) -> DriverError {
    match error {
        DriverError::Call { code, .. } if code == CUresult::CUDA_ERROR_NO_DEVICE as c_int => {
            DriverError::NoDevice
        }
        DriverError::Call { code, .. } if code == CUresult::CUDA_ERROR_STUB_LIBRARY as c_int => {
            let tried = "libcuda.so.1 is the CUDA toolkit's stub, which is for linking only".to_owned();
            DriverError::NoDriver { tried }
        }
        other => other,
    }
}

/// A device's attribute, also one that `cust`'s `DeviceAttribute` does not have.
pub fn device_attribute(device: Device, attribute: CUdevice_attribute) -> Result<i32, DriverError> {
    let mut value: c_int = 0;
    // SAFETY: `value` is valid for the write; the driver checks the device.
    unsafe { calls::cuDeviceGetAttribute(&mut value, attribute, device.as_raw()) }.check()?;
    Ok(value)
}
