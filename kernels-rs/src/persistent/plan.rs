//! Which block does what: the division of a token's work that the host packs weights by and the kernel follows.
//!
//! The blocks are divided into groups, one for each KV head. A group computes its head's queries, key and value, its
//! attention, and the part of the output projection that its heads' columns give; then its slice of the feed-forward
//! network's hidden elements, and the part of the down projection that this slice gives. So only two vectors of a layer
//! are sums over all blocks, and the rest is exchanged within a group.

pub mod fixed;
mod shared;
#[cfg(not(target_arch = "nvptx64"))]
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod work;

use super::tile;

pub use shared::{PARTIALS, Shared};
#[cfg(not(target_arch = "nvptx64"))]
pub use source::Source;
pub use stream::Stream;
pub use work::{Begin, Job, Work};

/// Warps of a block that multiply. With more, they would have fewer registers each than the work needs, and what does not
/// fit costs more than more warps gain: the ring takes most of what would cache it.
pub const WARPS: u32 = 8;

/// Their threads.
pub const CONSUMERS: u32 = WARPS * 32;

/// Threads of a block: those, the warp that asks for weights, and the one that keeps the residual stream.
pub const THREADS: u32 = CONSUMERS + 64;

/// Sums of a phase that there is room for, in rows of a tile: they are added up when that many are there. They take the
/// place of two heads' results of attention.
pub const SUMS: u32 = 2 * PARTIALS / tile::ROWS;

/// The most blocks of 256 weights in a row.
pub const MAX_BLOCKS: u32 = SUMS;

/// Elements of a head.
pub const HEAD: u32 = 128;

/// The most layers there is room for in the table of kinds.
pub const MAX_LAYERS: u32 = 128;

/// The most slots there is room for in the table of barriers.
pub const MAX_SLOTS: u32 = 32;

/// Elements of a vector that the threads of a block hold at a time, four each.
pub const STRIP: u32 = 4 * CONSUMERS;

/// The longest residual stream.
pub const MAX_HIDDEN: u32 = 4096;

/// Words of a block's part of a head's attention: the elements, two to a word, the largest score and the sum of weights.
pub const PART_WORDS: u32 = HEAD / 2 + 2;

/// Positions that a warp looks at together.
pub const STEP: u32 = 16;

/// Positions whose keys and values a slot of the ring takes: those of two warps.
pub const SLOT_POSITIONS: u32 = 2 * STEP;

/// Bytes of a position's key, and of its value.
pub const ROW_BYTES: u32 = HEAD * 2;

/// The matrices of a layer in the order of their use, and the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Phase {
    /// The group's queries and its key, and in the last of its blocks its value.
    Heads = 0,
    /// The group's columns of the output projection, all rows.
    Output = 1,
    /// The group's gate and up, row by row in turn.
    GateUp = 2,
    /// The group's columns of the down projection, all rows.
    Down = 3,
    /// The logits.
    Logits = 4,
}

impl Phase {
    /// All of them: a layer's, and the logits.
    pub const ALL: [Self; 5] = [Self::Heads, Self::Output, Self::GateUp, Self::Down, Self::Logits];

    /// Those of a layer.
    pub const OF_LAYER: u32 = 4;

    /// The phase after this one in a layer.
    #[inline(always)]
    pub const fn next(self) -> Self {
        match self {
            Self::Heads => Self::Output,
            Self::Output => Self::GateUp,
            Self::GateUp => Self::Down,
            Self::Down | Self::Logits => Self::Logits,
        }
    }
}

