//! Attention of a group: its queries and key normalised and turned, its cache read by all its blocks, the parts merged.
//!
//! The keys and values of earlier positions come through the ring, as the weights do: 32 positions in a slot, of which the
//! blocks of the group take some in turns, and of a block's two warps each: 16 positions for a warp at a time. Both the
//! scores and the weighted sums are products of the tensor cores (`mma.m16n8k16`, `f16` with sums in `f32`):
//!
//! | | left | right | result |
//! |---|---|---|---|
//! | scores | 16 keys, 16 elements a product | queries | position by head |
//! | sums | 16 elements of the values, transposed, 16 positions | weights | element by head |
//!
//! There is room for 8 vectors on the right. A query and a weight are two of them, an `f16` and what it leaves, so that
//! they lose nothing that the sums keep: lane `4 g + t` gets both parts of head `t`, and adds them. With fewer than four
//! heads the same ones are there again.
//!
//! A warp keeps a running softmax of its positions; they are merged in the block and over the blocks, always in the same
//! order. While the context is short every block does all of it itself, which costs less than an exchange.

use cuda_std::half::{f16x2_to_f32, f32_to_f16x2};
use cuda_std::mma::{load_x4_transposed, m16n8k16_f16};
use cuda_std::prelude::*;

use super::block::{Block, sync};
use super::exchange::{Exchange, Tagged};
use super::plan::{
    CONSUMERS, HEAD, PART_WORDS, PARTIAL_STRIDE, ROW_BYTES, SLOT_POSITIONS, STEP, WARPS, fixed,
};
use crate::activation::Vector;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

/// Weights are that power of 2 larger: the largest is within the range of an `f16`, and small ones do not vanish.
const LARGEST: f32 = 15.0;

/// Blocks whose parts a lane waits for together, of four lanes that take turns.
const RANKS: usize = 4;

/// Pieces of 16 bytes of a key or a value.
const PIECES: u32 = ROW_BYTES / 16;

/// Elements of a value that a product gives sums of.
const TILE: u32 = 16;

/// The larger one; the first if one is no number.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Where a piece of a row lies, in pieces: in another order in each of eight rows, so that lanes that read one of several
/// rows each read from different banks: a piece of eight in a sequence, or four even or odd ones of two, whose numbers differ
/// in one of the two lowest bits. The rows of a slot are of positions with the same remainder.
#[inline(always)]
const fn turned(row: u32, piece: u32) -> usize {
    // A Gray code.
    (piece ^ (row ^ row >> 1) % 8) as usize
}

/// The rows of a slot's keys and values, and the new position's.
#[derive(Clone, Copy)]
struct Rows {
    slot: shared::Slice<U32x4>,
    /// What [`prepare`] made.
    new: shared::Slice<U32x4>,
    /// Rows that the slot has.
    there: u32,
}

impl Rows {
    /// A row of the keys.
    ///
    /// # Safety
    /// The slot must be as long as it may get, and have the rows.
    #[inline(always)]
    unsafe fn key(self, row: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.row(row, 0) }
    }

    /// A row of the values.
    ///
    /// # Safety
    /// As for [`key`](Self::key).
    #[inline(always)]
    unsafe fn value(self, row: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.row(row, 1) }
    }

    /// A row of the keys or the values. Behind the slot's last it is the new position's, so that what is counted with a
    /// weight of nothing is a number.
    #[inline(always)]
    unsafe fn row(self, row: u32, which: u32) -> shared::Slice<U32x4> {
        // SAFETY: as for `key`.
        unsafe {
            if row < self.there {
                self.slot.from(((which * SLOT_POSITIONS + row) * PIECES) as usize)
            } else {
                self.new.from((which * PIECES) as usize)
            }
        }
    }
}

