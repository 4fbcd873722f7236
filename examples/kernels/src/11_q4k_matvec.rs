//! A matrix in Q4_K times a vector, three times: each is faster than the one before.

use cuda_std::half::f16_to_f32;
use cuda_std::prelude::*;

/// Weights of a block: eight groups of [`GROUP`].
pub const BLOCK: usize = 256;
/// Bytes of a block: two factors, twelve bytes of scales and minima, the codes.
pub const BLOCK_BYTES: usize = 144;
/// Weights that share a scale and a minimum.
pub const GROUP: usize = 32;
/// Weights of a chunk: two groups, whose codes are the low and the high halves of 32 bytes.
pub const CHUNK: usize = 2 * GROUP;

/// Scale and minimum, six bits each, of group `g`, from the twelve bytes that hold all of them.
#[inline(always)]
fn scale_and_min(packed: &[u8], g: usize) -> (u8, u8) {
    if g < 4 {
        (packed[g] & 63, packed[g + 4] & 63)
    } else {
        (packed[g + 4] & 15 | packed[g - 4] >> 6 << 4, packed[g + 4] >> 4 | packed[g] >> 6 << 4)
    }
}

/// Weight `i` of a block: the definition of the format.
#[inline(always)]
pub fn weight(block: &[u8], i: usize) -> f32 {
    let factor = |at: usize| f16_to_f32(f16::from_bits(u16::from_le_bytes([block[at], block[at + 1]])));
    let (scale, min) = scale_and_min(&block[4..16], i / GROUP);
    let byte = block[16 + i / CHUNK * GROUP + i % GROUP];
    let code = if (i / GROUP).is_multiple_of(2) { byte & 15 } else { byte >> 4 };
    factor(0) * f32::from(scale) * f32::from(code) - factor(2) * f32::from(min)
}

// ANCHOR: naive
/// A thread for each row, weight after weight.
///
/// # Safety
/// A row has as many weights as `x`, a multiple of [`BLOCK`], and `y` has an element for each row.
#[kernel]
pub unsafe fn q4k_naive(weights: &[u8], x: &[f32], y: *mut f32) {
    let row = thread::index_1d() as usize;
    let row_bytes = x.len() / BLOCK * BLOCK_BYTES;
    if (row + 1) * row_bytes <= weights.len() {
        let mut sum = 0.0;
        for (i, &x) in x.iter().enumerate() {
            let block = row * row_bytes + i / BLOCK * BLOCK_BYTES;
            sum += weight(&weights[block..block + BLOCK_BYTES], i % BLOCK) * x;
        }
        // SAFETY: one thread writes the row's element.
        unsafe { *y.add(row) = sum };
    }
}
// ANCHOR_END: naive

// ANCHOR: chunk
/// What a lane holds of a row: the 64 weights of a chunk.
struct Chunk {
    /// `weight = scales[half] * code - mins[half]`
    scales: [f32; 2],
    mins: [f32; 2],
    /// Eight words, a code in each half of each byte.
    codes: [u32; 8],
}

impl Chunk {
    /// Three loads of 16 bytes.
    ///
    /// # Safety
    /// `row` is aligned to 16 bytes and has chunk `c`.
    #[inline(always)]
    unsafe fn load(row: *const u8, c: usize) -> Self {
        // SAFETY: a block is nine times 16 bytes: the first are the factors and scales, then two for each chunk.
        let load = |piece: usize| unsafe {
            global::load(row.add(c / 4 * BLOCK_BYTES).cast::<U32x4>().add(piece), Streaming).0
        };
        let (head, low, high) = (load(0), load(1 + c % 4 * 2), load(2 + c % 4 * 2));
        let factor = |bits: u32| f16_to_f32(f16::from_bits(bits as u16));
        let (scale, min) = (factor(head[0]), factor(head[0] >> 16));
        let mut packed = [0; 12];
        for (i, byte) in packed.iter_mut().enumerate() {
            *byte = (head[1 + i / 4] >> (i % 4 * 8)) as u8;
        }
        let [a, b] = [scale_and_min(&packed, c % 4 * 2), scale_and_min(&packed, c % 4 * 2 + 1)];
        Self {
            scales: [scale * f32::from(a.0), scale * f32::from(b.0)],
            mins: [min * f32::from(a.1), min * f32::from(b.1)],
            codes: [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]],
        }
    }
}
// ANCHOR_END: chunk

