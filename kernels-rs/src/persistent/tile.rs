//! A tile: what a warp multiplies at a time, 8 blocks of 256 weights, a quarter of a block in each lane.
//!
//! Lane `4 q + j` has chunk `j`, of 64 weights, of the tile's block `q`. Codes are cut into pieces of 16 bytes as in
//! [`layout`](crate::layout), and pieces with the same number lie together, so that a warp reads neighbouring ones.
//!
//! | kind | planes | bytes |
//! |---|---|---|
//! | `Q4_K` | 2 pieces of codes · 2 scales and 2 minima, a byte each, for each lane · 8 pairs of factors | 1,184 |
//! | `Q6_K` | 2 pieces of low and 1 of high codes · 4 scales for each lane · 8 factors | 1,680 |
//! | `Q8_0` | 4 pieces of codes · 2 factors for each lane | 2,176 |
//!
//! No value is changed; the 6-bit scales of `Q4_K` are taken apart, because that costs a warp more than reading 3 % more.

use cuda_std::dot::dp4a_u32_i32;
use cuda_std::half::{f16_to_f32, f16x2_to_f32};
use cuda_std::prelude::*;

use crate::activation::Quantized;
use crate::layout::Kind;
use crate::weights::{q4k_sums, q8_0_dot};

/// Blocks of 256 weights in a tile.
pub const BLOCKS: usize = 8;

/// Weights of a block.
pub const BLOCK: usize = 256;

/// The kinds of a layer's matrices are kept in this many bits each.
pub const KIND_BITS: u32 = 4;

/// Where the planes of a tile begin, in bytes.
pub mod planes {
    /// `Q4_K`: a lane's scales and minima.
    pub const Q4K_SCALES: usize = 1024;
    /// `Q4_K`: a block's two factors.
    pub const Q4K_FACTORS: usize = Q4K_SCALES + 128;
    /// `Q6_K`: a lane's scales.
    pub const Q6K_SCALES: usize = 1536;
    /// `Q6_K`: a block's factor.
    pub const Q6K_FACTORS: usize = Q6K_SCALES + 128;
    /// `Q8_0`: a lane's factors.
    pub const Q8_0_FACTORS: usize = 2048;
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

/// A lane's chunk of a tile, in registers.
pub trait Tile: Copy {
    /// Bytes of a tile.
    const BYTES: u32;

    /// Loads the chunk of `lane`.
    ///
    /// # Safety
    /// The tile must be of this kind.
    unsafe fn load(tile: shared::Slice<u8>, lane: usize) -> Self;

    /// The dot product with a chunk of activations.
    fn dot(self, x: &Quantized) -> f32;
}

/// Element `index` of the plane that lies `offset` bytes into a tile.
///
/// # Safety
/// The tile must have it, aligned.
#[inline(always)]
unsafe fn at<T: Plain>(tile: shared::Slice<u8>, offset: usize, index: usize) -> T {
    // SAFETY: as the caller promises.
    unsafe { tile.from(offset).cast::<T>().get(index) }
}

/// Byte `i` of a word as a number. By way of the last digits of a large number: a conversion takes several times as long.
#[inline(always)]
fn byte(word: u32, i: u32) -> f32 {
    const LARGE: u32 = 0x4b00_0000;
    f32::from_bits(LARGE | word >> (8 * i) & 0xff) - f32::from_bits(LARGE)
}

/// `Q4_K`: the low halves of the codes are the first 32 weights, the high halves the others.
#[derive(Clone, Copy)]
pub struct Q4K {
    codes: [U32x4; 2],
    scales: u32,
    factors: u32,
}

impl Tile for Q4K {
    const BYTES: u32 = planes::Q4K_FACTORS as u32 + 32;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: [at(tile, 0, lane), at(tile, 512, lane)],
                scales: at(tile, planes::Q4K_SCALES, lane),
                factors: at(tile, planes::Q4K_FACTORS, lane / 4),
            }
        }
    }

    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        let sums = q4k_sums(&self.codes, x);
        let scales =
            [byte(self.scales, 0) * x.scales.0[0], byte(self.scales, 1) * (x.scales.0[1] * (1.0 / 16.0))];
        let products = scales[1].mul_add(sums[1] as f32, scales[0] * sums[0] as f32);
        let sums = [x.sums.0[0] + x.sums.0[1], x.sums.0[2] + x.sums.0[3]];
        let offsets = byte(self.scales, 3).mul_add(sums[1], byte(self.scales, 2) * sums[0]);
        let [d, min] = f16x2_to_f32(self.factors);
        d.mul_add(products, -(min * offsets))
    }
}

/// `Q6_K`: sixteen weights share a scale.
#[derive(Clone, Copy)]
pub struct Q6K {
    low: [U32x4; 2],
    high: U32x4,
    scales: u32,
    factor: f16,
}

impl Tile for Q6K {
    const BYTES: u32 = planes::Q6K_FACTORS as u32 + 16;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                low: [at(tile, 0, lane), at(tile, 512, lane)],
                high: at(tile, 1024, lane),
                scales: at(tile, planes::Q6K_SCALES, lane),
                factor: at(tile, planes::Q6K_FACTORS, lane / 4),
            }
        }
    }

    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        let mut total = 0.0f32;
        for q in 0..4 {
            // The low and the high bits multiply for themselves, where they stand: no shifts.
            let (low_mask, low_unit) = [(0x0f0f_0f0f, 1.0), (0xf0f0_f0f0, 1.0 / 16.0)][q / 2];
            let (high_mask, high_unit) =
                [(0x0303_0303, 16.0), (0x0c0c_0c0c, 4.0), (0x3030_3030, 1.0), (0xc0c0_c0c0, 0.25)][q];
            let (mut low, mut high) = (0, 0);
            for w in 0..4 {
                low = dp4a_u32_i32(self.low[q % 2].0[w] & low_mask, x.codes[q].0[w], low);
                high = dp4a_u32_i32(self.high.0[w] & high_mask, x.codes[q].0[w], high);
            }
            // Exact: both are multiples of their units.
            let sum = (high as f32).mul_add(high_unit, low as f32 * low_unit);
            // The codes stand for 32 less: take 32 times the activations' sum away.
            let group = x.scales.0[q / 2].mul_add(sum, -32.0 * x.sums.0[q]);
            let scale = f32::from((self.scales >> (8 * q)) as u8 as i8);
            total = scale.mul_add(group, total);
        }
        f16_to_f32(self.factor) * total
    }
}

/// `Q8_0`: 32 weights share a factor.
#[derive(Clone, Copy)]
pub struct Q8_0 {
    codes: [U32x4; 4],
    factors: u32,
}

impl Tile for Q8_0 {
    const BYTES: u32 = planes::Q8_0_FACTORS as u32 + 128;

    #[inline(always)]
    unsafe fn load(tile: shared::Slice<u8>, lane: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: core::array::from_fn(|p| at(tile, 512 * p, lane)),
                factors: at(tile, planes::Q8_0_FACTORS, lane),
            }
        }
    }

    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        q8_0_dot(&self.codes, self.factors, x)
    }
}