/// Attention, and its result as the input.
///
/// # Safety
/// All threads of all blocks that multiply must call it.
#[inline(always)]
pub unsafe fn attend(b: &mut Block<'_>, layer: u32) {
    let plan = b.plan;
    let splits = b.splits;
    // SAFETY: as the plan says, for the whole body.
    unsafe {
        prepare(b, layer);
        sync();
        let vector = b.next_vector(plan.heads * HEAD);
        // A block of its own, or everybody alike.
        let split = if splits == 1 { 0 } else { b.rank };
        let mut head = 0;
        while head < plan.heads && split < splits {
            look(b, head, split, splits);
            sync();
            merge_warps(b, head, split, splits, vector);
            head += plan.together();
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
        let rows = b.at::<u32>(b.shared.heads, plan.head_rows() * ROW_BYTES / 4);
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
            let (first, second) = (f32_to_f16x2(low), f32_to_f16x2(high));
            // A lane's word of a row's first half, and as far into the second one.
            let place = |row: u32| (4 * turned(row, b.lane / 4)) as u32 + b.lane % 4;
            let keep = |row: u32, place: u32, first: u32, second: u32| {
                let at = (row * ROW_BYTES / 4 + place) as usize;
                rows.set(at, first);
                rows.set(at + half / 2, second);
            };
            if h >= plan.heads {
                // As in the cache.
                let place = place(b.position);
                keep(plan.heads + h, place, first, second);
                if b.rank == 0 {
                    let to = if is_key { b.weights.keys } else { b.weights.values };
                    let row = (layer * plan.groups + b.group) as usize * plan.context as usize;
                    let to = to.add((row + b.position as usize) * HEAD as usize).cast::<u32>();
                    global::store(to.add(place as usize), first);
                    global::store(to.add(place as usize + half / 2), second);
                }
            } else {
                // What the halves of the words leave.
                let rest = |[x, y]: [f32; 2], word: u32| {
                    let [a, b] = f16x2_to_f32(word);
                    f32_to_f16x2([x - a, y - b])
                };
                keep(2 * h, place(2 * h), first, second);
                keep(2 * h + 1, place(2 * h + 1), rest(low, first), rest(high, second));
            }
            h += WARPS;
        }
    }
}

/// A lane's part of the queries of the heads that are looked at together: of column `g`, the elements that it multiplies with
/// those of its keys.
///
/// # Safety
/// The queries must be complete.
#[inline(always)]
unsafe fn queries(b: &Block<'_>, head: u32) -> [U32x4; 4] {
    let row = 2 * head + b.lane / 4 % (2 * b.plan.together());
    // SAFETY: as the plan says.
    unsafe {
        let rows = b.at::<U32x4>(b.shared.heads, b.plan.head_rows() * PIECES);
        pieces(rows.from((row * PIECES) as usize), row, b.lane)
    }
}

/// A lane's pieces of a row of queries or keys: two neighbouring ones of each half, its fourth of the elements. Which element
/// is where in a product does not matter, as long as it is the same on both sides.
///
/// # Safety
/// The row must be complete.
#[inline(always)]
unsafe fn pieces(at: shared::Slice<U32x4>, row: u32, lane: u32) -> [U32x4; 4] {
    let mut pieces = [U32x4([0; 4]); 4];
    for i in 0..4 {
        let piece = PIECES / 2 * (i as u32 / 2) + lane % 4 * 2 + i as u32 % 2;
        // SAFETY: as the caller promises.
        pieces[i] = unsafe { at.get(turned(row, piece)) };
    }
    pieces
}

/// A running softmax: of head `t` the largest score, the sum of this lane's weights, and the weighted sums of elements `g`
/// and `g + 8` of each tile, of the weights' two parts.
struct Running {
    max: f32,
    sum: f32,
    values: [[f32; 4]; (HEAD / TILE) as usize],
}

impl Running {
    const NONE: Self = Self { max: LOWEST, sum: 0.0, values: [[0.0; 4]; (HEAD / TILE) as usize] };

