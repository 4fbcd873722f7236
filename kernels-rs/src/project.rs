//! Up to three matrices times one vector, with 8-bit activations.

use cuda_std::prelude::*;

use crate::activation::Vector;
use crate::layout::{Kind, Matrix};
use crate::rows::{Rows, Worker};
use crate::weights::{IntegerChunk, Q4K, Q6K, Q8_0};

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Rows that a warp takes at a time.
pub const ROWS: usize = 2;

/// `out[..] = [m0 v; m1 v; m2 v]`, or `out += …` where `add` is not 0. `v` is `x`, normalised with `norm` unless that
/// is null, in 8-bit codes.
///
/// The outputs of a matrix follow those of the one before. Each block works on the matrix that names it.
///
/// # Safety
/// All matrices that have blocks must be valid, of a quantised kind and of `x`'s length (a multiple of 32, aligned to
/// 16 bytes); `out` has all their rows; a block has [`THREADS`] threads and
/// [`activation::shared_bytes`](crate::activation::shared_bytes) of shared memory.
#[kernel(launch_bounds(256, 2))]
#[allow(clippy::too_many_arguments)]
pub unsafe fn project(
    x: *const f32,
    norm: *const f32,
    eps: f32,
    m0: Matrix,
    m1: Matrix,
    m2: Matrix,
    out: *mut f32,
    add: u32,
) {
    let (m, before) = Matrix::of_block(m0, m1, m2, thread::block_idx_x());
    // SAFETY: as the caller promises; `out` holds the rows of the matrices before.
    unsafe {
        let out = out.add(before);
        match m.kind {
            Kind::Q4K => rows_of::<Q4K>(x, norm, eps, &m, out, add),
            Kind::Q6K => rows_of::<Q6K>(x, norm, eps, &m, out, add),
            Kind::Q8_0 => rows_of::<Q8_0>(x, norm, eps, &m, out, add),
            Kind::F16 | Kind::F32 => thread::trap(),
        }
    }
}

/// The rows of `m` that this warp takes.
///
/// # Safety
/// As for [`project`](fn@project), with `out` for this matrix alone.
#[inline(always)]
unsafe fn rows_of<K: IntegerChunk>(
    x: *const f32,
    norm: *const f32,
    eps: f32,
    m: &Matrix,
    out: *mut f32,
    add: u32,
) {
    grid::launch_dependents();
    let worker = Worker::of_matrix(m);
    // SAFETY: the matrix is valid, as the caller promises, and the predecessor does not write it.
    let rows = unsafe {
        Rows::<K, ROWS>::start([m; ROWS], |g, r| ROWS * g + r, (m.rows as usize).div_ceil(ROWS), worker)
    };
    grid::wait_for_predecessor();
    // SAFETY: as the caller promises; each row of `out` is written by one lane of one warp.
    unsafe {
        let v = Vector::quantize(x, norm, eps, m.cols as usize);
        rows.run(v, |group, dots| {
            let lane = warp::lane_id() as usize;
            let row = ROWS * group + lane;
            if lane < ROWS && row < m.rows as usize {
                let dot = if lane == 0 { dots[0] } else { dots[1] };
                let before = if add != 0 { global::load(out.add(row), Cached) } else { 0.0 };
                global::store(out.add(row), before + dot);
            }
        });
    }
}

/// `m v` for a row-major matrix of `v.len()` columns.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(m: &[f64], v: &[f64]) -> std::vec::Vec<f64> {
    m.chunks(v.len()).map(|row| row.iter().zip(v).map(|(w, x)| w * x).sum()).collect()
}
