//! The clock of a multiprocessor.

/// Counts the multiprocessor's clock cycles. On the simulator it counts nanoseconds.
#[inline(always)]
pub fn clock() -> u64 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u64;
        // SAFETY: reads a special register.
        unsafe { core::arch::asm!("mov.u64 {}, %clock64;", out(reg64) r, options(nomem, nostack)) };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    crate::thread::global_timer()
}
