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
        // The simulator checks `load` and `store`; it could not check `*y.add(i) += ..`.
        // SAFETY: inside `y`, and no other thread has this element.
        unsafe { global::store(y.add(i), global::load(y.add(i), Cached) + a * x[i]) };
    }
}
