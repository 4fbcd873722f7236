//! A chunk of 64 weights of each kind, in registers: how it is loaded, what its weights are, its dot product.

use cuda_std::dot::{dp4a_i32, dp4a_u32_i32};
use cuda_std::half::{f16_to_f32, f16x2_to_f32};
use cuda_std::prelude::*;

use crate::activation::Quantized;
use crate::layout::{CHUNK, Kind, Matrix};

/// 64 weights of a row.
pub trait Chunk: Copy {
    /// Their kind.
    const KIND: Kind;

    /// Loads chunk `c` of row `row`.
    ///
    /// # Safety
    /// The matrix must be of this kind and have that chunk.
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self;

    /// The weights, to the bit those that the file's format defines.
    fn weights(self) -> [f32; CHUNK];
}

/// A chunk that multiplies 8-bit activations.
pub trait IntegerChunk: Chunk {
    /// The dot product with a chunk of activations.
    fn dot(self, x: &Quantized) -> f32;
}

/// Piece `p` of chunk `c` of a row, from a plane with `pieces` pieces a chunk.
///
/// # Safety
/// The plane must have it.
#[inline(always)]
unsafe fn piece(plane: *const u8, m: &Matrix, pieces: usize, row: usize, p: usize, c: usize) -> U32x4 {
    let n = m.chunks();
    // SAFETY: as the caller promises; planes of pieces are aligned to 16 bytes.
    unsafe { global::load(plane.add((row * pieces * n + p * n + c) * 16).cast::<U32x4>(), Streaming) }
}

/// A value of a plane with one value a chunk, or one for `1 << shared` chunks.
///
/// # Safety
/// The plane must have it.
#[inline(always)]
unsafe fn factor<T: Plain>(plane: *const u8, m: &Matrix, row: usize, c: usize, shared: u32) -> T {
    let index = (row * m.chunks() + c) >> shared;
    // SAFETY: as the caller promises; rows have whole groups of chunks, so the index is one of this row.
    unsafe { global::load(plane.cast::<T>().add(index), ReadOnly) }
}

/// The sums of products of a `Q4_K` chunk's codes with the activations' codes: those of the low halves, and 16 times those of
/// the high halves, which is exact, and a shift less.
#[inline(always)]
pub(crate) fn q4k_sums(codes: &[U32x4; 2], x: &Quantized) -> [i32; 2] {
    let mut sums = [0; 2];
    for p in 0..2 {
        for w in 0..4 {
            let codes = codes[p].0[w];
            sums[0] = dp4a_u32_i32(codes & 0x0f0f_0f0f, x.codes[p].0[w], sums[0]);
            sums[1] = dp4a_u32_i32(codes & 0xf0f0_f0f0, x.codes[2 + p].0[w], sums[1]);
        }
    }
    sums
}

/// The dot product of a `Q8_0` chunk, of which `factors` has the two blocks' factors.
#[inline(always)]
pub(crate) fn q8_0_dot(codes: &[U32x4; 4], factors: u32, x: &Quantized) -> f32 {
    let factors = f16x2_to_f32(factors);
    let mut total = 0.0f32;
    for half in 0..2 {
        let mut sum = 0;
        for p in 2 * half..2 * half + 2 {
            for w in 0..4 {
                sum = dp4a_i32(codes[p].0[w], x.codes[p].0[w], sum);
            }
        }
        total = (factors[half] * x.scales.0[half]).mul_add(sum as f32, total);
    }
    total
}

/// A `Q4_K` chunk: sub-blocks `2 j` and `2 j + 1` of a block, with `j = c % 4`.
#[derive(Clone, Copy)]
pub struct Q4K {
    codes: [U32x4; 2],
    header: U32x4,
    j: u32,
}

impl Q4K {
    /// The two 6-bit scales and the two minima, each pair in the low bytes of the halves of a word: ggml's
    /// `get_scale_min_k4` for two neighbours at once.
    #[inline(always)]
    fn scales(self) -> ([f32; 2], [f32; 2]) {
        let [_, u0, u1, u2] = self.header.0;
        let shift = 16 * (self.j & 1);
        let (a, b, c) = (u0 >> shift, u1 >> shift, u2 >> shift);
        let (scales, minima) = if self.j < 2 {
            (a & 0x3f3f, b & 0x3f3f)
        } else {
            ((c & 0x0f0f) | ((a & 0xc0c0) >> 2), ((c >> 4) & 0x0f0f) | ((b & 0xc0c0) >> 2))
        };
        let split = |w: u32| [(w & 0xff) as f32, (w >> 8 & 0xff) as f32];
        (split(scales), split(minima))
    }
}

impl Chunk for Q4K {
    const KIND: Kind = Kind::Q4K;

    #[inline(always)]
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self {
        let planes = m.planes(Self::KIND);
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: [piece(m.data, m, 2, row, 0, c), piece(m.data, m, 2, row, 1, c)],
                header: factor(m.data.add(planes.factors), m, row, c, 2),
                j: c as u32 & 3,
            }
        }
    }

    #[inline(always)]
    fn weights(self) -> [f32; CHUNK] {
        let [d, min] = f16x2_to_f32(self.header.0[0]);
        let (scales, minima) = self.scales();
        core::array::from_fn(|i| {
            let (high, p, byte) = (i / 32, i / 16 % 2, i % 16);
            let code = self.codes[p].0[byte / 4] >> (8 * (byte % 4) + 4 * high) & 15;
            (d * scales[high]) * code as f32 - min * minima[high]
        })
    }
}

