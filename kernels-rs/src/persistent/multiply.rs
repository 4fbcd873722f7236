//! A block's matrix-vector products: its warps' tiles multiplied, the rows' sums added up and sent to where they go.

use cuda_std::prelude::*;

use super::block::{Block, sync, work};
use super::exchange::Sums;
use super::plan::{Begin, CONSUMERS, HEAD, Job, Phase, SUMS, Stream};
use super::tile::{Code, Input, Q4K, Q6K, Q8_0, ROWS, Tile};
use crate::argmax::Best;

/// Sums of a row that are read at a time.
const SUMS_TOGETHER: u32 = 8;

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

impl Block<'_> {
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
}
