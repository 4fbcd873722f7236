//! The warp's operations for values of any size, under upstream's names.
//!
//! A shuffle moves 32 bits: smaller values go as a word, larger ones as several.

use crate::half::{bf16, f16};

/// A value that lanes can exchange.
pub trait WarpShuffleValue: Copy {
    #[doc(hidden)]
    fn map_words(self, f: impl FnMut(u32) -> u32) -> Self;
}

macro_rules! words {
    ($($ty:ty),* => |$value:ident, $f:ident| $body:expr) => {$(
        impl WarpShuffleValue for $ty {
            #[track_caller]
            #[inline(always)]
            #[allow(unused_mut)]
            fn map_words(self, mut $f: impl FnMut(u32) -> u32) -> Self {
                let $value = self;
                $body as Self
            }
        }
    )*};
}

words!(u8, i8, u16, i16, u32, i32 => |value, f| f(value as u32));
words!(u64, i64 => |value, f| u64::from(f(value as u32)) | u64::from(f((value as u64 >> 32) as u32)) << 32);
words!(u128, i128 => |value, f| u128::from((value as u64).map_words(&mut f))
    | u128::from(((value as u128 >> 64) as u64).map_words(&mut f)) << 64);
words!(f32 => |value, f| f32::from_bits(f(value.to_bits())));
words!(f64 => |value, f| f64::from_bits(value.to_bits().map_words(f)));
words!(f16 => |value, f| f16::from_bits(value.to_bits().map_words(f)));
words!(bf16 => |value, f| bf16::from_bits(value.to_bits().map_words(f)));

/// Exchanges values between the lanes of `mask`; `in_range` says whether the lane read from was in the section, and
/// where it was not a lane keeps its own value.
#[track_caller]
#[inline(always)]
fn shuffle<T: WarpShuffleValue>(mask: u32, value: T, from: u32, in_range: bool) -> (T, bool) {
    let from = if in_range { from } else { super::lane_id() };
    (value.map_words(|word| super::shuffle_idx(mask, word, from)), in_range)
}

/// The first lane of this one's section of `width` lanes.
#[track_caller]
#[inline(always)]
fn section(width: u32) -> u32 {
    assert!(
        width.is_power_of_two() && width <= super::SIZE,
        "a section of a warp has 1, 2, 4, 8, 16 or 32 lanes"
    );
    super::lane_id() & !(width - 1)
}

macro_rules! shuffles {
    ($($name:ident, $argument:ident, |$lane:ident, $first:ident, $width:ident| $from:expr, $in_range:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// Sections are of `width` lanes, a power of two. Also gives whether the lane read from was in range.
        ///
        /// # Safety
        /// All lanes of `mask` must call it together, and read from lanes of `mask`.
        #[track_caller]
        #[inline(always)]
        pub unsafe fn $name<T: WarpShuffleValue>(mask: u32, value: T, $argument: u32, $width: u32) -> (T, bool) {
            let ($lane, $first, $argument) = (super::lane_id(), section($width), $argument % super::SIZE);
            shuffle(mask, value, $from, $in_range)
        }
    )*};
}

shuffles! {
    warp_shuffle_idx, idx, |_lane, first, width| first + idx % width, true,
        "The value of lane `idx` (modulo `width`) of this one's section.";
    warp_shuffle_up, delta, |lane, first, width| lane.wrapping_sub(delta), first + delta <= lane,
        "The value of the lane `delta` below, in the same section.";
    warp_shuffle_down, delta, |lane, first, width| lane + delta, lane + delta < first + width,
        "The value of the lane `delta` above, in the same section.";
    warp_shuffle_xor, lane_mask, |lane, first, width| lane ^ lane_mask, lane ^ lane_mask < first + width,
        "The value of the lane whose number is this one's exclusive-or `lane_mask`, in the same or a lower section.";
}

