//! Attention of a group: its queries and key normalised and turned, its cache read by all its blocks, the parts merged.
//!
//! The keys and values of earlier positions come through the ring, as the weights do: 32 positions in a slot, four for each
//! warp, and eight lanes take a position, 16 elements each. The blocks of the group take slots in turns. A lane keeps a
//! running softmax of its positions; they are merged in the warp, in the block and over the blocks, always in the same
//! order. While the context is short every block does all of it itself, which costs less than an exchange.

use cuda_std::prelude::*;

use super::block::{Block, sync};
use super::exchange::{Exchange, Tagged};
use super::plan::{
    CONSUMERS, HEAD, PART_WORDS, PARTIAL_STRIDE, ROW_BYTES, SLOT_POSITIONS, UNIT, WARPS, fixed,
};
use crate::activation::Vector;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

/// Blocks whose parts a lane waits for together, of four lanes that take turns.
const RANKS: usize = 4;

/// Elements of a head that a lane has.
const PER_LANE: usize = 16;

/// The larger one; the first if one is no number.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Two floats as the halves of a word.
#[inline(always)]
fn pack(pair: [f32; 2]) -> u32 {
    let [low, high] = pair.map(half::f32_to_f16);
    u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16
}

/// Where a position's key and its value begin.
#[derive(Clone, Copy)]
struct Place {
    key: shared::Slice<U32x4>,
    value: shared::Slice<U32x4>,
}

impl Place {
    /// The place of a slot's row.
    ///
    /// # Safety
    /// The slot must have positions, and be as long as it may get.
    #[inline(always)]
    unsafe fn of_slot(slot: shared::Slice<u8>, row: u32) -> Self {
        let row = (row * ROW_BYTES) as usize;
        // SAFETY: as the caller promises; rows are aligned to 256 bytes.
        unsafe {
            let value = (SLOT_POSITIONS * ROW_BYTES) as usize + row;
            Self { key: slot.from(row).cast(), value: slot.from(value).cast() }
        }
    }

    /// The place of the new position, where [`prepare`] put it.
    #[inline(always)]
    unsafe fn new(b: &Block<'_>) -> Self {
        // SAFETY: as the plan says.
        unsafe {
            let heads = b.at::<U32x4>(b.shared.heads, b.plan.head_words() / 4);
            let row = |head: u32| heads.from((head * HEAD / 4) as usize);
            Self { key: row(b.plan.heads), value: row(b.plan.heads + 1) }
        }
    }
}

/// A lane's elements of a key and a value: 8 in each half.
#[derive(Clone, Copy)]
struct Rows {
    keys: [U32x4; 2],
    values: [U32x4; 2],
}

impl Rows {
    /// Those of a position.
    ///
    /// # Safety
    /// The place must have them.
    #[inline(always)]
    unsafe fn load(Place { key, value }: Place, lane: u32) -> Self {
        let i = (lane % 8) as usize;
        // SAFETY: as the caller promises.
        unsafe { Self { keys: [key.get(i), key.get(8 + i)], values: [value.get(i), value.get(8 + i)] } }
    }

