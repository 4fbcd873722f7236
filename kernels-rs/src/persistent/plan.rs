//! Which block does what: the division of a token's work that the host packs weights by and the kernel follows.
//!
//! The blocks are divided into groups, one for each KV head. A group computes its head's queries, key and value, its
//! attention, and the part of the output projection that its heads' columns give; then its slice of the feed-forward
//! network's hidden elements, and the part of the down projection that this slice gives. So only two vectors of a layer
//! are sums over all blocks, and the rest is exchanged within a group.

use cuda_std::prelude::*;

use super::tile;

#[cfg(test)]
mod tests;

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

/// What a block does in a phase: sets of 16 rows, of which a tile has 256 columns.
///
/// The sets are worked on in rounds, of as many as there is room for the sums of. The tiles of a round are ordered by their
/// columns, and then by set; each warp takes as many of them as the others, one after another. So a warp seldom has more
/// than one part of the activations to look at, and all have the same to do, whatever the shape. The sums over a row's
/// tiles are left to the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Sets of rows; the last may be beyond the matrix.
    pub sets: u32,
    /// Blocks of 256 weights in a row.
    pub blocks: u32,
    /// The first row, among the group's or, for the head, all.
    pub first: u32,
    /// The rows that there are.
    pub rows: u32,
}

impl Job {
    /// Sets of a round.
    #[inline(always)]
    pub const fn round(&self) -> u32 {
        let most = SUMS / self.blocks;
        if most < self.sets { most } else { self.sets }
    }

    /// Tiles of a warp in a round of `sets` sets.
    #[inline(always)]
    pub const fn tiles_of(&self, sets: u32) -> u32 {
        (sets * self.blocks).div_ceil(WARPS)
    }

    /// Tiles of a warp in all.
    #[inline(always)]
    pub const fn tiles(&self) -> u32 {
        let round = self.round();
        self.sets / round * self.tiles_of(round) + self.tiles_of(self.sets % round)
    }

    /// The sets of the last round.
    #[inline(always)]
    const fn last_round(&self) -> u32 {
        let round = self.round();
        self.sets - (self.sets - 1) / round * round
    }

    /// What warp `warp` does of it.
    #[inline(always)]
    pub const fn work(self, warp: u32) -> Work {
        Work {
            job: self,
            round: self.round(),
            full: self.begin(warp, self.round()),
            last: self.begin(warp, self.last_round()),
        }
    }

    /// Where warp `warp` begins in a round of `sets` sets.
    #[inline(always)]
    const fn begin(&self, warp: u32, sets: u32) -> Begin {
        let tile = warp * self.tiles_of(sets);
        Begin { block: tile / sets, set: tile % sets }
    }

    /// The tiles in the order in which they arrive, a warp's after another's: the set and the block of each; the block is
    /// beyond the row where a warp has nothing to do.
    #[cfg(not(target_arch = "nvptx64"))]
    pub fn order(self) -> impl Iterator<Item = (u32, u32)> {
        let round = self.round();
        (0..self.sets).step_by(round as usize).flat_map(move |first| {
            let sets = round.min(self.sets - first);
            let count = self.tiles_of(sets);
            let tiles = (0..count).flat_map(move |i| (0..WARPS).map(move |warp| warp * count + i));
            tiles.map(move |tile| (first + tile % sets, tile / sets))
        })
    }
}

/// Where a warp begins in a round: the block of the rows, and the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The block.
    pub block: u32,
    /// The set of the round.
    pub set: u32,
}

/// What a warp does in a phase, as it needs it: divisions take a GPU long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What the block does.
    pub job: Job,
    /// The sets of a round.
    pub round: u32,
    /// Where the warp begins in a full round.
    pub full: Begin,
    /// Where it begins in the last.
    pub last: Begin,
}

impl Work {
    /// As four words of the table in shared memory.
    #[inline(always)]
    pub(super) const fn pack(self) -> [u32; 4] {
        let Self { job: Job { sets, blocks, first, rows }, round, full, last } = self;
        let begins = full.block | full.set << 8 | last.block << 16 | last.set << 24;
        [sets | blocks << 16 | round << 24, first, rows, begins]
    }

    /// From those.
    #[inline(always)]
    pub(super) const fn unpack([sizes, first, rows, begins]: [u32; 4]) -> Self {
        let byte = 0xff;
        Self {
            job: Job { sets: sizes & 0xffff, blocks: sizes >> 16 & byte, first, rows },
            round: sizes >> 24,
            full: Begin { block: begins & byte, set: begins >> 8 & byte },
            last: Begin { block: begins >> 16 & byte, set: begins >> 24 },
        }
    }
}

