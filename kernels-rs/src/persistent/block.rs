//! What a block's threads know while they work on a token, and a phase's inputs in 8-bit codes.

use cuda_std::prelude::*;

use super::Weights;
use super::attend;
use super::exchange::{Exchange, Tagged, Watchdog};
use super::plan::{CONSUMERS, HEAD, Phase, Plan, STRIP, Shared, WARPS, Work, fixed};
use super::profile::Clock;
use super::residual::{self, Codes, Factors};
use super::ring::{Consumer, Ring};
use super::tile::BLOCK;
use crate::activation::{GROUP, Vector};
use crate::argmax::Best;

/// The barrier of the threads that multiply.
const BARRIER: u32 = 1;

/// Waits for all threads of the block that multiply.
///
/// # Safety
/// All of them must call it.
#[track_caller]
#[inline(always)]
pub(super) unsafe fn sync() {
    // SAFETY: whole warps, always the same number.
    unsafe { thread::sync_named(BARRIER, CONSUMERS) };
}

/// `len` elements of the dynamic shared memory, `offset` bytes from its start.
///
/// # Safety
/// As for [`shared::Slice::dynamic`].
#[inline(always)]
pub(super) unsafe fn at<T: Plain>(offset: u32, len: u32) -> shared::Slice<T> {
    // SAFETY: as the caller promises.
    unsafe { shared::Slice::dynamic(offset as usize, len as usize) }
}

/// The table of each warp's work in all phases.
///
/// # Safety
/// The launch has the plan's shared memory.
#[inline(always)]
pub(super) unsafe fn works() -> shared::Slice<U32x4> {
    // SAFETY: as the caller promises.
    unsafe { at(fixed::WORK, Phase::ALL.len() as u32 * WARPS) }
}

/// What a warp does in a phase, from the table.
///
/// # Safety
/// The table must be complete.
#[inline(always)]
pub(super) unsafe fn work(phase: Phase, warp: u32) -> Work {
    // SAFETY: the table has an entry for each phase and warp.
    let U32x4(words) = unsafe { works().get((phase as u32 * WARPS + warp) as usize) };
    Work::unpack(words)
}

/// Where the exchanges' words and the results are, in global memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exchanges {
    /// `u64`, tagged: [`Plan::head_words`] for each group.
    pub heads: *mut u64,
    /// `u64`, tagged: [`Plan::partial_words`] for each block.
    pub partials: *mut u64,
    /// `u64`, tagged: the largest slice's elements for each group.
    pub hidden: *mut u64,
    /// `u64`, tagged: two for each block.
    pub best: *mut u64,
    /// `u64`, tagged: [`words`](super::residual::words) for the residual stream's groups of 32 elements.
    pub residual: *mut u64,
    /// `u64`, zero when the launch begins: the residual stream's elements, for the output projection.
    pub output: *mut u64,
    /// `u64`, zero when the launch begins: the same for the down projection.
    pub down: *mut u64,
}

/// What the threads that multiply know.
pub struct Block<'a> {
    /// The plan as the launch has it.
    pub given: &'a Plan,
    /// The plan, of which the compiler does not know that it is always the same: see [`refresh`](Self::refresh).
    pub plan: Plan,
    pub weights: &'a Weights,
    pub exchanges: Exchanges,
    pub watchdog: Watchdog,
    pub shared: Shared,
    pub tiles: Consumer,
    pub ring: Ring,
    pub group: u32,
    pub rank: u32,
    pub warp: u32,
    pub lane: u32,
    pub thread: u32,
    /// Zero, of which the compiler does not know it: see [`refresh`](Self::refresh).
    pub zero: u32,
    /// Which of the two vectors of codes is the input.
    pub turn: u32,
    /// Different for each layer of each token.
    pub epoch: u32,
    /// The position of the token.
    pub position: u32,
    /// Blocks of the group that its attention is divided among.
    pub splits: u32,
    /// The common factors of the normalised inputs.
    pub factors: Factors,
    /// This warp's best logit.
    pub best: Best,
    pub logits: *mut f32,
    /// When it does what.
    pub clock: Clock,
}

impl<'a> Block<'a> {
    /// A thread of those that multiply, before the first token.
    #[inline(always)]
    pub fn new(
        plan: &'a Plan,
        shared: Shared,
        weights: &'a Weights,
        exchanges: Exchanges,
        watchdog: Watchdog,
        (ring, factors): (Ring, Factors),
        logits: *mut f32,
    ) -> Self {
        let (thread, block) = (thread::thread_idx_x(), thread::block_idx_x());
        Self {
            given: plan,
            plan: *plan,
            weights,
            exchanges,
            watchdog,
            shared,
            tiles: Consumer::new(ring),
            ring,
            group: block / plan.blocks,
            rank: block % plan.blocks,
            warp: warp::warp_id(),
            lane: warp::lane_id(),
            thread,
            zero: 0,
            turn: 0,
            epoch: 0,
            position: 0,
            splits: 1,
            factors,
            best: Best::NONE,
            logits,
            clock: Clock::start(core::ptr::null_mut()),
        }
    }

