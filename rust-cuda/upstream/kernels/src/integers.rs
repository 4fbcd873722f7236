//! Integers of 128 bits.

use cuda_std::prelude::*;

/// What a thread computes of its two numbers: eleven results.
pub const RESULTS: usize = 11;

/// The results, by the same function on the host and on the GPU.
pub fn all_of(a: u128, b: u128) -> [u128; RESULTS] {
    let shift = (b % 128) as u32;
    let (i, j) = (a as i128, b as i128);
    [
        a.wrapping_add(b),
        a.wrapping_sub(b),
        a.wrapping_mul(b),
        a / (b | 1),
        a % (b | 1),
        i.wrapping_div(j | 1) as u128,
        i.wrapping_rem(j | 1) as u128,
        a << shift,
        (i >> shift) as u128,
        a.rotate_left(shift) ^ b.swap_bytes(),
        u128::from(a.leading_zeros()) << 64 | u128::from(b.count_ones()) << 32 | u128::from(i < j),
    ]
}

/// Each thread writes the results of its two numbers.
#[kernel]
pub unsafe fn int128(a: &[u128], b: &[u128], out: *mut u128) {
    let i = thread::index_1d() as usize;
    if i < a.len() {
        for (k, value) in all_of(a[i], b[i]).into_iter().enumerate() {
            unsafe { out.add(i * RESULTS + k).write(value) };
        }
    }
}
