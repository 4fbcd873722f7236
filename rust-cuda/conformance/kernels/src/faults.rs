//! Mistakes, one to a kernel. Only a simulator may run these. `case` chooses; each returns on the line that its doc
//! comment's test looks up through the marker at the end of the line.

use cuda_std::atomic::{Atomic, Device, Ordering};
use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;
use cuda_std::shared::Slice;

/// The source, in which a test finds the line of a marker.
pub const SOURCE: &str = include_str!("faults.rs");

/// Threads below 3 wait at one barrier, the others at another.
#[kernel]
pub unsafe fn two_barriers() {
    if thread::thread_idx_x() < 3 {
        thread::sync_threads(); // here: two_barriers
    } else {
        thread::sync_threads();
    }
}

/// Thread 5 ends without coming to the barrier.
#[kernel]
pub unsafe fn deserter() {
    if thread::thread_idx_x() == 5 {
        return;
    }
    thread::sync_threads(); // here: deserter
}

/// Thread 1 waits for what nobody writes.
#[kernel]
pub unsafe fn endless_poll(word: *mut u32) {
    if thread::thread_idx_x() == 1 {
        // SAFETY: the buffer is a word.
        let word = unsafe { Atomic::<u32, Device>::from_ptr(word) };
        while word.load(Ordering::Acquire) == 0 {} // here: endless_poll
    }
}

/// As [`endless_poll()`], with plain loads past the caches.
#[kernel]
pub unsafe fn endless_reread(word: *mut u32) {
    // SAFETY: the buffer is a word.
    while unsafe { global::load(word, L2) } == 0 {} // here: endless_reread
}

/// Waits with loads that a cache may answer for ever.
#[kernel]
pub unsafe fn endless_cached(word: *mut u32) {
    // SAFETY: the buffer is a word.
    while unsafe { global::load(word, Cached) } == 0 {} // here: endless_cached
}

/// Two threads write for ever and wait for a third value.
#[kernel]
pub unsafe fn livelock(word: *mut u32) {
    // SAFETY: the buffer is a word.
    let word = unsafe { Atomic::<u32, Device>::from_ptr(word) };
    loop {
        let seen = word.load(Ordering::Relaxed); // here: livelock
        if seen == u32::MAX {
            break;
        }
        word.fetch_and(0xff, Ordering::Relaxed);
    }
}

/// A named barrier for two warps, to which one comes.
#[kernel]
pub unsafe fn lonely_barrier() {
    if warp::warp_id() == 1 {
        // SAFETY: none: the other warp never comes.
        unsafe { thread::sync_named(3, 64) }; // here: lonely_barrier
    }
}

/// A barrier that no GPU has.
#[kernel]
pub unsafe fn barrier_sixteen() {
    // SAFETY: none: the number is out of range.
    unsafe { thread::sync_named(16, 32) }; // here: barrier_sixteen
}

/// A barrier for half a warp.
#[kernel]
pub unsafe fn half_a_warp() {
    // SAFETY: none: the count is not of whole warps.
    unsafe { thread::sync_named(1, 16) }; // here: half_a_warp
}

/// A barrier of the grid, whose blocks do not run together.
#[kernel]
pub unsafe fn grid_barrier(counter: *mut u32) {
    // SAFETY: none: the launch is not cooperative.
    unsafe { grid::sync(counter, 1) }; // here: grid_barrier
}

/// The last thread reads an element too far.
#[kernel]
pub unsafe fn read_beyond(from: *const u32, count: u32, out: *mut u32) {
    let i = (thread::index_1d() + 1) as usize;
    // SAFETY: none for the last thread.
    let value = unsafe { global::load(from.add(i), Cached) }; // here: read_beyond
    if i < count as usize {
        // SAFETY: inside.
        unsafe { global::store(out.add(i), value) };
    }
}

/// Thread 2 of block 1 writes before the buffer.
#[kernel]
pub unsafe fn write_before(out: *mut u32) {
    if thread::block_idx_x() == 1 && thread::thread_idx_x() == 2 {
        // SAFETY: none.
        unsafe { global::store(out.wrapping_sub(1), 1) }; // here: write_before
    }
}

/// Every thread writes its element through a raw pointer, and there are more threads than elements.
#[kernel]
pub unsafe fn raw_beyond(out: *mut u32) {
    // SAFETY: none for the last threads.
    unsafe { *out.add(thread::index_1d() as usize) = 1 };
}

/// The same in shared memory: a static array of 32 in block 1, else dynamic memory.
#[kernel]
pub unsafe fn raw_shared_beyond() {
    let (fixed, me) = (shared_array![u32; 32], thread::thread_idx_x() as usize);
    let tile = if thread::block_idx_x() == 1 { fixed } else { shared::dynamic_shared_mem() };
    // SAFETY: none for the last threads.
    unsafe { tile.add(me).write_volatile(1) };
}

/// A null pointer.
#[kernel]
pub unsafe fn null_read(from: *const f32) {
    // SAFETY: none.
    let _ = unsafe { global::load(from, ReadOnly) }; // here: null_read
}