    /// Takes the next slot, of which all positions are there.
    ///
    /// # Safety
    /// All lanes must call it; the ring must have such a slot next.
    #[inline(always)]
    unsafe fn take(b: &mut Block<'_>, row: u32) -> Self {
        let (ring, warp, lane) = (b.ring, b.warp, b.lane);
        // SAFETY: as the caller promises.
        unsafe { b.tiles.take(ring, warp, lane, 0, |slot| Self::load(Place::of_slot(slot, row), lane)) }
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
        words.rest();
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
                let (low, high) = (pack(low), pack(high));
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

impl Running {
    const NONE: Self = Self { max: LOWEST, sum: 0.0, value: [0.0; PER_LANE] };
}

/// This lane's part of `H` heads' queries. Only of so few that there are registers to keep them in.
struct Queries<const H: usize> {
    heads: shared::Slice<F32x4>,
    first: usize,
    kept: [[F32x4; PER_LANE / 4]; H],
}

impl<const H: usize> Queries<H> {
    const KEPT: bool = H <= 2;

    /// Those of the heads from `head` on.
    ///
    /// # Safety
    /// The queries must be complete.
    #[inline(always)]
    unsafe fn new(b: &Block<'_>, head: u32) -> Self {
        // SAFETY: as the plan says.
        unsafe {
            let heads = b.at::<F32x4>(b.shared.heads, b.plan.head_words() / 4);
            let first = (head * HEAD / 4 + 2 * (b.lane % 8)) as usize;
            let mut this = Self { heads, first, kept: [[F32x4([0.0; 4]); PER_LANE / 4]; H] };
            if Self::KEPT {
                for h in 0..H {
                    for q in 0..PER_LANE / 4 {
                        this.kept[h][q] = this.load(h, q);
                    }
                }
            }
            this
        }
    }

    #[inline(always)]
    unsafe fn load(&self, h: usize, q: usize) -> F32x4 {
        // SAFETY: as for `new`.
        unsafe { self.heads.get(self.first + h * HEAD as usize / 4 + 16 * (q / 2) + q % 2) }
    }

    /// The scores of the positions of `U` units: the lanes of a position all get its score.
    ///
    /// # Safety
    /// All lanes must call it.
    #[inline(always)]
    unsafe fn scores<const U: usize>(&self, rows: &[Rows; U]) -> [[f32; U]; H] {
        let mut scores = [[0.0f32; U]; H];
        for q in 0..PER_LANE / 4 {
            for h in 0..H {
                // SAFETY: as for `new`.
                let F32x4(x) = if Self::KEPT { self.kept[h][q] } else { unsafe { self.load(h, q) } };
                for u in 0..U {
                    for e in 0..2 {
                        let k = half::f16x2_to_f32(rows[u].keys[q / 2].0[2 * (q % 2) + e]);
                        scores[h][u] = x[2 * e].mul_add(k[0], scores[h][u]);
                        scores[h][u] = x[2 * e + 1].mul_add(k[1], scores[h][u]);
                    }
                }
            }
        }
        for bit in 0..3 {
            for h in 0..H {
                for u in 0..U {
                    scores[h][u] += warp::shuffle_xor_f32(warp::ALL, scores[h][u], 1 << bit);
                }
            }
        }
        scores
    }
}

/// Takes the lane's positions of `U` units into the heads' softmax: what does not depend on each other side by side.
#[inline(always)]
fn accumulate<const H: usize, const U: usize>(
    running: &mut [Running; H],
    scores: [[f32; U]; H],
    rows: &[Rows; U],
) {
    let (mut shrinks, mut weights) = ([0.0f32; H], [[0.0f32; U]; H]);
    for h in 0..H {
        let r = &mut running[h];
        let mut max = r.max;
        for u in 0..U {
            max = larger(max, scores[h][u]);
        }
        shrinks[h] = float::fast_exp2(r.max - max);
        r.max = max;
        r.sum *= shrinks[h];
        for u in 0..U {
            weights[h][u] = float::fast_exp2(scores[h][u] - max);
            r.sum += weights[h][u];
        }
    }
    // Nested: loops so short are unrolled before arrays become registers.
    for q in 0..2 {
        for w in 0..PER_LANE / 4 {
            let v: [[f32; 2]; U] = core::array::from_fn(|u| half::f16x2_to_f32(rows[u].values[q].0[w]));
            for h in 0..H {
                for e in 0..2 {
                    let value = &mut running[h].value[8 * q + 2 * w + e];
                    *value *= shrinks[h];
                    for u in 0..U {
                        *value = weights[h][u].mul_add(v[u][e], *value);
                    }
                }
            }
        }
    }
}

/// This warp's positions, for `H` heads of the group from `head` on; the result goes to shared memory.
///
/// # Safety
/// All lanes must call it; the ring must have the block's slots next.
#[inline(always)]
unsafe fn look<const H: usize>(b: &mut Block<'_>, head: u32, split: u32, splits: u32) {
    let row = b.warp * UNIT + b.lane / 8;
    let mut running = [Running::NONE; H];
    // SAFETY: as the plan says.
    unsafe {
        let queries = Queries::<H>::new(b, head);
        let (mut slot, stride) = (split * SLOT_POSITIONS, splits * SLOT_POSITIONS);
        // Two slots at a time, as long as they are full: a warp alone does not hide the latency of one's steps. More than
        // two heads do.
        while H <= 2 && slot + stride + SLOT_POSITIONS <= b.position {
            let rows = [Rows::take(b, row), Rows::take(b, row)];
            slot += 2 * stride;
            let scores = queries.scores(&rows);
            accumulate(&mut running, scores, &rows);
        }
        while slot <= b.position {
            let p = slot + row;
            // The new position has not come through the ring, and what is behind it counts nothing.
            let mut place = Place::new(b);
            if slot < b.position {
                let (ring, warp, lane) = (b.ring, b.warp, b.lane);
                let slot = b.tiles.take(ring, warp, lane, 0, |slot| slot);
                place = if p < b.position { Place::of_slot(slot, row) } else { place };
            }
            slot += stride;
            let rows = [Rows::load(place, b.lane)];
            let mut scores = queries.scores(&rows);
            for [score] in &mut scores {
                *score = if p <= b.position { *score } else { f32::NEG_INFINITY };
            }
            accumulate(&mut running, scores, &rows);
        }
        let results = b.at::<F32x4>(b.shared.partials, WARPS * H as u32 * PARTIAL_STRIDE / 4);
        for h in 0..H {
            let merged = merge_slots(running[h], b.lane);
            let base = (b.warp as usize * H + h) * (PARTIAL_STRIDE / 4) as usize;
            // Half a head, a lane's eight, and of those four: as `merge_slots` left them.
            let sub = (b.lane % 8) as usize;
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
            let mut ends = [[0.0f32; 2]; WARPS as usize];
            let (mut max, mut sum, mut value) = (LOWEST, 0.0f32, 0.0f32);
            for warp in 0..WARPS as usize {
                let first = (warp * H + h as usize) * PARTIAL_STRIDE as usize;
                F32x2(ends[warp]) = results.cast::<F32x2>().get((first + HEAD as usize) / 2);
                max = larger(max, ends[warp][0]);
            }
            for warp in 0..WARPS as usize {
                let first = (warp * H + h as usize) * PARTIAL_STRIDE as usize;
                let weight = float::fast_exp2(ends[warp][0] - max);
                sum = weight.mul_add(ends[warp][1], sum);
                value = weight.mul_add(results.get(first + element as usize), value);
            }
            let value = value * float::fast_reciprocal(sum);
            let row = head + h;
            if splits == 1 {
                vector.set_group(((row * HEAD + element) / 32) as usize, b.lane, value);
            } else {
                let next = warp::shuffle_xor_f32(warp::ALL, value, 1);
                let words = partial(b, b.rank);
                let first = row * PART_WORDS;
                if element.is_multiple_of(2) {
                    words.set((first + element / 2) as usize, pack([value, next]));
                }
                if element < 2 {
                    let end = if element == 0 { max } else { sum };
                    words.set((first + HEAD / 2 + element) as usize, end.to_bits());
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

/// Merges the blocks' parts, an element a thread: four lanes take turns with the blocks, each for the elements of all four.
#[inline(always)]
unsafe fn merge_blocks(b: &Block<'_>, splits: u32, vector: Vector) {
    const TURNS: u32 = 4;
    let plan = b.plan;
    // SAFETY: as the plan says.
    unsafe {
        let words = partial(b, 0);
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
                    max = larger(max, ends[r][0]);
                }
                let shrink = float::fast_exp2(before - max);
                sum *= shrink;
                value = value.map(|v| v * shrink);
                for r in 0..RANKS {
                    let [m, s] = ends[r];
                    let weight = float::fast_exp2(m - max) * s;
                    sum += weight;
                    let [[v0, v1], [v2, v3]] = parts[2 * r + 1].map(half::f16x2_to_f32);
                    let v = [v0, v1, v2, v3];
                    for e in 0..TURNS as usize {
                        value[e] = weight.mul_add(v[e], value[e]);
                    }
                }
                round += TURNS * RANKS as u32;
            }
            let mut most = larger(max, warp::shuffle_xor_f32(warp::ALL, max, 1));
            most = larger(most, warp::shuffle_xor_f32(warp::ALL, most, 2));
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
