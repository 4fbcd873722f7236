//! The residual stream: kept by one warp of each block, 32 elements or so, and given to all blocks as 8-bit codes.
//!
//! The projections that are added to it are sums over the groups, and a word of a sum takes 8 bytes: if every block
//! waited for all of them, the waiting alone would fill the L2 cache's bandwidth. So each element has an owner, which
//! waits for its sum, and gives what everybody needs to everybody: codes, a scale, and a part of the norm.

use cuda_std::prelude::*;

use super::block::at;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{CONSUMERS, Phase, Plan, Shared, WARPS};
use super::{Exchanges, Tokens, Weights};
use crate::activation::{GROUP, GroupCodes, Vector};
use crate::argmax::Best;
use crate::layout::{CHUNK, Kind, Matrix};

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
    // SAFETY: as the caller promises.
    let GroupCodes { word, scale, sums } = unsafe { GroupCodes::of(lane, value) };
    let squares = warp::sum_f32(square);
    // Lanes 1 to 3 and 5 have no word of codes to write.
    let (place, value) = match lane {
        1 => (scales_at(groups) + 2 * group, scale.to_bits()),
        2 => (scales_at(groups) + 2 * group + 1, (sums[0] as u32 & 0xffff) | (sums[1] as u32) << 16),
        3 => (squares_at(groups) + group, squares.to_bits()),
        // Makes the last pair whole.
        5 => (squares_at(groups) + groups, 0),
        _ => (group * CODE_WORDS + lane / 4, word),
    };
    let last_of_odd = lane == 5 && !groups.is_multiple_of(2) && group + 1 == groups;
    if lane.is_multiple_of(4) || lane < 4 || last_of_odd {
        // SAFETY: as the caller promises; each word has one writer.
        unsafe { words.set(place as usize, value) };
    }
}

/// Takes the codes of `groups` groups into `vector`, and their sums of squares into `squares`. A barrier of the block
/// must follow.
///
/// # Safety
/// All threads that multiply must call it.
#[inline(always)]
pub(super) unsafe fn collect(
    words: Tagged,
    groups: u32,
    thread: u32,
    vector: Vector,
    squares: shared::Slice<f32>,
) {
    let (codes, scales, sums_of_squares) = (groups * CODE_WORDS / 2, groups, groups.div_ceil(2));
    let mut i = thread;
    // SAFETY: the words have the groups; each place of the vector has one writer.
    unsafe {
        while i < codes {
            // The first threads wait for the rest as well: whole warps take the same way, but for the last.
            let (is_scale, is_square) = (i < scales, i >= scales && i < scales + sums_of_squares);
            let rest = if is_scale {
                scales_at(groups) + 2 * i
            } else if is_square {
                squares_at(groups) + 2 * (i - scales)
            } else {
                2 * i
            };
            let [code, rest] = words.pairs([2 * i as usize, rest as usize]);
            vector.set_codes(8 * i as usize, code);
            if is_scale {
                let sums = [rest[1] as i16, (rest[1] >> 16) as i16].map(i32::from);
                vector.set_scale(i as usize, f32::from_bits(rest[0]), sums);
            } else if is_square {
                squares.cast::<F32x2>().set((i - scales) as usize, F32x2(rest.map(f32::from_bits)));
            }
            i += CONSUMERS;
        }
    }
}

/// The best of all blocks' candidates.
///
/// # Safety
/// All lanes of a warp must call it.
#[inline(always)]
pub(super) unsafe fn best_of_all(words: Tagged, blocks: u32, lane: u32) -> u32 {
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

/// A chunk of the embedding of a token, into shared memory at `to`. Not inlined: it is needed once a token, by one lane.
///
/// # Safety
/// `data` is a matrix of that kind and shape, with a row for the token.
#[inline(never)]
unsafe fn embed(data: *const u8, kind: Kind, rows: u32, cols: u32, token: u32, chunk: u32, to: u32) {
    let m = Matrix { data, rows, cols, kind, first_block: 0, blocks: 1 };
    // SAFETY: the row and the chunk exist, and there is room for a chunk.
    unsafe {
        let place = at::<F32x4>(to, CHUNK as u32 / 4);
        crate::embed::chunk(&m, token as usize, chunk as usize, |i, four| {
            place.set(i % CHUNK / 4, F32x4(four));
        });
    }
}

/// What the warp knows.
struct Keeper<'a> {
    plan: &'a Plan,
    weights: &'a Weights,
    exchanges: Exchanges,
    watchdog: Watchdog,
    shared: Shared,
    block: u32,
    lane: u32,
}