    /// Before a phase: addresses are computed in the phase that uses them, rather than kept in registers and in local
    /// memory throughout.
    #[inline(always)]
    pub fn refresh(&mut self) {
        self.zero = misc::opaque(0);
        self.plan = Plan {
            hidden: misc::opaque(self.given.hidden),
            heads: misc::opaque(self.given.heads),
            blocks: misc::opaque(self.given.blocks),
            context: misc::opaque(self.given.context),
            ..*self.given
        };
        self.thread = misc::opaque(thread::thread_idx_x());
        self.lane = self.thread % 32;
        self.warp = self.thread / 32;
        self.group = misc::opaque(self.group);
        self.rank = misc::opaque(self.rank);
    }

    /// `len` elements of the dynamic shared memory, `offset` bytes from its start.
    ///
    /// # Safety
    /// As for [`shared::Slice::dynamic`].
    #[inline(always)]
    pub(super) unsafe fn at<T: Plain>(&self, offset: u32, len: u32) -> shared::Slice<T> {
        // SAFETY: as the caller promises.
        unsafe { at(offset + self.zero, len) }
    }

    /// A vector of codes, the next in turn.
    ///
    /// The one before may still be read by slower warps; they have all left the one before that, since they met at
    /// its successor's end.
    #[inline(always)]
    pub(super) unsafe fn next_vector(&mut self, cols: u32) -> Vector {
        self.turn ^= 1;
        // SAFETY: the launch has the plan's shared memory.
        unsafe { self.vector(cols) }
    }

    /// The vector of codes in turn.
    #[inline(always)]
    unsafe fn vector(&self, cols: u32) -> Vector {
        let offset = self.shared.codes + self.turn * self.shared.vector + self.zero;
        // SAFETY: the launch has the plan's shared memory.
        unsafe { Vector::at(offset as usize, cols as usize) }
    }

    /// The residual stream, normalised, as the input of a phase. The norm's common factor is left to the results: codes
    /// do not depend on it.
    #[inline(always)]
    pub unsafe fn normalised(&mut self, phase: Phase) -> Codes {
        // Sums of the phase before are still being read: this one's go to the same place.
        // SAFETY: all threads that multiply call it.
        unsafe { sync() };
        let words = residual::codes(&self.exchanges, self.epoch, phase == Phase::GateUp, self.watchdog);
        words.rest();
        self.factors.advance();
        Codes { words, groups: self.plan.hidden / GROUP as u32 }
    }

    /// The group's hidden elements as the input.
    #[inline(always)]
    pub unsafe fn gather_hidden(&mut self) -> Vector {
        // SAFETY: as the plan says.
        unsafe {
            let cols = work(Phase::Down, self.warp).job.blocks * BLOCK as u32;
            let vector = self.next_vector(cols);
            let words = self.hidden_words();
            words.rest();
            let mut i = 4 * self.thread;
            // Whole warps: the width is a multiple of 256.
            while i < cols {
                let [[a, b], [c, d]] = words.pairs([i as usize, i as usize + 2]);
                vector.set::<4>(i as usize, [a, b, c, d].map(f32::from_bits), true);
                i += STRIP;
            }
            sync();
            vector
        }
    }

    #[inline(always)]
    pub(super) unsafe fn hidden_words(&self) -> Tagged {
        let first = self.group * self.plan.largest_slice * BLOCK as u32;
        // SAFETY: the buffer has the words of all groups.
        let words = unsafe { self.exchanges.hidden.add(first as usize) };
        Tagged::new(words, self.epoch, Exchange::Hidden, self.watchdog)
    }

    /// The group's queries, key and value.
    #[inline(always)]
    pub(super) unsafe fn head_words(&self) -> Tagged {
        // SAFETY: the buffer has the words of all groups.
        let words = unsafe { self.exchanges.heads.add((self.group * self.plan.head_words()) as usize) };
        Tagged::new(words, self.epoch, Exchange::Heads, self.watchdog)
    }

    /// Attention, and its result as the input.
    #[inline(always)]
    pub unsafe fn attend(&mut self, layer: u32) -> Vector {
        // SAFETY: as the caller promises; it leaves a vector as wide as the group's heads.
        unsafe {
            attend::attend(self, layer);
            self.vector(self.plan.heads * HEAD)
        }
    }
}
