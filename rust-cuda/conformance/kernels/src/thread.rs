//! Places, barriers and fences.

use cuda_std::prelude::*;

/// Twelve numbers and two derived ones for each thread of any grid, in the order of blocks and threads.
#[kernel]
pub unsafe fn places(out: *mut [u32; 16]) {
    use thread::*;
    let block = (block_idx_z() * grid_dim_y() + block_idx_y()) * grid_dim_x() + block_idx_x();
    let i = block * block_dim_x() * block_dim_y() * block_dim_z() + index_in_block();
    let seen = [
        thread_idx_x(),
        thread_idx_y(),
        thread_idx_z(),
        block_idx_x(),
        block_idx_y(),
        block_idx_z(),
        block_dim_x(),
        block_dim_y(),
        block_dim_z(),
        grid_dim_x(),
        grid_dim_y(),
        grid_dim_z(),
        index_1d(),
        index_in_block(),
        warp::lane_id(),
        warp::warp_id(),
    ];
    // SAFETY: the buffer has an element for every thread.
    unsafe { out.add(i as usize).write(seen) };
}

/// Each thread publishes a number, and after the barrier reads that of the thread after it; many rounds.
#[kernel]
pub unsafe fn rotate(rounds: u32, out: *mut u32) {
    // SAFETY: the block has at most 1024 threads; barriers part the reads from the writes.
    unsafe {
        let board = shared::Slice::from_raw(shared_array![u32; 1024], 1024);
        let (me, all) = (thread::thread_idx_x(), thread::block_dim_x());
        let mut value = me;
        for _ in 0..rounds {
            board.set(me as usize, value);
            thread::sync_threads();
            value = board.get(((me + 1) % all) as usize);
            thread::sync_threads();
        }
        crate::put(out, value);
    }
}

/// The barriers that count: how many threads have an index below `below`, whether all, whether any.
#[kernel]
pub unsafe fn counting_barriers(below: u32, out: *mut [u32; 3]) {
    let mine = thread::thread_idx_x() < below;
    let seen = [
        thread::sync_threads_count(mine),
        thread::sync_threads_and(mine),
        thread::sync_threads_or(u32::from(mine) * 5),
    ];
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, seen) };
}

/// Warp 0 fills a buffer that warp 1 empties, `rounds` times: two named barriers, at which one side only arrives.
#[kernel]
pub unsafe fn producer_consumer(rounds: u32, out: *mut u32) {
    const FULL: u32 = 1;
    const EMPTY: u32 = 2;
    // SAFETY: the block has two warps; the barriers part the reads from the writes, and whole warps take the same path.
    unsafe {
        let cell = shared::Slice::from_raw(shared_array![u32; 32], 32);
        let lane = warp::lane_id() as usize;
        let mut sum = 0;
        if warp::warp_id() == 0 {
            for round in 0..rounds {
                thread::sync_named(EMPTY, 64);
                cell.set(lane, round * 100 + lane as u32);
                thread::arrive_named(FULL, 64);
            }
        } else {
            for _ in 0..rounds {
                thread::arrive_named(EMPTY, 64);
                thread::sync_named(FULL, 64);
                sum += cell.get((lane + 1) % 32);
            }
        }
        crate::put(out, sum);
    }
}

/// Two halves of a block, each with a barrier of its own, which they pass a different number of times.
#[kernel]
pub unsafe fn halves(out: *mut u32) {
    // SAFETY: the block has four warps; each half writes and reads its own part, parted by its barrier.
    unsafe {
        let board = shared::Slice::from_raw(shared_array![u32; 128], 128);
        let me = thread::thread_idx_x();
        let half = me / 64;
        let mut value = me;
        for _ in 0..3 + 2 * half {
            board.set(me as usize, value);
            thread::sync_named(1 + half, 64);
            value = board.get((half * 64 + (me + 1) % 64) as usize) + 1;
            thread::sync_named(1 + half, 64);
        }
        crate::put(out, value);
    }
}

/// A message from block 0 to block 1 behind a flag: data, fence, flag; flag, fence, data.
#[kernel]
pub unsafe fn message(scope: u32, flag: *mut u32, data: *mut u32, out: *mut u32) {
    use atomic::{Atomic, Ordering, System};
    let fence = || match scope {
        0 => thread::block_fence(),
        1 => thread::device_fence(),
        _ => thread::system_fence(),
    };
    // SAFETY: the flag is used atomically, the data only on the right side of it.
    unsafe {
        let flag = Atomic::<u32, System>::from_ptr(flag);
        let (sender, receiver) = if scope == 0 { (0, 32) } else { (0, thread::block_dim_x()) };
        let me = thread::index_1d();
        if me == sender {
            data.write(42);
            fence();
            flag.store(1, Ordering::Relaxed);
        } else if me == receiver {
            while flag.load(Ordering::Relaxed) == 0 {}
            fence();
            out.write(data.read());
        }
    }
}

/// Whether a pause lasts as many cycles as it should, for each thread; on the simulator, whether it ends.
#[kernel]
pub unsafe fn pauses(out: *mut u32) {
    const CYCLES: u32 = 3000;
    let before = cuda_std::misc::clock();
    thread::pause(CYCLES);
    let passed = cuda_std::misc::clock() - before;
    let on_a_gpu = cfg!(target_arch = "nvptx64");
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, u32::from(!on_a_gpu || passed >= u64::from(CYCLES))) };
}

/// Whether the clock goes forward across some work, for each thread.
#[kernel]
pub unsafe fn clocks(out: *mut u32) {
    let before = thread::global_timer();
    thread::sync_threads();
    let after = thread::global_timer();
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, u32::from(after >= before && before > 0)) };
}

/// Upstream's other names for a thread's place, and the sizes that it can ask for.
#[kernel]
pub unsafe fn more_places(out: *mut [u32; 20]) {
    use thread::*;
    let ([ti, tj, tk], [bi, bj, bk]) = (thread_idx().to_array(), block_idx().to_array());
    let ([di, dj, dk], [gi, gj, gk]) = (block_dim().to_array(), grid_dim().to_array());
    let ([x, y], [i, j, k]) = (index_2d().to_array(), index_3d().to_array());
    let before = cuda_std::misc::clock();
    nanosleep(100);
    let after = u32::from(cuda_std::misc::clock() > before);
    let (first, smem) = (u32::from(first()), cuda_std::mem::dynamic_smem_size());
    let seen = [
        ti,
        tj,
        tk,
        bi,
        bj,
        bk,
        di,
        dj,
        dk,
        gi,
        gj,
        gk,
        x,
        y,
        i * 10_000 + j * 100 + k,
        first,
        warp_size(),
        smem,
        after,
        index(),
    ];
    // SAFETY: the buffer has an element for every thread.
    unsafe { out.add(index() as usize).write(seen) };
}
