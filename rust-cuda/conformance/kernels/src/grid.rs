//! Barriers of the grid, and launches that overlap.

use cuda_std::prelude::*;

/// Every block adds what all blocks wrote in the round before: wrong as soon as one runs ahead.
#[kernel]
pub unsafe fn grid_rounds(counter: *mut u32, rounds: u32, board: *mut u32, out: *mut u32) {
    let (block, blocks) = (thread::block_idx_x() as usize, thread::grid_dim_x() as usize);
    let mut value = block as u32 + 1;
    // SAFETY: the launch is cooperative, the counter was zero, the board has two rows of a word for each block.
    unsafe {
        for round in 0..rounds {
            let row = board.add(round as usize % 2 * blocks);
            if thread::thread_idx_x() == 0 {
                global::store(row.add(block), value);
            }
            grid::sync(counter, round + 1);
            value = (0..blocks).map(|i| global::load(row.add(i), L2)).fold(0, u32::wrapping_add) % 1000
                + block as u32;
        }
        crate::put(out, value);
    }
}

/// The first of two launches: writes late, after it has let the second begin.
#[kernel]
pub unsafe fn predecessor(out: *mut u32) {
    grid::launch_dependents();
    let start = thread::global_timer();
    let mut turns = 0;
    // Some work: the writes must be seen although they come long after the hint.
    while turns < 1000 && thread::global_timer() - start < 20_000 {
        turns += 1;
    }
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, 7 + thread::index_1d() + u32::from(turns > 1000)) };
}

/// The second: reads what the first wrote.
#[kernel]
pub unsafe fn successor(from: *const u32, out: *mut u32) {
    grid::wait_for_predecessor();
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let value = global::load(from.add(thread::index_1d() as usize), L2);
        crate::put(out, value * 2);
    }
}
