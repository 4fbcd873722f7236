//! Activations as the mat-vec kernels want them: 8-bit codes in shared memory, made by each block for itself.
//!
//! 32 activations share a scale: `x = scale * code`, `scale = max|x| / 127`, codes rounded to nearest. The sums of 16
//! activations (as their codes stand for them) serve formats whose weights have an offset.

use cuda_std::prelude::*;

use crate::layout::{CHUNK, chunks};
use crate::reduce::block_sum;

/// Activations that share a scale.
pub const GROUP: usize = 32;

/// Activations that a thread turns into codes at a time.
const PER_THREAD: usize = 8;

/// A chunk of activations in registers.
#[derive(Clone, Copy)]
pub struct Quantized {
    /// Codes, 16 to a piece.
    pub codes: [U32x4; 4],
    /// The scales of the two groups.
    pub scales: F32x2,
    /// The sums of the four sixteens.
    pub sums: F32x4,
}

/// A group in codes, made by a warp with an element in each lane.
#[derive(Clone, Copy)]
pub struct GroupCodes {
    /// The codes of this lane and the three that it shares a word with.
    pub word: u32,
    /// The scale.
    pub scale: f32,
    /// The sums of the codes of the two sixteens.
    pub sums: [i32; 2],
}

impl GroupCodes {
    /// The codes of the warp's elements. If one is no number, the scale is none either.
    ///
    /// # Safety
    /// All lanes must call it.
    #[inline(always)]
    pub unsafe fn of(lane: u32, value: f32) -> Self {
        // Numbers without a sign are in the order of their bits.
        let most = f32::from_bits(warp::reduce_max_u32(warp::ALL, value.abs().to_bits()));
        let scale = most * (1.0 / 127.0);
        let inverse = if most > f32::MIN_POSITIVE { 127.0 * float::fast_reciprocal(most) } else { 0.0 };
        let code = float::round_to_i32(value * inverse);
        // Both sums at once, in the halves of a word: no code is less than -128.
        let sums = warp::reduce_add_u32(warp::ALL, ((code + 128) as u32) << (16 * (lane / 16)));
        let sums = [sums & 0xffff, sums >> 16].map(|sum| sum as i32 - 16 * 128);
        let mut word = (code as u32 & 0xff) << (8 * (lane % 4));
        word |= warp::shuffle_xor(warp::ALL, word, 1);
        word |= warp::shuffle_xor(warp::ALL, word, 2);
        Self { word, scale, sums }
    }
}

/// A vector of activations in shared memory.
#[derive(Clone, Copy)]
pub struct Vector {
    codes: shared::Slice<U32x4>,
    scales: shared::Slice<F32x2>,
    sums: shared::Slice<F32x4>,
    /// Between a piece's places of one chunk and the next piece's; odd, so that the four pieces that one lane loads
    /// and the ones its neighbours load are in different banks.
    stride: usize,
}

/// Shared memory that [`Vector`] takes for `cols` activations, in bytes.
pub const fn shared_bytes(cols: usize) -> usize {
    let n = chunks(cols);
    n * size_of::<F32x4>() + 4 * (n | 1) * size_of::<U32x4>() + n * size_of::<F32x2>()
}

impl Vector {
    /// A vector of `cols` activations, `offset` bytes into the dynamic shared memory, not yet set.
    ///
    /// # Safety
    /// The launch must have asked for [`shared_bytes`] of dynamic shared memory from there on; the offset is a multiple
    /// of 16.
    #[inline(always)]
    pub unsafe fn at(offset: usize, cols: usize) -> Self {
        let n = chunks(cols);
        let stride = n | 1;
        let codes = offset + n * 16;
        let scales = codes + 4 * stride * 16;
        // SAFETY: as the caller promises; the offsets are multiples of 16.
        unsafe {
            Self {
                sums: shared::Slice::dynamic(offset, n),
                codes: shared::Slice::dynamic(codes, 4 * stride),
                scales: shared::Slice::dynamic(scales, n),
                stride,
            }
        }
    }

    /// Sets a group, of which each lane has an element.
    ///
    /// # Safety
    /// All lanes must call it, and there must be such a group.
    #[inline(always)]
    pub unsafe fn set_group(self, group: usize, lane: u32, value: f32) {
        // SAFETY: as the caller promises; each place has one writer.
        unsafe {
            let codes = GroupCodes::of(lane, value);
            let unit = 2 * group + lane as usize / 16;
            if lane.is_multiple_of(4) {
                let place = (unit % 4 * self.stride + unit / 4) * 4 + lane as usize / 4 % 4;
                self.codes.cast::<u32>().set(place, codes.word);
            }
            if lane == 0 {
                self.set_scale(group, codes.scale, codes.sums);
            }
        }
    }

    /// Sets the scale of a group, and the sums of its two sixteens' codes.
    ///
    /// # Safety
    /// There must be such a group.
    #[inline(always)]
    unsafe fn set_scale(self, group: usize, scale: f32, sums: [i32; 2]) {
        // SAFETY: as the caller promises.
        unsafe {
            self.scales.cast::<f32>().set(group, scale);
            self.sums.cast::<F32x2>().set(group, F32x2(sums.map(|sum| scale * sum as f32)));
        }
    }

    /// Chunk `c`.
    ///
    /// # Safety
    /// There must be such a chunk, and the vector must be complete.
    #[inline(always)]
    pub unsafe fn chunk(self, c: usize) -> Quantized {
        // SAFETY: as the caller promises.
        unsafe {
            Quantized {
                codes: core::array::from_fn(|p| self.codes.get(p * self.stride + c)),
                scales: self.scales.get(c),
                sums: self.sums.get(c),
            }
        }
    }

