//! Reductions over a block.

use cuda_std::{shared, shared_array, thread, warp};

/// The sum of `value` over all threads of a block of whole warps, in all threads.
///
/// # Safety
/// Every thread must call it.
#[inline(always)]
pub unsafe fn block_sum(value: f32) -> f32 {
    // SAFETY: the array is in shared memory and has room for each of at most 32 warps.
    let sums = unsafe { shared::Slice::from_raw(shared_array![f32; 32], 32) };
    let warps = (thread::block_dim_x() / warp::SIZE) as usize;
    let sum = warp::sum_f32(value);
    // Whoever still reads the sums of an earlier call must be done.
    thread::sync_threads();
    if warp::lane_id() == 0 {
        // SAFETY: each warp has an element of its own.
        unsafe { sums.set(warp::warp_id() as usize, sum) };
    }
    thread::sync_threads();
    let lane = warp::lane_id() as usize;
    // SAFETY: written before the barrier.
    warp::sum_f32(if lane < warps { unsafe { sums.get(lane) } } else { 0.0 })
}
