//! A block's threads at work on a token: its inputs in 8-bit codes, its tiles, and where the results go.

use cuda_std::prelude::*;

use super::Weights;
use super::attend;
use super::exchange::{Exchange, Sums, Tagged, Watchdog};
use super::plan::{CONSUMERS, HEAD, Job, Phase, Plan, STRIP, Segment, Shared, Stream, WARPS, fixed};
use super::ring::{Consumer, Ring};
use super::tile::{BLOCK, Code};
use crate::activation::{Quantized, Vector};
use crate::argmax::Best;
use crate::layout::{Kind, Matrix};
use crate::swiglu::silu;
use crate::weights::{Q4K, Q6K, Q8_0, TileChunk};

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
    // SAFETY: the table has two entries for each phase.
    unsafe {
        let table = at::<U32x4>(fixed::JOBS, 2 * Phase::ALL.len() as u32);
        let U32x4([rows, blocks, together, tiles]) = table.get(2 * phase as usize);
        let U32x4([first, limit, ..]) = table.get(2 * phase as usize + 1);
        Job { segment: Segment { rows, blocks, together, tiles }, first, limit }
    }
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
    /// `u64`, zero when the launch begins: the residual stream's elements, for the output projection.
    pub output: *mut u64,
    /// `u64`, zero when the launch begins: the same for the down projection.
    pub down: *mut u64,
}

/// The embedding of a token, a chunk a thread, as the residual stream that lies at `residual`. Not inlined: it is needed
/// once a token, and the compiler would keep all its addresses in registers.
///
/// # Safety
/// `m` is a matrix of that kind and shape, with a row for the token.
#[inline(never)]
unsafe fn embed(data: *const u8, kind: Kind, rows: u32, cols: u32, token: u32, thread: u32, residual: u32) {
    let m = Matrix { data, rows, cols, kind, first_block: 0, blocks: 1 };
    let mut c = thread as usize;
    while c < m.chunks() {
        // SAFETY: the row and the chunk exist, and the residual stream has the row's elements.
        unsafe {
            let stream = at::<F32x4>(residual, cols.next_multiple_of(STRIP) / 4);
            // A thread's own elements are neighbours.
            crate::embed::chunk(&m, token as usize, c, |i, four| stream.set(i / 4, F32x4(four)));
        }
        c += CONSUMERS as usize;
    }
}

/// The sums over the lanes that share a row, in all of them, for `N` sets of rows.
#[inline(always)]
fn sum_rows<const N: usize>(s: &Segment, mut sums: [f32; N]) -> [f32; N] {
    let mut add = |lanes: u32| {
        for n in 0..N {
            sums[n] += warp::shuffle_xor_f32(warp::ALL, sums[n], lanes);
        }
    };
    add(1);
    add(2);
    if s.together <= 2 {
        add(4);
    }
    if s.together <= 1 {
        add(8);
    }
    if s.together == 0 {
        add(16);
    }
    sums
}

