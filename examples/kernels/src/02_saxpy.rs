//! Any number of elements by any number of threads: a grid-stride loop.

use cuda_std::prelude::*;

/// `y[i] += a * x[i]`
///
/// # Safety
/// `y` is as long as `x`.
#[kernel]
pub unsafe fn saxpy(a: f32, x: &[f32], y: *mut f32) {
    let threads = (thread::grid_dim_x() * thread::block_dim_x()) as usize;
    let mut i = thread::index_1d() as usize;
    while i < x.len() {
        // SAFETY: inside `y`, and no other thread has this element.
        unsafe { global::store(y.add(i), global::load(y.add(i), Cached) + a * x[i]) };
        i += threads;
    }
}
