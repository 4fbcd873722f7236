//! Conversions of 16-bit floats.

use cuda_std::half as convert;
use cuda_std::prelude::*;

/// Each thread's pattern as an `f16` and as a `bf16`, and the two halves of a word of it.
#[kernel]
pub unsafe fn widen(bits: *const u16, out: *mut [u32; 4]) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let bits = crate::take(bits);
        let pair = convert::f16x2_to_f32(u32::from(bits) << 16 | u32::from(!bits));
        let seen = [
            convert::f16_to_f32(f16::from_bits(bits)).to_bits(),
            convert::bf16_to_f32(bf16::from_bits(bits)).to_bits(),
            pair[0].to_bits(),
            pair[1].to_bits(),
        ];
        crate::put(out, seen);
    }
}

/// Each thread's float as an `f16` and as a `bf16`, and it and its opposite as a pair of `f16`.
#[kernel]
pub unsafe fn narrow(values: *const f32, out: *mut [u16; 4]) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let value = crate::take(values);
        let pair = convert::f32_to_f16x2([value, -value]);
        let seen = [
            convert::f32_to_f16(value).to_bits(),
            convert::f32_to_bf16(value).to_bits(),
            pair as u16,
            (pair >> 16) as u16,
        ];
        crate::put(out, seen);
    }
}
