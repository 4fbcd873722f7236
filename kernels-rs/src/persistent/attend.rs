//! Attention of a group: its queries and key normalised and turned, its cache read by all its blocks, the parts merged.
//!
//! The keys and values of earlier positions come through the ring, as the weights do: 32 positions in a slot, four for each
//! warp, and eight lanes take a position, 16 elements each. The blocks of the group take slots in turns. A lane keeps a
//! running softmax of its positions; they are merged in the warp, in the block and over the blocks, always in the same
//! order. While the context is short every block does all of it itself, which costs less than an exchange.

use cuda_std::prelude::*;

use super::block::{Block, sync};
use super::exchange::{Exchange, Tagged};
use super::plan::{CONSUMERS, HEAD, PARTIAL_STRIDE, ROW_BYTES, SLOT_POSITIONS, UNIT, WARPS, fixed};
use crate::activation::Vector;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

/// Blocks whose parts a thread waits for together.
const RANKS: usize = 4;

/// Elements of a head that a lane has.
const PER_LANE: usize = 16;

/// A lane's elements of a key and a value: 8 in each half.
#[derive(Clone, Copy)]
struct Rows {
    keys: [U32x4; 2],
    values: [U32x4; 2],
}

impl Rows {
    const ZERO: Self = Self { keys: [U32x4([0; 4]); 2], values: [U32x4([0; 4]); 2] };

    /// This lane's part of a slot.
    ///
    /// # Safety
    /// The slot must have the key and the value of the lane's position.
    #[inline(always)]
    unsafe fn load(slot: shared::Slice<u8>, warp: u32, lane: u32) -> Self {
        let row = (warp * UNIT + lane / 8) * ROW_BYTES;
        // SAFETY: as the caller promises.
        unsafe {
            let pieces = slot.from(row as usize).cast::<U32x4>();
            let values = slot.from((SLOT_POSITIONS * ROW_BYTES + row) as usize).cast::<U32x4>();
            let i = (lane % 8) as usize;
            Self { keys: [pieces.get(i), pieces.get(8 + i)], values: [values.get(i), values.get(8 + i)] }
        }
    }

    /// Takes the next slot; zeros where this lane's position is not `there`.
    ///
    /// # Safety
    /// All lanes must call it; the next slot must have the keys and values that are there.
    #[inline(always)]
    unsafe fn take(b: &mut Block<'_>, there: bool) -> Self {
        let (ring, warp, lane) = (b.ring, b.warp, b.lane);
        // SAFETY: as the caller promises.
        unsafe {
            let load = |slot| if there { Self::load(slot, warp, lane) } else { Self::ZERO };
            b.tiles.take(ring, warp, lane, 0, load)
        }
    }
}

/// Attention, and its result as the input.
///
/// # Safety
/// All threads of all blocks that multiply must call it.
#[inline(always)]
pub unsafe fn attend(b: &mut Block<'_>, layer: u32) {
    // SAFETY: as the plan says.
    unsafe {
        prepare(b, layer);
        sync();
        if b.plan.together() == 4 {
            attend_together::<4>(b);
        } else {
            attend_together::<2>(b);
        }
    }
}

/// The same, `H` heads at a time.
#[inline(always)]
unsafe fn attend_together<const H: usize>(b: &mut Block<'_>) {
    let plan = b.plan;
    let splits = b.splits;
    // SAFETY: as the plan says, for the whole body.
    unsafe {
        let vector = b.next_vector(plan.heads * HEAD);
        // A block of its own, or everybody alike.
        let split = if splits == 1 { 0 } else { b.rank };
        let mut head = 0;
        while head < plan.heads && split < splits {
            look::<H>(b, head, split, splits);
            sync();
            merge_warps::<H>(b, head, splits, vector);
            head += H as u32;
            // The next heads' results go where these were.
            if head < plan.heads {
                sync();
            }
        }
        if splits > 1 {
            merge_blocks(b, splits, vector);
        }
        sync();
    }
}

