//! A transposition that reads and writes whole rows, through a tile in shared memory.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// Rows and columns of a tile.
pub const TILE: u32 = 32;
/// Rows of a tile that the threads of a block copy at once.
pub const ROWS: u32 = 8;

/// One word more than a tile is wide: the elements of a column then lie in 32 different banks, and a warp reads them
/// in one turn. Without it they would all lie in one bank, and be read one after the other.
const PITCH: usize = TILE as usize + 1;

/// `to[c][r] = from[r][c]`
///
/// # Safety
/// `from` has `rows` rows of `columns`, `to` is as long. A block has [`TILE`] by [`ROWS`] threads, and the grid a block
/// for each tile, those of a row of tiles in x.
#[kernel(launch_bounds(256))]
pub unsafe fn transpose(from: *const f32, rows: u32, columns: u32, to: *mut f32) {
    let (x, y) = (thread::thread_idx_x(), thread::thread_idx_y());
    let (left, top) = (thread::block_idx_x() * TILE, thread::block_idx_y() * TILE);
    // SAFETY: the indices are inside the matrices and the tile; a barrier parts writes from reads.
    unsafe {
        let tile = Slice::from_raw(shared_array![f32; PITCH * TILE as usize], PITCH * TILE as usize);
        let place = |row: u32, column: u32| row as usize * PITCH + column as usize;
        for row in (y..TILE).step_by(ROWS as usize) {
            if top + row < rows && left + x < columns {
                tile.set(place(row, x), *from.add(((top + row) * columns + left + x) as usize));
            }
        }
        thread::sync_threads();
        for row in (y..TILE).step_by(ROWS as usize) {
            if left + row < columns && top + x < rows {
                *to.add(((left + row) * rows + top + x) as usize) = tile.get(place(x, row));
            }
        }
    }
}
