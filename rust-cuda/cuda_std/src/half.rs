//! 16-bit floats: the types of the `half` crate, converted by the GPU's own instructions.

pub use ::half::{bf16, f16};

/// The value of an `f16`.
#[inline(always)]
pub fn f16_to_f32(h: f16) -> f32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: f32;
        // SAFETY: a conversion of registers.
        unsafe {
            core::arch::asm!("cvt.f32.f16 {}, {};", out(reg32) r, in(reg16) h.to_bits(), options(pure, nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    h.to_f32()
}

/// The `f16` nearest to `x`, ties to even.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> f16 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u16;
        // SAFETY: a conversion of registers.
        unsafe {
            core::arch::asm!("cvt.rn.f16.f32 {}, {};", out(reg16) r, in(reg32) x, options(pure, nomem, nostack))
        };
        f16::from_bits(r)
    }
    // A GPU has one NaN.
    #[cfg(not(target_arch = "nvptx64"))]
    if x.is_nan() { f16::from_bits(0x7fff) } else { f16::from_f32(x) }
}

/// The two `f16` of a word, the low half first.
#[inline(always)]
pub fn f16x2_to_f32(word: u32) -> [f32; 2] {
    [f16_to_f32(f16::from_bits(word as u16)), f16_to_f32(f16::from_bits((word >> 16) as u16))]
}

/// The two `f16` nearest to two numbers, ties to even, in a word, the first in its low half.
#[inline(always)]
pub fn f32_to_f16x2([low, high]: [f32; 2]) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u32;
        // SAFETY: a conversion of registers; sm_80 has it.
        unsafe {
            core::arch::asm!("cvt.rn.f16x2.f32 {}, {}, {};", out(reg32) r, in(reg32) high, in(reg32) low,
                options(pure, nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    {
        let [low, high] = [low, high].map(|x| u32::from(f32_to_f16(x).to_bits()));
        low | high << 16
    }
}

/// The value of a `bf16`: its bits are the upper half of the `f32`'s.
#[inline(always)]
pub fn bf16_to_f32(b: bf16) -> f32 {
    f32::from_bits(u32::from(b.to_bits()) << 16)
}

/// The `bf16` nearest to `x`, ties to even.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> bf16 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u16;
        // SAFETY: a conversion of registers; sm_80 has it.
        unsafe {
            core::arch::asm!("cvt.rn.bf16.f32 {}, {};", out(reg16) r, in(reg32) x, options(pure, nomem, nostack))
        };
        bf16::from_bits(r)
    }
    #[cfg(not(target_arch = "nvptx64"))]
    if x.is_nan() { bf16::from_bits(0x7fff) } else { bf16::from_f32(x) }
}