/// Takes the group's queries, key and value; normalises and turns queries and key; appends key and value to the cache.
/// A warp takes a head.
#[inline(always)]
unsafe fn prepare(b: &Block<'_>, layer: u32) {
    let plan = b.plan;
    // SAFETY: as the plan says; a warp uses elements of its own.
    unsafe {
        let heads = b.at::<F32x2>(b.shared.heads, plan.head_words() / 2);
        let words = b.head_words();
        let half = (HEAD / 2) as usize;
        // Elements `i`, `i + 1` and their partners half a head further on.
        let i = 2 * b.lane as usize;
        let F32x4([cos0, sin0, cos1, sin1]) = b.at(fixed::ROTATION, HEAD / 4).get(b.lane as usize);
        let mut h = b.warp;
        while h < plan.heads + 2 {
            let (is_key, is_value) = (h == plan.heads, h > plan.heads);
            let norms = b.at::<F32x2>(fixed::HEAD_NORMS + u32::from(is_key) * HEAD * 4, HEAD / 2);
            let (F32x2([w0, w1]), F32x2([w2, w3])) = (norms.get(i / 2), norms.get((half + i) / 2));
            let first = (h * HEAD) as usize;
            let [low, high] = words.pairs([first + i, first + half + i]);
            let ([x0, x1], [x2, x3]) = (low.map(f32::from_bits), high.map(f32::from_bits));
            let (mut low, mut high) = ([x0, x1], [x2, x3]);
            if !is_value {
                let squares = x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3;
                let mut factor = float::fast_rsqrt(warp::sum_f32(squares) / HEAD as f32 + plan.eps);
                if !is_key {
                    // The softmax is in powers of 2.
                    factor *= core::f32::consts::LOG2_E * float::fast_rsqrt(HEAD as f32);
                }
                let (x0, x1, x2, x3) =
                    (x0 * w0 * factor, x1 * w1 * factor, x2 * w2 * factor, x3 * w3 * factor);
                low = [x0 * cos0 - x2 * sin0, x1 * cos1 - x3 * sin1];
                high = [x2 * cos0 + x0 * sin0, x3 * cos1 + x1 * sin1];
            }
            if h >= plan.heads {
                // As the cache holds them, here too: half as long as the queries.
                let pair = |p: [f32; 2]| {
                    let [a, b] = p.map(half::f32_to_f16);
                    u32::from(a.to_bits()) | u32::from(b.to_bits()) << 16
                };
                let (low, high) = (pair(low), pair(high));
                if b.rank == 0 {
                    let to = if is_key { b.weights.keys } else { b.weights.values };
                    let row = (layer * plan.groups + b.group) as usize * plan.context as usize;
                    let to = to.add((row + b.position as usize) * HEAD as usize + i).cast::<u32>();
                    global::store(to, low);
                    global::store(to.add(half / 2), high);
                }
                let row = heads.cast::<u32>();
                row.set(first + i / 2, low);
                row.set(first + (half + i) / 2, high);
            } else {
                heads.set((first + i) / 2, F32x2(low));
                heads.set((first + half + i) / 2, F32x2(high));
            }
            h += WARPS;
        }
    }
}

/// A running softmax of a head: the largest score, the sum of weights, and this lane's part of the weighted sums.
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    sum: f32,
    value: [f32; PER_LANE],
}

