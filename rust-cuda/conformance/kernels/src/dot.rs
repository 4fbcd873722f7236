//! Products of four bytes.

use cuda_std::prelude::*;

/// All three products of each thread's words.
#[kernel]
pub unsafe fn dots(a: *const u32, b: *const u32, c: *const u32, out: *mut [u32; 3]) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let (a, b, c) = (crate::take(a), crate::take(b), crate::take(c));
        let seen = [
            dot::dp4a_i32(a, b, c as i32) as u32,
            dot::dp4a_u32_i32(a, b, c as i32) as u32,
            dot::dp4a_u32(a, b, c),
        ];
        crate::put(out, seen);
    }
}
