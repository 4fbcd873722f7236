//! What the lanes of a warp do together.
//!
//! Every function with a `mask` must be called by all lanes that the mask names, with the same mask; the others may
//! be elsewhere. [`ALL`] is the mask of a whole warp.

#[cfg(not(target_arch = "nvptx64"))]
use cuda_sim::{FaultKind, device};

/// Lanes of a warp.
pub const SIZE: u32 = 32;

/// The mask of all lanes.
pub const ALL: u32 = u32::MAX;

/// The lane in the warp, 0 to 31.
#[inline(always)]
pub fn lane_id() -> u32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: u32;
        // SAFETY: reads a special register that does not change during a thread's life.
        unsafe { core::arch::asm!("mov.u32 {}, %laneid;", out(reg32) r, options(pure, nomem, nostack)) };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    device::lane()
}

/// The warp's index in a one-dimensional block.
#[inline(always)]
pub fn warp_id() -> u32 {
    crate::thread::thread_idx_x() / SIZE
}

/// Waits until all lanes of `mask` have come here; what they wrote before is seen by them afterwards.
#[track_caller]
#[inline(always)]
pub fn sync_warp(mask: u32) {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: a barrier has no operands that could be wrong in a way that is unsafe.
    unsafe {
        crate::nvptx::warp_sync(mask)
    };
    #[cfg(not(target_arch = "nvptx64"))]
    device::warp(mask, "sync_warp", 0, 0, |_, _, _, _| Ok(0));
}

#[cfg(not(target_arch = "nvptx64"))]
fn read(values: &[u64; 32], mask: u32, lane: u32, operation: &'static str) -> Result<u64, FaultKind> {
    if mask & (1 << lane) == 0 {
        return Err(FaultKind::InactiveLane { operation, lane, mask });
    }
    Ok(values[lane as usize])
}

/// The value of lane `lane` (modulo 32).
#[track_caller]
#[inline(always)]
pub fn shuffle_idx(mask: u32, value: u32, lane: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: all lanes of the mask call it together; a shuffle touches no memory.
    return unsafe { crate::nvptx::shuffle_idx(mask, value, lane, 31) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_idx", value.into(), lane, |v, a, m, l| {
        read(v, m, a[l as usize] % 32, "shuffle_idx")
    }) as u32;
}

/// The value of the lane whose number is this one's exclusive-or `lanes`.
#[track_caller]
#[inline(always)]
pub fn shuffle_xor(mask: u32, value: u32, lanes: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::shuffle_xor(mask, value, lanes, 31) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_xor", value.into(), lanes, |v, a, m, l| {
        read(v, m, (l ^ a[l as usize]) % 32, "shuffle_xor")
    }) as u32;
}

/// The value of the lane `delta` below; a lane that has none below keeps its own.
#[track_caller]
#[inline(always)]
pub fn shuffle_up(mask: u32, value: u32, delta: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::shuffle_up(mask, value, delta, 0) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_up", value.into(), delta, |v, a, m, l| {
        read(v, m, l.checked_sub(a[l as usize]).unwrap_or(l), "shuffle_up")
    }) as u32;
}

/// The value of the lane `delta` above; a lane that has none above keeps its own.
#[track_caller]
#[inline(always)]
pub fn shuffle_down(mask: u32, value: u32, delta: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::shuffle_down(mask, value, delta, 31) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_down", value.into(), delta, |v, a, m, l| {
        let from = l + a[l as usize];
        read(v, m, if from > 31 { l } else { from }, "shuffle_down")
    }) as u32;
}

/// The `f32` of lane `lane` (modulo 32).
#[track_caller]
#[inline(always)]
pub fn shuffle_idx_f32(mask: u32, value: f32, lane: u32) -> f32 {
    f32::from_bits(shuffle_idx(mask, value.to_bits(), lane))
}

/// The `f32` of the lane whose number is this one's exclusive-or `lanes`.
#[track_caller]
#[inline(always)]
pub fn shuffle_xor_f32(mask: u32, value: f32, lanes: u32) -> f32 {
    f32::from_bits(shuffle_xor(mask, value.to_bits(), lanes))
}

/// Whether the predicate holds in all lanes of `mask`.
#[track_caller]
#[inline(always)]
pub fn vote_all(mask: u32, predicate: bool) -> bool {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::vote_all(mask, predicate) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "vote_all", predicate.into(), 0, |v, _, m, _| {
        Ok((0..32).all(|l| m & (1 << l) == 0 || v[l] != 0).into())
    }) != 0;
}

/// Whether the predicate holds in any lane of `mask`.
#[track_caller]
#[inline(always)]
pub fn vote_any(mask: u32, predicate: bool) -> bool {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::vote_any(mask, predicate) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "vote_any", predicate.into(), 0, |v, _, m, _| {
        Ok((0..32).any(|l| m & (1 << l) != 0 && v[l] != 0).into())
    }) != 0;
}

