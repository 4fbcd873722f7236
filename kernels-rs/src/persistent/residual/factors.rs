//! The norms' factors, from the warp that keeps the residual stream to those that multiply.

use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;

use crate::persistent::block::at;
use crate::persistent::plan::fixed;

/// The common factors of the normalised residual stream, which this warp gives to those that multiply: two places in
/// turns, each with a barrier.
///
/// Two are enough: before the warp gets to the next factor but one, every block has contributed to the sums before it, and
/// before that taken the codes between them, and its warps have met there.
#[derive(Clone, Copy)]
pub struct Factors {
    places: shared::Slice<f32>,
    barriers: shared::Slice<u64>,
    /// Factors until now.
    count: u32,
}

impl Factors {
    /// Before the first factor.
    ///
    /// # Safety
    /// The launch has the plan's shared memory.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: as the caller promises.
        unsafe { Self { places: at(fixed::FACTORS, 2), barriers: at(fixed::FACTOR_BARRIERS, 2), count: 0 } }
    }

    /// Prepares the barriers. A barrier of the block must follow.
    ///
    /// # Safety
    /// One thread must call it.
    #[inline(always)]
    pub unsafe fn init(self) {
        for turn in 0..2 {
            // SAFETY: the barriers' words are nobody else's.
            unsafe { MBarrier::at(self.barriers, turn).init(1) };
        }
    }

    /// Gives the next factor.
    ///
    /// # Safety
    /// One thread must call it.
    #[inline(always)]
    pub unsafe fn give(&mut self, factor: f32) {
        let turn = (self.count % 2) as usize;
        // SAFETY: whoever needed what was here has it.
        unsafe {
            self.places.set(turn, factor);
            MBarrier::at(self.barriers, turn).arrive();
        }
        self.count += 1;
    }

    /// From now on [`get`](Self::get) gives the next one.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.count += 1;
    }

    /// The factor, as soon as it is there.
    #[inline(always)]
    pub fn get(&self) -> f32 {
        let last = self.count - 1;
        let turn = (last % 2) as usize;
        // SAFETY: the barriers are initialised, and the factor is written before its barrier's phase ends.
        unsafe {
            MBarrier::at(self.barriers, turn).wait(last / 2 % 2);
            self.places.get(turn)
        }
    }
}
