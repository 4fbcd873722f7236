//! The end of a token: the best logit of all blocks, which all of them agree on.

use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;

use super::block::{Block, at, sync};
use super::exchange::{Exchange, Tagged};
use super::plan::{WARPS, fixed};
use crate::argmax::Best;

impl Block<'_> {
    /// Ends a token: gives the block's best logit to all blocks, and everything that the block wrote with it; takes
    /// theirs. Returns the best of all.
    #[inline(always)]
    pub unsafe fn agree(&mut self) -> u32 {
        let words = Tagged::new(self.exchanges.best, self.epoch, Exchange::Best, self.watchdog);
        // SAFETY: as the plan says.
        unsafe {
            let values = at::<f32>(fixed::BEST, WARPS);
            let indices = at::<u32>(fixed::BEST + WARPS * 4, WARPS);
            let chosen = at::<u32>(fixed::TOKEN, 1);
            let best = self.best.of_warp();
            self.best = Best::NONE;
            if self.lane == 0 {
                values.set(self.warp as usize, best.value);
                indices.set(self.warp as usize, best.index);
            }
            sync();
            if self.warp == 0 {
                let w = (self.lane % WARPS) as usize;
                let best = Best { value: values.get(w), index: indices.get(w) }.of_warp();
                let block = self.group * self.plan.blocks + self.rank;
                if self.lane == 0 {
                    // The cache's new keys and values, and the logits, are seen by whoever sees the words.
                    thread::device_fence();
                    words.set(2 * block as usize, best.value.to_bits());
                    words.set(2 * block as usize + 1, best.index);
                }
                let best = best_of_all(words, self.plan.groups * self.plan.blocks, self.lane);
                thread::device_fence();
                // What any lane has seen, the first one knows of.
                warp::sync_warp(warp::ALL);
                if self.lane == 0 {
                    chosen.set(0, best);
                    // From now on the copy engine may read the new keys and values.
                    MBarrier::at(at(fixed::AGREED, 1), 0).arrive();
                }
            }
            sync();
            chosen.get(0)
        }
    }
}

/// The best of all blocks' candidates.
///
/// # Safety
/// All lanes of a warp must call it.
#[inline(always)]
pub unsafe fn best_of_all(words: Tagged, blocks: u32, lane: u32) -> u32 {
    let mut best = Best::NONE;
    let mut block = lane;
    while block < blocks {
        // SAFETY: each block has a pair.
        let [[value, index]] = unsafe { words.pairs([2 * block as usize]) };
        best = best.or(Best { value: f32::from_bits(value), index });
        block += 32;
    }
    let best = best.of_warp();
    // No logit was a number: any token, rather than an index that is none.
    if best.index == u32::MAX { 0 } else { best.index }
}
