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
use cuda_std::mma::{load_x4, load_x4_transposed, m16n8k16_f16};
use cuda_std::prelude::*;

use super::block::{Block, sync};
use super::exchange::{Exchange, Tagged};
use super::plan::{CONSUMERS, HEAD, PART_WORDS, PARTIALS, ROW_BYTES, SLOT_POSITIONS, STEP, WARPS, fixed};
use crate::activation::Vector;

#[cfg(test)]
mod tests;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

/// Weights are that power of 2 larger: the largest is within the range of an `f16`, and small ones do not vanish.
const LARGEST: f32 = 15.0;

/// Blocks whose parts a lane waits for together, of four lanes that take turns.
const RANKS: usize = 4;

/// Elements of a key or a value that a product takes.
const TILE: u32 = 16;

/// Products that take all of them.
const TILES: usize = (HEAD / TILE) as usize;

/// Where a piece of a key or a value lies, in pieces: in another order in each of eight rows, so that lanes that read the same
/// piece of eight rows read from different banks, be they rows in a sequence or every other one. A slot's rows are of
/// positions with the same remainder.
#[inline(always)]
const fn turned(row: u32, piece: u32) -> usize {
    // A Gray code.
    (piece ^ ((row ^ (row >> 1)) % 8)) as usize
}

/// Where a piece of a part of a query lies, in pieces: lane `t` of four needs word `t` of each piece of the row, so those
/// lie together, four words in a piece. Lanes that read the same of their pieces, of both parts, read from different banks.
#[inline(always)]
const fn gathered(part: u32, t: u32, piece: u32) -> usize {
    (4 * t + (piece ^ (t / 2) ^ (2 * part))) as usize
}

/// A slot's rows of keys and values, and the new position's.
#[derive(Clone, Copy)]
struct Rows {
    slot: shared::Slice<u8>,
    /// What [`prepare`] made.
    new: shared::Slice<u8>,
    /// Rows that the slot has.
    there: u32,
}

impl Rows {
    /// Those of the slot from position `first` on: the ring's next, if it has come through it.
    ///
    /// # Safety
    /// All lanes must call it; the ring must have the slot next.
    #[inline(always)]
    unsafe fn take(b: &mut Block<'_>, first: u32) -> Self {
        // SAFETY: as the plan says.
        unsafe {
            let new = b.at::<u8>(b.shared.heads + 2 * b.plan.heads * ROW_BYTES, 2 * ROW_BYTES);
            let mut rows = Self { slot: new, new, there: b.position.saturating_sub(first) };
            if rows.there > 0 {
                let (ring, warp, lane) = (b.ring, b.warp, b.lane);
                rows.slot = b.tiles.take(ring, warp, lane, 0, |slot| slot);
            }
            rows
        }
    }

    /// The piece of a key at byte `place`, counted from the first row.
    ///
    /// # Safety
    /// The slot must be as long as it may get, and have the rows; what [`prepare`] makes must be complete.
    #[inline(always)]
    unsafe fn key(self, place: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.piece(place, 0) }
    }

    /// The piece of a value at byte `place`, counted from the first row.
    ///
    /// # Safety
    /// As for [`key`](Self::key).
    #[inline(always)]
    unsafe fn value(self, place: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.piece(place, 1) }
    }

    /// A piece of the keys or the values. In rows behind the slot's last it is one of the new position's, so that what is
    /// counted with a weight of nothing is a number.
    #[inline(always)]
    unsafe fn piece(self, place: u32, which: u32) -> shared::Slice<U32x4> {
        // SAFETY: as for `key`.
        unsafe {
            if place < self.there * ROW_BYTES {
                self.slot.from((which * SLOT_POSITIONS * ROW_BYTES + place) as usize).cast()
            } else {
                self.new.from((which * ROW_BYTES + place % ROW_BYTES) as usize).cast()
            }
        }
    }
}

/// Where a lane finds and leaves what.
#[derive(Clone, Copy)]
struct Places {
    /// Its words of the queries of the first heads that are looked at together, in bytes from the start of shared memory.
    query: u32,
    /// The piece of a slot's keys that it names to load matrices, and of the values, in bytes from the first row.
    key: u32,
    value: u32,
    /// The row of the first of the two scores that it gets.
    row: u32,
    /// The lane whose weights it multiplies with, and 16 further.
    source: u32,
    /// Its part of the warp's result, and of those of the head that the warp merges, in bytes from the start of shared memory.
    result: u32,
    merged: u32,
}