/// A value that lanes can compare.
pub trait WarpMatchValue: Copy {
    #[doc(hidden)]
    fn words(self) -> [u32; 2];
}

macro_rules! matches {
    ($($ty:ty: |$value:ident| $bits:expr;)*) => {$(
        impl WarpMatchValue for $ty {
            #[inline(always)]
            fn words(self) -> [u32; 2] {
                let $value = self;
                let bits = u64::from($bits);
                [bits as u32, (bits >> 32) as u32]
            }
        }
    )*};
}

matches! {
    u32: |v| v;
    i32: |v| v as u32;
    u64: |v| v;
    i64: |v| v as u64;
    f32: |v| v.to_bits();
    f64: |v| v.to_bits();
}

/// The lanes of `mask` whose value has the bits of this lane's.
///
/// # Safety
/// All lanes of `mask` must call it together.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_match_any<T: WarpMatchValue>(mask: u32, value: T) -> u32 {
    let [low, high] = value.words();
    let same = super::match_any(mask, low);
    if size_of::<T>() > 4 { same & super::match_any(mask, high) } else { same }
}

/// The mask, if the values of all its lanes have the same bits.
///
/// # Safety
/// All lanes of `mask` must call it together.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_match_all<T: WarpMatchValue>(mask: u32, value: T) -> Option<u32> {
    // SAFETY: as the caller promises.
    let same = unsafe { warp_match_any(mask, value) };
    super::vote_all(mask, same == mask).then_some(mask)
}

/// How a reduction combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarpReductionOp {
    /// The sum, wrapping.
    Add,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The bits in all.
    And,
    /// The bits in any.
    Or,
    /// The bits in an odd number.
    Xor,
}

/// A value that lanes can reduce.
pub trait WarpReduceValue: Copy {
    #[doc(hidden)]
    #[track_caller]
    fn reduce(mask: u32, value: Self, op: WarpReductionOp) -> Self;
}

macro_rules! reduces {
    ($($ty:ty, $add:ident, $min:ident, $max:ident;)*) => {$(
        impl WarpReduceValue for $ty {
            #[track_caller]
            #[inline(always)]
            fn reduce(mask: u32, value: Self, op: WarpReductionOp) -> Self {
                match op {
                    WarpReductionOp::Add => super::$add(mask, value),
                    WarpReductionOp::Min => super::$min(mask, value),
                    WarpReductionOp::Max => super::$max(mask, value),
                    WarpReductionOp::And => super::reduce_and_u32(mask, value as u32) as Self,
                    WarpReductionOp::Or => super::reduce_or_u32(mask, value as u32) as Self,
                    WarpReductionOp::Xor => super::reduce_xor_u32(mask, value as u32) as Self,
                }
            }
        }
    )*};
}

reduces! {
    u32, reduce_add_u32, reduce_min_u32, reduce_max_u32;
    i32, reduce_add_i32, reduce_min_i32, reduce_max_i32;
}

/// The values of the lanes of `mask`, combined.
///
/// # Safety
/// All lanes of `mask` must call it together, with the same operation.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_reduce<T: WarpReduceValue>(mask: u32, value: T, op: WarpReductionOp) -> T {
    T::reduce(mask, value, op)
}

/// As [`vote_all`](super::vote_all).
///
/// # Safety
/// All lanes of `mask` must call it together.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_vote_all(mask: u32, predicate: bool) -> bool {
    super::vote_all(mask, predicate)
}

/// As [`vote_any`](super::vote_any).
///
/// # Safety
/// All lanes of `mask` must call it together.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_vote_any(mask: u32, predicate: bool) -> bool {
    super::vote_any(mask, predicate)
}

/// As [`vote_ballot`](super::vote_ballot).
///
/// # Safety
/// All lanes of `mask` must call it together.
#[track_caller]
#[inline(always)]
pub unsafe fn warp_vote_ballot(mask: u32, predicate: bool) -> u32 {
    super::vote_ballot(mask, predicate)
}
