//! The residual stream: kept by one warp of each block, 32 elements or so, and given to all blocks as 8-bit codes.
//!
//! The projections that are added to it are sums over the groups, and a word of a sum takes 8 bytes: if every block
//! waited for all of them, the waiting alone would fill the L2 cache's bandwidth. So each element has an owner, which
//! waits for its sum, and gives what everybody needs to everybody: codes, a scale, and a part of the norm.
//!
//! The norm's factor is the same for all elements, so it is left to the results: the warps that multiply begin with the
//! codes, while this one adds the parts of the norm up for them. And it has the time to fetch for attention what comes from
//! far away and is known early.

use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;

use super::block::at;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{HEAD, Phase, Plan, Shared, WARPS, fixed};
use super::tile::{Input, Part};
use super::{Exchanges, Tokens, Weights};
use crate::activation::{GROUP, GroupCodes};
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
    pub(super) unsafe fn give(&mut self, factor: f32) {
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
    factors: Factors,
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

    /// Adds up what all blocks say of the norm, and gives its factor to this block's warps: `1 / sqrt(mean(x^2) + eps)`.
    #[inline(always)]
    unsafe fn norm(&mut self, words: Tagged) {
        let groups = self.plan.hidden / GROUP as u32;
        let (mut sum, mut i) = (0.0f32, self.lane);
        // SAFETY: the words have the groups.
        unsafe {
            while i < groups.div_ceil(2) {
                let [[a, b]] = words.pairs([(squares_at(groups) + 2 * i) as usize]);
                sum += f32::from_bits(a) + f32::from_bits(b);
                i += 32;
            }
            let mean = warp::sum_f32(sum) * float::fast_reciprocal(self.plan.hidden as f32);
            let factor = float::fast_rsqrt(mean + self.plan.eps);
            // What attention needs lies before the factor.
            warp::sync_warp(warp::ALL);
            if self.lane == 0 {
                self.factors.give(factor);
            }
        }
    }

    /// This lane's part of the norms of a layer's queries and keys; behind the last layer of the last layer's.
    #[inline(always)]
    unsafe fn head_norms(&self, layer: u32) -> [F32x4; 2] {
        let i = layer.min(self.plan.layers - 1) * HEAD + 4 * self.lane;
        // SAFETY: every layer has norms, which are aligned to 16 bytes.
        [self.weights.q_norms, self.weights.k_norms]
            .map(|norms| unsafe { global::load(norms.add(i as usize).cast(), ReadOnly) })
    }

    /// Puts them where attention looks for them. The layer before is done with its own: its results are in the sums.
    #[inline(always)]
    unsafe fn keep_head_norms(&self, [q, k]: [F32x4; 2]) {
        // SAFETY: the launch has the plan's shared memory.
        unsafe {
            let places = at::<F32x4>(fixed::HEAD_NORMS, 2 * HEAD / 4);
            places.set(self.lane as usize, q);
            places.set(self.lane as usize + 32, k);
        }
    }

    /// Waits for a projection's sums, adds them, and gives the elements, normalised with `norm`, to all blocks: as the
    /// input of `phase` of `layer`.
    #[inline(always)]
    unsafe fn step(&mut self, epoch: u32, phase: Phase, layer: u32, norm: *const f32) {
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
            let head_norms = self.head_norms(layer);
            self.owned(|group, mine| {
                let i = group as usize * GROUP + self.lane as usize;
                let weight = global::load(norm.add(i), ReadOnly);
                let (now, added) = sums.wait(i, seen.get(mine), epoch, exchange, self.watchdog);
                seen.set(mine, now);
                let x = elements.get(mine) + added;
                elements.set(mine, x);
                publish(codes, (group, self.plan.hidden / GROUP as u32), self.lane, x * weight, x * x);
            });
            if !output {
                self.keep_head_norms(head_norms);
            }
            self.norm(codes);
        }
    }

    /// The elements of the embedding of a token, which is at `position`, normalised with `norm`, for all blocks.
    #[inline(always)]
    unsafe fn begin(&mut self, epoch: u32, token: u32, position: u32, norm: *const f32) {
        let owned = self.plan.owned_groups() * GROUP as u32;
        let m = &self.weights.embedding;
        // SAFETY: as the plan says; the scratch place is this warp's.
        unsafe {
            let elements = at::<f32>(self.shared.residual, owned);
            let row = at::<f32>(self.shared.embedded, CHUNK as u32);
            let codes = codes(&self.exchanges, epoch, false, self.watchdog);
            let rotation = self.weights.rope.add((position * HEAD / 2 + 2 * self.lane) as usize);
            let rotation = global::load(rotation.cast::<F32x4>(), ReadOnly);
            let head_norms = self.head_norms(0);
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
            at::<F32x4>(fixed::ROTATION, HEAD / 4).set(self.lane as usize, rotation);
            self.keep_head_norms(head_norms);
            self.norm(codes);
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
    // SAFETY: the launch has the plan's shared memory.
    let factors = unsafe { Factors::new() };
    let mut keeper = Keeper { plan, weights, exchanges, watchdog, shared, factors, block, lane };
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
            keeper.begin(epoch, token, tokens.start + done, norm(0));
            let mut layer = 0;
            while layer < plan.layers {
                keeper.step(epoch, Phase::GateUp, layer, norm(2 * layer + 1));
                layer += 1;
                epoch += 1;
                keeper.step(epoch, Phase::Heads, layer, norm(2 * layer));
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
