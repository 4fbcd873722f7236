//! What a GPU answers with a hang or with garbage, and the simulator with a sentence.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

// ANCHOR: barrier
/// A barrier that half of the threads never reach.
///
/// # Safety
/// None is needed: it uses no memory.
#[kernel]
pub unsafe fn barrier_in_a_branch() {
    if thread::thread_idx_x() < 32 {
        thread::sync_threads();
    } else {
        thread::sync_threads_count(true);
    }
}
// ANCHOR_END: barrier

// ANCHOR: shuffle
/// A shuffle that reads from a lane which takes no part.
///
/// # Safety
/// `out` has an element for each thread.
#[kernel]
pub unsafe fn shuffle_from_nobody(out: *mut u32) {
    let lane = warp::lane_id();
    if lane < 16 {
        let value = warp::shuffle_down(0x0000_ffff, lane, 8);
        // SAFETY: inside `out`, and no other thread has this element.
        unsafe { *out.add(lane as usize) = value };
    }
}
// ANCHOR_END: shuffle

// ANCHOR: bounds
/// A store beyond the end.
///
/// # Safety
/// `out` has `len` elements.
#[kernel]
pub unsafe fn one_too_many(out: *mut u32, len: u32) {
    let i = thread::index_1d();
    if i <= len {
        // SAFETY: it is not.
        unsafe { global::store(out.add(i as usize), i) };
    }
}
// ANCHOR_END: bounds

// ANCHOR: wait
/// An asynchronous copy that nobody waits for.
///
/// # Safety
/// `from` and `out` have an element for each thread of one block of 32.
#[kernel]
pub unsafe fn no_wait(from: *const u32, out: *mut u32) {
    let me = thread::thread_idx_x() as usize;
    // SAFETY: inside the buffers and the tile.
    unsafe {
        let tile = Slice::from_raw(shared_array![u32; 32], 32);
        copy_async::copy(tile, me, from.add(me));
        copy_async::commit();
        thread::sync_threads();
        *out.add(me) = tile.get(me);
    }
}
// ANCHOR_END: wait
