//! Twins: each kernel has one mistake if it is `planted` and none otherwise. Only a simulator may run these.
//!
//! The lines that a report must name end with markers, `// first: kernel` and `// second: kernel`.

use cuda_std::atomic::{Atomic, Block, Device, Ordering};
use cuda_std::copy_async::{self, MBarrier};
use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// The source, in which a test finds the line of a marker.
pub const SOURCE: &str = include_str!("checks.rs");

/// A thread's place in its block, and the number of threads.
fn place() -> (usize, usize) {
    (thread::thread_idx_x() as usize, thread::block_dim_x() as usize)
}

/// Threads read what others wrote. Planted: without a barrier between.
#[kernel]
pub unsafe fn missing_barrier(planted: bool, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread, and `out` has one for each.
    unsafe {
        let board = Slice::<u32>::dynamic(0, all);
        board.set(me, me as u32);
        thread::sync_threads();
        board.set(me, 2 * me as u32); // first: missing_barrier
        if !planted {
            thread::sync_threads();
        }
        global::store(out.add(me), board.get((me + 32) % all)); // second: missing_barrier
    }
}

/// Threads write words of their own. Planted: two threads the same.
#[kernel]
pub unsafe fn shared_word(planted: bool) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread.
    unsafe {
        let board = Slice::<u32>::dynamic(0, all);
        board.set(if planted { me / 2 } else { me }, 1); // first: shared_word
    }
}

/// Bytes of a word have a writer each. Planted: one byte has two.
#[kernel]
pub unsafe fn shared_byte(planted: bool) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread.
    unsafe {
        let board = Slice::<u8>::dynamic(0, all);
        board.set(if planted && me == 5 { 6 } else { me }, 1); // first: shared_byte
    }
}

/// Lanes read what others wrote. Planted: after a vote, which orders nothing.
#[kernel]
pub unsafe fn vote_for_a_sync(planted: bool, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread, and `out` has one for each.
    unsafe {
        let board = Slice::<u32>::dynamic(0, all);
        board.set(me, me as u32); // first: vote_for_a_sync
        if planted {
            warp::vote_all(warp::ALL, true);
        } else {
            warp::sync_warp(warp::ALL);
        }
        global::store(out.add(me), board.get(me ^ 1)); // second: vote_for_a_sync
    }
}

/// Half a warp synchronises for itself. Planted: and reads what the other half wrote.
#[kernel]
pub unsafe fn half_a_sync(planted: bool, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread, and `out` has one for each.
    unsafe {
        let board = Slice::<u32>::dynamic(0, all);
        board.set(me, me as u32); // first: half_a_sync
        warp::sync_warp(if me % 32 < 16 { 0xffff } else { 0xffff_0000 });
        global::store(out.add(me), board.get(me ^ if planted { 16 } else { 8 })); // second: half_a_sync
    }
}

/// One warp writes and arrives at a barrier where another waits. Planted: it arrives before it writes.
#[kernel]
pub unsafe fn early_arrival(planted: bool, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: two warps with 32 words come to the barrier; `out` has a word for every thread.
    unsafe {
        let board = Slice::<u32>::dynamic(0, 32);
        if me < 32 {
            if planted {
                thread::arrive_named(1, 64);
            }
            board.set(me, 7); // first: early_arrival
            if !planted {
                thread::arrive_named(1, 64);
            }
        } else {
            thread::sync_named(1, 64);
            global::store(out.add(me), board.get(me - 32)); // second: early_arrival
        }
    }
}

/// Blocks write words of their own. Planted: all of them the first.
#[kernel]
pub unsafe fn blocks_word(planted: bool, out: *mut u32) {
    if thread::thread_idx_x() == 0 {
        let at = if planted { 0 } else { thread::block_idx_x() as usize };
        // SAFETY: `out` has a word for every block.
        unsafe { global::store(out.add(at), 1) }; // first: blocks_word
    }
}

/// Blocks read what others wrote. Planted: without a barrier of the grid between.
#[kernel]
pub unsafe fn missing_grid_barrier(planted: bool, counter: *mut u32, words: *mut u32, out: *mut u32) {
    let (me, blocks) = (thread::block_idx_x() as usize, thread::grid_dim_x() as usize);
    // SAFETY: the launch is cooperative, the counter zero, and both buffers have a word for every block.
    unsafe {
        if thread::thread_idx_x() == 0 {
            global::store(words.add(me), me as u32); // first: missing_grid_barrier
        }
        if !planted {
            grid::sync(counter, 1);
        }
        if thread::thread_idx_x() == 40 {
            global::store(out.add(me), global::load(words.add((me + 1) % blocks), L2)); // second: missing_grid_barrier
        }
    }
}

/// One block writes and sets a flag, another waits for it and reads.
#[inline(always)]
fn pass(write: impl FnOnce(), set: impl FnOnce(), wait: impl FnOnce(), read: impl FnOnce()) {
    if thread::thread_idx_x() > 0 {
        return;
    }
    if thread::block_idx_x() == 0 {
        write();
        set();
    } else {
        wait();
        read();
    }
}

