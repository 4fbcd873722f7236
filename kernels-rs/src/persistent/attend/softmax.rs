//! A warp's positions: scores, a running softmax, and the weighted sums of the values.

use cuda_std::half::{f16x2_to_f32, f32_to_f16x2};
use cuda_std::mma::{load_x4, load_x4_transposed, m16n8k16_f16};
use cuda_std::prelude::*;

use super::LOWEST;
use super::rows::{Places, Rows};
use crate::persistent::block::Block;
use crate::persistent::plan::{HEAD, PARTIALS, ROW_BYTES, SLOT_POSITIONS, STEP, WARPS};

/// Weights are that power of 2 larger: the largest is within the range of an `f16`, and small ones do not vanish.
const LARGEST: f32 = 15.0;

/// Elements of a key or a value that a product takes.
const TILE: u32 = 16;

/// Products that take all of them.
const TILES: usize = (HEAD / TILE) as usize;

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
pub unsafe fn look(b: &mut Block<'_>, places: Places, mut rows: Rows, head: u32, mut slot: u32) {
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