impl Keeper<'_> {
    /// Does `each` for the groups of elements that this block owns: with the group, and this lane's place among all that
    /// the block owns.
    #[inline(always)]
    fn owned(&self, mut each: impl FnMut(u32, usize)) {
        let (mut group, mut n) = (self.block, 0);
        while group < self.plan.hidden / GROUP as u32 {
            each(group, (32 * n + self.lane) as usize);
            group += self.plan.groups * self.plan.blocks;
            n += 1;
        }
    }

    /// Waits for a projection's sums, adds them, and gives the elements, normalised with `norm`, to all blocks.
    #[inline(always)]
    unsafe fn step(&self, epoch: u32, phase: Phase, norm: *const f32) {
        let output = phase == Phase::GateUp;
        let (words, exchange) = if output {
            (self.exchanges.output, Exchange::Output)
        } else {
            (self.exchanges.down, Exchange::Down)
        };
        let owned = self.plan.owned_groups() * GROUP as u32;
        // SAFETY: as the plan says; a lane uses elements of its own.
        unsafe {
            let elements = at::<f32>(self.shared.residual, owned);
            let seen = at::<u64>(self.shared.seen + u32::from(output) * owned * 8, owned);
            let sums = Sums { words, contributions: self.plan.groups };
            let codes = codes(&self.exchanges, epoch, output, self.watchdog);
            self.owned(|group, mine| {
                let i = group as usize * GROUP + self.lane as usize;
                let weight = global::load(norm.add(i), ReadOnly);
                let (now, added) = sums.wait(i, seen.get(mine), epoch, exchange, self.watchdog);
                seen.set(mine, now);
                let x = elements.get(mine) + added;
                elements.set(mine, x);
                publish(codes, (group, self.plan.hidden / GROUP as u32), self.lane, x * weight, x * x);
            });
        }
    }

    /// The elements of a token's embedding, normalised with `norm`, for all blocks.
    #[inline(always)]
    unsafe fn begin(&self, epoch: u32, token: u32, norm: *const f32) {
        let owned = self.plan.owned_groups() * GROUP as u32;
        let m = &self.weights.embedding;
        // SAFETY: as the plan says; the scratch place is this warp's.
        unsafe {
            let elements = at::<f32>(self.shared.residual, owned);
            let row = at::<f32>(self.shared.embedded, CHUNK as u32);
            let codes = codes(&self.exchanges, epoch, false, self.watchdog);
            self.owned(|group, mine| {
                let i = group as usize * GROUP + self.lane as usize;
                let weight = global::load(norm.add(i), ReadOnly);
                if self.lane == 0 {
                    let chunk = (i / CHUNK) as u32;
                    embed(m.data, m.kind, m.rows, m.cols, token, chunk, self.shared.embedded);
                }
                warp::sync_warp(warp::ALL);
                let x = row.get(i % CHUNK);
                elements.set(mine, x);
                publish(codes, (group, self.plan.hidden / GROUP as u32), self.lane, x * weight, x * x);
                warp::sync_warp(warp::ALL);
            });
        }
    }
}

/// The words of the residual stream's codes, as the input of attention or of the feed-forward network.
#[inline(always)]
pub(super) fn codes(exchanges: &Exchanges, epoch: u32, feed_forward: bool, watchdog: Watchdog) -> Tagged {
    // A layer has two.
    Tagged::new(exchanges.residual, 2 * epoch + u32::from(feed_forward), Exchange::Residual, watchdog)
}

/// Keeps this block's part of the residual stream through all tokens.
///
/// # Safety
/// One warp must call it.
#[inline(always)]
pub(super) unsafe fn keep(
    plan: &Plan,
    shared: Shared,
    weights: &Weights,
    exchanges: Exchanges,
    tokens: &Tokens,
    watchdog: Watchdog,
) {
    let (block, lane) = (thread::block_idx_x(), thread::thread_idx_x() % 32);
    let keeper = Keeper { plan, weights, exchanges, watchdog, shared, block, lane };
    let blocks = plan.groups * plan.blocks;
    let norm = |index: u32| weights.norms.wrapping_add((index * plan.hidden) as usize);
    // SAFETY: as for the kernel.
    unsafe {
        let seen = at::<u64>(shared.seen, 2 * plan.owned_groups() * GROUP as u32);
        let mut i = lane as usize;
        while i < seen.len() {
            seen.set(i, 0);
            i += 32;
        }
        warp::sync_warp(warp::ALL);
        let mut token = global::load(tokens.ids.add(tokens.start as usize), L2);
        let (mut epoch, mut done) = (tokens.epoch, 0);
        loop {
            epoch += 1;
            keeper.begin(epoch, token, norm(0));
            let mut layer = 0;
            while layer < plan.layers {
                keeper.step(epoch, Phase::GateUp, norm(2 * layer + 1));
                layer += 1;
                epoch += 1;
                keeper.step(epoch, Phase::Heads, norm(2 * layer));
            }
            done += 1;
            if done == tokens.count {
                return;
            }
            let next = tokens.start + done;
            // Also where the token is known: all blocks have what they need of this one's codes then.
            token = best_of_all(Tagged::new(exchanges.best, epoch, Exchange::Best, watchdog), blocks, lane);
            if next < tokens.known {
                token = global::load(tokens.ids.add(next as usize), L2);
            }
        }
    }
}

/// The warp that keeps the residual stream.
pub const WARP: u32 = WARPS + 1;
