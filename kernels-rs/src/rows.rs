//! Rows of a matrix times a vector, by the warps of a grid.
//!
//! A warp takes `R` rows at a time and a chunk of each in every lane. The weights of the next step are asked for before
//! the sums of this one are made, and the first before the vector is ready. Asking before the products too takes more
//! registers than it gains: the other warps' loads are under way meanwhile.

use cuda_std::prelude::*;

use crate::activation::Vector;
use crate::layout::{CHUNK, Matrix};
use crate::weights::{Chunk, IntegerChunk};

/// A vector that chunks of weights of kind `K` are multiplied with.
pub trait Input<K>: Copy {
    /// The dot products of a chunk of `R` rows with chunk `c` of the vector.
    ///
    /// # Safety
    /// The vector must have that chunk.
    unsafe fn dots<const R: usize>(self, weights: [K; R], c: usize) -> [f32; R];
}

impl<K: IntegerChunk> Input<K> for Vector {
    #[inline(always)]
    unsafe fn dots<const R: usize>(self, weights: [K; R], c: usize) -> [f32; R] {
        // SAFETY: as the caller promises.
        let x = unsafe { self.chunk(c) };
        core::array::from_fn(|r| weights[r].dot(&x))
    }
}

/// A vector of floats in global memory.
#[derive(Clone, Copy)]
pub struct Floats {
    /// Its start, aligned to 16 bytes.
    pub start: *const f32,
    /// Its length, a multiple of 4.
    pub len: usize,
}

impl<K: Chunk> Input<K> for Floats {
    #[inline(always)]
    unsafe fn dots<const R: usize>(self, weights: [K; R], c: usize) -> [f32; R] {
        let weights: [_; R] = core::array::from_fn(|r| weights[r].weights());
        let mut dots = [0.0f32; R];
        for i in (0..CHUNK).step_by(4) {
            // The last chunk may reach beyond the vector: its weights are zeros there.
            if c * CHUNK + i < self.len {
                // SAFETY: inside the vector.
                let x = unsafe { global::load(self.start.add(c * CHUNK + i).cast::<F32x4>(), Cached) }.0;
                for r in 0..R {
                    for k in 0..4 {
                        dots[r] = weights[r][i + k].mul_add(x[k], dots[r]);
                    }
                }
            }
        }
        dots
    }
}

/// One of `count` warps that share a matrix's rows.
#[derive(Clone, Copy)]
pub struct Worker {
    /// Which one.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Worker {
    /// This warp, among those of the blocks that work on a matrix.
    #[inline(always)]
    pub fn of_matrix(m: &Matrix) -> Self {
        let warps = thread::block_dim_x() / warp::SIZE;
        let index = (thread::block_idx_x() - m.first_block) * warps + warp::warp_id();
        Self { index: index as usize, count: (m.blocks * warps) as usize }
    }
}

/// The rows that a warp works on, in groups of `R`.
pub struct Rows<'a, K, const R: usize> {
    matrices: [&'a Matrix; R],
    row: fn(usize, usize) -> usize,
    groups: usize,
    worker: Worker,
    next: [K; R],
}

impl<'a, K: Chunk, const R: usize> Rows<'a, K, R> {
    /// Begins to load. Group `g` is, for each `r`, row `row(g, r)` of `matrices[r]`, clamped to the last.
    ///
    /// # Safety
    /// The matrices must be of kind `K`, valid, and of the same number of columns.
    #[inline(always)]
    pub unsafe fn start(
        matrices: [&'a Matrix; R],
        row: fn(usize, usize) -> usize,
        groups: usize,
        worker: Worker,
    ) -> Self {
        // SAFETY: as the caller promises; a worker without rows loads row 0, which is there.
        let next = unsafe { load(&matrices, row, worker.index.min(groups - 1), 0) };
        Self { matrices, row, groups, worker, next }
    }

    /// Gives every group's number and dot products with `x` to `each`, in all lanes.
    ///
    /// # Safety
    /// The vector must be as long as the rows.
    #[inline(always)]
    pub unsafe fn run(mut self, x: impl Input<K>, mut each: impl FnMut(usize, [f32; R])) {
        let chunks = self.matrices[0].chunks();
        let lane = warp::lane_id() as usize;
        let mut group = self.worker.index;
        while group < self.groups {
            let mut sums = [0.0f32; R];
            let mut first = 0;
            while first < chunks {
                let weights = self.next;
                if first + lane < chunks {
                    // SAFETY: the chunk exists.
                    let dots = unsafe { x.dots(weights, first + lane) };
                    for r in 0..R {
                        sums[r] += dots[r];
                    }
                }
                let (mut g, mut f) = (group, first + 32);
                if f >= chunks {
                    (g, f) = (group + self.worker.count, 0);
                }
                if g < self.groups {
                    // SAFETY: the group exists.
                    self.next = unsafe { load(&self.matrices, self.row, g, f) };
                }
                first += 32;
            }
            each(group, sums.map(warp::sum_f32));
            group += self.worker.count;
        }
    }
}

/// This lane's chunk of each row of a group, of the 32 from `first` on; a lane beyond the row loads its last chunk.
///
/// # Safety
/// The group must exist.
#[inline(always)]
unsafe fn load<K: Chunk, const R: usize>(
    matrices: &[&Matrix; R],
    row: fn(usize, usize) -> usize,
    group: usize,
    first: usize,
) -> [K; R] {
    let c = (first + warp::lane_id() as usize).min(matrices[0].chunks() - 1);
    // SAFETY: the row and the chunk are clamped to those that exist.
    core::array::from_fn(|r| unsafe {
        K::load(matrices[r], row(group, r).min(matrices[r].rows as usize - 1), c)
    })
}
