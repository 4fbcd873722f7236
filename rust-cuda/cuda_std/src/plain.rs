//! Types that are their bytes: what loads, stores and copies move.

/// A type that any bytes are a value of, of at most 16 bytes: what one load or store moves.
///
/// # Safety
/// Every bit pattern must be valid, there must be no padding, and the size must be 1, 2, 4, 8 or 16 bytes with the
/// alignment equal to the size.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        // SAFETY: a number, or an array of numbers aligned to its size.
        unsafe impl Plain for $ty {}
    )*};
}

plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, crate::half::f16, crate::half::bf16);
plain!(U32x2, U32x4, F32x2, F32x4);

/// Two words, moved by one 8-byte access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct U32x2(pub [u32; 2]);

/// Four words, moved by one 16-byte access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct U32x4(pub [u32; 4]);

/// Two floats, moved by one 8-byte access.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(8))]
pub struct F32x2(pub [f32; 2]);

/// Four floats, moved by one 16-byte access.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(16))]
pub struct F32x4(pub [f32; 4]);