    /// Takes in the positions of rows `first` to `first + 15`, as far as they are there.
    ///
    /// # Safety
    /// All lanes must call it. The rows must be complete.
    #[inline(always)]
    unsafe fn step(&mut self, queries: &[U32x4; 4], rows: Rows, first: u32, lane: u32) {
        let (g, t) = (lane / 4, lane % 4);
        // Rows `g` and `g + 8` of the products are neighbouring positions, whose weights share a word.
        let row = first + 2 * g;
        // SAFETY: as the caller promises.
        let keys = unsafe { [row, row + 1].map(|row| pieces(rows.key(row), row, lane)) };
        let mut scores = [[0.0f32; 4]; 4];
        for i in 0..4 {
            for half in 0..2 {
                let of = |piece: U32x4| [piece.0[2 * half], piece.0[2 * half + 1]];
                let ([a, c], [b, d]) = (of(keys[0][i]), of(keys[1][i]));
                scores[i] = m16n8k16_f16([a, b, c, d], of(queries[i]), scores[i]);
            }
        }
        let mut score = [0.0f32; 2];
        for i in 0..2 {
            let both = |part: usize| scores[part][2 * i] + scores[part][2 * i + 1];
            let sum = (both(0) + both(1)) + (both(2) + both(3));
            score[i] = if row + i as u32 <= rows.there { sum } else { f32::NEG_INFINITY };
        }
        let mut max = larger(score[0], score[1]);
        for bit in 2..5 {
            max = larger(max, warp::shuffle_xor_f32(warp::ALL, max, 1 << bit));
        }
        max = larger(self.max, max);
        let shrink = float::fast_exp2(self.max - max);
        let weights = score.map(|score| float::fast_exp2(score - (max - LARGEST)));
        self.max = max;
        self.sum = self.sum.mul_add(shrink, weights[0] + weights[1]);
        let word = f32_to_f16x2(weights);
        let [a, b] = f16x2_to_f32(word);
        let rest = f32_to_f16x2([weights[0] - a, weights[1] - b]);
        // Column `g` is a part of head `g / 2`; this lane has positions `2 t`, `2 t + 1`, and 8 further.
        let mut columns = [0; 2];
        for half in 0..2 {
            let from = 16 * half + 4 * t + g / 2;
            let (word, rest) =
                (warp::shuffle_idx(warp::ALL, word, from), warp::shuffle_idx(warp::ALL, rest, from));
            columns[half as usize] = if g.is_multiple_of(2) { word } else { rest };
        }
        // The lanes name the rows of four matrices: two pieces of eight positions, and of the next eight.
        let row = first + lane / 16 * 8 + lane % 8;
        // SAFETY: as the caller promises.
        let at = unsafe { rows.value(row) };
        for tile in 0..(HEAD / TILE) as usize {
            let sums = self.values[tile].map(|sum| sum * shrink);
            let piece = turned(row, 2 * tile as u32 + lane / 8 % 2);
            // SAFETY: as the caller promises.
            let values = unsafe { load_x4_transposed(at, piece) };
            self.values[tile] = m16n8k16_f16(values, columns, sums);
        }
    }
}

