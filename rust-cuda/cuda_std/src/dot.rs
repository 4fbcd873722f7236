//! Products of four bytes at a time.

macro_rules! dp4a {
    ($($name:ident, $ptx:literal, $a:ty, $b:ty, $acc:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline(always)]
        pub fn $name(a: u32, b: u32, c: $acc) -> $acc {
            #[cfg(target_arch = "nvptx64")]
            {
                let d: $acc;
                // SAFETY: arithmetic on registers.
                unsafe {
                    core::arch::asm!(concat!($ptx, " {}, {}, {}, {};"), out(reg32) d, in(reg32) a, in(reg32) b, in(reg32) c,
                        options(pure, nomem, nostack))
                };
                d
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
                (0..4).fold(c, |d, i| d.wrapping_add((a[i] as $a as $acc).wrapping_mul(b[i] as $b as $acc)))
            }
        }
    )*};
}

dp4a! {
    dp4a_i32, "dp4a.s32.s32", i8, i8, i32, "`c` plus the products of four signed bytes by four signed bytes.";
    dp4a_u32_i32, "dp4a.u32.s32", u8, i8, i32, "`c` plus the products of four unsigned bytes by four signed bytes.";
    dp4a_u32, "dp4a.u32.u32", u8, u8, u32, "`c` plus the products of four unsigned bytes by four unsigned bytes.";
}
