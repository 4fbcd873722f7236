//! The results of a block's warps merged, and those of the group's blocks.

use cuda_std::half::{f16x2_to_f32, f32_to_f16x2};
use cuda_std::prelude::*;

use super::LOWEST;
use super::rows::Places;
use crate::activation::Vector;
use crate::persistent::block::Block;
use crate::persistent::exchange::{Exchange, Tagged};
use crate::persistent::plan::{CONSUMERS, HEAD, PART_WORDS, PARTIALS, SLOT_POSITIONS, WARPS};

/// Blocks whose parts a lane waits for together, of four lanes that take turns.
const RANKS: usize = 4;

/// Four elements of a head of the warps' results, merged.
struct Merged {
    max: f32,
    sum: f32,
    value: [f32; 4],
}

impl Merged {
    /// From the first `N` warps' results of a head: of each these elements, and largest score and sum.
    ///
    /// # Safety
    /// The results must be complete.
    #[inline(always)]
    unsafe fn of<const N: usize>(elements: shared::Slice<F32x4>, results: shared::Slice<F32x4>) -> Self {
        let (mut ends, mut values) = ([[0.0f32; 2]; N], [[0.0f32; 4]; N]);
        let mut merged = Self { max: LOWEST, sum: 0.0, value: [0.0; 4] };
        // SAFETY: as the caller promises.
        unsafe {
            for pair in 0..N / 2 {
                let F32x4([max0, sum0, max1, sum1]) = results.get(pair);
                (ends[2 * pair], ends[2 * pair + 1]) = ([max0, sum0], [max1, sum1]);
                merged.max = merged.max.max(max0.max(max1));
            }
            for warp in 0..N {
                F32x4(values[warp]) = elements.get(warp * HEAD as usize / 4);
            }
        }
        for warp in 0..N {
            let weight = float::fast_exp2(ends[warp][0] - merged.max);
            merged.sum = weight.mul_add(ends[warp][1], merged.sum);
            for e in 0..4 {
                merged.value[e] = weight.mul_add(values[warp][e], merged.value[e]);
            }
        }
        merged
    }
}

/// Merges the warps' results of the heads that are looked at together, from `head` on: into the result of attention if the
/// block has all positions, otherwise to the group. A warp has a head, a lane four elements of it. The block's first slot is
/// that from position `slot` on.
///
/// # Safety
/// All threads that multiply must call it; the results must be complete.
#[inline(always)]
pub unsafe fn merge_warps(b: &Block<'_>, places: Places, head: u32, slot: u32, vector: Vector) {
    let together = b.plan.together();
    // Of a single slot the first warps have it all.
    let single = slot + b.splits * SLOT_POSITIONS > b.position;
    if b.warp >= together {
        return;
    }
    // SAFETY: as the plan says; the results are complete.
    unsafe {
        let elements = b.at::<F32x4>(places.merged, PARTIALS / 4);
        let ends = b.at::<F32x4>(b.shared.partials + 4 * (b.warp * PARTIALS + WARPS * HEAD), WARPS / 2);
        let Merged { max, sum, value } = if single {
            Merged::of::<2>(elements, ends)
        } else {
            Merged::of::<{ WARPS as usize }>(elements, ends)
        };
        let factor = float::fast_reciprocal(sum);
        let value = value.map(|value| value * factor);
        let row = head + b.warp;
        if b.splits == 1 {
            vector.set::<4>((row * HEAD + 4 * b.lane) as usize, value, true);
        } else {
            // Computed only where it is needed.
            let words = partial(b, misc::opaque(b.rank));
            let first = (row * PART_WORDS) as usize;
            let [v0, v1, v2, v3] = value;
            words.set(first + 2 * b.lane as usize, f32_to_f16x2([v0, v1]));
            words.set(first + 2 * b.lane as usize + 1, f32_to_f16x2([v2, v3]));
            if b.lane < 2 {
                let end = if b.lane == 0 { max } else { sum };
                words.set(first + (HEAD / 2 + b.lane) as usize, end.to_bits());
            }
        }
    }
}

/// A block's part of the group's attention.
#[inline(always)]
unsafe fn partial(b: &Block<'_>, rank: u32) -> Tagged {
    let first = (b.group * b.plan.blocks + rank) * b.plan.partial_words();
    // SAFETY: the buffer has the words of all blocks.
    let words = unsafe { b.exchanges.partials.add(first as usize) };
    Tagged::new(words, b.epoch, Exchange::Attention, b.watchdog)
}

/// Merges the blocks' parts, an element a thread: four lanes take turns with the blocks, each for the elements of all four.
///
/// # Safety
/// All threads that multiply must call it, of all blocks of the group.
#[inline(always)]
pub unsafe fn merge_blocks(b: &Block<'_>, splits: u32, vector: Vector) {
    const TURNS: u32 = 4;
    let plan = b.plan;
    // SAFETY: as the plan says.
    unsafe {
        let words = partial(b, 0);
        words.rest();
        let mut i = b.thread;
        while i < plan.heads * HEAD {
            let first = i / HEAD * PART_WORDS;
            let (mut max, mut sum, mut value) = (LOWEST, 0.0f32, [0.0f32; TURNS as usize]);
            let mut round = 0;
            while round < splits {
                let rank = |r: usize| round + b.lane % TURNS + TURNS * r as u32;
                // The last one again where there are fewer.
                let mut places = [0; 2 * RANKS];
                for r in 0..RANKS {
                    let part = rank(r).min(splits - 1) * plan.partial_words() + first;
                    places[2 * r] = (part + HEAD / 2) as usize;
                    places[2 * r + 1] = (part + i % HEAD / 4 * 2) as usize;
                }
                let parts = words.pairs(places);
                let mut ends = [[0.0f32; 2]; RANKS];
                let before = max;
                for r in 0..RANKS {
                    let [m, s] = parts[2 * r].map(f32::from_bits);
                    ends[r] = [if rank(r) < splits { m } else { f32::NEG_INFINITY }, s];
                    max = max.max(ends[r][0]);
                }
                let shrink = float::fast_exp2(before - max);
                sum *= shrink;
                value = value.map(|v| v * shrink);
                for r in 0..RANKS {
                    let [m, s] = ends[r];
                    let weight = float::fast_exp2(m - max) * s;
                    sum += weight;
                    let [[v0, v1], [v2, v3]] = parts[2 * r + 1].map(f16x2_to_f32);
                    let v = [v0, v1, v2, v3];
                    for e in 0..TURNS as usize {
                        value[e] = weight.mul_add(v[e], value[e]);
                    }
                }
                round += TURNS * RANKS as u32;
            }
            let mut most = max.max(warp::shuffle_xor_f32(warp::ALL, max, 1));
            most = most.max(warp::shuffle_xor_f32(warp::ALL, most, 2));
            let weight = float::fast_exp2(max - most);
            sum *= weight;
            sum += warp::shuffle_xor_f32(warp::ALL, sum, 1);
            sum += warp::shuffle_xor_f32(warp::ALL, sum, 2);
            // Each step halves the elements that a lane keeps.
            let [v0, v1, v2, v3] = value.map(|v| v * weight);
            let half = |low: f32, high: f32, bit: u32| {
                let (keep, give) = if b.lane & bit == 0 { (low, high) } else { (high, low) };
                keep + warp::shuffle_xor_f32(warp::ALL, give, bit)
            };
            let value = half(half(v0, v2, 2), half(v1, v3, 2), 1);
            // Whole warps: 32 elements each.
            vector.set_group((i / 32) as usize, b.lane, value * float::fast_reciprocal(sum));
            i += CONSUMERS;
        }
    }
}
