//! What lies at the start of a block's shared memory, whatever the model, in bytes.

use super::{HEAD, MAX_LAYERS, MAX_SLOTS, Phase, WARPS};

/// A slot's barrier for the copy.
pub const FULL: u32 = 0;
/// A slot's barrier for its readers; behind the last slot's one that nobody waits for.
pub const EMPTY: u32 = FULL + MAX_SLOTS * 8;
/// The barriers of the norm's factors.
pub const FACTOR_BARRIERS: u32 = EMPTY + (MAX_SLOTS + 2) * 8;
/// The barrier of the end of a token.
pub const AGREED: u32 = FACTOR_BARRIERS + 2 * 8;
/// Each warp's work in all phases.
pub const WORK: u32 = AGREED + 2 * 8;
/// Each layer's stream and the head's.
pub const STREAMS: u32 = WORK + Phase::ALL.len() as u32 * WARPS * 16;
/// Each warp's best logit.
pub const BEST: u32 = STREAMS + (MAX_LAYERS + 1) * 16;
/// The token that was chosen.
pub const TOKEN: u32 = BEST + WARPS * 8;
/// The norm's factors, in turns.
pub const FACTORS: u32 = TOKEN + 4;
/// The rotation of the token's position: cosine and sine of each pair of a head's elements.
pub const ROTATION: u32 = (FACTORS + 2 * 4).next_multiple_of(16);
/// The norms of the layer's queries and of its keys.
pub const HEAD_NORMS: u32 = ROTATION + HEAD / 2 * 8;
/// The end.
pub const END: u32 = (HEAD_NORMS + 2 * HEAD * 4).next_multiple_of(128);
