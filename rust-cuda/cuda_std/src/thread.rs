//! A thread's place in its block and its grid, and the barriers and fences of its block.

#[cfg(not(target_arch = "nvptx64"))]
use cuda_sim::device;

use crate::vector::{UVec2, UVec3};

macro_rules! place {
    ($($name:ident, $ptx:literal, $sim:ident, $axis:literal, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline(always)]
        pub fn $name() -> u32 {
            #[cfg(target_arch = "nvptx64")]
            {
                let r: u32;
                // SAFETY: reads a special register that does not change during a thread's life.
                unsafe { core::arch::asm!(concat!("mov.u32 {}, %", $ptx, ";"), out(reg32) r, options(pure, nomem, nostack)) };
                r
            }
            #[cfg(not(target_arch = "nvptx64"))]
            device::$sim()[$axis]
        }
    )*};
}

place! {
    thread_idx_x, "tid.x", thread_idx, 0, "The thread's index in its block, in x.";
    thread_idx_y, "tid.y", thread_idx, 1, "The thread's index in its block, in y.";
    thread_idx_z, "tid.z", thread_idx, 2, "The thread's index in its block, in z.";
    block_idx_x, "ctaid.x", block_idx, 0, "The block's index in the grid, in x.";
    block_idx_y, "ctaid.y", block_idx, 1, "The block's index in the grid, in y.";
    block_idx_z, "ctaid.z", block_idx, 2, "The block's index in the grid, in z.";
    block_dim_x, "ntid.x", block_dim, 0, "Threads of a block, in x.";
    block_dim_y, "ntid.y", block_dim, 1, "Threads of a block, in y.";
    block_dim_z, "ntid.z", block_dim, 2, "Threads of a block, in z.";
    grid_dim_x, "nctaid.x", grid_dim, 0, "Blocks of the grid, in x.";
    grid_dim_y, "nctaid.y", grid_dim, 1, "Blocks of the grid, in y.";
    grid_dim_z, "nctaid.z", grid_dim, 2, "Blocks of the grid, in z.";
}

/// The thread's index in its block.
#[inline(always)]
pub fn thread_idx() -> UVec3 {
    UVec3 { x: thread_idx_x(), y: thread_idx_y(), z: thread_idx_z() }
}

/// The block's index in the grid.
#[inline(always)]
pub fn block_idx() -> UVec3 {
    UVec3 { x: block_idx_x(), y: block_idx_y(), z: block_idx_z() }
}

/// Threads of a block.
#[inline(always)]
pub fn block_dim() -> UVec3 {
    UVec3 { x: block_dim_x(), y: block_dim_y(), z: block_dim_z() }
}

/// Blocks of the grid.
#[inline(always)]
pub fn grid_dim() -> UVec3 {
    UVec3 { x: grid_dim_x(), y: grid_dim_y(), z: grid_dim_z() }
}

/// The thread's index in a grid of any shape: block by block, x fastest in both.
#[inline(always)]
pub fn index() -> u32 {
    let block = (block_idx_z() * grid_dim_y() + block_idx_y()) * grid_dim_x() + block_idx_x();
    block * block_dim_x() * block_dim_y() * block_dim_z() + index_in_block()
}

/// The thread's index in x and y, over all blocks.
#[inline(always)]
pub fn index_2d() -> UVec2 {
    UVec2 { x: index_1d(), y: block_idx_y() * block_dim_y() + thread_idx_y() }
}

/// The thread's index in x, y and z, over all blocks.
#[inline(always)]
pub fn index_3d() -> UVec3 {
    let UVec2 { x, y } = index_2d();
    UVec3 { x, y, z: block_idx_z() * block_dim_z() + thread_idx_z() }
}

/// Whether this is the first thread of the first block.
#[inline(always)]
pub fn first() -> bool {
    block_idx().to_array() == [0; 3] && thread_idx().to_array() == [0; 3]
}

/// Lanes of a warp.
#[inline(always)]
pub fn warp_size() -> u32 {
    crate::warp::SIZE
}

/// Rests for about `nanos` nanoseconds, at most twice as many: for a thread that polls. On the simulator time does not
/// count: what a thread polls lets the others run.
#[inline(always)]
pub fn nanosleep(nanos: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: only waits.
    unsafe {
        core::arch::asm!("nanosleep.u32 {};", in(reg32) nanos, options(nostack))
    };
    #[cfg(not(target_arch = "nvptx64"))]
    let _ = nanos;
}

/// The thread's index in a one-dimensional grid.
#[inline(always)]
pub fn index_1d() -> u32 {
    block_idx_x() * block_dim_x() + thread_idx_x()
}