/// The tiles of a layer, or of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The tiles' kinds, [`tile::KIND_BITS`] each: queries and key, value, output, gate and up, down; or the logits'.
    pub kinds: u32,
    /// Where the first block's begin, in units of 16 bytes.
    pub start: u32,
    /// From one block's to the next one's, in units of 16 bytes.
    pub stride: u32,
}

impl Stream {
    /// The field of [`kinds`](Self::kinds) that a phase has. `values`: the block is one of those that compute the
    /// group's value.
    #[inline(always)]
    pub const fn field(phase: Phase, values: bool) -> u32 {
        if phase as u32 == 0 { values as u32 } else { phase as u32 + 1 }
    }

    /// The stream of a layer, or of the logits behind the last, from the table in shared memory.
    ///
    /// # Safety
    /// The table must be complete.
    #[inline(always)]
    pub(super) unsafe fn of(layer: u32) -> Self {
        // SAFETY: as the caller promises.
        let U32x4([kinds, start, stride, _]) =
            unsafe { super::block::at::<U32x4>(fixed::STREAMS, layer + 1).get(layer as usize) };
        Self { kinds, start, stride }
    }

    /// The stream of a layer, or of the logits behind the last, from the table in global memory.
    ///
    /// # Safety
    /// The table must have it.
    #[inline(always)]
    pub(super) unsafe fn load(table: *const U32x4, layer: u32) -> Self {
        // SAFETY: as the caller promises.
        let U32x4([kinds, start, stride, _]) = unsafe { global::load(table.add(layer as usize), ReadOnly) };
        Self { kinds, start, stride }
    }

    /// The kind of a block's tiles.
    #[inline(always)]
    pub const fn kind(self, phase: Phase, values: bool) -> tile::Code {
        tile::Code(
            self.kinds >> (tile::KIND_BITS * Self::field(phase, values)) & ((1 << tile::KIND_BITS) - 1),
        )
    }

    /// Where a block's tiles begin, in bytes.
    #[inline(always)]
    pub const fn start_of(self, block: u32) -> usize {
        (self.start as usize + (block * self.stride) as usize) * 16
    }
}

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

/// Where that lies which does not depend on the model.
pub mod fixed {
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

/// Words of a block's part of a head's attention: the elements, two to a word, the largest score and the sum of weights.
pub const PART_WORDS: u32 = HEAD / 2 + 2;

/// Floats of the warps' results of attention for a head: each one's elements, each one's largest score and sum of weights,
/// and padding, so that the first ones of four heads are in different banks.
pub const PARTIALS: u32 = WARPS * HEAD + 2 * WARPS + 24;

/// A matrix of the model, as a tile's blocks name it.
#[cfg(not(target_arch = "nvptx64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// The output projection.
    O,
    /// Gate.
    Gate,
    /// Up.
    Up,
    /// Down.
    Down,
    /// The logits.
    Head,
}

#[cfg(not(target_arch = "nvptx64"))]
impl Plan {
    /// The matrix, row and block of 256 weights that row `row` of a thread block's is in block `block` of; none beyond the
    /// matrix.
    pub fn source(
        &self,
        phase: Phase,
        (group, rank): (u32, u32),
        (row, block): (u32, u32),
    ) -> Option<(Source, u32, u32)> {
        let job = self.job(phase, group, rank);
        if row >= job.rows || block >= job.blocks {
            return None;
        }
        let i = job.first + row;
        let (_, slice) = self.slice(group);
        Some(match phase {
            Phase::Heads if rank >= self.key_blocks => (Source::V, group * HEAD + i, block),
            Phase::Heads if i >= self.heads * HEAD => {
                (Source::K, group * HEAD + i - self.heads * HEAD, block)
            }
            Phase::Heads => (Source::Q, group * self.heads * HEAD + i, block),
            Phase::Output => (Source::O, i, group * self.heads * HEAD / tile::BLOCK as u32 + block),
            Phase::GateUp => {
                let which = if i.is_multiple_of(2) { Source::Gate } else { Source::Up };
                (which, slice * tile::BLOCK as u32 + i / 2, block)
            }
            Phase::Down => (Source::Down, i, slice + block),
            Phase::Logits => (Source::Head, i, block),
        })
    }
}
