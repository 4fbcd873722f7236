//! What the lanes of a warp do together.
//!
//! Every function with a `mask` must be called by all lanes that the mask names, with the same mask; the others may
//! be elsewhere. [`ALL`] is the mask of a whole warp. Only [`sync_warp`] orders accesses to memory: what a lane wrote
//! before a shuffle or a vote, others need not see after it.

#[cfg(not(target_arch = "nvptx64"))]
use cuda_sim::{FaultKind, Meeting, device};

mod values;

pub use values::{
    WarpMatchValue, WarpReduceValue, WarpReductionOp, WarpShuffleValue, warp_match_all, warp_match_any,
    warp_reduce, warp_shuffle_down, warp_shuffle_idx, warp_shuffle_up, warp_shuffle_xor, warp_vote_all,
    warp_vote_any, warp_vote_ballot,
};

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
    device::sync_warp(mask);
}

/// Gives each lane the value of the lane that `from` names for its number and its argument.
#[cfg(not(target_arch = "nvptx64"))]
fn shuffle(m: &mut Meeting, name: &'static str, from: fn(u32, u32) -> u32) -> Result<(), (u32, FaultKind)> {
    for lane in m.lanes() {
        m.results[lane] = m.read(lane as u32, from(lane as u32, m.arguments[lane]), name)?;
    }
    Ok(())
}

/// Gives every lane the same.
#[cfg(not(target_arch = "nvptx64"))]
fn everyone(m: &mut Meeting, result: u64) -> Result<(), (u32, FaultKind)> {
    m.results = [result; 32];
    Ok(())
}

/// The value of lane `lane` (modulo 32).
#[track_caller]
#[inline(always)]
pub fn shuffle_idx(mask: u32, value: u32, lane: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: all lanes of the mask call it together; a shuffle touches no memory.
    return unsafe { crate::nvptx::shuffle_idx(mask, value, lane, 31) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_idx", value.into(), lane, |m| {
        shuffle(m, "shuffle_idx", |_, from| from % SIZE)
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
    return device::warp(mask, "shuffle_xor", value.into(), lanes, |m| {
        shuffle(m, "shuffle_xor", |lane, xor| (lane ^ xor) % SIZE)
    }) as u32;
}

/// The value of the lane `delta` (modulo 32) below; a lane that has none below keeps its own.
#[track_caller]
#[inline(always)]
pub fn shuffle_up(mask: u32, value: u32, delta: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::shuffle_up(mask, value, delta, 0) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_up", value.into(), delta, |m| {
        shuffle(m, "shuffle_up", |lane, delta| lane.checked_sub(delta % SIZE).unwrap_or(lane))
    }) as u32;
}

/// The value of the lane `delta` (modulo 32) above; a lane that has none above keeps its own.
#[track_caller]
#[inline(always)]
pub fn shuffle_down(mask: u32, value: u32, delta: u32) -> u32 {
    #[cfg(target_arch = "nvptx64")]
    // SAFETY: as above.
    return unsafe { crate::nvptx::shuffle_down(mask, value, delta, 31) };
    #[cfg(not(target_arch = "nvptx64"))]
    return device::warp(mask, "shuffle_down", value.into(), delta, |m| {
        shuffle(m, "shuffle_down", |lane, delta| {
            Some(lane + delta % SIZE).filter(|from| *from < SIZE).unwrap_or(lane)
        })
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
    return device::warp(mask, "vote_all", predicate.into(), 0, |m| {
        let all = m.lanes().all(|l| m.values[l] != 0);
        everyone(m, all.into())
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
    return device::warp(mask, "vote_any", predicate.into(), 0, |m| {
        let any = m.lanes().any(|l| m.values[l] != 0);
        everyone(m, any.into())
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
    return device::warp(mask, "vote_ballot", predicate.into(), 0, |m| {
        let ballot = m.lanes().filter(|l| m.values[*l] != 0).map(|l| 1 << l).sum();
        everyone(m, ballot)
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
    return device::warp(mask, "match_any", value.into(), 0, |m| {
        for lane in m.lanes() {
            m.results[lane] =
                m.lanes().filter(|other| m.values[*other] == m.values[lane]).map(|l| 1 << l).sum();
        }
        Ok(())
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
            return device::warp(mask, stringify!($name), value as u64, 0, |m| {
                let op: fn($ty, $ty) -> $ty = $op;
                let result = m.lanes().fold($first, |r, l| op(r, m.values[l] as $ty));
                everyone(m, result as u64)
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

/// The lanes of `mask` if their values are all equal, otherwise nothing.
#[track_caller]
#[inline(always)]
pub fn match_all(mask: u32, value: u32) -> Option<u32> {
    // The intrinsic gives a pair with a predicate, which rustc cannot name; a ballot of the equal ones is as good.
    let same = match_any(mask, value);
    vote_all(mask, same == mask).then_some(mask)
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
                let bits = device::warp(ALL, stringify!($name), value.to_bits().into(), 0, |m| {
                    let op: fn(f32, f32) -> f32 = $op;
                    let (mut r, first) = ([0.0; 32], m.mask.trailing_zeros());
                    for (lane, r) in r.iter_mut().enumerate() {
                        *r = f32::from_bits(m.read(first, lane as u32, stringify!($name))? as u32);
                    }
                    // The operations are commutative: all lanes get the bits that the first one does.
                    for half in [16, 8, 4, 2, 1] {
                        for lane in 0..half {
                            r[lane] = op(r[lane], r[lane + half]);
                        }
                    }
                    everyone(m, r[0].to_bits().into())
                });
                f32::from_bits(bits as u32)
            }
        }
    )*};
}

butterfly! {
    sum_f32, |a, b| a + b, "The sum over all lanes of the warp.";
    max_f32, greater, "The greatest over all lanes of the warp, where `-0.0` is below `0.0`. NaN is not counted.";
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let r: f32;
        // SAFETY: arithmetic on registers.
        unsafe {
            core::arch::asm!("max.f32 {}, {}, {};", out(reg32) r, in(reg32) a, in(reg32) b, options(pure, nomem, nostack))
        };
        r
    }
    #[cfg(not(target_arch = "nvptx64"))]
    if a > b || b.is_nan() {
        a
    } else if a < b || a.is_nan() {
        b
    } else {
        // Equal: the same bits, but for the signs of zeros.
        f32::from_bits(a.to_bits() & b.to_bits())
    }
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
