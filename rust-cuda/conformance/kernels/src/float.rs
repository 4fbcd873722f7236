//! Mathematics.

use cuda_std::prelude::*;

/// How many results a thread of [`exact_f32()`] and [`exact_f64()`] gives.
pub const EXACT: usize = 41;

/// Every function of `GpuFloat` for one type.
macro_rules! exact {
    ($name:ident, $function:ident, $ty:ty) => {
        /// Every function of [`GpuFloat`], in the order of its declaration.
        pub fn $function(x: $ty, y: $ty, z: $ty) -> [$ty; EXACT] {
            let (sin, cos) = GpuFloat::sin_cos(x);
            [
                GpuFloat::floor(x),
                GpuFloat::ceil(x),
                GpuFloat::round(x),
                GpuFloat::round_ties_even(x),
                GpuFloat::trunc(x),
                GpuFloat::fract(x),
                GpuFloat::abs(x),
                GpuFloat::signum(x),
                GpuFloat::copysign(x, y),
                GpuFloat::mul_add(x, y, z),
                GpuFloat::div_euclid(x, y),
                GpuFloat::rem_euclid(x, y),
                GpuFloat::powi(x, 3),
                GpuFloat::powf(GpuFloat::abs(x), y),
                GpuFloat::sqrt(x),
                GpuFloat::exp(x),
                GpuFloat::exp2(x),
                GpuFloat::ln(x),
                GpuFloat::log(x, y),
                GpuFloat::log2(x),
                GpuFloat::log10(x),
                GpuFloat::cbrt(x),
                GpuFloat::hypot(x, y),
                GpuFloat::sin(x),
                GpuFloat::cos(x),
                GpuFloat::tan(x),
                GpuFloat::asin(x),
                GpuFloat::acos(x),
                GpuFloat::atan(x),
                GpuFloat::atan2(x, y),
                sin,
                cos,
                GpuFloat::exp_m1(x),
                GpuFloat::ln_1p(x),
                GpuFloat::sinh(x),
                GpuFloat::cosh(x),
                GpuFloat::tanh(x),
                GpuFloat::asinh(x),
                GpuFloat::acosh(x),
                GpuFloat::atanh(x),
                GpuFloat::powi(y, -2),
            ]
        }

        /// Every function of [`GpuFloat`] for each thread's three numbers.
        #[kernel]
        pub unsafe fn $name(numbers: *const [$ty; 3], out: *mut [$ty; EXACT]) {
            // SAFETY: the buffers have an element for every thread.
            unsafe {
                let [x, y, z] = crate::take(numbers);
                crate::put(out, $function(x, y, z));
            }
        }
    };
}

exact!(exact_f32, every_f32, f32);
exact!(exact_f64, every_f64, f64);

/// The approximations.
#[kernel]
pub unsafe fn fast(values: *const f32, out: *mut [f32; 9], rounded: *mut i32) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let x = crate::take(values);
        let seen = [
            float::fast_exp2(x),
            float::fast_log2(x),
            float::fast_rsqrt(x),
            float::fast_reciprocal(x),
            float::fast_exp(x),
            float::fast_sqrt(x),
            float::fast_sin(x),
            float::fast_cos(x),
            float::fast_tanh(x),
        ];
        crate::put(out, seen);
        crate::put(rounded, float::round_to_i32(x));
    }
}
