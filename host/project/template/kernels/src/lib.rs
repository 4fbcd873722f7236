//! GPU code: the kernels.

use cuda_std::prelude::*;

/// `y[i] += a * x[i]`
///
/// # Safety
/// `y` is as long as `x`.
#[kernel]
pub unsafe fn saxpy(a: f32, x: &[f32], y: *mut f32) {
    let i = thread::index_1d() as usize;
    if i < x.len() {
        // SAFETY: inside `y`, and no other thread has this element.
        unsafe { *y.add(i) += a * x[i] };
    }
}
