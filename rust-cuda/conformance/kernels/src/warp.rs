//! Shuffles, votes, matches, reductions.

use cuda_std::prelude::*;

/// All shuffles of a value by one argument, over the whole warp.
#[kernel]
pub unsafe fn shuffles(values: *const u32, argument: *const u32, out: *mut [u32; 6]) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let (value, by) = (crate::take(values), crate::take(argument));
        let uniform = warp::shuffle_idx(warp::ALL, by, 0);
        let float = f32::from_bits(value);
        let seen = [
            warp::shuffle_idx(warp::ALL, value, by),
            warp::shuffle_xor(warp::ALL, value, uniform),
            warp::shuffle_up(warp::ALL, value, uniform),
            warp::shuffle_down(warp::ALL, value, uniform),
            warp::shuffle_idx_f32(warp::ALL, float, by).to_bits(),
            warp::shuffle_xor_f32(warp::ALL, float, uniform).to_bits(),
        ];
        crate::put(out, seen);
    }
}

/// Votes and matches among the lanes of a mask; the other lanes write zeros.
#[kernel]
pub unsafe fn votes(mask: u32, values: *const u32, out: *mut [u32; 5]) {
    // SAFETY: the buffers have an element for every thread; the lanes of the mask go the same way.
    unsafe {
        let value = crate::take(values);
        let mut seen = [0; 5];
        if mask & (1 << warp::lane_id()) != 0 {
            let odd = value % 2 == 1;
            seen = [
                u32::from(warp::vote_all(mask, odd)),
                u32::from(warp::vote_any(mask, odd)),
                warp::vote_ballot(mask, odd),
                warp::match_any(mask, value),
                warp::match_all(mask, value / 1000).unwrap_or(0),
            ];
        }
        crate::put(out, seen);
    }
}

/// All reductions among the lanes of a mask; the other lanes write zeros.
#[kernel]
pub unsafe fn reductions(mask: u32, values: *const u32, out: *mut [u32; 9]) {
    // SAFETY: the buffers have an element for every thread; the lanes of the mask go the same way.
    unsafe {
        let value = crate::take(values);
        let mut seen = [0; 9];
        if mask & (1 << warp::lane_id()) != 0 {
            seen = [
                warp::reduce_add_u32(mask, value),
                warp::reduce_min_u32(mask, value),
                warp::reduce_max_u32(mask, value),
                warp::reduce_min_i32(mask, value as i32) as u32,
                warp::reduce_max_i32(mask, value as i32) as u32,
                warp::reduce_and_u32(mask, value),
                warp::reduce_or_u32(mask, value),
                warp::reduce_xor_u32(mask, value),
                warp::reduce_add_i32(mask, value as i32) as u32,
            ];
        }
        crate::put(out, seen);
    }
}

/// The butterflies of floats.
#[kernel]
pub unsafe fn butterflies(values: *const f32, out: *mut [f32; 2]) {
    // SAFETY: the buffers have an element for every thread.
    unsafe {
        let value = crate::take(values);
        crate::put(out, [warp::sum_f32(value), warp::max_f32(value)]);
    }
}

/// Lanes hand a number on through shared memory, with nothing but barriers of the warp; and what `activemask` says.
#[kernel]
pub unsafe fn warp_barrier(out: *mut [u32; 2]) {
    // SAFETY: the block has at most 8 warps, each with its own part; barriers of the warp part reads from writes.
    unsafe {
        let board = shared::Slice::from_raw(shared_array![u32; 256], 256);
        let me = thread::thread_idx_x();
        let next = (me & !31) + (me + 1) % 32;
        let mut value = me;
        for _ in 0..5 {
            board.set(me as usize, value);
            warp::sync_warp(warp::ALL);
            value = board.get(next as usize);
            warp::sync_warp(warp::ALL);
        }
        crate::put(out, [value, warp::activemask()]);
    }
}

/// Two overlapping groups of lanes meet one after the other: 0 and 1, then 1 and 2.
#[kernel]
pub unsafe fn overlapping_groups(out: *mut u32) {
    let lane = warp::lane_id();
    let mut seen = 0;
    if lane == 1 || lane == 2 {
        seen = warp::reduce_add_u32(0b110, lane + 10);
    }
    warp::sync_warp(warp::ALL);
    if lane == 0 || lane == 1 {
        seen += warp::reduce_add_u32(0b011, lane + 100);
    }
    // SAFETY: the buffer has an element for every thread.
    unsafe { crate::put(out, seen) };
}

/// Upstream's shuffles in sections of the warp: a byte, a word, a long one, a float, a double, and what was in range.
#[kernel]
pub unsafe fn sections(width: u32, by: u32, values: *const u64, out: *mut [u64; 10]) {
    // SAFETY: the buffers have an element for every thread; the whole warp takes the same way.
    unsafe {
        let value = crate::take(values);
        let (idx, idx_in) = warp::warp_shuffle_idx(warp::ALL, value, by, width);
        let (up, up_in) = warp::warp_shuffle_up(warp::ALL, value as u32, by, width);
        let (down, down_in) = warp::warp_shuffle_down(warp::ALL, value as i8, by, width);
        let (xor, xor_in) = warp::warp_shuffle_xor(warp::ALL, f64::from_bits(value), by, width);
        let (half, _) = warp::warp_shuffle_xor(warp::ALL, f16::from_bits(value as u16), by, width);
        let (float, _) = warp::warp_shuffle_up(warp::ALL, f32::from_bits(value as u32), by, width);
        let (wide, _) = warp::warp_shuffle_down(warp::ALL, u128::from(value) << 64 | 7, by, width);
        let flags = [idx_in, up_in, down_in, xor_in].map(u64::from);
        let seen = [
            idx,
            up.into(),
            down as u8 as u64,
            xor.to_bits(),
            half.to_bits().into(),
            float.to_bits().into(),
            (wide >> 64) as u64 + (wide as u64 - 7),
            flags[0] + 2 * flags[1] + 4 * flags[2] + 8 * flags[3],
            warp::warp_match_any(warp::ALL, value / 3).into(),
            warp::warp_match_all(warp::ALL, value | u64::MAX << 8).map_or(0, u64::from),
        ];
        crate::put(out, seen);
    }
}

/// Upstream's votes and reductions.
#[kernel]
pub unsafe fn upstream_reductions(values: *const u32, out: *mut [u32; 9]) {
    use warp::WarpReductionOp as Op;
    // SAFETY: the buffers have an element for every thread; the whole warp takes the same way.
    unsafe {
        let value = crate::take(values);
        let seen = [
            warp::warp_reduce(warp::ALL, value, Op::Add),
            warp::warp_reduce(warp::ALL, value as i32, Op::Min) as u32,
            warp::warp_reduce(warp::ALL, value, Op::Max),
            warp::warp_reduce(warp::ALL, value as i32, Op::And) as u32,
            warp::warp_reduce(warp::ALL, value, Op::Or),
            warp::warp_reduce(warp::ALL, value, Op::Xor),
            u32::from(warp::warp_vote_all(warp::ALL, value % 2 == 1)),
            u32::from(warp::warp_vote_any(warp::ALL, value % 2 == 1)),
            warp::warp_vote_ballot(warp::ALL, value % 2 == 1),
        ];
        crate::put(out, seen);
    }
}
