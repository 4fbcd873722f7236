//! One thread for each element.

use cuda_std::prelude::*;

/// `c[i] = a[i] + b[i]`
///
/// # Safety
/// `b` and `c` are as long as `a`.
#[kernel]
pub unsafe fn vector_add(a: &[f32], b: &[f32], c: *mut f32) {
    let i = thread::index_1d() as usize;
    // The last block has threads beyond the end.
    if i < a.len() {
        // SAFETY: inside `c`, and no other thread writes this element.
        unsafe { global::store(c.add(i), a[i] + b[i]) };
    }
}
