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
    // SAFETY: as the caller promises; the elements below the number of columns are in `out`.
    unsafe {
        let token = global::load(tokens.add(global::load(position, Cached) as usize), Cached) as usize;
        chunk(&m, token, c, |i, four| global::store(out.add(i).cast(), F32x4(four)));
    }
}

/// Gives chunk `c` of a row to `each`, with the index of the first of four elements; none beyond the columns.
///
/// # Safety
/// The row and the chunk must exist.
#[inline(always)]
pub(crate) unsafe fn chunk(m: &Matrix, row: usize, c: usize, each: impl FnMut(usize, [f32; 4])) {
    // SAFETY: as the caller promises.
    unsafe {
        match m.kind {
            Kind::Q4K => chunk_of::<Q4K>(m, row, c, each),
            Kind::Q6K => chunk_of::<Q6K>(m, row, c, each),
            Kind::Q8_0 => chunk_of::<Q8_0>(m, row, c, each),
            Kind::F16 => chunk_of::<F16>(m, row, c, each),
            Kind::F32 => chunk_of::<F32>(m, row, c, each),
        }
    }
}

/// # Safety
/// As for [`chunk`], for a matrix of kind `K`.
#[inline(always)]
unsafe fn chunk_of<K: Chunk>(m: &Matrix, row: usize, c: usize, mut each: impl FnMut(usize, [f32; 4])) {
    // SAFETY: as the caller promises.
    let weights = unsafe { K::load(m, row, c) }.weights();
    for i in (0..CHUNK).step_by(4) {
        if c * CHUNK + i < m.cols as usize {
            each(c * CHUNK + i, [weights[i], weights[i + 1], weights[i + 2], weights[i + 3]]);
        }
    }
}
