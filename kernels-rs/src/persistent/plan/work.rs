//! A block's work in a phase: which tiles, in which order, and where each warp begins.

use super::{SUMS, WARPS};

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
    pub(crate) const fn pack(self) -> [u32; 4] {
        let Self { job: Job { sets, blocks, first, rows }, round, full, last } = self;
        let begins = full.block | full.set << 8 | last.block << 16 | last.set << 24;
        [sets | blocks << 16 | round << 24, first, rows, begins]
    }

    /// From those.
    #[inline(always)]
    pub(crate) const fn unpack([sizes, first, rows, begins]: [u32; 4]) -> Self {
        let byte = 0xff;
        Self {
            job: Job { sets: sizes & 0xffff, blocks: sizes >> 16 & byte, first, rows },
            round: sizes >> 24,
            full: Begin { block: begins & byte, set: begins >> 8 & byte },
            last: Begin { block: begins >> 16 & byte, set: begins >> 24 },
        }
    }
}
