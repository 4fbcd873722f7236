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

mod merge;
mod prepare;
mod rows;
mod softmax;
#[cfg(test)]
mod tests;

use super::block::{Block, sync};
use super::plan::{HEAD, SLOT_POSITIONS};
use merge::{merge_blocks, merge_warps};
use prepare::prepare;
use rows::{Places, Rows};
use softmax::look;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

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