impl Places {
    /// Those of this lane. They are computed when this is called, not when they are needed: that is time to spare.
    #[inline(always)]
    fn of(b: &Block<'_>) -> Self {
        let (g, t) = (b.lane / 4, b.lane % 4);
        let first = b.warp % 2 * STEP;
        let piece = |row: u32, piece: u32| row * ROW_BYTES + 16 * turned(row, piece) as u32;
        // Column `g` of the queries: with fewer than four heads the same ones again.
        let column = g % (2 * b.plan.together());
        Self {
            query: misc::opaque(b.shared.heads + column * ROW_BYTES + 16 * gathered(g % 2, t, 0) as u32),
            // Four matrices: eight even positions, eight odd ones, and the same of the next piece. So a lane gets
            // neighbouring positions, whose weights share a word.
            key: misc::opaque(piece(first + 2 * (b.lane % 8) + b.lane / 8 % 2, b.lane / 16)),
            // Eight positions, the same of the next piece, and both of the next eight.
            value: misc::opaque(piece(first + b.lane % 8 + b.lane / 16 * 8, b.lane / 8 % 2)),
            row: misc::opaque(first + 2 * g),
            source: misc::opaque(4 * t + g / 2),
            result: misc::opaque(b.shared.partials + 4 * (t * PARTIALS + b.warp * HEAD + g)),
            merged: misc::opaque(b.shared.partials + 4 * (b.warp * PARTIALS + 4 * b.lane)),
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
        // A block of its own, or everybody alike.
        let first = if splits == 1 { 0 } else { b.rank * SLOT_POSITIONS };
        // Before the queries, which are still on their way.
        let mut rows = Rows::take(b, first);
        let places = Places::of(b);
        let vector = b.next_vector(plan.heads * HEAD);
        prepare(b, layer);
        sync();
        let mut head = 0;
        // There are more blocks than slots only while the context is short.
        while head < plan.heads && first <= b.position {
            look(b, places, rows, head, first);
            sync();
            merge_warps(b, places, head, first, vector);
            head += plan.together();
            if head < plan.heads {
                // The next heads' results go where these were.
                sync();
                rows = Rows::take(b, first);
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
            let (first, second) = (f32_to_f16x2(low), f32_to_f16x2(high));
            let (piece, word) = (b.lane / 4, b.lane % 4);
            if h >= plan.heads {
                // As in the cache: the first word's place, and the second's half a row further on.
                let place = 4 * turned(b.position, piece) + word as usize;
                let row = ((plan.heads + h) * ROW_BYTES / 4) as usize;
                rows.set(row + place, first);
                rows.set(row + place + half / 2, second);
                if b.rank == 0 {
                    let to = if is_key { b.weights.keys } else { b.weights.values };
                    let row = (layer * plan.groups + b.group) as usize * plan.context as usize;
                    let to = to.add((row + b.position as usize) * HEAD as usize).cast::<u32>();
                    global::store(to.add(place), first);
                    global::store(to.add(place + half / 2), second);
                }
            } else {
                // What the halves of the words leave.
                let rest = |[x, y]: [f32; 2], word: u32| {
                    let [a, b] = f16x2_to_f32(word);
                    f32_to_f16x2([x - a, y - b])
                };
                let parts = [[first, second], [rest(low, first), rest(high, second)]];
                for part in 0..2 {
                    let row = ((2 * h + part as u32) * ROW_BYTES / 4) as usize;
                    for half in 0..2 {
                        let place = gathered(part as u32, word, piece / 4 + 2 * half as u32);
                        rows.set(row + 4 * place + piece as usize % 4, parts[part][half]);
                    }
                }
            }
            h += WARPS;
        }
    }
}

/// A lane's words of the queries of the heads that are looked at together, two for each product.
///
/// # Safety
/// The queries must be complete.
#[inline(always)]
unsafe fn queries(b: &Block<'_>, places: Places, head: u32) -> [U32x4; 4] {
    let mut words = [U32x4([0; 4]); 4];
    // SAFETY: as the plan says.
    unsafe {
        let first = b.at::<U32x4>(places.query + 2 * head * ROW_BYTES, 4);
        for i in 0..4 {
            words[i] = first.flip(i).get(0);
        }
    }
    words
}

/// A running softmax: of head `t` the largest score, the sum of weights, and the weighted sums of elements `g` and `g + 8`
/// of each tile, of the weights' two parts.
struct Running {
    max: f32,
    sum: f32,
    values: [[f32; 4]; TILES],
}

impl Running {
    const NONE: Self = Self { max: LOWEST, sum: 0.0, values: [[0.0; 4]; TILES] };

    /// Takes in the warp's positions of a slot, as far as they are there.
    ///
    /// # Safety
    /// All lanes must call it. The rows must be complete.
    #[inline(always)]
    unsafe fn step(&mut self, queries: &[U32x4; 4], rows: Rows, places: Places, lane: u32) {
        let mut scores = [[0.0f32; 4]; 4];
        // SAFETY: as the caller promises.
        unsafe {
            let keys = rows.key(places.key);
            for i in 0..TILES {
                let U32x4(query) = queries[i / 2];
                let query = [query[2 * (i % 2)], query[2 * (i % 2) + 1]];
                // Four sums that do not wait for each other.
                scores[i % 4] = m16n8k16_f16(load_x4(keys.flip(2 * i), 0), query, scores[i % 4]);
            }
        }
        let mut score = [0.0f32; 2];
        for i in 0..2 {
            let both = |part: usize| scores[part][2 * i] + scores[part][2 * i + 1];
            let sum = (both(0) + both(1)) + (both(2) + both(3));
            let there = places.row + i as u32 <= rows.there;
            score[i] = if there { sum } else { f32::NEG_INFINITY };
        }
        let mut max = score[0].max(score[1]);
        for bit in 2..5 {
            max = max.max(warp::shuffle_xor_f32(warp::ALL, max, 1 << bit));
        }
        max = max.max(self.max);
        let shrink = float::fast_exp2(self.max - max);
        let weights = score.map(|score| float::fast_exp2(score - (max - LARGEST)));
        self.max = max;
        let word = f32_to_f16x2(weights);
        let [a, b] = f16x2_to_f32(word);
        let rest = f32_to_f16x2([weights[0] - a, weights[1] - b]);
        // Column `g` is a part of head `g / 2`; this lane has positions `2 t`, `2 t + 1`, and 8 further.
        let mut columns = [0; 2];
        for half in 0..2 {
            let from = places.source + 16 * half;
            let word = warp::shuffle_idx(warp::ALL, word, from);
            let rest = warp::shuffle_idx(warp::ALL, rest, from);
            columns[half as usize] = if (lane / 4).is_multiple_of(2) { word } else { rest };
        }
        let mut sum = weights[0] + weights[1];
        for bit in 2..5 {
            sum += warp::shuffle_xor_f32(warp::ALL, sum, 1 << bit);
        }
        self.sum = self.sum.mul_add(shrink, sum);
        // SAFETY: as the caller promises.
        unsafe {
            let values = rows.value(places.value);
            for i in 0..TILES {
                let sums = self.values[i].map(|sum| sum * shrink);
                self.values[i] = m16n8k16_f16(load_x4_transposed(values.flip(2 * i), 0), columns, sums);
            }
        }
    }
}

/// This warp's positions, for the heads of the group that are looked at together, from `head` on; the result goes to shared
/// memory. The block's first slot is that from position `slot` on, which was taken.
///
/// # Safety
/// All lanes must call it; the ring must have the block's next slots next.
#[inline(always)]
unsafe fn look(b: &mut Block<'_>, places: Places, mut rows: Rows, head: u32, mut slot: u32) {
    let (lane, warp) = (b.lane, b.warp);
    let mut running = Running::NONE;
    // SAFETY: as the plan says.
    unsafe {
        let queries = queries(b, places, head);
        // Slots until the warp's next one.
        let mut turn = warp / 2;
        loop {
            if turn == 0 && warp % 2 * STEP <= rows.there {
                running.step(&queries, rows, places, lane);
            }
            turn = if turn == 0 { WARPS / 2 - 1 } else { turn - 1 };
            slot += b.splits * SLOT_POSITIONS;
            if slot > b.position {
                break;
            }
            rows = Rows::take(b, slot);
        }
        if lane % 4 < b.plan.together() {
            let first = b.at::<f32>(places.result, PARTIALS);
            for i in 0..TILES {
                let [a, b, c, d] = running.values[i];
                first.set(i * TILE as usize, a + b);
                first.set(i * TILE as usize + 8, c + d);
            }
            if lane / 4 == 0 {
                // Of lane `t` the first element is the warp's first.
                let end = first.from(((WARPS - warp) * HEAD + 2 * warp) as usize).cast::<F32x2>();
                end.set(0, F32x2([running.max, running.sum]));
            }
        }
    }
}

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
#[inline(always)]
unsafe fn merge_warps(b: &Block<'_>, places: Places, head: u32, slot: u32, vector: Vector) {
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
#[inline(always)]
unsafe fn merge_blocks(b: &Block<'_>, splits: u32, vector: Vector) {
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
