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

/// Words of a group of 32 elements: 8 of codes, the scale, the sums of the sixteens' codes, the sum of squares, and one
/// that makes pairs.
pub const GROUP_WORDS: u32 = 12;

/// Pairs of words of a group.
const PAIRS: u32 = GROUP_WORDS / 2;

/// Gives a group's elements to all blocks, in codes: a lane has element `value`, and `square` to the sum of squares.
///
/// # Safety
/// All lanes must call it, and the words must have the group.
#[inline(always)]
unsafe fn publish(words: Tagged, group: u32, lane: u32, value: f32, square: f32) {
    // SAFETY: as the caller promises.
    let GroupCodes { word, scale, sum } = unsafe { GroupCodes::of(lane, value) };
    let other = warp::shuffle_xor(warp::ALL, sum as u32, 16);
    let squares = warp::sum_f32(square);
    // Lanes 1 to 3 and 5 have no word of codes to write; they are of the first sixteen.
    let (index, value) = match lane {
        1 => (8, scale.to_bits()),
        2 => (9, (sum as u32 & 0xffff) | other << 16),
        3 => (10, squares.to_bits()),
        5 => (11, 0),
        _ => (lane / 4, word),
    };
    if lane.is_multiple_of(4) || lane < 4 || lane == 5 {
        // SAFETY: as the caller promises; each word has one writer.
        unsafe { words.set((group * GROUP_WORDS + index) as usize, value) };
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
    /// Pairs that a thread waits for together.
    const TOGETHER: usize = 2;
    let all = groups * PAIRS;
    let mut first = thread;
    // SAFETY: the words have the groups; each place of the vector has one writer.
    unsafe {
        while first < all {
            let pair = |n: usize| first + n as u32 * CONSUMERS;
            let mut places = [0; TOGETHER];
            for n in 0..TOGETHER {
                // The first one again, where there are fewer.
                places[n] = 2 * if pair(n) < all { pair(n) } else { first } as usize;
            }
            let values = words.pairs(places);
            for n in 0..TOGETHER {
                if pair(n) < all {
                    let (group, part) = (pair(n) / PAIRS, pair(n) % PAIRS);
                    let [a, b] = values[n];
                    match part {
                        0..4 => vector.set_codes(group as usize * GROUP + 8 * part as usize, [a, b]),
                        4 => {
                            let sums = [b as i16, (b >> 16) as i16].map(i32::from);
                            vector.set_scale(group as usize, f32::from_bits(a), sums);
                        }
                        _ => squares.set(group as usize, f32::from_bits(a)),
                    }
                }
            }
            first += TOGETHER as u32 * CONSUMERS;
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
                publish(codes, group, self.lane, x * weight, x * x);
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
                publish(codes, group, self.lane, x * weight, x * x);
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
                keeper.step(epoch, Phase::Query, norm(2 * layer));
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
