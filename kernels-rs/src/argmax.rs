//! The largest logit, first half: each block's best.

use cuda_std::prelude::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

const WARPS: usize = (THREADS / warp::SIZE) as usize;

/// A logit and its token.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(8))]
pub struct Best {
    /// The logit.
    pub value: f32,
    /// The token.
    pub index: u32,
}

impl Best {
    /// Worse than any token.
    pub const NONE: Self = Self { value: f32::NEG_INFINITY, index: u32::MAX };

    /// The larger value; of equal ones, the lower index. A NaN is never larger.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        if other.value > self.value || (other.value == self.value && other.index < self.index) {
            other
        } else {
            self
        }
    }

    /// The best of a block of [`THREADS`] threads, in all threads.
    ///
    /// # Safety
    /// Every thread must call it.
    #[inline(always)]
    pub(crate) unsafe fn of_block(self) -> Self {
        // SAFETY: the arrays are in shared memory and have an element for each warp.
        let (values, indices) = unsafe {
            (
                shared::Slice::from_raw(shared_array![f32; WARPS], WARPS),
                shared::Slice::from_raw(shared_array![u32; WARPS], WARPS),
            )
        };
        let best = self.of_warp();
        if warp::lane_id() == 0 {
            // SAFETY: each warp has an element of its own.
            unsafe {
                values.set(warp::warp_id() as usize, best.value);
                indices.set(warp::warp_id() as usize, best.index);
            }
        }
        thread::sync_threads();
        let lane = warp::lane_id() as usize % WARPS;
        // SAFETY: written before the barrier.
        unsafe { Self { value: values.get(lane), index: indices.get(lane) } }.of_warp()
    }

    /// The best of a warp, in all lanes.
    #[inline(always)]
    pub(crate) fn of_warp(self) -> Self {
        let mut best = self;
        let mut lanes = 16;
        while lanes > 0 {
            let value = warp::shuffle_xor_f32(warp::ALL, best.value, lanes);
            let index = warp::shuffle_xor(warp::ALL, best.index, lanes);
            best = best.or(Self { value, index });
            lanes /= 2;
        }
        best
    }
}

/// `best[b]` = the best of the logits that block `b` looks at; the lowest index on ties.
///
/// # Safety
/// `logits` has `n` elements, `best` one for each block, of [`THREADS`] threads.
#[kernel(launch_bounds(256))]
pub unsafe fn argmax(logits: *const f32, n: u32, best: *mut Best) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    let mut mine = Best::NONE;
    let mut i = thread::index_1d();
    while i < n {
        // SAFETY: below the number of logits.
        let value = unsafe { global::load(logits.add(i as usize), Cached) };
        mine = mine.or(Best { value, index: i });
        i += thread::grid_dim_x() * THREADS;
    }
    // SAFETY: every thread comes here; each block has an element of its own.
    unsafe {
        let of_block = mine.of_block();
        if thread::thread_idx_x() == 0 {
            let word = U32x2([of_block.value.to_bits(), of_block.index]);
            global::store(best.add(thread::block_idx_x() as usize).cast(), word);
        }
    }
}

/// The index of the largest number, the lowest on ties; 0 where there is no number.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(logits: &[f32]) -> usize {
    let numbers = logits.iter().enumerate().filter(|(_, v)| !v.is_nan());
    numbers.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0, |(index, _)| index)
}
