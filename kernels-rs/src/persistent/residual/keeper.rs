//! The warp that keeps a block's elements of the residual stream through all tokens.

use cuda_std::prelude::*;

use super::{Factors, codes, publish, squares_at};
use crate::activation::GROUP;
use crate::layout::{CHUNK, Kind, Matrix};
use crate::persistent::block::at;
use crate::persistent::choice::best_of_all;
use crate::persistent::exchange::{Exchange, Sums, Tagged, Watchdog};
use crate::persistent::plan::{HEAD, Phase, Plan, Shared, fixed};
use crate::persistent::{Exchanges, Tokens, Weights};

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

/// Keeps this block's part of the residual stream through all tokens.
///
/// # Safety
/// One warp must call it.
#[inline(always)]
pub unsafe fn keep(
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
