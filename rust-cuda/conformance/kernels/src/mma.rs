//! Products of matrices by a warp. The fragments are gathered from plain row-major matrices.

use cuda_std::prelude::*;

/// `d = a b + c` of 16×32 by 32×8 signed bytes; one warp.
#[kernel]
pub unsafe fn mma_i8(a: *const u8, b: *const u8, c: *const i32, d: *mut i32) {
    // SAFETY: as the caller promises.
    unsafe { bytes(a, b, c, d, mma::m16n8k32_i8) }
}

/// The same of unsigned bytes by signed ones.
#[kernel]
pub unsafe fn mma_u8_i8(a: *const u8, b: *const u8, c: *const i32, d: *mut i32) {
    // SAFETY: as the caller promises.
    unsafe { bytes(a, b, c, d, mma::m16n8k32_u8_i8) }
}

/// # Safety
/// The buffers must hold the matrices.
#[inline(always)]
unsafe fn bytes(
    a: *const u8,
    b: *const u8,
    c: *const i32,
    d: *mut i32,
    product: impl Fn([u32; 4], [u32; 2], [i32; 4]) -> [i32; 4],
) {
    let lane = warp::lane_id() as usize;
    let (g, t) = (lane / 4, lane % 4);
    // SAFETY: as the caller promises.
    unsafe {
        let left = |row: usize, column: usize| {
            u32::from_le_bytes(core::array::from_fn(|i| a.add(row * 32 + column + i).read()))
        };
        let right =
            |row: usize| u32::from_le_bytes(core::array::from_fn(|i| b.add((row + i) * 8 + g).read()));
        let place = |i: usize| (g + 8 * (i / 2)) * 8 + 2 * t + i % 2;
        let x = [left(g, 4 * t), left(g + 8, 4 * t), left(g, 4 * t + 16), left(g + 8, 4 * t + 16)];
        let y = [right(4 * t), right(4 * t + 16)];
        let result = product(x, y, core::array::from_fn(|i| c.add(place(i)).read()));
        for (i, value) in result.into_iter().enumerate() {
            d.add(place(i)).write(value);
        }
    }
}

/// `d = a b + c` of 16×16 by 16×8 `bf16`; one warp.
#[kernel]
pub unsafe fn mma_bf16(a: *const u16, b: *const u16, c: *const f32, d: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe { halves(a, b, c, d, mma::m16n8k16_bf16) }
}

/// The same of `f16`.
#[kernel]
pub unsafe fn mma_f16(a: *const u16, b: *const u16, c: *const f32, d: *mut f32) {
    // SAFETY: as the caller promises.
    unsafe { halves(a, b, c, d, mma::m16n8k16_f16) }
}

/// # Safety
/// The buffers must hold the matrices.
#[inline(always)]
unsafe fn halves(
    a: *const u16,
    b: *const u16,
    c: *const f32,
    d: *mut f32,
    product: impl Fn([u32; 4], [u32; 2], [f32; 4]) -> [f32; 4],
) {
    let lane = warp::lane_id() as usize;
    let (g, t) = (lane / 4, lane % 4);
    // SAFETY: as the caller promises.
    unsafe {
        let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        let left = |row: usize, column: usize| {
            pair(a.add(row * 16 + column).read(), a.add(row * 16 + column + 1).read())
        };
        let right = |row: usize| pair(b.add(row * 8 + g).read(), b.add((row + 1) * 8 + g).read());
        let place = |i: usize| (g + 8 * (i / 2)) * 8 + 2 * t + i % 2;
        let x = [left(g, 2 * t), left(g + 8, 2 * t), left(g, 2 * t + 8), left(g + 8, 2 * t + 8)];
        let y = [right(2 * t), right(2 * t + 8)];
        let result = product(x, y, core::array::from_fn(|i| c.add(place(i)).read()));
        for (i, value) in result.into_iter().enumerate() {
            d.add(place(i)).write(value);
        }
    }
}

/// Four 8×8 matrices of 16-bit elements, as they are and transposed, through shared memory in which the rows lie in another
/// order; one warp.
#[kernel]
pub unsafe fn load(from: *const u32, plain: *mut u32, transposed: *mut u32) {
    let lane = warp::lane_id() as usize;
    // SAFETY: the buffers hold the matrices; the array has as many rows.
    unsafe {
        let rows = shared::Slice::from_raw(shared_array![U32x4; 32], 32);
        let place = lane * 5 % 32;
        rows.set(place, U32x4(core::array::from_fn(|i| from.add(4 * lane + i).read())));
        warp::sync_warp(warp::ALL);
        let words = [mma::load_x4(rows, place), mma::load_x4_transposed(rows, place)];
        for (to, words) in [plain, transposed].into_iter().zip(words) {
            for (m, word) in words.into_iter().enumerate() {
                to.add(32 * m + lane).write(word);
            }
        }
    }
}
