//! What the simulator's speed is measured with.

use cuda_std::prelude::*;

/// A product of a matrix of bytes with a vector, a row for each warp: the shape of a decode's work.
#[kernel]
pub unsafe fn mat_vec(matrix: *const U32x4, vector: *const U32x4, columns: u32, out: *mut f32) {
    let lane = warp::lane_id();
    let row = thread::block_idx_x() * (thread::block_dim_x() / warp::SIZE) + warp::warp_id();
    let chunks = columns / 16;
    let mut sum = 0;
    let mut i = lane;
    while i < chunks {
        // SAFETY: the matrix has a row for every warp, and the vector is as long as a row.
        let (a, b) = unsafe {
            (
                global::load(matrix.add((row * chunks + i) as usize), Streaming),
                global::load(vector.add(i as usize), ReadOnly),
            )
        };
        for k in 0..4 {
            sum = dot::dp4a_i32(a.0[k], b.0[k], sum);
        }
        i += warp::SIZE;
    }
    let sum = warp::sum_f32(sum as f32);
    if lane == 0 {
        // SAFETY: the output has an element for every row.
        unsafe { global::store(out.add(row as usize), sum) };
    }
}

/// Nothing but barriers of the block.
#[kernel]
pub unsafe fn barriers(count: u32) {
    for _ in 0..count {
        thread::sync_threads();
    }
}
