//! The embedding of the current token: a row of a matrix, dequantised.

use cuda_std::prelude::*;

use crate::layout::{CHUNK, Kind, Matrix};
use crate::weights::{Chunk, F16, F32, Q4K, Q6K, Q8_0};

/// `out = m[tokens[*position]]`, one chunk a thread.
///
/// # Safety
/// `tokens[*position]` must be a row of `m`; `out` has its columns, aligned to 16 bytes, and as many threads as the
/// row has chunks are enough.
#[kernel]
pub unsafe fn embed(m: Matrix, tokens: *const u32, position: *const u32, out: *mut f32) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    let c = thread::index_1d() as usize;
    if c >= m.chunks() {
        return;
    }
    // SAFETY: as the caller promises.
    unsafe {
        let token = global::load(tokens.add(global::load(position, Cached) as usize), Cached) as usize;
        match m.kind {
            Kind::Q4K => chunk::<Q4K>(&m, token, c, out),
            Kind::Q6K => chunk::<Q6K>(&m, token, c, out),
            Kind::Q8_0 => chunk::<Q8_0>(&m, token, c, out),
            Kind::F16 => chunk::<F16>(&m, token, c, out),
            Kind::F32 => chunk::<F32>(&m, token, c, out),
        }
    }
}

/// # Safety
/// As for [`embed`](fn@embed).
#[inline(always)]
unsafe fn chunk<K: Chunk>(m: &Matrix, row: usize, c: usize, out: *mut f32) {
    // SAFETY: the chunk exists, and its elements below the number of columns are in `out`.
    unsafe {
        let weights = K::load(m, row, c).weights();
        for i in (0..CHUNK).step_by(4) {
            if c * CHUNK + i < m.cols as usize {
                let four = F32x4([weights[i], weights[i + 1], weights[i + 2], weights[i + 3]]);
                global::store(out.add(c * CHUNK + i).cast(), four);
            }
        }
    }
}