impl IntegerChunk for Q4K {
    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        let sums = q4k_sums(&self.codes, x);
        let [d, min] = f16x2_to_f32(self.header.0[0]);
        let (scales, minima) = self.scales();
        let (mut products, mut offsets) = (0.0f32, 0.0f32);
        for half in 0..2 {
            let scale = scales[half] * [1.0, 1.0 / 16.0][half];
            products = (scale * x.scales.0[half]).mul_add(sums[half] as f32, products);
            offsets = minima[half].mul_add(x.sums.0[2 * half] + x.sums.0[2 * half + 1], offsets);
        }
        d.mul_add(products, -(min * offsets))
    }
}

/// A `Q6_K` chunk: a quarter of a block.
#[derive(Clone, Copy)]
pub struct Q6K {
    low: [U32x4; 2],
    high: U32x4,
    scales: u32,
    d: f16,
}

impl Q6K {
    /// Codes `4 w` to `4 w + 3` of the 16 of group `q`, a byte each, 0 to 63.
    #[inline(always)]
    fn codes(self, q: usize, w: usize) -> u32 {
        let low = self.low[q % 2].0[w] >> (4 * (q / 2)) & 0x0f0f_0f0f;
        let high = self.high.0[w] >> (2 * q) & 0x0303_0303;
        low | high << 4
    }

    #[inline(always)]
    fn scale(self, q: usize) -> f32 {
        f32::from((self.scales >> (8 * q)) as u8 as i8)
    }
}

impl Chunk for Q6K {
    const KIND: Kind = Kind::Q6K;

    #[inline(always)]
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self {
        let planes = m.planes(Self::KIND);
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                low: [piece(m.data, m, 2, row, 0, c), piece(m.data, m, 2, row, 1, c)],
                high: piece(m.data.add(planes.high), m, 1, row, 0, c),
                scales: factor(m.data.add(planes.scales), m, row, c, 0),
                d: factor(m.data.add(planes.factors), m, row, c, 2),
            }
        }
    }

    #[inline(always)]
    fn weights(self) -> [f32; CHUNK] {
        let d = f16_to_f32(self.d);
        core::array::from_fn(|i| {
            let (q, byte) = (i / 16, i % 16);
            let code = (self.codes(q, byte / 4) >> (8 * (byte % 4)) & 63) as i32 - 32;
            (d * self.scale(q)) * code as f32
        })
    }
}

impl IntegerChunk for Q6K {
    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        let mut total = 0.0f32;
        for q in 0..4 {
            let mut sum = 0;
            for w in 0..4 {
                sum = dp4a_u32_i32(self.codes(q, w), x.codes[q].0[w], sum);
            }
            // The codes stand for 32 less: take 32 times the activations' sum away.
            let group = x.scales.0[q / 2].mul_add(sum as f32, -32.0 * x.sums.0[q]);
            total = self.scale(q).mul_add(group, total);
        }
        f16_to_f32(self.d) * total
    }
}

/// A `Q8_0` chunk: two blocks.
#[derive(Clone, Copy)]
pub struct Q8_0 {
    codes: [U32x4; 4],
    d: u32,
}

impl Chunk for Q8_0 {
    const KIND: Kind = Kind::Q8_0;

    #[inline(always)]
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self {
        let planes = m.planes(Self::KIND);
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                codes: core::array::from_fn(|p| piece(m.data, m, 4, row, p, c)),
                d: factor(m.data.add(planes.factors), m, row, c, 0),
            }
        }
    }

    #[inline(always)]
    fn weights(self) -> [f32; CHUNK] {
        let d = f16x2_to_f32(self.d);
        core::array::from_fn(|i| {
            let code = (self.codes[i / 16].0[i % 16 / 4] >> (8 * (i % 4))) as u8 as i8;
            d[i / 32] * f32::from(code)
        })
    }
}

impl IntegerChunk for Q8_0 {
    #[inline(always)]
    fn dot(self, x: &Quantized) -> f32 {
        q8_0_dot(&self.codes, self.d, x)
    }
}

/// 64 `f16` weights.
#[derive(Clone, Copy)]
pub struct F16([U32x4; 8]);

impl Chunk for F16 {
    const KIND: Kind = Kind::F16;

    #[inline(always)]
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self {
        // SAFETY: as the caller promises.
        Self(core::array::from_fn(|p| unsafe { piece(m.data, m, 8, row, p, c) }))
    }

    #[inline(always)]
    fn weights(self) -> [f32; CHUNK] {
        core::array::from_fn(|i| f16x2_to_f32(self.0[i / 8].0[i % 8 / 2])[i % 2])
    }
}

/// 64 `f32` weights.
#[derive(Clone, Copy)]
pub struct F32([U32x4; 16]);

impl Chunk for F32 {
    const KIND: Kind = Kind::F32;

    #[inline(always)]
    unsafe fn load(m: &Matrix, row: usize, c: usize) -> Self {
        // SAFETY: as the caller promises.
        Self(core::array::from_fn(|p| unsafe { piece(m.data, m, 16, row, p, c) }))
    }

    #[inline(always)]
    fn weights(self) -> [f32; CHUNK] {
        core::array::from_fn(|i| f32::from_bits(self.0[i / 4].0[i % 4]))
    }
}
