//! The group's queries and key normalised and turned, and its key and value appended to the cache.

use cuda_std::half::{f16x2_to_f32, f32_to_f16x2};
use cuda_std::prelude::*;

use super::rows::{gathered, turned};
use crate::persistent::block::Block;
use crate::persistent::plan::{HEAD, ROW_BYTES, WARPS, fixed};

/// Takes the group's queries, key and value; normalises and turns queries and key; appends key and value to the cache.
/// A warp takes a head.
///
/// # Safety
/// All threads that multiply must call it; what it makes is complete when they have all left it.
#[inline(always)]
pub unsafe fn prepare(b: &Block<'_>, layer: u32) {
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