/// Puts the sums of a set of rows into lanes `row` and following, one each; the lanes behind get something that the next
/// sets overwrite.
#[inline(always)]
fn to_lanes(s: &Segment, lane: u32, row: u32, sum: f32, before: f32) -> f32 {
    let mut sum = sum;
    if s.together > 0 {
        let from = lane.wrapping_sub(row).wrapping_mul(4 * s.quads()) % 32;
        sum = warp::shuffle_idx_f32(warp::ALL, sum, from);
    }
    if lane >= row { sum } else { before }
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

    /// The residual stream of a token: its embedding.
    #[inline(always)]
    pub unsafe fn embed(&mut self, token: u32) {
        let m = &self.weights.embedding;
        // SAFETY: as the caller promises.
        unsafe {
            embed(m.data, m.kind, m.rows, m.cols, token, self.thread, self.shared.residual);
            sync();
        }
    }

    /// The residual stream, normalised, as the input of a phase, after the sums were added to it that the phase waits
    /// for. The norm's common factor is left to the results: codes do not depend on it.
    #[inline(always)]
    pub unsafe fn normalise(&mut self, layer: u32, phase: Phase) {
        let plan = self.plan;
        let output = phase == Phase::GateUp;
        let (words, exchange) = if output {
            (self.exchanges.output, Exchange::Output)
        } else {
            (self.exchanges.down, Exchange::Down)
        };
        let sums = Sums { words, contributions: plan.groups };
        let are_there = layer > 0 || phase != Phase::Query;
        // SAFETY: as the plan says; each thread uses elements of its own.
        unsafe {
            let norm = self.weights.norms.add(((2 * layer + u32::from(output)) * plan.hidden) as usize);
            let vector = self.next_vector(plan.hidden);
            let strips = plan.hidden.div_ceil(STRIP);
            let residual = self.at::<F32x4>(self.shared.residual, strips * CONSUMERS);
            let mut squares = 0.0f32;
            let mut strip = 0;
            while strip < strips {
                let i = strip * STRIP + 4 * self.thread;
                // Whole warps: the width is a multiple of 128.
                if i < plan.hidden {
                    let F32x4(w) = global::load(norm.add(i as usize).cast::<F32x4>(), ReadOnly);
                    let mine = (strip * CONSUMERS + self.thread) as usize;
                    let F32x4(mut x) = residual.get(mine);
                    if are_there {
                        // Neighbouring threads use neighbouring words.
                        let seen = self.seen(u32::from(!output), strips);
                        let place = |k: u32| ((strip * 4 + k) * CONSUMERS + self.thread) as usize;
                        let mut before = [0; 4];
                        for k in 0..4 {
                            before[k] = seen.get(place(k as u32));
                        }
                        let added = sums.four(i as usize, &mut before, self.epoch, exchange, self.watchdog);
                        for k in 0..4 {
                            seen.set(place(k as u32), before[k]);
                            x[k] += added[k];
                        }
                        residual.set(mine, F32x4(x));
                    }
                    for k in 0..4 {
                        squares = x[k].mul_add(x[k], squares);
                        x[k] *= w[k];
                    }
                    vector.set::<4>(i as usize, x, true);
                }
                strip += 1;
            }
            let squares = warp::sum_f32(squares);
            if self.lane == 0 {
                self.norms().set(self.warp as usize, squares);
            }
            sync();
        }
    }

    #[inline(always)]
    unsafe fn seen(&self, which: u32, strips: u32) -> shared::Slice<u64> {
        let len = strips * STRIP;
        // SAFETY: the launch has the plan's shared memory.
        unsafe { self.at(self.shared.sums + which * len * 8, len) }
    }

    /// The warps' sums of squares of the vector that is the input.
    #[inline(always)]
    unsafe fn norms(&self) -> shared::Slice<f32> {
        // SAFETY: the launch has the plan's shared memory.
        unsafe { self.floats(fixed::NORMS + self.turn * WARPS * 4, WARPS) }
    }

    /// The common factor of the normalised input: `1 / sqrt(mean(x^2) + eps)`.
    #[inline(always)]
    unsafe fn factor(&self) -> f32 {
        // SAFETY: all warps' sums were written before the barrier that ended the input.
        let squares = unsafe { self.norms().get((self.lane % WARPS) as usize) };
        const { assert!(WARPS == 8, "the lanes that have a warp's sum") };
        let sum = squares + warp::shuffle_xor_f32(warp::ALL, squares, 4);
        let sum = sum + warp::shuffle_xor_f32(warp::ALL, sum, 2);
        let sum = sum + warp::shuffle_xor_f32(warp::ALL, sum, 1);
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
                let values = words.four(i as usize);
                vector.set::<4>(i as usize, values.map(f32::from_bits), true);
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
            let code = Stream::of(layer).kind(phase, self.rank >= self.plan.key_blocks());
            let input = self.vector(job.segment.blocks * BLOCK as u32);
            // As many as make a result for each lane.
            let batch = (32 >> job.segment.together) * job.segment.steps();
            let (mut left, mut row) = (job.segment.tiles, self.lane);
            while left > 0 {
                let tiles = left.min(batch);
                let sum = match code {
                    Code::Q4K => self.multiply_tiles::<Q4K>(&job.segment, input, tiles),
                    Code::Q6K => self.multiply_tiles::<Q6K>(&job.segment, input, tiles),
                    _ => self.multiply_tiles::<Q8_0>(&job.segment, input, tiles),
                };
                self.send(phase, &job, row, sum);
                left -= tiles;
                row += 32;
            }
        }
    }

    /// Multiplies the next tiles with the input; gives the sum of the set's row `r` in lane `r`.
    #[inline(always)]
    unsafe fn multiply_tiles<K: TileChunk>(&mut self, s: &Segment, input: Vector, tiles: u32) -> f32 {
        let (ring, lane) = (self.ring, self.lane);
        let (quads, steps, bytes) = (s.quads(), s.steps(), K::TILE_BYTES);
        let block_of_quad = (lane / 4) & (quads - 1);
        // SAFETY: as for `multiply`.
        unsafe {
            let chunk = |step: u32| {
                // Beyond the row the weights are zeros: any activations do.
                let block = (step * quads + block_of_quad).min(s.blocks - 1);
                input.chunk((4 * block + lane % 4) as usize)
            };
            let mut x: Quantized = chunk(0);
            let (mut row, mut result) = (0, 0.0f32);
            let mut tile = 0;
            if steps == 1 {
                // Two sets of rows at a time: what one waits for, the other hides.
                while tile + 2 <= tiles {
                    let first = self.tiles.take(ring, lane, bytes, |tile| K::of_tile(tile, lane as usize));
                    let second = self.tiles.take(ring, lane, bytes, |tile| K::of_tile(tile, lane as usize));
                    let [first, second] = sum_rows(s, [first.dot(&x), second.dot(&x)]);
                    result = to_lanes(s, lane, row, first, result);
                    row += 1 << s.together;
                    result = to_lanes(s, lane, row, second, result);
                    row += 1 << s.together;
                    tile += 2;
                }
            }
            while tile < tiles {
                let mut sum = 0.0f32;
                for step in 0..steps {
                    if steps > 1 {
                        x = chunk(step);
                    }
                    let weights = self.tiles.take(ring, lane, bytes, |tile| K::of_tile(tile, lane as usize));
                    sum += weights.dot(&x);
                }
                let [sum] = sum_rows(s, [sum]);
                result = to_lanes(s, lane, row, sum, result);
                row += 1 << s.together;
                tile += steps;
            }
            result
        }
    }

    /// Sends the results of a warp's rows, each in a lane, to where they go.
    #[inline(always)]
    unsafe fn send(&mut self, phase: Phase, job: &Job, row: u32, value: f32) {
        // SAFETY: every row of the plan has a word of its own; the input's norm is complete.
        unsafe {
            let factor = if matches!(phase, Phase::Output | Phase::Down) { 1.0 } else { self.factor() };
            let value = value * factor;
            // Gate and up are neighbouring rows.
            let next = warp::shuffle_xor_f32(warp::ALL, value, 1);
            let i = job.first + self.warp * job.segment.rows + row;
            if row >= job.segment.rows || i >= job.limit {
                return;
            }
            match phase {
                Phase::Query => self.head_words().set(i as usize, value.to_bits()),
                Phase::KeyValue => {
                    let values = self.rank >= self.plan.key_blocks();
                    let head = self.plan.heads + u32::from(values);
                    self.head_words().set((head * HEAD + i) as usize, value.to_bits());
                }
                Phase::Output | Phase::Down => {
                    let down = phase == Phase::Down;
                    let words = if down { self.exchanges.down } else { self.exchanges.output };
                    Sums { words, contributions: self.plan.groups }.add(i as usize, value);
                }
                Phase::GateUp => {
                    if i.is_multiple_of(2) {
                        self.hidden_words().set((i / 2) as usize, (silu(value) * next).to_bits());
                    }
                }
                Phase::Head => {
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
                let mut all = Best::NONE;
                let mut other = self.lane;
                while other < self.plan.groups * self.plan.blocks {
                    let [value, index] = words.pair(2 * other as usize);
                    all = all.or(Best { value: f32::from_bits(value), index });
                    other += 32;
                }
                let all = all.of_warp();
                thread::device_fence();
                if self.lane == 0 {
                    // No logit was a number: any token, rather than an index that is none.
                    chosen.set(0, if all.index == u32::MAX { 0 } else { all.index });
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
