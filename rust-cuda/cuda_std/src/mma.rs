//! Products of small matrices by a whole warp: `d = a b + c`.
//!
//! The lanes hold the matrices in pieces ("fragments"). With `g = lane / 4` and `t = lane % 4` (PTX ISA, "Matrix
//! fragments for mma.m16n8k16 and m16n8k32"):
//!
//! | | `f16` and `bf16`, k = 16 | 8-bit elements, k = 32 |
//! |---|---|---|
//! | `a[0]`, `a[1]` | rows g, g + 8; columns 2t, 2t + 1 | rows g, g + 8; columns 4t to 4t + 3 |
//! | `a[2]`, `a[3]` | the same rows; columns 8 further | the same rows; columns 16 further |
//! | `b[0]`, `b[1]` | rows 2t, 2t + 1 and 8 further; column g | rows 4t to 4t + 3 and 16 further; column g |
//! | `c`, `d` | rows g, g, g + 8, g + 8; columns 2t, 2t + 1, 2t, 2t + 1 | the same |
//!
//! [`load_x4`] reads fragments of `a` from rows in shared memory, [`load_x4_transposed`] from columns.

use crate::plain::U32x4;
use crate::shared;

/// The simulator's form of products of 16-bit floats: every lane computes its four elements from all lanes' fragments.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn product_of_halves(
    name: &'static str,
    a: [u32; 4],
    b: [u32; 2],
    c: [f32; 4],
    value: impl Fn(u16) -> f32,
) -> [f32; 4] {
    let all = cuda_sim::device::warp_gather(name, [a[0], a[1], a[2], a[3], b[0], b[1], 0, 0]);
    let lane = crate::warp::lane_id() as usize;
    // The 16 elements of a row or column: two to a word, of four lanes, in two words of each.
    let elements = |first: usize, words: [usize; 2]| -> [f32; 16] {
        core::array::from_fn(|k| {
            let word = all[first + k % 8 / 2][words[k / 8]];
            value((word >> (16 * (k % 2))) as u16)
        })
    };
    let (g, t) = (lane / 4, lane % 4);
    let rows = [elements(4 * g, [0, 2]), elements(4 * g, [1, 3])];
    let columns = [elements(8 * t, [4, 5]), elements(8 * t + 4, [4, 5])];
    core::array::from_fn(|i| {
        let pairs = rows[i / 2].iter().zip(&columns[i % 2]);
        pairs.fold(c[i], |sum, (left, right)| sum + left * right)
    })
}

/// The same for bytes, four at a time; a word of zeros, which is what a matrix of few columns is padded with, is skipped.
#[cfg(not(target_arch = "nvptx64"))]
#[track_caller]
fn product_of_bytes(
    name: &'static str,
    a: [u32; 4],
    b: [u32; 2],
    c: [i32; 4],
    dot: impl Fn(u32, u32, i32) -> i32,
) -> [i32; 4] {
    let all = cuda_sim::device::warp_gather(name, [a[0], a[1], a[2], a[3], b[0], b[1], 0, 0]);
    let lane = crate::warp::lane_id() as usize;
    let (mut d, t) = (c, lane % 4);
    for column in 0..2 {
        for word in 0..8 {
            let (half, from) = (word / 4, word % 4);
            let right = all[(2 * t + column) * 4 + from][4 + half];
            if right != 0 {
                let left = &all[lane / 4 * 4 + from];
                d[column] = dot(left[2 * half], right, d[column]);
                d[2 + column] = dot(left[2 * half + 1], right, d[2 + column]);
            }
        }
    }
    d
}

macro_rules! products {
    ($($name:ident, $element:ty, $intrinsic:ident, $simulated:ident($label:literal, $step:expr), $doc:literal;)*) => {$(
        #[doc = $doc]
        #[track_caller]
        #[inline(always)]
        pub fn $name(a: [u32; 4], b: [u32; 2], c: [$element; 4]) -> [$element; 4] {
            #[cfg(target_arch = "nvptx64")]
            {
                // SAFETY: the whole warp calls it; arithmetic on registers.
                let d = unsafe {
                    crate::nvptx::$intrinsic(a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], c[2], c[3])
                };
                [d.0, d.1, d.2, d.3]
            }
            #[cfg(not(target_arch = "nvptx64"))]
            $simulated($label, a, b, c, $step)
        }
    )*};
}

products! {
    m16n8k32_i8, i32, mma_m16n8k32_s8, product_of_bytes("mma m16n8k32 i8", crate::dot::dp4a_i32),
    "16×32 signed bytes by 32×8 signed bytes, sums in 32 bits.";
    m16n8k32_u8_i8, i32, mma_m16n8k32_u8_s8, product_of_bytes("mma m16n8k32 u8 i8", crate::dot::dp4a_u32_i32),
    "16×32 unsigned bytes by 32×8 signed bytes, sums in 32 bits.";
    m16n8k16_f16, f32, mma_m16n8k16_f16,
    product_of_halves("mma m16n8k16 f16", |bits| crate::half::f16_to_f32(crate::half::f16::from_bits(bits))),
    "16×16 `f16` by 16×8 `f16`, sums in `f32`. The GPU does not say in which order it adds.";
    m16n8k16_bf16, f32, mma_m16n8k16_bf16,
    product_of_halves("mma m16n8k16 bf16", |bits| crate::half::bf16_to_f32(crate::half::bf16::from_bits(bits))),
    "16×16 `bf16` by 16×8 `bf16`, sums in `f32`. The GPU does not say in which order it adds.";
}

macro_rules! loads_of_matrices {
    ($($name:ident, $label:literal, $intrinsic:ident, $place:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// Lane `8 m + r` names where row `r` of matrix `m` lies: 8 elements of 16 bits in element `i` of `rows`.
        ///
        /// # Safety
        /// All lanes must call it. `i` must be below the length, and no thread may write the element before the next
        /// barrier.
        #[track_caller]
        #[inline(always)]
        pub unsafe fn $name(rows: shared::Slice<U32x4>, i: usize) -> [u32; 4] {
            #[cfg(target_arch = "nvptx64")]
            {
                // SAFETY: as the caller promises; the element is aligned to its 16 bytes.
                let m = unsafe { crate::nvptx::$intrinsic(rows.pointer(i).cast()) };
                [m.0, m.1, m.2, m.3]
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                // SAFETY: as the caller promises.
                let U32x4([a, b, c, d]) = unsafe { rows.get(i) };
                let all = cuda_sim::device::warp_gather($label, [a, b, c, d, 0, 0, 0, 0]);
                let lane = crate::warp::lane_id() as usize;
                let place: fn(usize, usize) -> (usize, usize) = $place;
                let element = |m: usize, i: usize| {
                    let (row, column) = place(lane / 4, 2 * (lane % 4) + i);
                    all[8 * m + row][column / 2] >> (16 * (column % 2)) & 0xffff
                };
                core::array::from_fn(|m| element(m, 0) | element(m, 1) << 16)
            }
        }
    )*};
}

loads_of_matrices! {
    load_x4, "ldmatrix x4", ldmatrix_x4,
    |row, column| (row, column),
    "Four 8×8 matrices: word `m` of lane `4 g + t` are the elements of columns 2t, 2t + 1 in row g of matrix `m`.";
    load_x4_transposed, "ldmatrix x4 trans", ldmatrix_x4_trans,
    |column, row| (row, column),
    "Four 8×8 matrices, transposed: word `m` of lane `4 g + t` are the elements of rows 2t, 2t + 1 in column g of matrix `m`.";
}
