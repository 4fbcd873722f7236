//! Mathematics of `f32` and `f64`.
//!
//! [`GpuFloat`] is as exact as the `libm` crate, on both targets to the same bit. The free functions are the GPU's
//! own approximations: much faster, with the errors that the PTX manual gives.

macro_rules! gpu_float {
    (
        $trait:ident
        exact { $($(#[$exact_doc:meta])* $exact:ident ($($exact_arg:ident),*): $f32_exact:expr, $f64_exact:expr;)* }
        ptx { $($(#[$ptx_doc:meta])* $ptx:ident ($($ptx_arg:ident),*): $instruction:tt, $f32_host:expr, $f64_host:expr;)* }
    ) => {
        /// The functions that `core` leaves to a platform.
        pub trait $trait: Copy {
            $($(#[$exact_doc])* fn $exact(self $(, $exact_arg: Self)*) -> Self;)*
            $($(#[$ptx_doc])* fn $ptx(self $(, $ptx_arg: Self)*) -> Self;)*
            /// The sine and the cosine.
            fn sin_cos(self) -> (Self, Self);
            /// `self^n`.
            fn powi(self, n: i32) -> Self;
        }

        gpu_float!(impl $trait for f32, reg32, "f32", libm::sincosf, [$($exact ($($exact_arg),*): $f32_exact;)*]
            [$($ptx ($($ptx_arg),*): $instruction, $f32_host;)*]);
        gpu_float!(impl $trait for f64, reg64, "f64", libm::sincos, [$($exact ($($exact_arg),*): $f64_exact;)*]
            [$($ptx ($($ptx_arg),*): $instruction, $f64_host;)*]);
    };
    (
        impl $trait:ident for $ty:ty, $reg:ident, $suffix:literal, $sin_cos:expr,
        [$($exact:ident ($($exact_arg:ident),*): $libm:expr;)*]
        [$($ptx:ident ($($ptx_arg:ident),*): $instruction:tt, $host:expr;)*]
    ) => {
        impl $trait for $ty {
            $(
                fn $exact(self $(, $exact_arg: Self)*) -> Self {
                    let f: fn($ty $(, gpu_float!(type $ty, $exact_arg))*) -> $ty = $libm;
                    f(self $(, $exact_arg)*)
                }
            )*
            $(
                #[inline(always)]
                fn $ptx(self $(, $ptx_arg: Self)*) -> Self {
                    #[cfg(target_arch = "nvptx64")]
                    {
                        let r: $ty;
                        // SAFETY: arithmetic on registers.
                        unsafe {
                            core::arch::asm!(
                                concat!(gpu_float!(instruction $instruction, $suffix), " {}, {}", $(", {", gpu_float!(nothing $ptx_arg), "}",)* ";"),
                                out($reg) r, in($reg) self $(, in($reg) $ptx_arg)*, options(pure, nomem, nostack))
                        };
                        r
                    }
                    #[cfg(not(target_arch = "nvptx64"))]
                    {
                        let f: fn($ty $(, gpu_float!(type $ty, $ptx_arg))*) -> $ty = $host;
                        f(self $(, $ptx_arg)*)
                    }
                }
            )*
            fn sin_cos(self) -> (Self, Self) {
                $sin_cos(self)
            }
            fn powi(self, n: i32) -> Self {
                // By squares, as compilers do it; multiplication rounds the same everywhere.
                let (mut base, mut left, mut r) = (self, n.unsigned_abs(), 1.0);
                while left > 0 {
                    if left % 2 == 1 {
                        r *= base;
                    }
                    base *= base;
                    left /= 2;
                }
                if n < 0 { 1.0 / r } else { r }
            }
        }
    };
    (type $ty:ty, $arg:ident) => { $ty };
    (nothing $arg:ident) => { "" };
    // A conversion names both types.
    (instruction "cvt.rmi", $suffix:literal) => { concat!("cvt.rmi.", $suffix, ".", $suffix) };
    (instruction "cvt.rpi", $suffix:literal) => { concat!("cvt.rpi.", $suffix, ".", $suffix) };
    (instruction "cvt.rni", $suffix:literal) => { concat!("cvt.rni.", $suffix, ".", $suffix) };
    (instruction "cvt.rzi", $suffix:literal) => { concat!("cvt.rzi.", $suffix, ".", $suffix) };
    (instruction $name:tt, $suffix:literal) => { concat!($name, ".", $suffix) };
}

gpu_float! {
    GpuFloat
    exact {
        /// The nearest integer, ties away from zero.
        round(): libm::roundf, libm::round;
        /// What is left without [`trunc`](Self::trunc).
        fract(): |x| x - libm::truncf(x), |x| x - libm::trunc(x);
        /// Without its sign.
        abs(): libm::fabsf, libm::fabs;
        /// 1 with the number's sign; NaN for NaN.
        signum(): |x| if x.is_nan() { x } else { libm::copysignf(1.0, x) },
            |x| if x.is_nan() { x } else { libm::copysign(1.0, x) };
        /// With the sign of another number.
        copysign(sign): libm::copysignf, libm::copysign;
        /// The quotient whose remainder is not negative.
        div_euclid(divisor): |x, y| {
            let q = libm::truncf(x / y);
            if x % y < 0.0 { if y > 0.0 { q - 1.0 } else { q + 1.0 } } else { q }
        }, |x, y| {
            let q = libm::trunc(x / y);
            if x % y < 0.0 { if y > 0.0 { q - 1.0 } else { q + 1.0 } } else { q }
        };
        /// The remainder that is not negative.
        rem_euclid(divisor): |x, y| {
            let r = libm::fmodf(x, y);
            if r < 0.0 { r + libm::fabsf(y) } else { r }
        }, |x, y| {
            let r = libm::fmod(x, y);
            if r < 0.0 { r + libm::fabs(y) } else { r }
        };
        /// `self^n`.
        powf(n): libm::powf, libm::pow;
        /// `e^self`.
        exp(): libm::expf, libm::exp;
        /// `2^self`.
        exp2(): libm::exp2f, libm::exp2;
        /// The natural logarithm.
        ln(): libm::logf, libm::log;
        /// The logarithm to a base.
        log(base): |x, base| libm::logf(x) / libm::logf(base), |x, base| libm::log(x) / libm::log(base);
        /// The logarithm to base 2.
        log2(): libm::log2f, libm::log2;
        /// The logarithm to base 10.
        log10(): libm::log10f, libm::log10;
        /// The cube root.
        cbrt(): libm::cbrtf, libm::cbrt;
        /// The length of the hypotenuse over two sides.
        hypot(other): libm::hypotf, libm::hypot;
        /// The sine of an angle in radians.
        sin(): libm::sinf, libm::sin;
        /// The cosine of an angle in radians.
        cos(): libm::cosf, libm::cos;
        /// The tangent of an angle in radians.
        tan(): libm::tanf, libm::tan;
        /// The angle of a sine.
        asin(): libm::asinf, libm::asin;
        /// The angle of a cosine.
        acos(): libm::acosf, libm::acos;
        /// The angle of a tangent.
        atan(): libm::atanf, libm::atan;
        /// The angle of the point that is `self` up and `x` to the right.
        atan2(x): libm::atan2f, libm::atan2;
        /// `e^self - 1`, exact near 0.
        exp_m1(): libm::expm1f, libm::expm1;
        /// The natural logarithm of `1 + self`, exact near 0.
        ln_1p(): libm::log1pf, libm::log1p;
        /// The hyperbolic sine.
        sinh(): libm::sinhf, libm::sinh;
        /// The hyperbolic cosine.
        cosh(): libm::coshf, libm::cosh;
        /// The hyperbolic tangent.
        tanh(): libm::tanhf, libm::tanh;
        /// The number of a hyperbolic sine.
        asinh(): libm::asinhf, libm::asinh;
        /// The number of a hyperbolic cosine.
        acosh(): |x| if x < 1.0 { f32::NAN } else { libm::acoshf(x) },
            |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) };
        /// The number of a hyperbolic tangent.
        atanh(): libm::atanhf, libm::atanh;
    }
    ptx {
        /// The square root.
        sqrt(): "sqrt.rn", libm::sqrtf, libm::sqrt;
        /// The greatest integer not above.
        floor(): "cvt.rmi", libm::floorf, libm::floor;
        /// The least integer not below.
        ceil(): "cvt.rpi", libm::ceilf, libm::ceil;
        /// The nearest integer, ties to even.
        round_ties_even(): "cvt.rni", libm::rintf, libm::rint;
        /// The integer part.
        trunc(): "cvt.rzi", libm::truncf, libm::trunc;
        /// `self * a + b`, rounded once.
        mul_add(a, b): "fma.rn", f32::mul_add, f64::mul_add;
    }
}

/// As `.ftz` has it: a number too small for a normal exponent counts as zero.
#[cfg(not(target_arch = "nvptx64"))]
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

macro_rules! approximate {
    ($($name:ident, $ptx:literal, $sim:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[inline(always)]
        pub fn $name(x: f32) -> f32 {
            #[cfg(target_arch = "nvptx64")]
            {
                let r: f32;
                // SAFETY: arithmetic on registers.
                unsafe { core::arch::asm!(concat!($ptx, ".f32 {}, {};"), out(reg32) r, in(reg32) x, options(pure, nomem, nostack)) };
                r
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                let f: fn(f32) -> f32 = $sim;
                flush(f(flush(x)))
            }
        }
    )*};
}

approximate! {
    fast_exp2, "ex2.approx.ftz", libm::exp2f, "`2^x`, to 2 units in the last place.";
    fast_log2, "lg2.approx.ftz", libm::log2f, "The logarithm to base 2: to 2^-22 from 0.5 to 2, elsewhere to a relative error of 2^-22.";
    fast_sqrt, "sqrt.approx.ftz", libm::sqrtf, "The square root, to a relative error of 2^-23.";
    fast_rsqrt, "rsqrt.approx.ftz", |x| 1.0 / libm::sqrtf(x), "`1 / sqrt(x)`, to a relative error of 2^-22.9.";
    fast_reciprocal, "rcp.approx.ftz", |x| 1.0 / x, "`1 / x`, to 1 unit in the last place.";
    fast_sin, "sin.approx.ftz", libm::sinf, "The sine of an angle from -π to π, to 2^-20.5.";
    fast_cos, "cos.approx.ftz", libm::cosf, "The cosine of an angle from -π to π, to 2^-20.5.";
    fast_tanh, "tanh.approx", libm::tanhf, "The hyperbolic tangent, to a relative error of 2^-11.";
}

/// `e^x`, by [`fast_exp2`]: the error grows with `|x|`, by `1.5 |x|` units in the last place.
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