/// An atomic outside every buffer.
#[kernel]
pub unsafe fn atomic_beyond(word: *mut u32) {
    // SAFETY: none.
    unsafe { Atomic::<u32, Device>::from_ptr(word.wrapping_add(1)) }.fetch_add(1, Ordering::Relaxed); // here: atomic_beyond
}

/// An index beyond a shared slice, inside shared memory.
#[kernel]
pub unsafe fn shared_beyond() {
    // SAFETY: none for the last thread.
    unsafe {
        let slice = Slice::<u32>::dynamic(0, 31);
        slice.set(thread::thread_idx_x() as usize, 1); // here: shared_beyond
    }
}

/// A shared slice that is longer than shared memory.
#[kernel]
pub unsafe fn shared_short() {
    // SAFETY: none for the last thread.
    unsafe {
        let slice = Slice::<u32>::dynamic(0, 1000);
        let _ = slice.get(32 + thread::thread_idx_x() as usize); // here: shared_short
    }
}

/// An index beyond a slice that is a parameter.
#[kernel]
pub unsafe fn slice_beyond(values: &[f32], out: *mut f32) {
    let i = thread::thread_idx_x() as usize;
    // SAFETY: the buffer is longer.
    unsafe { out.add(i).write(values[i]) }; // here: slice_beyond
}

/// A 16-byte load from an address that is a multiple of 4.
#[kernel]
pub unsafe fn misaligned(from: *const u32) {
    // SAFETY: none.
    let _ = unsafe { global::load(from.add(1).cast::<U32x4>(), Cached) }; // here: misaligned
}

/// Lane 3 reads from lane 7, which is not in the mask.
#[kernel]
pub unsafe fn inactive_lane() {
    let lane = warp::lane_id();
    if lane < 4 {
        warp::shuffle_idx(0xf, lane, if lane == 3 { 7 } else { 0 }); // here: inactive_lane
    }
}

/// Half of the warp votes, the other half shuffles, both for the whole warp.
#[kernel]
pub unsafe fn divergent_warp() {
    if warp::lane_id() < 16 {
        warp::vote_any(warp::ALL, true); // here: divergent_warp
    } else {
        warp::shuffle_xor(warp::ALL, 0, 1);
    }
}

/// Lane 0 names lanes that do not include itself.
#[kernel]
pub unsafe fn not_in_mask() {
    if warp::lane_id() == 0 {
        warp::sync_warp(0b110); // here: not_in_mask
    }
}

/// A block of 40 threads: its second warp cannot sum over all lanes.
#[kernel]
pub unsafe fn short_warp() {
    warp::sum_f32(1.0); // here: short_warp
}

/// Waits at an `mbarrier` that nobody initialised.
#[kernel]
pub unsafe fn fresh_mbarrier() {
    // SAFETY: none: it is not initialised.
    unsafe { MBarrier::at(Slice::<u64>::dynamic(0, 1), 0).wait(0) }; // here: fresh_mbarrier
}

/// Waits at an `mbarrier` for bytes that nobody sends.
#[kernel]
pub unsafe fn missing_bytes() {
    // SAFETY: the word is initialised by the one thread.
    unsafe {
        let barrier = MBarrier::at(Slice::<u64>::dynamic(0, 1), 0);
        barrier.init(1);
        barrier.arrive_and_expect(64);
        barrier.wait(0); // here: missing_bytes
    }
}

/// A copy to an element beyond a slice.
#[kernel]
pub unsafe fn copy_beyond(from: *const u32) {
    // SAFETY: none.
    unsafe {
        let slice = Slice::<u32>::dynamic(0, 4);
        copy_async::copy(slice, 4, from); // here: copy_beyond
    }
}

/// A bulk copy that is longer than the slice it goes to.
#[kernel]
pub unsafe fn bulk_beyond(from: *const u8) {
    // SAFETY: none.
    unsafe {
        let barrier = MBarrier::at(Slice::<u64>::dynamic(0, 1), 0);
        barrier.init(1);
        copy_async::bulk(Slice::<u8>::dynamic(16, 16), from, 32, barrier); // here: bulk_beyond
    }
}

/// Reads what was copied, waiting for it or not.
#[kernel]
pub unsafe fn unawaited_copy(from: *const u32, wait: bool, out: *mut u32) {
    let me = thread::thread_idx_x() as usize;
    // SAFETY: every thread has an element; each reads its own copy.
    unsafe {
        let slice = Slice::<u32>::dynamic(0, 32);
        copy_async::copy(slice, me, from.add(me));
        copy_async::commit();
        if wait {
            copy_async::wait::<0>();
        }
        out.add(me).write(slice.get(me));
    }
}

/// A load with the ordering of a store.
#[kernel]
pub unsafe fn wrong_ordering(word: *mut u32) {
    // SAFETY: the buffer is a word.
    unsafe { Atomic::<u32, Device>::from_ptr(word) }.load(Ordering::Release); // here: wrong_ordering
}

/// Gives up.
#[kernel]
pub unsafe fn trapped() {
    thread::trap(); // here: trapped
}

/// Does nothing.
#[kernel]
pub unsafe fn nothing() {}