// ANCHOR: warp
/// A warp for each row, a chunk for each lane: neighbours read neighbouring bytes.
///
/// # Safety
/// A row has `chunks` chunks, four to a block, aligned to 16 bytes, and `x` as many. The launch has a warp for each row.
#[kernel]
pub unsafe fn q4k_warp(weights: *const u8, chunks: u32, x: *const f32, y: *mut f32) {
    let (row, chunks) = ((thread::index_1d() / warp::SIZE) as usize, chunks as usize);
    let mut sum = 0.0f32;
    for c in (warp::lane_id() as usize..chunks).step_by(warp::SIZE as usize) {
        // SAFETY: inside the row and the vector.
        unsafe {
            let chunk = Chunk::load(weights.add(row * chunks / 4 * BLOCK_BYTES), c);
            for half in 0..2 {
                let x = x.add(c * CHUNK + half * GROUP).cast::<F32x4>();
                for i in 0..8 {
                    let (codes, x) = (chunk.codes[i] >> (4 * half), global::load(x.add(i), ReadOnly).0);
                    for (k, &x) in x.iter().enumerate() {
                        let code = (codes >> (8 * k) & 15) as f32;
                        sum = (chunk.scales[half] * code - chunk.mins[half]).mul_add(x, sum);
                    }
                }
            }
        }
    }
    let sum = warp::sum_f32(sum);
    if warp::lane_id() == 0 {
        // SAFETY: one lane writes the row's element.
        unsafe { *y.add(row) = sum };
    }
}
// ANCHOR_END: warp

// ANCHOR: integers
/// As [`q4k_warp`](fn@q4k_warp), with 8-bit codes of the vector and a scale for each group: four products with one instruction.
///
/// # Safety
/// As for [`q4k_warp`](fn@q4k_warp); the codes of `x` are aligned to 16 bytes.
#[kernel]
pub unsafe fn q4k_integers(
    weights: *const u8,
    chunks: u32,
    x: *const U32x4,
    x_scales: *const f32,
    y: *mut f32,
) {
    let (row, chunks) = ((thread::index_1d() / warp::SIZE) as usize, chunks as usize);
    let mut sum = 0.0f32;
    for c in (warp::lane_id() as usize..chunks).step_by(warp::SIZE as usize) {
        // SAFETY: inside the row and the vector.
        unsafe {
            let chunk = Chunk::load(weights.add(row * chunks / 4 * BLOCK_BYTES), c);
            for half in 0..2 {
                let mut products = 0;
                let mut total = 0;
                for load in 0..2 {
                    let x = global::load(x.add((c * 2 + half) * 2 + load), ReadOnly).0;
                    for (i, &x) in x.iter().enumerate() {
                        let codes = chunk.codes[load * 4 + i] >> (4 * half) & 0x0f0f_0f0f;
                        products = dot::dp4a_i32(codes, x, products);
                        // The minimum is the same for all: it meets the sum of the vector's codes.
                        total = dot::dp4a_i32(0x0101_0101, x, total);
                    }
                }
                let value = chunk.scales[half] * products as f32 - chunk.mins[half] * total as f32;
                sum = value.mul_add(*x_scales.add(c * 2 + half), sum);
            }
        }
    }
    let sum = warp::sum_f32(sum);
    if warp::lane_id() == 0 {
        // SAFETY: one lane writes the row's element.
        unsafe { *y.add(row) = sum };
    }
}
// ANCHOR_END: integers
