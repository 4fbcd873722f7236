//! The clock of a multiprocessor, bytes of words, and a hint to the compiler.

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

/// Four of the bytes of two words: byte `i` of the result is the one that digit `i` of `selector`, four bits each, is the
/// number of. The bytes of `a` are numbers 0 to 3, those of `b` 4 to 7; PTX's `prmt`, without its copies of signs.
#[inline(always)]
pub fn byte_permute(a: u32, b: u32, selector: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let d: u32;
        // SAFETY: arithmetic on registers.
        unsafe {
            core::arch::asm!("prmt.b32 {}, {}, {}, {};", out(reg32) d, in(reg32) a, in(reg32) b, in(reg32) selector & 0x7777,
                options(pure, nomem, nostack))
        };
        d
    }
    #[cfg(not(target_arch = "nvptx64"))]
    {
        let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
        u32::from_le_bytes(core::array::from_fn(|i| bytes[(selector >> (4 * i) & 7) as usize]))
    }
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