/// This warp's positions, for `H` heads of the group from `head` on; the result goes to shared memory.
///
/// # Safety
/// All lanes must call it; the ring must have the block's slots next.
#[inline(always)]
unsafe fn look<const H: usize>(b: &mut Block<'_>, head: u32, split: u32, splits: u32) {
    let plan = b.plan;
    let (slot_row, sub) = (b.warp * UNIT + b.lane / 8, (b.lane % 8) as usize);
    let mut running = [Running { max: LOWEST, sum: 0.0, value: [0.0; PER_LANE] }; H];
    // SAFETY: as the plan says.
    unsafe {
        let heads = b.at::<F32x4>(b.shared.heads, plan.head_words() / 4);
        let head_of = |h: usize| ((head + h as u32) * HEAD / 4) as usize;
        let mut slot = split * SLOT_POSITIONS;
        // A warp without positions looks once too, in vain.
        loop {
            let p = slot + slot_row;
            // Nobody looks at what is behind the last position.
            let Rows { mut keys, mut values } =
                if slot < b.position { Rows::take(b, p < b.position) } else { Rows::ZERO };
            slot += splits * SLOT_POSITIONS;
            // The new position has not come through the ring.
            if p == b.position {
                let rows = heads.cast::<U32x4>();
                let (key, value) = ((plan.heads * HEAD / 4) as usize, ((plan.heads + 1) * HEAD / 4) as usize);
                keys = [rows.get(key + sub), rows.get(key + 8 + sub)];
                values = [rows.get(value + sub), rows.get(value + 8 + sub)];
            }
            for h in 0..H {
                let r = &mut running[h];
                let mut dot = 0.0f32;
                for q in 0..4 {
                    let F32x4(x) = heads.get(head_of(h) + 16 * (q / 2) + 2 * sub + q % 2);
                    for e in 0..2 {
                        let k = half::f16x2_to_f32(keys[q / 2].0[2 * (q % 2) + e]);
                        dot = x[2 * e].mul_add(k[0], dot);
                        dot = x[2 * e + 1].mul_add(k[1], dot);
                    }
                }
                dot += warp::shuffle_xor_f32(warp::ALL, dot, 1);
                dot += warp::shuffle_xor_f32(warp::ALL, dot, 2);
                dot += warp::shuffle_xor_f32(warp::ALL, dot, 4);
                let score = if p <= b.position { dot } else { f32::NEG_INFINITY };
                let max = if score > r.max { score } else { r.max };
                let shrink = float::fast_exp2(r.max - max);
                let weight = float::fast_exp2(score - max);
                r.max = max;
                r.sum = r.sum.mul_add(shrink, weight);
                for e in 0..PER_LANE / 2 {
                    let v = half::f16x2_to_f32(values[e / 4].0[e % 4]);
                    r.value[2 * e] = weight.mul_add(v[0], r.value[2 * e] * shrink);
                    r.value[2 * e + 1] = weight.mul_add(v[1], r.value[2 * e + 1] * shrink);
                }
            }
            if slot > b.position {
                break;
            }
        }
        let results = b.at::<F32x4>(b.shared.partials, WARPS * H as u32 * PARTIAL_STRIDE / 4);
        for h in 0..H {
            let merged = merge_slots(running[h], b.lane);
            let base = (b.warp as usize * H + h) * (PARTIAL_STRIDE / 4) as usize;
            // Half a head, a lane's eight, and of those four: as `merge_slots` left them.
            let (half, quarter) = ((b.lane / 16) as usize, (b.lane / 8 % 2) as usize);
            results.set(base + 16 * half + 2 * sub + quarter, F32x4(merged.value));
            if b.lane == 0 {
                results.set(base + (HEAD / 4) as usize, F32x4([merged.max, merged.sum, 0.0, 0.0]));
            }
        }
    }
}

/// The softmax of a warp's positions, a lane with four elements of the head.
struct Merged {
    max: f32,
    sum: f32,
    value: [f32; 4],
}

/// Merges the four positions that a warp looks at together: each step halves the elements that a lane keeps.
#[inline(always)]
fn merge_slots(r: Running, lane: u32) -> Merged {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let max = larger(r.max, warp::shuffle_xor_f32(warp::ALL, r.max, 8));
    let max = larger(max, warp::shuffle_xor_f32(warp::ALL, max, 16));
    let weight = float::fast_exp2(r.max - max);
    let mut sum = r.sum * weight;
    sum += warp::shuffle_xor_f32(warp::ALL, sum, 8);
    sum += warp::shuffle_xor_f32(warp::ALL, sum, 16);
    let (upper, second) = (lane & 16 != 0, lane & 8 != 0);
    let mut eight = [0.0f32; 8];
    for e in 0..8 {
        let (low, high) = (r.value[e] * weight, r.value[8 + e] * weight);
        let (keep, give) = if upper { (high, low) } else { (low, high) };
        eight[e] = keep + warp::shuffle_xor_f32(warp::ALL, give, 16);
    }
    let mut value = [0.0f32; 4];
    for e in 0..4 {
        let (keep, give) = if second { (eight[4 + e], eight[e]) } else { (eight[e], eight[4 + e]) };
        value[e] = keep + warp::shuffle_xor_f32(warp::ALL, give, 8);
    }
    Merged { max, sum, value }
}

