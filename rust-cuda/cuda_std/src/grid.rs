//! What the blocks of a grid do together, and how one launch overlaps the next.

use crate::atomic::{Atomic, Device, Ordering};
use crate::thread;

/// Waits until all blocks of a cooperative launch have come here; what they wrote before is seen by all afterwards.
///
/// `counter` is a word of global memory that was zero before the launch and that only these barriers use; `round` is
/// 1 for the grid's first barrier, 2 for the second, and so on. The counter only grows, so nobody has to reset it
/// between barriers.
///
/// # Safety
/// Every thread of every block must call it, the launch must be cooperative, and `counter` must be as described.
#[track_caller]
#[inline(always)]
pub unsafe fn sync(counter: *mut u32, round: u32) {
    thread::sync_threads();
    if thread::index_in_block() == 0 {
        let blocks = thread::grid_dim_x() * thread::grid_dim_y() * thread::grid_dim_z();
        // SAFETY: the counter is a valid word, as the caller promises.
        let counter = unsafe { Atomic::<u32, Device>::from_ptr(counter) };
        counter.add(1, Ordering::Release);
        while counter.load(Ordering::Acquire) < round * blocks {}
    }
    thread::sync_threads();
}

/// Lets the next launch of the stream begin, if it was made dependent. A hint: nothing waits for it.
///
/// Does nothing before `sm_90`.
#[inline(always)]
pub fn launch_dependents() {
    #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
    // SAFETY: a hint to the scheduler.
    unsafe {
        core::arch::asm!("griddepcontrol.launch_dependents;", options(nostack))
    };
}

/// Waits until the launch before this one has ended and what it wrote is seen, if this one was made dependent.
///
/// Does nothing before `sm_90`, where launches are never dependent.
#[inline(always)]
pub fn wait_for_predecessor() {
    #[cfg(all(target_arch = "nvptx64", cuda_arch_ge_90))]
    // SAFETY: waits.
    unsafe {
        core::arch::asm!("griddepcontrol.wait;", options(nostack))
    };
}
