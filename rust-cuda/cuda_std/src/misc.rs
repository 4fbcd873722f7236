//! The clock of a multiprocessor, and a hint to the compiler.

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

/// `value`, of which the compiler may assume nothing, each time anew: what is computed from it stays where it is used.
///
/// In a long loop the compiler computes everything that does not change before the loop, and when the registers are
/// full it keeps it in local memory, which costs more than computing it again.
#[inline(always)]
pub fn opaque(value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u32;
        // SAFETY: a move of registers.
        unsafe {
            core::arch::asm!("mov.b32 {}, {};", out(reg32) r, in(reg32) value, options(nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    value
}
