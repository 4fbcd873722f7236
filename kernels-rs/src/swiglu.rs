//! The feed-forward network's activation, on its own: for gates and ups that were not computed together.

use cuda_std::prelude::*;

/// `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * float::fast_reciprocal(1.0 + float::fast_exp(-x))
}

/// `out[i] = silu(gate_up[i]) * gate_up[n + i]` for `i < n`.
///
/// # Safety
/// `gate_up` has `2 n` elements, `out` has `n`.
#[kernel]
pub unsafe fn swiglu(gate_up: *const f32, n: u32, out: *mut f32) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    let (i, n) = (thread::index_1d() as usize, n as usize);
    if i < n {
        // SAFETY: as the caller promises; each element has a thread of its own.
        unsafe {
            let (g, u) = (global::load(gate_up.add(i), Cached), global::load(gate_up.add(n + i), Cached));
            global::store(out.add(i), silu(g) * u);
        }
    }
}

/// `silu(gate) * up`.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(gate: &[f64], up: &[f64]) -> std::vec::Vec<f64> {
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}
