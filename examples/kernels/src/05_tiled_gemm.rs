//! A product of matrices: a block loads tiles of both once, and its threads use each element sixteen times.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// Rows and columns of a tile, and of a block.
pub const TILE: u32 = 16;
const ELEMENTS: usize = (TILE * TILE) as usize;

/// `c = a b`, of `m` by `k` and `k` by `n`.
///
/// # Safety
/// The matrices are that large, row by row. A block has [`TILE`] by [`TILE`] threads, and the grid a block for each
/// tile of `c`.
#[kernel(launch_bounds(256))]
pub unsafe fn gemm(a: *const f32, b: *const f32, c: *mut f32, m: u32, n: u32, k: u32) {
    let (x, y) = (thread::thread_idx_x(), thread::thread_idx_y());
    let (row, column) = (thread::block_idx_y() * TILE + y, thread::block_idx_x() * TILE + x);
    // SAFETY: the indices are inside the matrices and the tiles; barriers part the writes of the tiles from the reads.
    unsafe {
        let left = Slice::from_raw(shared_array![f32; ELEMENTS], ELEMENTS);
        let right = Slice::from_raw(shared_array![f32; ELEMENTS], ELEMENTS);
        let here = (y * TILE + x) as usize;
        let mut sum = 0.0f32;
        for first in (0..k).step_by(TILE as usize) {
            // Beyond the edge the tiles hold zeros, so that the sum needs no condition.
            let inside = row < m && first + x < k;
            left.set(here, if inside { *a.add((row * k + first + x) as usize) } else { 0.0 });
            let inside = first + y < k && column < n;
            right.set(here, if inside { *b.add(((first + y) * n + column) as usize) } else { 0.0 });
            thread::sync_threads();
            for i in 0..TILE {
                sum = left.get((y * TILE + i) as usize).mul_add(right.get((i * TILE + x) as usize), sum);
            }
            // Nobody overwrites a tile that others still read.
            thread::sync_threads();
        }
        if row < m && column < n {
            *c.add((row * n + column) as usize) = sum;
        }
    }
}
