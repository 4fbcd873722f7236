//! A block's threads at work on a token: its inputs in 8-bit codes, its tiles, and where the results go.

use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;

use super::Weights;
use super::attend;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{
    Begin, CONSUMERS, HEAD, Job, Phase, Plan, STRIP, SUMS, Shared, Stream, WARPS, Work, fixed,
};
use super::profile::Clock;
use super::residual::{self, Codes, Factors};
use super::ring::{Consumer, Ring};
use super::tile::{BLOCK, Code, Input, Q4K, Q6K, Q8_0, ROWS, Tile};
use crate::activation::{GROUP, Vector};
use crate::argmax::Best;

/// The barrier of the threads that multiply.
const BARRIER: u32 = 1;

/// Sums of a row that are read at a time.
const SUMS_TOGETHER: u32 = 8;

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

/// `x / (1 + e^-x)`, without the subroutine that a division to the last bit takes.
#[inline(always)]
fn fast_silu(x: f32) -> f32 {
    x * float::fast_reciprocal(1.0 + float::fast_exp(-x))
}

/// Adds the parts of two rows' sums that four lanes have, for one tile or two: a lane gets the sum of row `lane / 4`, or of
/// the row 8 further if its number is odd; of the second tile if the next bit of its number is set.
#[inline(always)]
fn add_lanes<const N: usize>(lane: u32, parts: [[f32; 2]; N]) -> f32 {
    let half = |[a, b]: [f32; 2], bit: u32| {
        let (keep, give) = if lane & bit == 0 { (a, b) } else { (b, a) };
        keep + warp::shuffle_xor_f32(warp::ALL, give, bit)
    };
    let first = half(parts[0], 1);
    if N == 2 {
        return half([first, half(parts[N - 1], 1)], 2);
    }
    first + warp::shuffle_xor_f32(warp::ALL, first, 2)
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
    unsafe fn hidden_words(&self) -> Tagged {
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

    /// Multiplies the tiles of a phase with `input`, and sends the results to where they go. `ADDED`: the phase is one of
    /// those whose results are added to the residual stream.
    #[inline(always)]
    pub unsafe fn multiply<const ADDED: bool>(&mut self, layer: u32, phase: Phase, input: impl Input) {
        // SAFETY: the tables are complete; the input is as wide as the rows; the ring has these tiles next.
        unsafe {
            let work = work(phase, self.warp);
            let code = Stream::of(layer).kind(phase, self.rank >= self.plan.key_blocks);
            let (mut left, mut first) = (work.job.sets, 0);
            loop {
                let (sets, begin) =
                    if left > work.round { (work.round, work.full) } else { (left, work.last) };
                match code {
                    Code::Q4K => self.multiply_tiles::<Q4K>(work.job, input, sets, (first, begin)),
                    Code::Q6K => self.multiply_tiles::<Q6K>(work.job, input, sets, (first, begin)),
                    _ => self.multiply_tiles::<Q8_0>(work.job, input, sets, (first, begin)),
                }
                sync();
                // What is computed from these here stays here.
                self.group = misc::opaque(self.group);
                self.rank = misc::opaque(self.rank);
                self.send_rows::<ADDED>(phase, work.job, first, sets * ROWS);
                if left == sets {
                    break;
                }
                left -= sets;
                first += sets * ROWS;
                // The next round's sums go where these were.
                sync();
            }
        }
    }

    /// Multiplies this warp's tiles of a round with the input, and leaves the rows' sums in shared memory: for each
    /// block of the rows one of each row.
    #[inline(always)]
    unsafe fn multiply_tiles<K: Tile>(
        &mut self,
        job: Job,
        input: impl Input,
        sets: u32,
        (first, mut at): (u32, Begin),
    ) {
        // What is computed from these here stays here.
        let (lane, warp) = (misc::opaque(self.lane), misc::opaque(self.warp));
        let (mut left, last) = (job.tiles_of(sets), job.blocks - 1);
        // SAFETY: as for `multiply`.
        unsafe {
            let mut x = K::columns(input, at.block.min(last), lane);
            if first == 0 {
                self.clock.tick(self.thread);
            }
            loop {
                // Two of the same columns at a time, where there are two: neither waits for the other.
                let together = if left > 1 && at.set + 1 < sets {
                    let tiles = [self.take::<K>(warp, lane), self.take::<K>(warp, lane)];
                    self.keep(lane, at, (sets, last), tiles.map(|tile| tile.dot(&x, lane)));
                    2
                } else {
                    let tile = self.take::<K>(warp, lane);
                    self.keep(lane, at, (sets, last), [tile.dot(&x, lane)]);
                    1
                };
                left -= together;
                if left == 0 {
                    break;
                }
                at.set += together;
                if at.set == sets {
                    at = Begin { block: at.block + 1, set: 0 };
                    x = K::columns(input, at.block.min(last), lane);
                }
            }
        }
    }

    /// Takes this lane's part of the next tile.
    #[inline(always)]
    unsafe fn take<K: Tile>(&mut self, warp: u32, lane: u32) -> K {
        let ring = self.ring;
        // SAFETY: as for `multiply`.
        unsafe { self.tiles.take(ring, warp, lane, K::BYTES, |tile| K::load(tile, lane)) }
    }

    /// Leaves the sums of `N` tiles in shared memory.
    #[inline(always)]
    unsafe fn keep<const N: usize>(
        &self,
        lane: u32,
        Begin { block, set }: Begin,
        (sets, last): (u32, u32),
        parts: [[f32; 2]; N],
    ) {
        let sum = add_lanes(lane, parts);
        let row = lane / 4 + 8 * (lane & 1) + ROWS * (lane >> 1 & 1);
        // What is beyond the row is zeros.
        if (N == 2 || lane & 2 == 0) && block <= last {
            // SAFETY: there is room for the sums of a round, and each has one writer.
            unsafe {
                let sums = self.at::<f32>(self.shared.partials, SUMS * ROWS);
                sums.set(((block * sets + set) * ROWS + row) as usize, sum);
            }
        }
    }

    /// Adds up the sums of a round's `rows` rows, a row a thread, and sends them. `first` is the first of them, among the
    /// block's.
    #[inline(always)]
    unsafe fn send_rows<const ADDED: bool>(&mut self, phase: Phase, job: Job, first: u32, rows: u32) {
        // SAFETY: as for `multiply`; the sums are complete.
        unsafe {
            // Also those without a row wait for it: what attention needs lies before it.
            let factor = if ADDED { 1.0 } else { self.factors.get() };
            let mut row = self.thread;
            // Whole warps.
            while row - self.lane < rows {
                let place = row.min(rows - 1);
                let mut sum = self.sums_from(0, job.blocks, place, rows);
                // Apart, because most have no more: a loop for all would be unrolled, and its branches come first.
                if job.blocks > SUMS_TOGETHER {
                    let mut block = SUMS_TOGETHER;
                    while block < job.blocks {
                        sum += self.sums_from(block, job.blocks, place, rows);
                        block += SUMS_TOGETHER;
                    }
                }
                let there = row < rows && first + row < job.rows;
                let i = job.first + first + row;
                if ADDED {
                    self.add(phase, i, there, sum);
                } else {
                    self.send(phase, i, there, sum * factor);
                }
                row = misc::opaque(row + CONSUMERS);
            }
        }
    }

    /// The next [`SUMS_TOGETHER`] blocks' sums of a row, from `block` on, added up.
    #[inline(always)]
    unsafe fn sums_from(&self, block: u32, blocks: u32, row: u32, rows: u32) -> f32 {
        const N: usize = SUMS_TOGETHER as usize;
        // SAFETY: as for `send_rows`.
        unsafe {
            let sums = self.at::<f32>(self.shared.partials, SUMS * ROWS);
            let mut parts = [0.0f32; N];
            for i in 0..N {
                // The last one again, in vain, where there are fewer: no branches, so all are under way at once.
                let b = block + i as u32;
                let part = sums.get((b.min(blocks - 1) * rows + row) as usize);
                parts[i] = if b < blocks { part } else { 0.0 };
            }
            let mut sum = 0.0f32;
            for i in 0..N / 2 {
                sum += parts[2 * i] + parts[2 * i + 1];
            }
            sum
        }
    }

    /// Adds the sum of row `i`, each lane another one, to the residual stream, if it is `there`.
    #[inline(always)]
    unsafe fn add(&self, phase: Phase, i: u32, there: bool, sum: f32) {
        if there {
            let words = if phase == Phase::Down { self.exchanges.down } else { self.exchanges.output };
            // SAFETY: every element has a word.
            unsafe { Sums { words, contributions: self.plan.groups }.add(i as usize, sum) };
        }
    }

    /// Sends the value of row `i`, each lane another one, to where it goes, if it is `there`.
    #[inline(always)]
    unsafe fn send(&mut self, phase: Phase, i: u32, there: bool, value: f32) {
        // SAFETY: every row of the plan has a word of its own.
        unsafe {
            // Gate and up are neighbouring rows.
            let next = warp::shuffle_xor_f32(warp::ALL, value, 1);
            if !there {
                return;
            }
            match phase {
                Phase::GateUp => {
                    if i.is_multiple_of(2) {
                        self.hidden_words().set((i / 2) as usize, (fast_silu(value) * next).to_bits());
                    }
                }
                Phase::Logits => {
                    global::store(self.logits.add(i as usize), value);
                    self.best = self.best.or(Best { value, index: i });
                }
                _ => {
                    let first = if self.rank >= self.plan.key_blocks { self.plan.heads + 1 } else { 0 };
                    self.head_words().set((first * HEAD + i) as usize, value.to_bits());
                }
            }
        }
    }

    /// Ends a token: gives the block's best logit to all blocks, and everything that the block wrote with it; takes
    /// theirs. Returns the best of all.
    #[inline(always)]
    pub unsafe fn agree(&mut self) -> u32 {
        let words = Tagged::new(self.exchanges.best, self.epoch, Exchange::Best, self.watchdog);
        // SAFETY: as the plan says.
        unsafe {
            let values = at::<f32>(fixed::BEST, WARPS);
            let indices = at::<u32>(fixed::BEST + WARPS * 4, WARPS);
            let chosen = at::<u32>(fixed::TOKEN, 1);
            let best = self.best.of_warp();
            self.best = Best::NONE;
            if self.lane == 0 {
                values.set(self.warp as usize, best.value);
                indices.set(self.warp as usize, best.index);
            }
            sync();
            if self.warp == 0 {
                let w = (self.lane % WARPS) as usize;
                let best = Best { value: values.get(w), index: indices.get(w) }.of_warp();
                let block = self.group * self.plan.blocks + self.rank;
                if self.lane == 0 {
                    // The cache's new keys and values, and the logits, are seen by whoever sees the words.
                    thread::device_fence();
                    words.set(2 * block as usize, best.value.to_bits());
                    words.set(2 * block as usize + 1, best.index);
                }
                let best = residual::best_of_all(words, self.plan.groups * self.plan.blocks, self.lane);
                thread::device_fence();
                // What any lane has seen, the first one knows of.
                warp::sync_warp(warp::ALL);
                if self.lane == 0 {
                    chosen.set(0, best);
                    // From now on the copy engine may read the new keys and values.
                    MBarrier::at(at(fixed::AGREED, 1), 0).arrive();
                }
            }
            sync();
            chosen.get(0)
        }
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