    /// Word `i` of the codes of the sixteen `unit`.
    ///
    /// # Safety
    /// There must be such a sixteen, and the vector must be complete.
    #[inline(always)]
    pub unsafe fn word(self, unit: usize, i: usize) -> u32 {
        // SAFETY: as the caller promises.
        unsafe { self.codes.cast::<u32>().get((unit % 4 * self.stride + unit / 4) * 4 + i) }
    }

    /// The scale of a group.
    ///
    /// # Safety
    /// As for [`chunk`](Self::chunk).
    #[inline(always)]
    pub unsafe fn scale(self, group: usize) -> f32 {
        // SAFETY: as the caller promises.
        unsafe { self.scales.cast::<f32>().get(group) }
    }

    /// The sums of the two sixteens of a group.
    ///
    /// # Safety
    /// As for [`chunk`](Self::chunk).
    #[inline(always)]
    pub unsafe fn group_sums(self, group: usize) -> F32x2 {
        // SAFETY: as the caller promises.
        unsafe { self.sums.cast::<F32x2>().get(group) }
    }

    /// Makes the vector of `x[..cols]`, normalised with the weights `norm` unless that is null:
    /// `x / sqrt(mean(x^2) + eps) * norm`.
    ///
    /// # Safety
    /// Every thread of a block of whole warps must call it, `x` (and `norm`) must have `cols` elements aligned to 16
    /// bytes, `cols` must be a multiple of 32, and the launch must have asked for [`shared_bytes`].
    #[inline(always)]
    pub unsafe fn quantize(x: *const f32, norm: *const f32, eps: f32, cols: usize) -> Self {
        // SAFETY: as the caller promises, for the whole body: every element below `cols` is valid, and each thread
        // writes elements of its own.
        unsafe {
            let this = Self::at(0, cols);
            let step = thread::block_dim_x() as usize * PER_THREAD;
            let first = thread::thread_idx_x() as usize * PER_THREAD;
            let factor = if norm.is_null() {
                1.0
            } else {
                let (mut sum, mut i) = (0.0f32, first);
                while i < cols {
                    let v = load(x, i);
                    for k in 0..PER_THREAD {
                        sum = v[k].mul_add(v[k], sum);
                    }
                    i += step;
                }
                float::fast_rsqrt(block_sum(sum) / cols as f32 + eps)
            };
            let mut i = first;
            // Whole warps go round together: the shuffles need all lanes.
            while i - first < chunks(cols) * CHUNK {
                let mut v = if i < cols { load(x, i) } else { [0.0; PER_THREAD] };
                if !norm.is_null() && i < cols {
                    let w = load(norm, i);
                    for k in 0..PER_THREAD {
                        v[k] = v[k] * factor * w[k];
                    }
                }
                this.set(i, v, i < chunks(cols) * CHUNK);
                i += step;
            }
            thread::sync_threads();
            this
        }
    }

    /// Sets elements `i` to `i + N - 1` (`N` is 4 or 8), which the `32 / N` neighbouring lanes do that share a group.
    ///
    /// # Safety
    /// All lanes of the warp must call it; where `inside`, `i` must be below the padded length.
    #[inline(always)]
    pub unsafe fn set<const N: usize>(self, i: usize, v: [f32; N], inside: bool) {
        let mut largest = 0.0f32;
        for k in 0..N {
            largest = larger(largest, v[k].abs());
        }
        if N == 4 {
            largest = larger(largest, warp::shuffle_xor_f32(warp::ALL, largest, 4));
        }
        largest = larger(largest, warp::shuffle_xor_f32(warp::ALL, largest, 1));
        largest = larger(largest, warp::shuffle_xor_f32(warp::ALL, largest, 2));
        // Divisions that are right to the last bit take a subroutine; what is not a normal number counts as zero.
        let scale = largest * (1.0 / 127.0);
        let inverse = if largest > f32::MIN_POSITIVE { 127.0 * float::fast_reciprocal(largest) } else { 0.0 };
        let (mut words, mut sum) = ([0u32; 2], 0i32);
        for k in 0..N {
            let code = float::round_to_i32(v[k] * inverse);
            sum += code;
            words[k / 4] |= (code as u32 & 0xff) << (8 * (k % 4));
        }
        if N == 4 {
            sum += warp::shuffle_xor(warp::ALL, sum as u32, 2) as i32;
        }
        let sum = sum + warp::shuffle_xor(warp::ALL, sum as u32, 1) as i32;
        if inside {
            let unit = i / 16;
            // SAFETY: the element is below the padded length, and the lanes of a group write different places
            // or, for sums and scales, one of them does.
            unsafe {
                let place = (unit % 4 * self.stride + unit / 4) * 16 / N + i / N % (16 / N);
                if N == 4 {
                    self.codes.cast::<u32>().set(place, words[0]);
                } else {
                    self.codes.cast::<U32x2>().set(place, U32x2(words));
                }
                if i.is_multiple_of(16) {
                    self.sums.cast::<f32>().set(unit, scale * sum as f32);
                }
                if i.is_multiple_of(GROUP) {
                    self.scales.cast::<f32>().set(i / GROUP, scale);
                }
            }
        }
    }
}

/// # Safety
/// `x[i..i + 8]` must be valid and aligned to 16 bytes.
#[inline(always)]
unsafe fn load(x: *const f32, i: usize) -> [f32; PER_THREAD] {
    // SAFETY: as the caller promises.
    let (a, b) = unsafe {
        (global::load(x.add(i).cast::<F32x4>(), Cached), global::load(x.add(i + 4).cast::<F32x4>(), Cached))
    };
    let ([a, b, c, d], [e, f, g, h]) = (a.0, b.0);
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
