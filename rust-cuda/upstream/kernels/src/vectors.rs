//! The sum of two vectors.

use cuda_std::prelude::*;

/// Each thread adds one element.
#[kernel]
#[allow(improper_ctypes_definitions)]
pub unsafe fn vecadd(a: &[f32], b: &[f32], c: *mut f32) {
    let i = thread::index_1d() as usize;
    if i < a.len() {
        let sum = unsafe { &mut *c.add(i) };
        *sum = a[i] + b[i];
    }
}
