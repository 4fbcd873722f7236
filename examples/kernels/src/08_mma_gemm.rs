//! A product of `bf16` matrices on tensor cores: `mma` multiplies 16×16 by 16×8 with one instruction of a warp.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// Rows of `c` that a block computes: sixteen for each of four warps.
pub const ROWS: u32 = 64;
/// Columns of `c` that a block computes: four times eight for each warp.
pub const COLUMNS: u32 = 32;
/// Elements of a row that are multiplied at a time.
pub const DEPTH: u32 = 16;
/// Threads of a block.
pub const THREADS: u32 = 128;

/// Words of a row in shared memory: eight hold its 16 elements. With four words between the rows, the 32 lanes that
/// load a fragment use 32 different banks.
const PITCH: usize = 12;
const WORDS: usize = (DEPTH / 2) as usize;
const TILES: usize = COLUMNS as usize / 8;

/// `c = a bᵀ`, of `m` by `k` and `n` by `k`, two elements in a word.
///
/// # Safety
/// The matrices are that large, row by row, and `m`, `n`, `k` are multiples of [`ROWS`], [`COLUMNS`] and [`DEPTH`]. A
/// block has [`THREADS`] threads, and the grid a block for each tile of `c`, those of a row of tiles in x.
#[kernel(launch_bounds(128))]
pub unsafe fn mma_gemm(a: *const u32, b: *const u32, c: *mut f32, n: u32, k: u32) {
    let (me, lane) = (thread::thread_idx_x() as usize, warp::lane_id() as usize);
    // How the lanes hold the matrices: see `cuda_std::mma`.
    let (g, t) = (lane / 4, lane % 4);
    let top = (thread::block_idx_y() * ROWS) as usize;
    let left = (thread::block_idx_x() * COLUMNS) as usize;
    let (n, k) = (n as usize, k as usize);
    // SAFETY: the indices are inside the matrices and the tiles; barriers part the writes of the tiles from the reads.
    unsafe {
        let of_a = Slice::from_raw(shared_array![u32; PITCH * ROWS as usize], PITCH * ROWS as usize);
        let of_b = Slice::from_raw(shared_array![u32; PITCH * COLUMNS as usize], PITCH * COLUMNS as usize);
        let copy = |tile: Slice<u32>, rows: u32, matrix: *const u32, first: usize, word: usize| {
            for i in (me..rows as usize * WORDS).step_by(THREADS as usize) {
                let (row, column) = (i / WORDS, i % WORDS);
                tile.set(row * PITCH + column, *matrix.add((first + row) * (k / 2) + word + column));
            }
        };
        let row = warp::warp_id() as usize * 16 + g;
        let mut sums = [[0.0f32; 4]; TILES];
        for word in (0..k / 2).step_by(WORDS) {
            copy(of_a, ROWS, a, top, word);
            copy(of_b, COLUMNS, b, left, word);
            thread::sync_threads();
            let piece = |row: usize, word: usize| of_a.get(row * PITCH + word);
            let x = [piece(row, t), piece(row + 8, t), piece(row, t + 4), piece(row + 8, t + 4)];
            for (tile, sum) in sums.iter_mut().enumerate() {
                let column = (tile * 8 + g) * PITCH;
                *sum = mma::m16n8k16_bf16(x, [of_b.get(column + t), of_b.get(column + t + 4)], *sum);
            }
            thread::sync_threads();
        }
        for (tile, [p, q, r, s]) in sums.into_iter().enumerate() {
            let place = c.add((top + row) * n + left + tile * 8 + 2 * t);
            place.cast::<F32x2>().write(F32x2([p, q]));
            place.add(8 * n).cast::<F32x2>().write(F32x2([r, s]));
        }
    }
}
