//! A block's threads at work on a token: its inputs in 8-bit codes, its tiles, and where the results go.

use cuda_std::copy_async::MBarrier;
use cuda_std::prelude::*;

use super::Weights;
use super::attend;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{BUNDLE, CONSUMERS, HEAD, PAIR, Phase, Plan, STRIP, Shared, Stream, WARPS, Work, fixed};
use super::residual::{self, Factors};
use super::ring::{Consumer, Ring};
use super::tile::{BLOCK, Code, Q4K, Q6K, Q8_0, Tile};
use crate::activation::{GROUP, Quantized, Vector};
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

/// `x / (1 + e^-x)`, without the subroutine that a division to the last bit takes.
#[inline(always)]
fn fast_silu(x: f32) -> f32 {
    x * float::fast_reciprocal(1.0 + float::fast_exp(-x))
}

/// The input, as a lane needs it for the tiles of its work.
struct Chunks {
    input: Vector,
    work: Work,
    lane: u32,
}

impl Chunks {
    /// The lane's chunk in a step of a set.
    ///
    /// # Safety
    /// The input must be complete.
    #[inline(always)]
    unsafe fn get(&self, step: u32) -> Quantized {
        let quads = self.work.quads();
        // Beyond the row the weights are zeros: any activations do.
        let block = (step * quads + ((self.lane / 4) & (quads - 1))).min(self.work.blocks - 1);
        // SAFETY: as the caller promises.
        unsafe { self.input.chunk((4 * block + self.lane % 4) as usize) }
    }
}

/// Adds each set's sums over the lanes that share a row, where a set has `1 << TOGETHER` rows: a lane gets the sum of the
/// row of which [`Work::row`] says so.
///
/// While there are several sums, a step of the tree adds the one half of them in one half of the lanes and the other in
/// the other: for four sets 6 shuffles in place of 20.
#[inline(always)]
fn add_lanes<const N: usize, const TOGETHER: u32>(lane: u32, sums: [f32; N]) -> f32 {
    let half = |a: f32, b: f32, bit: u32| {
        let (keep, give) = if lane & bit == 0 { (a, b) } else { (b, a) };
        keep + warp::shuffle_xor_f32(warp::ALL, give, bit)
    };
    let lower = 16 >> TOGETHER;
    let (mut sum, mut bit) = match N {
        4 => {
            let (even, odd) = (half(sums[0], sums[N / 4], lower), half(sums[N / 2], sums[N - 1], lower));
            (half(even, odd, lower / 2), lower / 4)
        }
        2 => (half(sums[0], sums[N - 1], lower), lower / 2),
        _ => (sums[0], lower),
    };
    while bit > 0 {
        sum += warp::shuffle_xor_f32(warp::ALL, sum, bit);
        bit /= 2;
    }
    sum
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
}