/// A flag with release and acquire. Planted: the store is relaxed.
#[kernel]
pub unsafe fn relaxed_flag(planted: bool, flag: *mut u32, word: *mut u32, out: *mut u32) {
    // SAFETY: two blocks run together, the flag is zero, the buffers are words.
    unsafe {
        let atomic = Atomic::<u32, Device>::from_ptr(flag);
        pass(
            || global::store(word, 7), // first: relaxed_flag
            || atomic.store(1, if planted { Ordering::Relaxed } else { Ordering::Release }),
            || while atomic.load(Ordering::Acquire) == 0 {},
            || global::store(out, global::load(word, L2)), // second: relaxed_flag
        );
    }
}

/// Relaxed accesses between fences. Planted: the first fence is the block's.
#[kernel]
pub unsafe fn small_fence(planted: bool, flag: *mut u32, word: *mut u32, out: *mut u32) {
    // SAFETY: as above.
    unsafe {
        let atomic = Atomic::<u32, Device>::from_ptr(flag);
        pass(
            || global::store(word, 7), // first: small_fence
            || {
                if planted {
                    thread::block_fence();
                } else {
                    thread::device_fence();
                }
                atomic.store(1, Ordering::Relaxed);
            },
            || {
                while atomic.load(Ordering::Relaxed) == 0 {}
                thread::device_fence();
            },
            || global::store(out, global::load(word, L2)), // second: small_fence
        );
    }
}