/// This warp's positions, for the heads of the group that are looked at together, from `head` on; the result goes to shared
/// memory.
///
/// # Safety
/// All lanes must call it; the ring must have the block's slots next.
#[inline(always)]
unsafe fn look(b: &mut Block<'_>, head: u32, split: u32, splits: u32) {
    let (lane, together) = (b.lane, b.plan.together());
    let first = b.warp % 2 * STEP;
    let mut running = Running::NONE;
    // SAFETY: as the plan says.
    unsafe {
        let queries = queries(b, head);
        let new = b.at::<U32x4>(b.shared.heads + 2 * b.plan.heads * ROW_BYTES, 2 * PIECES);
        let mut slot = split * SLOT_POSITIONS;
        // Slots until the warp's next one.
        let mut turn = b.warp / 2;
        while slot <= b.position {
            // The new position has not come through the ring.
            let mut rows = Rows { slot: new, new, there: b.position - slot };
            if rows.there > 0 {
                let (ring, warp) = (b.ring, b.warp);
                rows.slot = b.tiles.take(ring, warp, lane, 0, |slot| slot).cast();
            }
            if turn == 0 && first <= rows.there {
                running.step(&queries, rows, first, lane);
            }
            turn = if turn == 0 { WARPS / 2 - 1 } else { turn - 1 };
            slot += splits * SLOT_POSITIONS;
        }
        for bit in 2..5 {
            running.sum += warp::shuffle_xor_f32(warp::ALL, running.sum, 1 << bit);
        }
        let (g, t) = (lane / 4, lane % 4);
        if t < together {
            let results = b.at::<f32>(b.shared.partials, WARPS * together * PARTIAL_STRIDE);
            let results = results.from(((b.warp * together + t) * PARTIAL_STRIDE) as usize);
            for tile in 0..(HEAD / TILE) as usize {
                let [a, b, c, d] = running.values[tile];
                results.set(tile * TILE as usize + g as usize, a + b);
                results.set(tile * TILE as usize + g as usize + 8, c + d);
            }
            if g == 0 {
                results.cast::<F32x2>().set(HEAD as usize / 2, F32x2([running.max, running.sum]));
            }
        }
    }
}

/// An element of a head of the warps' results, merged.
struct Merged {
    max: f32,
    sum: f32,
    value: f32,
}

impl Merged {
    /// From the first `N` warps' results, which are `stride` floats apart.
    ///
    /// # Safety
    /// The results must be complete.
    #[inline(always)]
    unsafe fn of<const N: usize>(results: shared::Slice<f32>, stride: usize, element: usize) -> Self {
        let (mut ends, mut values) = ([[0.0f32; 2]; N], [0.0f32; N]);
        let mut merged = Self { max: LOWEST, sum: 0.0, value: 0.0 };
        for warp in 0..N {
            // SAFETY: as the caller promises.
            unsafe {
                F32x2(ends[warp]) = results.cast::<F32x2>().get((warp * stride + HEAD as usize) / 2);
                values[warp] = results.get(warp * stride + element);
            }
            merged.max = larger(merged.max, ends[warp][0]);
        }
        for warp in 0..N {
            let weight = float::fast_exp2(ends[warp][0] - merged.max);
            merged.sum = weight.mul_add(ends[warp][1], merged.sum);
            merged.value = weight.mul_add(values[warp], merged.value);
        }
        merged
    }
}

/// Merges the warps' results of the heads that are looked at together, from `head` on: into the result of attention if the
/// block has all positions, otherwise to the group.
#[inline(always)]
unsafe fn merge_warps(b: &Block<'_>, head: u32, split: u32, splits: u32, vector: Vector) {
    let together = b.plan.together();
    // Of a single slot the first warps have it all.
    let single = (split + splits) * SLOT_POSITIONS > b.position;
    // SAFETY: as the plan says; the results are complete.
    unsafe {
        let results = b.at::<f32>(b.shared.partials, WARPS * together * PARTIAL_STRIDE);
        let (mut h, element) = (b.thread / HEAD, b.thread % HEAD);
        // Whole warps have a head.
        while h < together {
            let results = results.from((h * PARTIAL_STRIDE) as usize);
            let stride = (together * PARTIAL_STRIDE) as usize;
            let Merged { max, sum, value } = if single {
                Merged::of::<2>(results, stride, element as usize)
            } else {
                Merged::of::<{ WARPS as usize }>(results, stride, element as usize)
            };
            let value = value * float::fast_reciprocal(sum);
            let row = head + h;
            if splits == 1 {
                vector.set_group(((row * HEAD + element) / 32) as usize, b.lane, value);
            } else {
                let next = warp::shuffle_xor_f32(warp::ALL, value, 1);
                let words = partial(b, b.rank);
                let first = row * PART_WORDS;
                if element.is_multiple_of(2) {
                    words.set((first + element / 2) as usize, f32_to_f16x2([value, next]));
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
                    let [[v0, v1], [v2, v3]] = parts[2 * r + 1].map(f16x2_to_f32);
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
