//! Copies to shared memory that go on while the threads work on what came before: double buffering.

use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// Tiles in shared memory: one that is used, one that is filled.
const STAGES: usize = 2;

/// Reverses each tile of `from`, a tile being four floats for each thread of a block.
///
/// # Safety
/// `from` and `to` have `tiles` tiles; the launch asks for [`shared_bytes`] of dynamic shared memory.
#[kernel]
pub unsafe fn reverse_tiles(from: *const F32x4, tiles: u32, to: *mut F32x4) {
    let (me, len) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize);
    let (first, blocks) = (thread::block_idx_x() as usize, thread::grid_dim_x() as usize);
    // SAFETY: the shared memory is as long as two tiles, the tiles are inside the buffers, and a tile is read between
    // the barrier after its copy and the barrier before the next copy to the same place.
    unsafe {
        let stages = Slice::<F32x4>::dynamic(0, STAGES * len);
        let place = |turn: usize| turn % STAGES * len;
        let fetch = |turn: usize| {
            let tile = first + turn * blocks;
            if tile < tiles as usize {
                copy_async::copy(stages, place(turn) + me, from.add(tile * len + me));
            }
            // A group for every turn, an empty one after the last: so the wait below always leaves the newest.
            copy_async::commit();
        };
        fetch(0);
        for (turn, tile) in (first..tiles as usize).step_by(blocks).enumerate() {
            fetch(turn + 1);
            // All of this thread's groups but the newest have come; after the barrier, those of all threads.
            copy_async::wait::<1>();
            thread::sync_threads();
            let [a, b, c, d] = stages.get(place(turn) + len - 1 - me).0;
            to.add(tile * len + me).write(F32x4([d, c, b, a]));
            thread::sync_threads();
        }
    }
}

/// The dynamic shared memory of a launch with that many threads a block.
pub const fn shared_bytes(threads: u32) -> u32 {
    threads * (STAGES * size_of::<F32x4>()) as u32
}