/// The lanes of `mask` in which the predicate holds, a bit each.
#[track_caller]
#[inline(always)]
pub fn vote_ballot(mask: u32, predicate: bool) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::vote_ballot(mask, predicate) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "vote_ballot", predicate.into(), 0, |v, _, m, _| {
        Ok((0..32).filter(|l| m & (1 << l) != 0 && v[*l] != 0).map(|l| 1 << l).sum())
    }) as u32;
}

/// The lanes of `mask` whose value equals this lane's, a bit each.
#[track_caller]
#[inline(always)]
pub fn match_any(mask: u32, value: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::match_any(mask, value) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "match_any", value.into(), 0, |v, _, m, l| {
        Ok((0..32).filter(|k| m & (1 << k) != 0 && v[*k] == v[l as usize]).map(|k| 1 << k).sum())
    }) as u32;
}

macro_rules! reduce {
    ($($name:ident, $ty:ty, $ptx:ident, $first:expr, $op:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[track_caller]
        #[inline(always)]
        pub fn $name(mask: u32, value: $ty) -> $ty {
            #[cfg(target_arch = "nvptx64")]
            // SAFETY: as above.
            return unsafe { crate::nvptx::$ptx(value, mask) };
            #[cfg(not(target_arch = "nvptx64"))]
            return device::warp(mask, stringify!($name), value as u64, 0, |v, _, m, _| {
                let op: fn($ty, $ty) -> $ty = $op;
                Ok((0..32).filter(|l| m & (1 << l) != 0).fold($first, |r, l| op(r, v[l] as $ty)) as u64)
            }) as $ty;
        }
    )*};
}

reduce! {
    reduce_add_u32, u32, redux_add, 0, |a, b| a.wrapping_add(b), "The sum over the lanes of `mask`, wrapping.";
    reduce_min_u32, u32, redux_umin, u32::MAX, |a, b| a.min(b), "The least over the lanes of `mask`.";
    reduce_max_u32, u32, redux_umax, 0, |a, b| a.max(b), "The greatest over the lanes of `mask`.";
    reduce_min_i32, i32, redux_min, i32::MAX, |a, b| a.min(b), "The least over the lanes of `mask`.";
    reduce_max_i32, i32, redux_max, i32::MIN, |a, b| a.max(b), "The greatest over the lanes of `mask`.";
    reduce_and_u32, u32, redux_and, u32::MAX, |a, b| a & b, "The bitwise and over the lanes of `mask`.";
    reduce_or_u32, u32, redux_or, 0, |a, b| a | b, "The bitwise or over the lanes of `mask`.";
    reduce_xor_u32, u32, redux_xor, 0, |a, b| a ^ b, "The exclusive or over the lanes of `mask`.";
}

/// The sum over the lanes of `mask`, wrapping.
#[track_caller]
#[inline(always)]
pub fn reduce_add_i32(mask: u32, value: i32) -> i32 {
    reduce_add_u32(mask, value as u32) as i32
}

macro_rules! butterfly {
    ($($name:ident, $op:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// Lanes are combined as in a butterfly of exclusive-or shuffles by 16, 8, 4, 2 and 1, on the simulator too:
        /// the result is the same to the bit, and in all lanes.
        #[track_caller]
        #[inline(always)]
        pub fn $name(value: f32) -> f32 {
            let op: fn(f32, f32) -> f32 = $op;
            #[cfg(target_arch = "nvptx64")]
            {
                let mut r = value;
                let mut lanes = 16;
                while lanes > 0 {
                    r = op(r, shuffle_xor_f32(ALL, r, lanes));
                    lanes /= 2;
                }
                r
            }
            #[cfg(not(target_arch = "nvptx64"))]
            {
                let _ = op;
                let bits = device::warp(ALL, stringify!($name), value.to_bits().into(), 0, |v, _, m, l| {
                    let op: fn(f32, f32) -> f32 = $op;
                    let mut r = [0.0; 32];
                    for k in 0..32 {
                        r[k] = f32::from_bits(read(v, m, k as u32, stringify!($name))? as u32);
                    }
                    for lanes in [16, 8, 4, 2, 1] {
                        let before = r;
                        for k in 0..32 {
                            r[k] = op(before[k], before[k ^ lanes]);
                        }
                    }
                    Ok(r[l as usize].to_bits().into())
                });
                f32::from_bits(bits as u32)
            }
        }
    )*};
}

butterfly! {
    sum_f32, |a, b| a + b, "The sum over all lanes of the warp.";
    max_f32, |a, b| if a > b { a } else { b }, "The greatest over all lanes of the warp; the values must not be NaN.";
}

/// The lanes that are running this instruction together. It tells nothing about the next one.
#[inline(always)]
pub fn activemask() -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: reads the mask.
    return unsafe { crate::nvptx::activemask() };
    #[cfg(not(target_arch = "nvptx64"))]
    // On the simulator a thread runs alone.
    return 1 << lane_id();
}
