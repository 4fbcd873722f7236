//! A stand-in for the driver's library, compiled by the tests: a driver of some version with some GPUs of some
//! compute capability, as environment variables say. It can be asked what it is and nothing else.

#![allow(non_snake_case)]

use std::ffi::{c_char, c_int, c_uint};

fn setting(name: &str) -> c_int {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).expect(name)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_: c_uint) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: &mut c_int) -> c_int {
    *version = setting("FAKE_VERSION");
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: &mut c_int) -> c_int {
    *count = setting("FAKE_DEVICES");
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: &mut c_int, ordinal: c_int) -> c_int {
    *device = ordinal;
    0
}

/// # Safety
/// `name` must have room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _: c_int) -> c_int {
    let text = c"Stand-in";
    assert!(text.count_bytes() < len as usize);
    // SAFETY: the text and its zero fit.
    unsafe { name.copy_from_nonoverlapping(text.as_ptr(), text.count_bytes() + 1) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: &mut c_int, attribute: c_int, _: c_int) -> c_int {
    let capability = setting("FAKE_CAPABILITY");
    *value = match attribute {
        75 => capability / 10,
        76 => capability % 10,
        _ => 1,
    };
    0
}
