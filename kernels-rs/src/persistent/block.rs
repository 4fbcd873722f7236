//! A block's threads at work on a token: its inputs in 8-bit codes, its tiles, and where the results go.

use cuda_std::prelude::*;

use super::Weights;
use super::attend;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{
    BUNDLE, CONSUMERS, HEAD, Job, PAIR, Phase, Plan, STRIP, Segment, Shared, Stream, WARPS, fixed,
};
use super::residual;
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

/// What the block does in a phase, from the table in shared memory.
///
/// # Safety
/// The table must be complete.
#[inline(always)]
pub(super) unsafe fn job(phase: Phase) -> Job {
    // SAFETY: the table has an entry for each phase.
    let U32x4(words) = unsafe { at::<U32x4>(fixed::JOBS, Phase::ALL.len() as u32).get(phase as usize) };
    Job::unpack(words)
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

/// The input, as a lane needs it for the tiles of a segment.
struct Chunks {
    input: Vector,
    segment: Segment,
    lane: u32,
}

impl Chunks {
    /// The lane's chunk in a step of a set.
    ///
    /// # Safety
    /// The input must be complete.
    #[inline(always)]
    unsafe fn get(&self, step: u32) -> Quantized {
        let quads = self.segment.quads();
        // Beyond the row the weights are zeros: any activations do.
        let block = (step * quads + ((self.lane / 4) & (quads - 1))).min(self.segment.blocks - 1);
        // SAFETY: as the caller promises.
        unsafe { self.input.chunk((4 * block + self.lane % 4) as usize) }
    }
}

/// Adds each set's sums over the lanes that share a row, and puts the rows of `N` sets into lanes `row` and following,
/// one each; the lanes behind get something that the next sets overwrite, those before keep `result`.
///
/// While there are several sums, a step of the tree adds the one half of them in one half of the lanes and the other in
/// the other: for four sets 5 shuffles and one to put the rows in order, in place of 20.
#[inline(always)]
fn to_lanes<const N: usize>(s: &Segment, lane: u32, row: u32, sums: [f32; N], result: f32) -> f32 {
    let half = |a: f32, b: f32, lanes: u32| {
        let (keep, give) = if lane & lanes == 0 { (a, b) } else { (b, a) };
        keep + warp::shuffle_xor_f32(warp::ALL, give, lanes)
    };
    let widest = 16 >> s.together;
    let (mut sum, mut lanes) = match N {
        4 => {
            let (even, odd) = (half(sums[0], sums[N / 4], widest), half(sums[N / 2], sums[N - 1], widest));
            (half(even, odd, widest / 2), widest / 4)
        }
        2 => (half(sums[0], sums[N - 1], widest), widest / 2),
        _ => (sums[0], widest),
    };
    while lanes > 0 {
        sum += warp::shuffle_xor_f32(warp::ALL, sum, lanes);
        lanes /= 2;
    }
    let r = lane.wrapping_sub(row);
    let (set, row_of_set) = (r >> s.together, r & ((1 << s.together) - 1));
    let from = (row_of_set * 2 * widest)
        | match N {
            4 => ((set & 1) * widest) | (((set >> 1) & 1) * (widest / 2)),
            2 => (set & 1) * widest,
            _ => 0,
        };
    let sum = warp::shuffle_idx_f32(warp::ALL, sum, from % 32);
    if lane >= row { sum } else { result }
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
    /// The common factor of the normalised input.
    pub factor: f32,
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

    /// A float of the shared memory's fixed part or of one of its arrays.
    #[inline(always)]
    pub(super) unsafe fn floats(&self, offset: u32, len: u32) -> shared::Slice<f32> {
        // SAFETY: the launch has the plan's shared memory, and the arrays lie where the plan says.
        unsafe { self.at(offset, len) }
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
            residual::collect(codes, groups, self.thread, vector, self.squares());
            sync();
        }
    }

    /// The sums of squares of the residual stream's groups.
    #[inline(always)]
    unsafe fn squares(&self) -> shared::Slice<f32> {
        // SAFETY: the launch has the plan's shared memory.
        unsafe { self.at(self.shared.squares, (self.plan.hidden / GROUP as u32).next_multiple_of(2)) }
    }

    /// The common factor of the normalised input: `1 / sqrt(mean(x^2) + eps)`.
    #[inline(always)]
    unsafe fn factor(&self) -> f32 {
        let (mut sum, mut group) = (0.0f32, self.lane);
        while group < self.plan.hidden / GROUP as u32 {
            // SAFETY: all were written before the barrier that ended the input.
            sum += unsafe { self.squares().get(group as usize) };
            group += 32;
        }
        let sum = warp::sum_f32(sum);
        float::fast_rsqrt(sum / self.plan.hidden as f32 + self.plan.eps)
    }

    /// The group's hidden elements as the input.
    #[inline(always)]
    pub unsafe fn gather_hidden(&mut self) {
        // SAFETY: as the plan says.
        unsafe {
            let cols = job(Phase::Down).segment.blocks * BLOCK as u32;
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
        let first = self.group * self.plan.largest_slice() * BLOCK as u32;
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
            let job = job(phase);
            let code = Stream::of(layer).kind(phase, self.rank >= self.plan.key_blocks);
            let input = self.vector(job.segment.blocks * BLOCK as u32);
            if matches!(phase, Phase::Heads | Phase::GateUp | Phase::Logits) {
                self.factor = self.factor();
            }
            // As many sets as make a result for each lane.
            let batch = 32 >> job.segment.together;
            let (mut left, mut row) = (job.segment.sets(), self.lane);
            while left > 0 {
                let sets = left.min(batch);
                let sum = match code {
                    Code::Q4K => self.multiply_sets::<Q4K>(&job.segment, input, sets),
                    Code::Q6K => self.multiply_sets::<Q6K>(&job.segment, input, sets),
                    _ => self.multiply_sets::<Q8_0>(&job.segment, input, sets),
                };
                self.send(phase, &job, row, sum);
                left -= sets;
                row += 32;
            }
        }
    }

    /// Multiplies the tiles of the next sets of rows with the input; gives the sum of row `r` of these in lane `r`.
    #[inline(always)]
    unsafe fn multiply_sets<K: Tile>(&mut self, s: &Segment, input: Vector, sets: u32) -> f32 {
        let input = Chunks { input, segment: *s, lane: self.lane };
        let (pairs, single) = (sets % BUNDLE / PAIR, sets % PAIR);
        // SAFETY: as for `multiply`.
        unsafe {
            let x = input.get(0);
            let (mut row, mut result) = (0, 0.0f32);
            if sets >= BUNDLE {
                const N: usize = BUNDLE as usize;
                result = self.multiply_bundles::<K, N>(&input, x, sets / BUNDLE, row, result);
                row = (sets / BUNDLE * BUNDLE) << s.together;
            }
            if pairs > 0 {
                result = self.multiply_bundles::<K, { PAIR as usize }>(&input, x, 1, row, result);
                row += PAIR << s.together;
            }
            if single > 0 {
                result = self.multiply_bundles::<K, 1>(&input, x, 1, row, result);
            }
            result
        }
    }

    /// The same for bundles of `N` sets, the first of whose rows is `row`; the sums of other rows stay. `x` is the first
    /// of the input's chunks.
    #[inline(always)]
    unsafe fn multiply_bundles<K: Tile, const N: usize>(
        &mut self,
        input: &Chunks,
        first: Quantized,
        bundles: u32,
        row: u32,
        result: f32,
    ) -> f32 {
        let s = &input.segment;
        let (mut bundle, mut row, mut result) = (0, row, result);
        // SAFETY: as for `multiply`.
        unsafe {
            // The next tiles are read while these are multiplied, if the registers hold both.
            let ahead = K::BYTES < Q8_0::BYTES;
            let mut next = if ahead { Some(self.take::<K>(N == 1)) } else { None };
            loop {
                let (mut sums, mut x, mut step) = ([0.0f32; N], first, 0);
                loop {
                    step += 1;
                    let more = step < s.steps() || bundle + 1 < bundles;
                    for pair in 0..N.div_ceil(2) {
                        let weights = match next {
                            Some(weights) => weights,
                            None => self.take::<K>(N == 1),
                        };
                        if ahead && (2 * pair + 2 < N || more) {
                            next = Some(self.take::<K>(N == 1));
                        }
                        sums[2 * pair] += weights[0].dot(&x);
                        if N > 1 {
                            sums[2 * pair + 1] += weights[1].dot(&x);
                        }
                    }
                    if step == s.steps() {
                        break;
                    }
                    x = input.get(step);
                }
                result = to_lanes(s, self.lane, row, sums, result);
                row += (N as u32) << s.together;
                bundle += 1;
                if bundle == bundles {
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

    /// Sends the results of a warp's rows, each in a lane, to where they go.
    #[inline(always)]
    unsafe fn send(&mut self, phase: Phase, job: &Job, row: u32, value: f32) {
        // SAFETY: every row of the plan has a word of its own; the input's norm is complete.
        unsafe {
            let value =
                if matches!(phase, Phase::Output | Phase::Down) { value } else { value * self.factor };
            // Gate and up are neighbouring rows.
            let next = warp::shuffle_xor_f32(warp::ALL, value, 1);
            let i = job.first + self.warp * job.segment.rows + row;
            if row >= job.segment.rows || i >= job.limit {
                return;
            }
            match phase {
                Phase::Heads => {
                    let first = if self.rank >= self.plan.key_blocks { self.plan.heads + 1 } else { 0 };
                    self.head_words().set((first * HEAD + i) as usize, value.to_bits());
                }
                Phase::Output | Phase::Down => {
                    let down = phase == Phase::Down;
                    let words = if down { self.exchanges.down } else { self.exchanges.output };
                    Sums { words, contributions: self.plan.groups }.add(i as usize, value);
                }
                Phase::GateUp => {
                    if i.is_multiple_of(2) {
                        self.hidden_words().set((i / 2) as usize, (fast_silu(value) * next).to_bits());
                    }
                }
                Phase::Logits => {
                    global::store(self.logits.add(i as usize), value);
                    self.best = self.best.or(Best { value, index: i });
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
            let values = self.floats(fixed::BEST, WARPS);
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
                if self.lane == 0 {
                    chosen.set(0, best);
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