/// The thread's index in its block, x fastest.
#[inline(always)]
pub fn index_in_block() -> u32 {
    (thread_idx_z() * block_dim_y() + thread_idx_y()) * block_dim_x() + thread_idx_x()
}

/// Waits until all threads of the block have come here; what they wrote before is seen by all afterwards.
#[track_caller]
#[inline(always)]
pub fn sync_threads() {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands that could be wrong.
    unsafe {
        crate::nvptx::barrier_all(0)
    };
    #[cfg(not(target_arch = "nvptx64"))]
    device::barrier(0, None, false);
}

/// Like [`sync_threads`], and gives how many threads came with a predicate that is not zero, or is true.
#[track_caller]
#[inline(always)]
pub fn sync_threads_count(predicate: impl Into<u32>) -> u32 {
    let predicate = predicate.into() != 0;
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::barrier_popc(0, predicate) } as u32;
    #[cfg(not(target_arch = "nvptx64"))]
    device::barrier(0, None, predicate)
}

/// Like [`sync_threads`], and gives 1 if no predicate was zero or false, otherwise 0.
#[track_caller]
#[inline(always)]
pub fn sync_threads_and(predicate: impl Into<u32>) -> u32 {
    (sync_threads_count(predicate) == block_dim_x() * block_dim_y() * block_dim_z()).into()
}

/// Like [`sync_threads`], and gives 0 if all predicates were zero or false, otherwise 1.
#[track_caller]
#[inline(always)]
pub fn sync_threads_or(predicate: impl Into<u32>) -> u32 {
    (sync_threads_count(predicate) != 0).into()
}

/// Waits at barrier `id` (0 to 15) until `threads` threads have come to it, in whole warps.
///
/// # Safety
/// Every thread of a warp must call it together, `threads` must be a multiple of 32, and every thread that comes to
/// the barrier must name the same number.
#[track_caller]
#[inline(always)]
pub unsafe fn sync_named(id: u32, threads: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as the caller promises.
    unsafe {
        crate::nvptx::barrier_count(id, threads)
    };
    #[cfg(not(target_arch = "nvptx64"))]
    device::barrier(id, Some(threads), false);
}

/// Counts as having come to barrier `id` of `threads` threads, without waiting.
///
/// # Safety
/// As for [`sync_named`].
#[track_caller]
#[inline(always)]
pub unsafe fn arrive_named(id: u32, threads: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as the caller promises.
    unsafe {
        crate::nvptx::barrier_arrive_count(id, threads)
    };
    #[cfg(not(target_arch = "nvptx64"))]
    device::barrier_arrive(id, threads);
}

macro_rules! fence {
    ($($name:ident, $ptx:literal, $device:literal, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[track_caller]
        #[inline(always)]
        pub fn $name() {
            #[cfg(target_arch = "nvptx64")]
            // SAFETY: a fence only orders.
            unsafe { core::arch::asm!($ptx, options(nostack)) };
            // The simulator runs one thread at a time, in program order: every write is seen at once. Its checks want
            // to know.
            #[cfg(not(target_arch = "nvptx64"))]
            device::fence($device);
        }
    )*};
}

fence! {
    block_fence, "fence.acq_rel.cta;", false, "Orders this thread's accesses before and after, as the block sees them.";
    device_fence, "fence.acq_rel.gpu;", true, "Orders this thread's accesses before and after, as the GPU sees them.";
    grid_fence, "fence.acq_rel.gpu;", true, "As [`device_fence`]: upstream's other name for the threads of one launch.";
    system_fence, "fence.acq_rel.sys;", true, "Orders this thread's accesses before and after, as the host sees them too.";
}

/// Nanoseconds of a clock that all multiprocessors share. Its resolution may be as coarse as a microsecond.
#[inline(always)]
pub fn global_timer() -> u64 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u64;
        // SAFETY: reads a special register.
        unsafe { core::arch::asm!("mov.u64 {}, %globaltimer;", out(reg64) r, options(nomem, nostack)) };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Does nothing for `cycles` cycles of the multiprocessor's clock, and hardly more; see [`clock`](crate::misc::clock).
/// On the simulator, where others may be waiting for the thread's turn, it returns at once.
#[inline(always)]
pub fn pause(cycles: u32) {
    #[cfg(target_arch = "nvptx64")]
    {
        let start = crate::misc::clock();
        while crate::misc::clock().wrapping_sub(start) < u64::from(cycles) {}
    }
    #[cfg(not(target_arch = "nvptx64"))]
    let _ = cycles;
}

/// Ends the launch with an error.
#[track_caller]
#[inline(always)]
pub fn trap() -> ! {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: ends the launch.
    unsafe {
        crate::nvptx::trap()
    }
    #[cfg(not(target_arch = "nvptx64"))]
    panic!("the kernel called trap")
}
