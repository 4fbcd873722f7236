//! What lies where in a block's shared memory.

use super::{HEAD, Plan, ROW_BYTES, WARPS, fixed};
use crate::persistent::tile;

/// Floats of the warps' results of attention for a head: each one's elements, each one's largest score and sum of weights,
/// and padding, so that the first ones of four heads are in different banks.
pub const PARTIALS: u32 = WARPS * HEAD + 2 * WARPS + 24;

/// Where things lie in a block's dynamic shared memory, in bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Shared {
    /// Two vectors of activations' codes, in turns: the first.
    pub codes: u32,
    /// Bytes of such a vector.
    pub vector: u32,
    /// What each sum that the block owns was when it was read last: `u64`, for the two projections.
    pub seen: u32,
    /// The elements of the residual stream that the block owns: `f32`.
    pub residual: u32,
    /// A chunk of an embedding: `f32`.
    pub embedded: u32,
    /// Queries in two parts, key and value: `f16`.
    pub heads: u32,
    /// The warps' results of attention, or a phase's sums: `f32`.
    pub partials: u32,
    /// The ring.
    pub ring: u32,
    /// All of it.
    pub bytes: u32,
}

impl Plan {
    /// Where things lie in shared memory.
    #[inline(always)]
    pub const fn shared(&self) -> Shared {
        let owned = self.owned_groups() * 32;
        let mut widest = self.hidden;
        let attended_len = self.heads * HEAD;
        let slice = self.largest_slice * tile::BLOCK as u32;
        if attended_len > widest {
            widest = attended_len;
        }
        if slice > widest {
            widest = slice;
        }
        let vector = crate::activation::shared_bytes(widest as usize).next_multiple_of(16) as u32;
        let codes = fixed::END;
        let seen = codes + 2 * vector;
        let residual = seen + 2 * owned * 8;
        let embedded = residual + owned * 4;
        let heads = (embedded + 64 * 4).next_multiple_of(ROW_BYTES);
        let partials = heads + self.head_rows() * ROW_BYTES;
        let ring = (partials + self.together() * PARTIALS * 4).next_multiple_of(ROW_BYTES);
        let bytes = ring + self.slots * self.slot_bytes;
        Shared { codes, vector, seen, residual, embedded, heads, partials, ring, bytes }
    }
}