/// The sizes of a model, and of the grid that runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Plan {
    /// Groups of blocks, which are KV heads.
    pub groups: u32,
    /// Blocks of a group; block `b` is number `b % blocks` of group `b / blocks`.
    pub blocks: u32,
    /// Blocks of a group that compute its queries and its key; the others compute its value.
    pub key_blocks: u32,
    /// Layers.
    pub layers: u32,
    /// Elements of the residual stream.
    pub hidden: u32,
    /// Query heads of a KV head.
    pub heads: u32,
    /// Hidden elements of the feed-forward network.
    pub ffn: u32,
    /// Blocks of 256 of them that the group with the most has.
    pub largest_slice: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Positions of the cache.
    pub context: u32,
    /// Added to the mean of squares.
    pub eps: f32,
    /// Slots of the ring.
    pub slots: u32,
    /// Bytes of a slot: one of the largest tiles for each warp, or [`SLOT_POSITIONS`] keys and values; a multiple of
    /// [`ROW_BYTES`].
    pub slot_bytes: u32,
    /// Slots that a block has asked for and not received, at most: what is more queues before its exchanges.
    pub in_flight: u32,
    /// Positions up to which every block looks at all of them itself, which costs less than an exchange.
    pub alone: u32,
}

impl Plan {
    /// Blocks of 256 hidden elements of a group, and those of the groups before it.
    #[inline(always)]
    pub const fn slice(&self, group: u32) -> (u32, u32) {
        let all = self.ffn / tile::BLOCK as u32;
        let first = group * all / self.groups;
        ((group + 1) * all / self.groups - first, first)
    }

    /// Groups of 32 elements of the residual stream that a block owns, at most.
    #[inline(always)]
    pub const fn owned_groups(&self) -> u32 {
        (self.hidden / 32).div_ceil(self.groups * self.blocks)
    }

    /// What a block of a group does in a phase.
    #[inline(always)]
    pub const fn job(&self, phase: Phase, group: u32, rank: u32) -> Job {
        let hidden = self.hidden / tile::BLOCK as u32;
        // The matrix's rows, the thread blocks that share them, this one among those, and the blocks of a row.
        let (limit, shares, block, blocks) = match phase {
            Phase::Heads if rank < self.key_blocks => {
                ((self.heads + 1) * HEAD, self.key_blocks, rank, hidden)
            }
            Phase::Heads => (HEAD, self.blocks - self.key_blocks, rank - self.key_blocks, hidden),
            Phase::Output => (self.hidden, self.blocks, rank, self.heads * HEAD / tile::BLOCK as u32),
            Phase::GateUp => (2 * self.slice(group).0 * tile::BLOCK as u32, self.blocks, rank, hidden),
            Phase::Down => (self.hidden, self.blocks, rank, self.slice(group).0),
            Phase::Logits => (self.vocab, self.groups * self.blocks, group * self.blocks + rank, hidden),
        };
        let sets = limit.div_ceil(tile::ROWS).div_ceil(shares);
        let first = block * sets * tile::ROWS;
        let beyond = limit.saturating_sub(first);
        Job { sets, blocks, first, rows: if beyond < sets * tile::ROWS { beyond } else { sets * tile::ROWS } }
    }

    /// Blocks of a group that share the attention of the token at `position`: all that have a slot, if any share it, as one
    /// exchange takes as long for many as for two.
    #[inline(always)]
    pub const fn splits(&self, position: u32) -> u32 {
        let slots = position / SLOT_POSITIONS + 1;
        if position < self.alone {
            1
        } else if slots < self.blocks {
            slots
        } else {
            self.blocks
        }
    }

    /// Query heads that attention looks at together.
    #[inline(always)]
    pub const fn together(&self) -> u32 {
        if self.heads.is_multiple_of(4) { 4 } else { 2 }
    }

    /// Words of a group's queries, key and value.
    #[inline(always)]
    pub const fn head_words(&self) -> u32 {
        (self.heads + 2) * HEAD
    }

    /// Rows of [`ROW_BYTES`] that a group's queries, of two parts each, key and value take in shared memory.
    #[inline(always)]
    pub const fn head_rows(&self) -> u32 {
        2 * self.heads + 2
    }

    /// Words of a block's part of the attention.
    #[inline(always)]
    pub const fn partial_words(&self) -> u32 {
        self.heads * PART_WORDS
    }
}
