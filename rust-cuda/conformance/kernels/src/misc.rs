//! Bytes of words.

use cuda_std::prelude::*;

/// Each thread's bytes of its two words.
#[kernel]
pub unsafe fn permuted(a: *const u32, b: *const u32, selector: *const u32, out: *mut u32) {
    // SAFETY: the buffers have an element for every thread.
    unsafe { crate::put(out, misc::byte_permute(crate::take(a), crate::take(b), crate::take(selector))) };
}