/// Blocks count together. Planted: with the block's scope.
#[kernel]
pub unsafe fn small_scope(planted: bool, counter: *mut u32) {
    if thread::thread_idx_x() == 0 {
        // SAFETY: the buffer is a word.
        unsafe {
            if planted {
                Atomic::<u32, Block>::from_ptr(counter).add(1, Ordering::Relaxed); // first: small_scope
            } else {
                Atomic::<u32, Device>::from_ptr(counter).add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Threads count, then one reads. Planted: with a plain load before the barrier.
#[kernel]
pub unsafe fn plain_read_of_a_count(planted: bool, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: the launch asked for a word; `out` is one.
    unsafe {
        let count = Slice::<u32>::dynamic(0, 1);
        if me == 0 {
            count.set(0, 0);
        }
        thread::sync_threads();
        let atomic = Atomic::<u32, Block>::from_ptr(shared::dynamic_shared_mem::<u32>());
        atomic.fetch_add(1, Ordering::AcqRel); // first: plain_read_of_a_count
        if !planted {
            thread::sync_threads();
        }
        if me == 40 {
            global::store(out, count.get(0)); // second: plain_read_of_a_count
        }
    }
}

/// A sum over shared memory. Planted: over a word that nobody wrote.
#[kernel]
pub unsafe fn unwritten_shared(planted: bool, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread, and `out` has one for each.
    unsafe {
        let board = Slice::<u32>::dynamic(0, all);
        if !planted || me != 3 {
            board.set(me, 1);
        }
        thread::sync_threads();
        global::store(out.add(me), board.get(all - 1 - me)); // first: unwritten_shared
    }
}

/// Writes its output. Planted: adds to what was never there.
#[kernel]
pub unsafe fn unwritten_output(planted: bool, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: `out` has a word for every thread.
    unsafe {
        let before = if planted { global::load(out.add(me), Cached) } else { 0 }; // first: unwritten_output
        global::store(out.add(me), before.wrapping_add(1));
    }
}

/// Reads what was written. Planted: through the cache for what is not.
#[kernel]
pub unsafe fn stale_read(planted: bool, words: *mut u32, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: both buffers have a word for every thread; a barrier parts writes and reads.
    unsafe {
        global::store(words.add(me), 1);
        thread::sync_threads();
        let from = words.add(all - 1 - me);
        let word = if planted {
            global::load(from, ReadOnly) // first: stale_read
        } else {
            global::load(from, Cached)
        };
        global::store(out.add(me), word);
    }
}

/// A copy to shared memory that its thread reads. Planted: without waiting for it.
#[kernel]
pub unsafe fn unawaited_copy(planted: bool, from: *const u32, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: the launch asked for a word for every thread, and both buffers have one for each.
    unsafe {
        let tile = Slice::<u32>::dynamic(0, all);
        copy_async::copy(tile, me, from.add(me)); // first: unawaited_copy
        copy_async::commit();
        if planted {
            copy_async::wait::<1>();
        } else {
            copy_async::wait::<0>();
        }
        global::store(out.add(me), tile.get(me)); // second: unawaited_copy
    }
}

/// Copies that other threads read. Planted: each thread waits for its own, and no barrier follows.
#[kernel]
pub unsafe fn others_copy(planted: bool, from: *const u32, out: *mut u32) {
    let (me, all) = place();
    // SAFETY: as above.
    unsafe {
        let tile = Slice::<u32>::dynamic(0, all);
        tile.set(me, 0);
        thread::sync_threads();
        copy_async::copy(tile, me, from.add(me)); // first: others_copy
        copy_async::commit();
        copy_async::wait::<0>();
        if !planted {
            thread::sync_threads();
        }
        global::store(out.add(me), tile.get(all - 1 - me)); // second: others_copy
    }
}

/// A bulk copy of 32 words. Planted: nobody waits at its barrier.
#[kernel]
pub unsafe fn unawaited_bulk(planted: bool, from: *const u8, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: the launch asked for 144 bytes, `from` has 128; `out` has a word for every thread.
    unsafe {
        let barrier = MBarrier::at(Slice::dynamic(0, 1), 0);
        let tile = Slice::<u8>::dynamic(16, 128);
        if me == 0 {
            barrier.init(1);
            MBarrier::publish();
        }
        thread::sync_threads();
        if me == 0 {
            barrier.arrive_and_expect(128);
            copy_async::bulk(tile, from, 128, barrier); // first: unawaited_bulk
        }
        thread::sync_threads();
        if !planted {
            barrier.wait(0);
        }
        global::store(out.add(me), tile.cast::<u32>().get(me)); // second: unawaited_bulk
        thread::sync_threads();
        barrier.wait(0);
    }
}

/// Two bulk copies to one place. Planted: the second does not wait for the readers of the first.
#[kernel]
pub unsafe fn early_refill(planted: bool, from: *const u8, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: the launch asked for 144 bytes, `from` has 128; `out` has a word for every thread.
    unsafe {
        let full = |round| MBarrier::at(Slice::dynamic(0, 2), round);
        let tile = Slice::<u8>::dynamic(16, 128);
        if me == 0 {
            full(0).init(1);
            full(1).init(1);
            MBarrier::publish();
        }
        thread::sync_threads();
        let mut sum = 0;
        for round in 0..2 {
            if round == 1 && !planted {
                thread::sync_threads();
            }
            if me == 0 {
                full(round).arrive_and_expect(128);
                copy_async::bulk(tile, from, 128, full(round)); // first: early_refill
            }
            full(round).wait(0);
            sum += tile.cast::<u32>().get(me); // second: early_refill
        }
        global::store(out.add(me), sum);
    }
}

/// A word that goes round with an `mbarrier`. Planted: who writes it does not arrive after that, but before.
#[kernel]
pub unsafe fn early_mbarrier_arrival(planted: bool, out: *mut u32) {
    let (me, _) = place();
    // SAFETY: the launch asked for 16 bytes; `out` has a word for every thread.
    unsafe {
        let barrier = MBarrier::at(Slice::dynamic(0, 1), 0);
        let word = Slice::<u32>::dynamic(8, 1);
        if me == 0 {
            barrier.init(1);
        }
        thread::sync_threads();
        if me == 0 {
            if planted {
                barrier.arrive();
            }
            word.set(0, 7); // first: early_mbarrier_arrival
            if !planted {
                barrier.arrive();
            }
        }
        barrier.wait(0);
        global::store(out.add(me), word.get(0)); // second: early_mbarrier_arrival
    }
}

/// A matrix of 32 × 32 words, written by rows and read by columns. Planted: a row has 32 words, otherwise 33.
#[kernel]
pub unsafe fn transpose(planted: bool, out: *mut u32) {
    let lane = thread::thread_idx_x() as usize;
    let stride = if planted { 32 } else { 33 };
    // SAFETY: the launch asked for 33 rows of words, and has 32 threads; `out` has a word for every thread.
    unsafe {
        let tile = Slice::<u32>::dynamic(0, 32 * 33);
        for row in 0..32 {
            tile.set(row * stride + lane, 1); // first: transpose
        }
        thread::sync_threads();
        let mut sum = 0;
        for column in 0..32 {
            sum += tile.get(lane * stride + column); // second: transpose
        }
        global::store(out.add(lane), sum);
    }
}

/// Reads a word for every thread. Planted: each from a sector of its own.
#[kernel]
pub unsafe fn scattered(planted: bool, from: *const u32, out: *mut u32) {
    let me = thread::index_1d() as usize;
    let stride = if planted { 8 } else { 1 };
    // SAFETY: `from` has eight words for every thread, `out` has one.
    unsafe {
        let word = global::load(from.add(me * stride), Cached); // first: scattered
        global::store(out.add(me), word);
    }
}

/// Reads a word for every thread. Planted: the last one beyond the buffer.
#[kernel]
pub unsafe fn beyond(planted: bool, from: *const u32, out: *mut u32) {
    let me = thread::index_1d() as usize;
    // SAFETY: both buffers have a word for every thread.
    unsafe {
        let word = global::load(from.add(me + usize::from(planted)), Cached); // first: beyond
        global::store(out.add(me), word);
    }
}

/// Reads four words at once. Planted: from an address that is no multiple of 16.
#[kernel]
pub unsafe fn crooked(planted: bool, from: *const u32, out: *mut U32x4) {
    // SAFETY: both buffers have eight words.
    unsafe {
        let words = global::load(from.add(usize::from(planted)).cast::<U32x4>(), Cached); // first: crooked
        global::store(out, words);
    }
}

/// A barrier of the block. Planted: not all threads come to it.
#[kernel]
pub unsafe fn divergent_barrier(planted: bool) {
    if planted && thread::thread_idx_x() == 5 {
        return;
    }
    thread::sync_threads(); // first: divergent_barrier
}
