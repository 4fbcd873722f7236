//! The residual stream: kept by one warp of each block, 32 elements or so, and given to all blocks as 8-bit codes.
//!
//! The projections that are added to it are sums over the groups, and a word of a sum takes 8 bytes: if every block
//! waited for all of them, the waiting alone would fill the L2 cache's bandwidth. So each element has an owner, which
//! waits for its sum, and gives what everybody needs to everybody: codes, a scale, and a part of the norm.
//!
//! The norm's factor is the same for all elements, so it is left to the results: the warps that multiply begin with the
//! codes, while this one adds the parts of the norm up for them. And it has the time to fetch for attention what comes from
//! far away and is known early.

mod factors;
mod keeper;

use cuda_std::prelude::*;

use super::Exchanges;
use super::exchange::{Exchange, Tagged, Watchdog};
use super::plan::WARPS;
use super::tile::{Input, Part};
use crate::activation::GroupCodes;

pub use factors::Factors;
pub(super) use keeper::keep;

/// The warp that keeps the residual stream.
pub const WARP: u32 = WARPS + 1;

/// Words of codes of a group of 32 elements.
const CODE_WORDS: u32 = 8;

/// Words for `groups` groups: their codes; then the scale and the sums of the sixteens' codes of each; then the sum of
/// squares of each, to a whole pair.
pub const fn words(groups: u32) -> u32 {
    squares_at(groups) + groups.next_multiple_of(2)
}

/// Where the scales begin.
const fn scales_at(groups: u32) -> u32 {
    groups * CODE_WORDS
}

/// Where the sums of squares begin.
const fn squares_at(groups: u32) -> u32 {
    scales_at(groups) + 2 * groups
}

/// Gives a group's elements to all blocks, in codes: a lane has element `value`, and `square` to the sum of squares.
///
/// # Safety
/// All lanes must call it, and the words must have the group.
#[inline(always)]
unsafe fn publish(words: Tagged, (group, groups): (u32, u32), lane: u32, value: f32, square: f32) {
    // SAFETY: as the caller promises; each word has one writer.
    unsafe {
        let GroupCodes { word, scale, sums } = GroupCodes::of(lane, value);
        // Lanes 1 and 2 have no word of codes to write.
        let (place, value) = match lane {
            1 => (scales_at(groups) + 2 * group, scale.to_bits()),
            2 => (scales_at(groups) + 2 * group + 1, (sums[0] as u32 & 0xffff) | (sums[1] as u32) << 16),
            _ => (group * CODE_WORDS + lane / 4, word),
        };
        if lane.is_multiple_of(4) || lane < 3 {
            words.set(place as usize, value);
        }
        // Nobody waits for this as early.
        let squares = warp::sum_f32(square);
        let last_of_odd = lane == 1 && !groups.is_multiple_of(2) && group + 1 == groups;
        if lane == 0 || last_of_odd {
            // A second one makes the last pair whole.
            let squares = if lane == 0 { squares } else { 0.0 };
            words.set((squares_at(groups) + group + lane) as usize, squares.to_bits());
        }
    }
}

/// The codes of `groups` groups, as an input: a part is there as soon as its owners have given it.
#[derive(Clone, Copy)]
pub struct Codes {
    /// The words.
    pub words: Tagged,
    /// The groups.
    pub groups: u32,
}

impl Input for Codes {
    #[inline(always)]
    unsafe fn part(self, words: [u32; 2], groups: [u32; 2]) -> Part {
        let places = groups.map(|group| (scales_at(self.groups) + 2 * group) as usize);
        // SAFETY: as the caller promises.
        let (words, ends) = unsafe { self.words.words_and_pairs(words.map(|word| word as usize), places) };
        let scales = ends.map(|[scale, _]| f32::from_bits(scale));
        let sums = [0, 1].map(|i| {
            let sums = ends[i][1];
            [sums as i16, (sums >> 16) as i16].map(|sum| scales[i] * f32::from(sum))
        });
        Part { words, scales, sums }
    }
}

/// The words of the residual stream's codes, as the input of attention or of the feed-forward network.
#[inline(always)]
pub(super) fn codes(exchanges: &Exchanges, epoch: u32, feed_forward: bool, watchdog: Watchdog) -> Tagged {
    // A layer has two.
    Tagged::new(exchanges.residual, 2 * epoch + u32::from(feed_forward), Exchange::Residual, watchdog)
}
