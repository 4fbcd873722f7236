//! The step to the next position, and the largest logit, second half.

use cuda_std::prelude::*;

use crate::argmax::{Best, THREADS};

/// Moves `*position` on by one. If there are candidates, the best of them becomes the token at the new position.
///
/// # Safety
/// One block of [`THREADS`] threads; `best` has `candidates` elements; `tokens` has an
/// element for the new position.
#[kernel(launch_bounds(256))]
pub unsafe fn advance(best: *const Best, candidates: u32, tokens: *mut u32, position: *mut u32) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    let mut mine = Best::NONE;
    let mut i = thread::thread_idx_x();
    while i < candidates {
        // SAFETY: below the number of candidates.
        let U32x2([value, index]) = unsafe { global::load(best.add(i as usize).cast(), Cached) };
        mine = mine.or(Best { value: f32::from_bits(value), index });
        i += THREADS;
    }
    // SAFETY: every thread comes here; one of them writes.
    unsafe {
        let chosen = mine.of_block();
        if thread::thread_idx_x() == 0 {
            let next = global::load(position, Cached) + 1;
            if candidates > 0 {
                // No logit was a number: any token, rather than an index that is none.
                let token = if chosen.index == u32::MAX { 0 } else { chosen.index };
                global::store(tokens.add(next as usize), token);
            }
            global::store(position, next);
        }
    }
}
