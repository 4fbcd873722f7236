//! The first half of the feed-forward network: norm, gate, up and SwiGLU in one launch.

use cuda_std::prelude::*;

use crate::activation::Vector;
use crate::layout::{Kind, Matrix};
use crate::rows::{Rows, Worker};
use crate::swiglu::silu;
use crate::weights::{IntegerChunk, Q4K, Q6K, Q8_0};

/// `out[i] = silu((gate v)[i]) * (up v)[i]`, `v` being `x` normalised with `norm`, in 8-bit codes.
///
/// # Safety
/// Both matrices must be valid, of the same quantised kind and shape, and of `x`'s length (a multiple of 32, aligned
/// to 16 bytes); `gate` names all blocks; `out` has their rows; a block has [`THREADS`](crate::project::THREADS) threads and
/// [`activation::shared_bytes`](crate::activation::shared_bytes) of shared memory.
#[kernel(launch_bounds(256, 2))]
pub unsafe fn gate_up(x: *const f32, norm: *const f32, eps: f32, gate: Matrix, up: Matrix, out: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe {
        match gate.kind {
            Kind::Q4K => rows_of::<Q4K>(x, norm, eps, &gate, &up, out),
            Kind::Q6K => rows_of::<Q6K>(x, norm, eps, &gate, &up, out),
            Kind::Q8_0 => rows_of::<Q8_0>(x, norm, eps, &gate, &up, out),
            Kind::F16 | Kind::F32 => thread::trap(),
        }
    }
}

/// # Safety
/// As for [`gate_up`](fn@gate_up).
#[inline(always)]
unsafe fn rows_of<K: IntegerChunk>(
    x: *const f32,
    norm: *const f32,
    eps: f32,
    gate: &Matrix,
    up: &Matrix,
    out: *mut f32,
) {
    grid::launch_dependents();
    let worker = Worker::of_matrix(gate);
    // SAFETY: the matrices are valid, as the caller promises, and the predecessor does not write them.
    let rows = unsafe { Rows::<K, 2>::start([gate, up], |g, _| g, gate.rows as usize, worker) };
    grid::wait_for_predecessor();
    // SAFETY: as the caller promises; each row of `out` is written by one lane of one warp.
    unsafe {
        let v = Vector::quantize(x, norm, eps, gate.cols as usize);
        rows.run(v, |row, [g, u]| {
            if warp::lane_id() == 0 {
                global::store(out.add(row), silu(g) * u);
            }
        });
    }
}