impl Block<'_> {
    /// Before a phase: addresses are computed in the phase that uses them, rather than kept in registers and in local
    /// memory throughout.
    #[inline(always)]
    pub fn refresh(&mut self) {
        self.zero = misc::opaque(0);
        self.plan = Plan {
            hidden: misc::opaque(self.given.hidden),
            heads: misc::opaque(self.given.heads),
            blocks: misc::opaque(self.given.blocks),
            ffn: misc::opaque(self.given.ffn),
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
    pub unsafe fn normalise(&mut self, phase: Phase) {
        // SAFETY: as the plan says.
        unsafe {
            let groups = self.plan.hidden / GROUP as u32;
            let vector = self.next_vector(self.plan.hidden);
            let codes = residual::codes(&self.exchanges, self.epoch, phase == Phase::GateUp, self.watchdog);
            residual::collect(codes, groups, self.thread, vector);
            sync();
        }
        self.factors.advance();
    }

    /// The group's hidden elements as the input.
    #[inline(always)]
    pub unsafe fn gather_hidden(&mut self) {
        // SAFETY: as the plan says.
        unsafe {
            let cols = work(Phase::Down, self.warp).blocks * BLOCK as u32;
            let vector = self.next_vector(cols);
            let words = self.hidden_words();
            let mut i = 4 * self.thread;
            // Whole warps: the width is a multiple of 256.
            while i < cols {
                let [[a, b], [c, d]] = words.pairs([i as usize, i as usize + 2]);
                vector.set::<4>(i as usize, [a, b, c, d].map(f32::from_bits), true);
                i += STRIP;
            }
            sync();
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

    /// Multiplies the tiles of a phase with the input, and sends the results to where they go.
    #[inline(always)]
    pub unsafe fn multiply(&mut self, layer: u32, phase: Phase) {
        // SAFETY: the tables are complete; the input is complete and as wide as the rows; the ring has these tiles next.
        unsafe {
            let work = work(phase, self.warp);
            let code = Stream::of(layer).kind(phase, self.rank >= self.plan.key_blocks);
            let input = self.vector(work.blocks * BLOCK as u32);
            let (mut left, mut row) = (work.sets, work.row(self.lane));
            loop {
                let sets = left.min(work.batch());
                let sum = match code {
                    Code::Q4K => self.multiply_sets::<Q4K>(&work, input, sets),
                    Code::Q6K => self.multiply_sets::<Q6K>(&work, input, sets),
                    _ => self.multiply_sets::<Q8_0>(&work, input, sets),
                };
                self.send(phase, &work, row, sum);
                if left == sets {
                    break;
                }
                left -= sets;
                row += 32;
            }
        }
    }

    /// Multiplies the tiles of the next sets of rows, a batch at most, with the input; gives each lane its row's sum.
    #[inline(always)]
    unsafe fn multiply_sets<K: Tile>(&mut self, work: &Work, input: Vector, sets: u32) -> f32 {
        let input = Chunks { input, work: *work, lane: self.lane };
        // SAFETY: as for `multiply`.
        unsafe {
            if work.steps == 1 {
                self.multiply_bundles::<K, true>(&input, sets)
            } else {
                self.multiply_bundles::<K, false>(&input, sets)
            }
        }
    }

    /// The same; `ONE` if a set has one step.
    #[inline(always)]
    unsafe fn multiply_bundles<K: Tile, const ONE: bool>(&mut self, input: &Chunks, sets: u32) -> f32 {
        const N: usize = BUNDLE as usize;
        const HALF: usize = PAIR as usize;
        // SAFETY: as for `multiply`.
        unsafe {
            let x = input.get(0);
            let (bundles, rest) = (sets / BUNDLE, sets % BUNDLE);
            let mut result = 0.0f32;
            if bundles > 0 {
                result = self.multiply_bundle::<K, N, ONE>(input, x, (0, bundles), result);
            }
            if rest >= PAIR {
                result = self.multiply_bundle::<K, HALF, ONE>(input, x, (bundles, bundles + 1), result);
            }
            if rest % PAIR > 0 {
                let single = self.multiply_bundle::<K, 1, ONE>(input, x, (bundles, bundles + 1), result);
                // Behind a pair it is the bundle's third set.
                let third = self.lane & (input.work.set_bit() / 2) != 0;
                result = if rest == 1 || third { single } else { result };
            }
            result
        }
    }

    /// The sums of the first `N` sets of bundles `from` to `to - 1`, in those of the lanes that bundles leave free, and
    /// `result` in the others. `first` is the first of the input's chunks.
    #[inline(always)]
    unsafe fn multiply_bundle<K: Tile, const N: usize, const ONE: bool>(
        &mut self,
        input: &Chunks,
        first: Quantized,
        (from, to): (u32, u32),
        result: f32,
    ) -> f32 {
        let work = &input.work;
        let (mut bundle, mut result) = (from, result);
        // SAFETY: as for `multiply`.
        unsafe {
            // The next tiles are read while these are multiplied, if the registers hold both.
            let ahead = K::BYTES < Q8_0::BYTES;
            let mut next = if ahead { Some(self.take::<K>(N == 1)) } else { None };
            loop {
                let (mut sums, mut x, mut step) = ([0.0f32; N], first, 0);
                loop {
                    step += 1;
                    let last = ONE || step == work.steps;
                    for pair in 0..N.div_ceil(2) {
                        let weights = match next {
                            Some(weights) => weights,
                            None => self.take::<K>(N == 1),
                        };
                        if ahead && (2 * pair + 2 < N || !last || bundle + 1 < to) {
                            next = Some(self.take::<K>(N == 1));
                        }
                        sums[2 * pair] += weights[0].dot(&x);
                        if N > 1 {
                            sums[2 * pair + 1] += weights[1].dot(&x);
                        }
                    }
                    if last {
                        break;
                    }
                    x = input.get(step);
                }
                let sum = match work.together {
                    0 => add_lanes::<N, 0>(self.lane, sums),
                    1 => add_lanes::<N, 1>(self.lane, sums),
                    2 => add_lanes::<N, 2>(self.lane, sums),
                    _ => add_lanes::<N, 3>(self.lane, sums),
                };
                // The lanes of other bundles keep what they have.
                let bundles = work.set_bit() / 2 - 1;
                result = if self.lane & bundles == bundle & bundles { sum } else { result };
                bundle += 1;
                if bundle == to {
                    break;
                }
            }
        }
        result
    }

    /// Takes this lane's part of the next two tiles, or of one.
    #[inline(always)]
    unsafe fn take<K: Tile>(&mut self, single: bool) -> [K; 2] {
        let (ring, warp, lane) = (self.ring, self.warp, self.lane);
        // SAFETY: as for `multiply`.
        unsafe {
            if single {
                return [self.tiles.take(ring, warp, lane, K::BYTES, |tile| K::load(tile, lane as usize)); 2];
            }
            self.tiles.take(ring, warp, lane, PAIR * K::BYTES, |tiles| {
                [K::load(tiles, lane as usize), K::load(tiles.from(K::BYTES as usize), lane as usize)]
            })
        }
    }

    /// Sends a row's sum, each lane another one, to where it goes.
    #[inline(always)]
    unsafe fn send(&mut self, phase: Phase, work: &Work, row: u32, sum: f32) {
        let i = work.first + row;
        // SAFETY: every row of the plan has a word of its own.
        unsafe {
            if matches!(phase, Phase::Output | Phase::Down) {
                if row < work.rows {
                    let down = phase == Phase::Down;
                    let words = if down { self.exchanges.down } else { self.exchanges.output };
                    Sums { words, contributions: self.plan.groups }.add(i as usize, sum);
                }
                return;
            }
            let value = sum * self.factors.get();
            // Gate and up are neighbouring rows.
            let next = warp::shuffle_xor_f32(warp::ALL, value, work.neighbour());
            if row >= work.rows {
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
    pub unsafe fn attend(&mut self, layer: u32) {
        // SAFETY: as the caller promises.
        unsafe { attend::attend(self, layer) }
    }
}