/// Merges the warps' results of `H` heads from `head` on: into the result of attention if the block has all positions,
/// otherwise to the group.
#[inline(always)]
unsafe fn merge_warps<const H: usize>(b: &Block<'_>, head: u32, splits: u32, vector: Vector) {
    // SAFETY: as the plan says; the results are complete.
    unsafe {
        let results = b.at::<f32>(b.shared.partials, WARPS * H as u32 * PARTIAL_STRIDE);
        let (mut h, element) = (b.thread / HEAD, b.thread % HEAD);
        // Whole warps have a head.
        while h < H as u32 {
            let of = |warp: u32, i: u32| results.get(((warp * H as u32 + h) * PARTIAL_STRIDE + i) as usize);
            let mut max = LOWEST;
            for warp in 0..WARPS {
                let m = of(warp, HEAD);
                max = if m > max { m } else { max };
            }
            let (mut sum, mut value) = (0.0f32, 0.0f32);
            for warp in 0..WARPS {
                let weight = float::fast_exp2(of(warp, HEAD) - max);
                sum = weight.mul_add(of(warp, HEAD + 1), sum);
                value = weight.mul_add(of(warp, element), value);
            }
            let row = head + h;
            if splits == 1 {
                let group = (row * HEAD + element) / 32;
                vector.set_group(group as usize, b.lane, value * float::fast_reciprocal(sum));
            } else {
                let words = partial(b, b.rank);
                let first = row * (HEAD + 2);
                words.set((first + element) as usize, value.to_bits());
                if element == 0 {
                    words.set((first + HEAD) as usize, max.to_bits());
                    words.set((first + HEAD + 1) as usize, sum.to_bits());
                }
            }
            h += CONSUMERS / HEAD;
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

/// Merges the blocks' parts, an element a thread.
#[inline(always)]
unsafe fn merge_blocks(b: &Block<'_>, splits: u32, vector: Vector) {
    let plan = b.plan;
    // SAFETY: as the plan says.
    unsafe {
        let words = partial(b, 0);
        let mut i = b.thread;
        while i < plan.heads * HEAD {
            let first = i / HEAD * (HEAD + 2);
            let (mut max, mut sum, mut value) = (LOWEST, 0.0f32, 0.0f32);
            let mut rank = 0;
            while rank < splits {
                // Some at a time, the last one again where there are fewer.
                let mut places = [0; 2 * RANKS];
                for r in 0..RANKS {
                    let part = (rank + r as u32).min(splits - 1) * plan.partial_words() + first;
                    places[2 * r] = (part + HEAD) as usize;
                    places[2 * r + 1] = (part + i % HEAD / 2 * 2) as usize;
                }
                let parts = words.pairs(places);
                for r in 0..RANKS {
                    let [m, s] = parts[2 * r].map(f32::from_bits);
                    let [even, odd] = parts[2 * r + 1].map(f32::from_bits);
                    let v = if i.is_multiple_of(2) { even } else { odd };
                    let m = if rank + (r as u32) < splits { m } else { f32::NEG_INFINITY };
                    let larger = if m > max { m } else { max };
                    let (shrink, weight) = (float::fast_exp2(max - larger), float::fast_exp2(m - larger));
                    max = larger;
                    sum = sum.mul_add(shrink, s * weight);
                    value = value.mul_add(shrink, v * weight);
                }
                rank += RANKS as u32;
            }
            // Whole warps: 32 elements each.
            vector.set_group((i / 32) as usize, b.lane, value * float::fast_reciprocal(sum));
            i += CONSUMERS;
        }
    }
}
