//! Sizes of memory, and the heap.

mod heap;

pub use heap::*;

/// The bytes of dynamic shared memory that the launch asked for.
#[inline(always)]
pub fn dynamic_smem_size() -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u32;
        // SAFETY: reads a special register that does not change during a thread's life.
        unsafe {
            core::arch::asm!("mov.u32 {}, %dynamic_smem_size;", out(reg32) r, options(pure, nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    return cuda_sim::device::dynamic_shared().1 as u32;
}
