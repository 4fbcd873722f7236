//! A sum: first in each thread, then in each warp, then in each block.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// Threads of a block.
pub const THREADS: u32 = 256;
const WARPS: usize = (THREADS / warp::SIZE) as usize;

/// `sums[b]` is what block `b` has added up of `x`: launched again with one block on those, it gives the sum.
///
/// # Safety
/// A block has [`THREADS`] threads; `sums` has an element for each.
#[kernel(launch_bounds(256))]
pub unsafe fn sum(x: &[f32], sums: *mut f32) {
    let stride = (thread::grid_dim_x() * THREADS) as usize;
    let mut i = thread::index_1d() as usize;
    let mut sum = 0.0;
    while i < x.len() {
        sum += x[i];
        i += stride;
    }

    // Five shuffles add the 32 sums of a warp, without memory.
    let sum = warp::sum_f32(sum);

    // SAFETY: the array has an element for each warp, and a barrier parts writes from reads. `sums` has room.
    unsafe {
        let of_warps = Slice::from_raw(shared_array![f32; WARPS], WARPS);
        if warp::lane_id() == 0 {
            of_warps.set(warp::warp_id() as usize, sum);
        }
        // All threads of the block come here: a barrier in a branch that some do not take would never end.
        thread::sync_threads();
        if thread::thread_idx_x() == 0 {
            let sum = (0..WARPS).map(|warp| of_warps.get(warp)).sum();
            *sums.add(thread::block_idx_x() as usize) = sum;
        }
    }
}
