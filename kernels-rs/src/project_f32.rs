//! Up to three matrices times one vector, with activations as they are.

use cuda_std::prelude::*;

use crate::layout::{Kind, Matrix};
use crate::rows::{Floats, Rows, Worker};
use crate::weights::{Chunk, F16, F32, Q4K, Q6K, Q8_0};

/// `out[..] = [m0 x; m1 x; m2 x]`, or `out += …` where `add` is not 0.
///
/// Slower than [`project`](fn@crate::project::project), and exact but for the
/// rounding of `f32`. For weights that are not quantised,
/// and to tell what the 8-bit activations cost.
///
/// # Safety
/// All matrices that have blocks must be valid and of `x`'s length (a multiple of 4, aligned to 16 bytes); `out` has
/// all their rows; a block has [`THREADS`](crate::project::THREADS) threads.
#[kernel(launch_bounds(256, 1))]
pub unsafe fn project_f32(x: *const f32, m0: Matrix, m1: Matrix, m2: Matrix, out: *mut f32, add: u32) {
    let (m, before) = Matrix::of_block(m0, m1, m2, thread::block_idx_x());
    // SAFETY: as the caller promises; `out` holds the rows of the matrices before.
    unsafe {
        let out = out.add(before);
        match m.kind {
            Kind::Q4K => rows_of::<Q4K>(x, &m, out, add),
            Kind::Q6K => rows_of::<Q6K>(x, &m, out, add),
            Kind::Q8_0 => rows_of::<Q8_0>(x, &m, out, add),
            Kind::F16 => rows_of::<F16>(x, &m, out, add),
            Kind::F32 => rows_of::<F32>(x, &m, out, add),
        }
    }
}

/// The rows of `m` that this warp takes.
///
/// # Safety
/// As for [`project_f32`](fn@project_f32), with `out` for this matrix alone.
#[inline(always)]
unsafe fn rows_of<K: Chunk>(x: *const f32, m: &Matrix, out: *mut f32, add: u32) {
    grid::launch_dependents();
    let worker = Worker::of_matrix(m);
    // SAFETY: the matrix is valid, as the caller promises, and the predecessor does not write it.
    let rows = unsafe { Rows::<K, 1>::start([m], |g, _| g, m.rows as usize, worker) };
    grid::wait_for_predecessor();
    // SAFETY: as the caller promises; each row of `out` is written by one lane of one warp.
    unsafe {
        rows.run(Floats { start: x, len: m.cols as usize }, |row, [dot]| {
            if warp::lane_id() == 0 {
                let before = if add != 0 { global::load(out.add(row), Cached) } else { 0.0 };
                global::store(out.add(row), before + dot);
            }
        });
    }
}
