//! A tile: what a warp multiplies at a time, 16 rows of 256 weights, as the tensor cores take them.
//!
//! A product of the tensor cores (`mma.m16n8k32`) has 16 rows of 32 weights on its left, and room for 8 vectors on its right.
//! There is one vector, but 32 weights have a scale of their own, so it is cut into groups of 32, which are the 8 vectors.
//! A product gives the sums of its weights with all groups, of which that with the weights' own is wanted: column `m` of
//! product `m`. That is 8 products for a tile, as many as with one vector in each, and no sum waits for another.
//!
//! Lane `4 g + t` has weights of rows `g` and `g + 8` and activations of group `g`, and gets the sums of groups `2 t` and
//! `2 t + 1` of these rows. What it needs of a tile lies together, in planes with a place for each lane, so that a warp reads
//! neighbouring ones:
//!
//! | kind | planes | bytes |
//! |---|---|---|
//! | `Q4_K` | 4 pieces of codes · 2 scales and 2 minima, a byte each, of either row · a pair of factors of each row | 2,368 |
//! | `Q6_K` | 4 pieces of low and 2 of high codes · 4 scales of either row · a factor of each row | 3,360 |
//! | `Q8_0` | 8 pieces of codes · 2 factors of either row | 4,352 |
//!
//! A piece is 16 bytes: of row `g`, of row `g + 8`, and both again 16 columns further. In those of `Q4_K` and the low ones of
//! `Q6_K` the low halves of the bytes are of a group, the high halves of the next one; a byte of the high ones has two bits
//! of each of four groups. No value is changed; the 6-bit scales of `Q4_K` are taken apart, because that costs a warp more
//! than reading 3 % more.

mod groups;
mod q4k;
mod q6k;
mod q8_0;

use cuda_std::prelude::*;

use crate::activation::Vector;
use crate::layout::Kind;

pub use q4k::Q4K;
pub use q6k::Q6K;
pub use q8_0::Q8_0;

/// Rows of a tile.
pub const ROWS: u32 = 16;

/// Weights of a row of a tile: those of a block.
pub const BLOCK: usize = 256;

/// The kinds of a layer's matrices are kept in this many bits each.
pub const KIND_BITS: u32 = 4;

/// Where the planes of a tile begin, in bytes.
pub mod planes {
    /// Bytes of a plane of pieces.
    pub const PIECES: usize = 512;
    /// `Q4_K`: a lane's scales and minima.
    pub const Q4K_SCALES: usize = 4 * PIECES;
    /// `Q4_K`: two rows' factors.
    pub const Q4K_FACTORS: usize = Q4K_SCALES + 256;
    /// `Q6_K`: the high codes.
    pub const Q6K_HIGH: usize = 4 * PIECES;
    /// `Q6_K`: a lane's scales.
    pub const Q6K_SCALES: usize = Q6K_HIGH + 2 * PIECES;
    /// `Q6_K`: two rows' factors.
    pub const Q6K_FACTORS: usize = Q6K_SCALES + 256;
    /// `Q8_0`: a lane's factors.
    pub const Q8_0_FACTORS: usize = 8 * PIECES;
}

/// The kind of a tile, as the kernel's table has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// `Q4_K`
    pub const Q4K: Self = Self(0);
    /// `Q6_K`
    pub const Q6K: Self = Self(1);
    /// `Q8_0`
    pub const Q8_0: Self = Self(2);

    /// The code of a kind that tiles can be made of.
    pub const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Q4K => Some(Self::Q4K),
            Kind::Q6K => Some(Self::Q6K),
            Kind::Q8_0 => Some(Self::Q8_0),
            Kind::F16 | Kind::F32 => None,
        }
    }

    /// Bytes of a tile.
    #[inline(always)]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Q4K => Q4K::BYTES,
            Self::Q6K => Q6K::BYTES,
            _ => Q8_0::BYTES,
        }
    }
}

/// A lane's part of a tile, in registers.
pub trait Tile: Copy {
    /// Bytes of a tile.
    const BYTES: u32;

    /// The activations of a tile's columns, as a lane needs them.
    type Columns: Copy;

    /// Loads the part of `lane`.
    ///
    /// # Safety
    /// The tile must be of this kind.
    unsafe fn load(tile: shared::Slice<u8>, lane: u32) -> Self;

    /// The activations of the 256 columns `block`.
    ///
    /// # Safety
    /// The input must have them.
    unsafe fn columns(input: impl Input, block: u32, lane: u32) -> Self::Columns;

    /// This lane's part of the dot products of rows `g` and `g + 8`. All lanes must call it.
    fn dot(self, x: &Self::Columns, lane: u32) -> [f32; 2];
}

/// What tiles are multiplied with.
pub trait Input: Copy {
    /// Two words of the codes, and the scales and sums of two groups of 32 columns.
    ///
    /// # Safety
    /// The input must have them.
    unsafe fn part(self, words: [u32; 2], groups: [u32; 2]) -> Part;
}

/// A part of an input.
#[derive(Clone, Copy)]
pub struct Part {
    /// Four codes each.
    pub words: [u32; 2],
    /// Of each group.
    pub scales: [f32; 2],
    /// Of each group the sums of both sixteens, as their codes stand for them.
    pub sums: [[f32; 2]; 2],
}

/// It must be complete.
impl Input for Vector {
    #[inline(always)]
    unsafe fn part(self, words: [u32; 2], groups: [u32; 2]) -> Part {
        // SAFETY: as the caller promises.
        unsafe {
            Part {
                words: words.map(|word| self.word(word as usize / 4, word as usize % 4)),
                scales: groups.map(|group| self.scale(group as usize)),
                sums: groups.map(|group| self.group_sums(group as usize).0),
            }
        }
    }
}

/// Element `index` of the plane that lies `offset` bytes into a tile.
///
/// # Safety
/// The tile must have it, aligned.
#[inline(always)]
unsafe fn at<T: Plain>(tile: shared::Slice<u8>, offset: usize, index: u32) -> T {
    // SAFETY: as the caller promises.
    unsafe { tile.from(offset).cast::<T>().get(index as usize) }
}

/// Byte `i` of a word as a number. By way of the last digits of a large number: a conversion takes several times as long.
#[inline(always)]
fn byte(word: u32, i: u32) -> f32 {
    const LARGE: u32 = 0x4b00_0000;
    // The byte, two zeros, and the number's highest byte.
    f32::from_bits(misc::byte_permute(word, LARGE, 0x7440 + i)) - f32::from_bits(LARGE)
}

/// The bits of `1.5 * 2^23`, which sums begin with: as the bits of a number they are that much more than the sum, exactly,
/// for sums below `2^22`. The largest is `16 * 15 * 128 * 32`.
const LARGE: i32 = 0x4b40_0000;

/// A sum that began with [`LARGE`] as a number.
#[inline(always)]
fn number(sum: i32) -> f32 {
    f32::from_bits(sum as u32) - f32::from_bits(LARGE as u32)
}

/// The one of four that `t` says.
#[inline(always)]
fn pick(t: u32, a: i32, b: i32, c: i32, d: i32) -> i32 {
    let low = if t & 1 == 0 { a } else { b };
    let high = if t & 1 == 0 { c } else { d };
    if t & 2 == 0 { low } else { high }
}
