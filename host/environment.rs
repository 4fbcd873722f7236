//! What a measurement was made with: the head of every record.

use std::time::SystemTime;

use serde::Serialize;

use crate::device::{Backend, COMMIT, DeviceInfo};

/// The program and the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Environment {
    /// The commit that was built.
    pub build_commit: &'static str,
    /// This program's version.
    pub version: &'static str,
    /// The device's kind.
    pub backend: Backend,
    /// The device's name.
    pub device: String,
    /// The CUDA version that the driver supports.
    pub driver: Option<String>,
    /// The PTX that ran, as in `sm_90`.
    pub ptx: Option<u32>,
}

impl Environment {
    /// This program and a device.
    pub fn of(device: &DeviceInfo) -> Self {
        Self {
            build_commit: COMMIT,
            version: env!("CARGO_PKG_VERSION"),
            backend: device.backend,
            device: device.name.clone(),
            driver: device.driver.clone(),
            ptx: device.ptx,
        }
    }
}

/// The time, in UTC and to the second, as records have it.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
