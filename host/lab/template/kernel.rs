//! A vector times a number, to begin with.

use cuda_std::prelude::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

/// `out[i] = factor * x[i]` for each element of `x`.
///
/// # Safety
/// `out` has as many elements as `x`, and there is a thread for each.
#[kernel(launch_bounds(256))]
pub unsafe fn new_kernel(x: &[f32], factor: f32, out: *mut f32) {
    let i = thread::index_1d() as usize;
    if let Some(v) = x.get(i) {
        // SAFETY: as the caller promises; each element has a thread of its own.
        unsafe { global::store(out.add(i), factor * v) };
    }
}

/// `factor * x`.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(x: &[f64], factor: f64) -> std::vec::Vec<f64> {
    x.iter().map(|v| factor * v).collect()
}

/// How far the kernel may be from its reference: one product, rounded once.
#[cfg(not(target_arch = "nvptx64"))]
pub fn bound(expected: f64) -> f64 {
    expected.abs() / (1u32 << 24) as f64
}
