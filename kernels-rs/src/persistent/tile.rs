//! A tile: what a warp multiplies at a time, 8 blocks of 256 weights, a quarter of a block in each lane.
//!
//! Lane `4 q + j` has chunk `j` of the tile's block `q`. A tile is a matrix of one row in the planes of
//! [`layout`](crate::layout), so that a warp reads neighbouring pieces.
//!
//! | kind | planes | bytes |
//! |---|---|---|
//! | `Q4_K` | 2 pieces of codes for each lane · 8 headers | 1,152 |
//! | `Q6_K` | 2 pieces of low and 1 of high codes · 4 bytes of scales for each lane · 8 `d` | 1,680 |
//! | `Q8_0` | 4 pieces of codes · 2 `d` for each lane | 2,176 |

use crate::layout::Kind;

/// Blocks of 256 weights in a tile.
pub const BLOCKS: usize = 8;

/// Weights of a block.
pub const BLOCK: usize = 256;

/// The kinds of a layer's matrices are kept in this many bits each.
pub const KIND_BITS: u32 = 4;

/// Bytes of a tile; none for a kind that tiles are not made of.
#[inline(always)]
pub const fn bytes(kind: Kind) -> Option<u32> {
    match kind {
        Kind::Q4K => Some(1152),
        Kind::Q6K => Some(1680),
        Kind::Q8_0 => Some(2176),
        Kind::F16 | Kind::F32 => None,
    }
}

/// The kind of a tile, as the kernel's table has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// `Q4_K`
    pub const Q4K: Self = Self(0);
    /// `Q6_K`
    pub const Q6K: Self = Self(1);

    /// The code of a kind that tiles can be made of.
    pub const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Q4K => Some(Self::Q4K),
            Kind::Q6K => Some(Self::Q6K),
            Kind::Q8_0 => Some(Self(2)),
            Kind::F16 | Kind::F32 => None,
        }
    }

    /// Bytes of a tile.
    #[inline(always)]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Q4K => 1152,
            Self::Q6K => 1680,
            _ => 2176,
        }
    }
}
