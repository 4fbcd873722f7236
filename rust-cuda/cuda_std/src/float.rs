//! Mathematics of `f32` and `f64`.
//!
//! [`GpuFloat`] is as exact as the `libm` crate, on both targets to the same bit. The free functions are the GPU's
//! own approximations: much faster, with the errors that the PTX manual gives.

/// The functions that `core` leaves to a platform.
pub trait GpuFloat: Copy {
    /// The square root.
    fn sqrt(self) -> Self;
    /// `e^self`.
    fn exp(self) -> Self;
    /// `2^self`.
    fn exp2(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The logarithm to base 2.
    fn log2(self) -> Self;
    /// The sine of an angle in radians.
    fn sin(self) -> Self;
    /// The cosine of an angle in radians.
    fn cos(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `self^n`.
    fn powf(self, n: Self) -> Self;
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The greatest integer not above.
    fn floor(self) -> Self;
    /// The least integer not below.
    fn ceil(self) -> Self;
    /// The nearest integer, ties to even.
    fn round_ties_even(self) -> Self;
    /// Without its sign.
    fn abs(self) -> Self;
}

macro_rules! gpu_float {
    ($ty:ty: $sqrt:ident $exp:ident $exp2:ident $ln:ident $log2:ident $sin:ident $cos:ident $tanh:ident $pow:ident
        $fma:ident $floor:ident $ceil:ident $rint:ident $abs:ident, $suffix:literal, $reg:ident) => {
        impl GpuFloat for $ty {
            #[inline(always)]
            fn sqrt(self) -> Self {
                libm::$sqrt(self)
            }
            fn exp(self) -> Self {
                libm::$exp(self)
            }
            fn exp2(self) -> Self {
                libm::$exp2(self)
            }
            fn ln(self) -> Self {
                libm::$ln(self)
            }
            fn log2(self) -> Self {
                libm::$log2(self)
            }
            fn sin(self) -> Self {
                libm::$sin(self)
            }
            fn cos(self) -> Self {
                libm::$cos(self)
            }
            fn tanh(self) -> Self {
                libm::$tanh(self)
            }
            fn powf(self, n: Self) -> Self {
                libm::$pow(self, n)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                #[cfg(target_arch = "nvptx64")]
                {
                    let r: $ty;
                    // SAFETY: arithmetic on registers.
                    unsafe {
                        core::arch::asm!(concat!("fma.rn.", $suffix, " {}, {}, {}, {};"), out($reg) r, in($reg) self,
                            in($reg) a, in($reg) b, options(pure, nomem, nostack))
                    };
                    r
                }
                #[cfg(not(target_arch = "nvptx64"))]
                <$ty>::mul_add(self, a, b)
            }
            fn floor(self) -> Self {
                libm::$floor(self)
            }
            fn ceil(self) -> Self {
                libm::$ceil(self)
            }
            #[inline(always)]
            fn round_ties_even(self) -> Self {
                #[cfg(target_arch = "nvptx64")]
                {
                    let r: $ty;
                    // SAFETY: arithmetic on registers.
                    unsafe {
                        core::arch::asm!(concat!("cvt.rni.", $suffix, ".", $suffix, " {}, {};"), out($reg) r,
                            in($reg) self, options(pure, nomem, nostack))
                    };
                    r
                }
                #[cfg(not(target_arch = "nvptx64"))]
                libm::$rint(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                libm::$abs(self)
            }
        }
    };
}

gpu_float!(f32: sqrtf expf exp2f logf log2f sinf cosf tanhf powf fmaf floorf ceilf rintf fabsf, "f32", reg32);
gpu_float!(f64: sqrt exp exp2 log log2 sin cos tanh pow fma floor ceil rint fabs, "f64", reg64);

macro_rules! approximate {
    ($($name:ident, $ptx:literal, $sim:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline(always)]
        pub fn $name(x: f32) -> f32 {
            #[cfg(target_arch = "nvptx64")]
            {
                let r: f32;
                // SAFETY: arithmetic on registers.
                unsafe { core::arch::asm!(concat!($ptx, ".ftz.f32 {}, {};"), out(reg32) r, in(reg32) x, options(pure, nomem, nostack)) };
                r
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                let f: fn(f32) -> f32 = $sim;
                f(x)
            }
        }
    )*};
}

approximate! {
    fast_exp2, "ex2.approx", libm::exp2f, "`2^x`, to 2 units in the last place.";
    fast_log2, "lg2.approx", libm::log2f, "The logarithm to base 2, to 2^-22 near 1.";
    fast_rsqrt, "rsqrt.approx", |x| 1.0 / libm::sqrtf(x), "`1 / sqrt(x)`, to a relative error of 2^-22.9.";
    fast_reciprocal, "rcp.approx", |x| 1.0 / x, "`1 / x`, to 1 unit in the last place.";
}

/// `e^x`, by [`fast_exp2`].
#[inline(always)]
pub fn fast_exp(x: f32) -> f32 {
    fast_exp2(x * core::f32::consts::LOG2_E)
}

/// The integer nearest to `x`, ties to even, clamped to the range of `i32`.
#[inline(always)]
pub fn round_to_i32(x: f32) -> i32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: i32;
        // SAFETY: a conversion of registers.
        unsafe {
            core::arch::asm!("cvt.rni.s32.f32 {}, {};", out(reg32) r, in(reg32) x, options(pure, nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    return x.round_ties_even() as i32;
}
