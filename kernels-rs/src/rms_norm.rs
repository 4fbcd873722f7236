//! Root-mean-square normalisation, on its own: for matrices that take activations as they are.

use cuda_std::prelude::*;

use crate::reduce::block_sum;

/// `out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]` for `i < n`, by one block of whole warps.
///
/// # Safety
/// All three have `n` elements.
#[kernel(launch_bounds(1024))]
pub unsafe fn rms_norm(x: *const f32, weight: *const f32, eps: f32, n: u32, out: *mut f32) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    let (first, step, n) = (thread::thread_idx_x() as usize, thread::block_dim_x() as usize, n as usize);
    // SAFETY: as the caller promises; each element has a thread of its own.
    unsafe {
        let mut sum = 0.0f32;
        let mut i = first;
        while i < n {
            let v = global::load(x.add(i), Cached);
            sum = v.mul_add(v, sum);
            i += step;
        }
        let factor = 1.0 / (block_sum(sum) / n as f32 + eps).sqrt();
        let mut i = first;
        while i < n {
            let v = global::load(x.add(i), Cached) * factor * global::load(weight.add(i), ReadOnly);
            global::store(out.add(i), v);
            i += step;
        }
    }
}

/// `x / sqrt(mean(x^2) + eps) * weight`.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(x: &[f64], weight: &[f64], eps: f64) -> std::vec::Vec<f64> {
    let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(v, w)| v / (mean + eps).sqrt() * w).collect()
}
