//! Attention of one token: q/k norm, RoPE, KV append and grouped-query attention in one launch.
//!
//! A block takes one KV head and a stretch of the positions ("split"), for all query heads that share the KV head, so
//! that each key and value is read once. Its warps take four positions at a time and keep a running softmax; they
//! are merged in the block, and the blocks of a KV head by the one that ends last, in the order of the positions:
//! the result does not depend on who ends when.

use cuda_std::atomic::{Atomic, Device, Ordering};
use cuda_std::prelude::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

const WARPS: usize = (THREADS / warp::SIZE) as usize;

/// Positions that a warp looks at together, so that its loads overlap.
const TOGETHER: usize = 4;

/// Fewer positions than this are not worth a block of their own.
const SHORTEST_SPLIT: u32 = 32;

/// Below every score, and far enough from the end of the range to subtract from.
const LOWEST: f32 = -1e30;

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Shape {
    /// KV heads.
    pub kv_heads: u32,
    /// Query heads that share a KV head.
    pub group: u32,
    /// Elements of a head: a multiple of 32, at most 256.
    pub head_dim: u32,
    /// Positions that the cache has room for.
    pub context: u32,
}

impl Shape {
    /// Query heads.
    pub const fn heads(&self) -> u32 {
        self.kv_heads * self.group
    }

    /// Query heads that are worked on together: as many as the registers hold.
    const fn heads_together(&self) -> usize {
        if self.group <= 2 || self.head_dim > 128 { 2 } else { 4 }
    }

    /// Dynamic shared memory of a block, in bytes: queries, the new key, and the warps' results.
    pub const fn shared_bytes(&self) -> usize {
        let d = self.head_dim as usize;
        ((self.group as usize + 1) * d + WARPS * self.heads_together() * (d + 2)) * size_of::<f32>()
    }

    /// Floats of the splits' results, for `splits` splits.
    pub const fn partial_len(&self, splits: u32) -> usize {
        self.heads() as usize * splits as usize * (self.head_dim as usize + 2)
    }
}

/// `out = attention(rope(norm(q)), keys, values)` of the token at `*position`, whose own key and value it appends.
///
/// `qkv` holds the heads of q, k and v one after the other. `keys` and `values` are `[kv_head][context][head_dim]`,
/// `rope` is `[context][head_dim / 2]` of cosine and sine; element `i` of a head is turned with `i + head_dim / 2`.
///
/// # Safety
/// The sizes must be `shape`'s; the grid is (splits, KV heads) blocks of [`THREADS`] threads with
/// [`Shape::shared_bytes`]; `partials` has [`Shape::partial_len`] elements; `counters` has a zero for each KV head,
/// and has again afterwards.
// One block a multiprocessor: with the registers of two, it spills.
#[kernel(launch_bounds(256, 1))]
#[allow(clippy::too_many_arguments)]
pub unsafe fn attention(
    qkv: *const f32,
    q_norm: *const f32,
    k_norm: *const f32,
    eps: f32,
    rope: *const F32x2,
    position: *const u32,
    keys: *mut f16,
    values: *mut f16,
    shape: Shape,
    partials: *mut f32,
    counters: *mut u32,
    out: *mut f32,
) {
    grid::launch_dependents();
    grid::wait_for_predecessor();
    // SAFETY: as the caller promises, for the whole body.
    unsafe {
        let (split, kv_head) = (thread::block_idx_x() as usize, thread::block_idx_y() as usize);
        let (d, group) = (shape.head_dim as usize, shape.group as usize);
        let new = global::load(position, Cached) as usize;
        let stretch = Stretch::of(split as u32, thread::grid_dim_x(), new as u32 + 1);
        if split >= stretch.splits {
            return;
        }
        let queries = shared::Slice::<f32>::dynamic(0, group * d);
        let key = shared::Slice::<f32>::dynamic(group * d * 4, d);
        let rotation = rope.add(new * d / 2);
        let offset = kv_head * shape.context as usize * d;
        let (keys, values) = (keys.add(offset), values.add(offset));

        let (me, lane) = (warp::warp_id() as usize, warp::lane_id() as usize);
        // The softmax is in powers of 2.
        let scale = core::f32::consts::LOG2_E * float::fast_rsqrt(d as f32);
        let mut h = me;
        while h < group {
            let from = qkv.add((kv_head * group + h) * d);
            let to = shared::Slice::dynamic(h * d * 4, d);
            norm_and_rotate(from, q_norm, eps, rotation, scale, to);
            h += WARPS;
        }
        if stretch.end == new + 1 && me == WARPS - 1 {
            let from = qkv.add((shape.heads() as usize + kv_head) * d);
            norm_and_rotate(from, k_norm, eps, rotation, 1.0, key);
            let value = qkv.add((shape.heads() as usize + shape.kv_heads as usize + kv_head) * d);
            let mut i = lane;
            while i < d {
                global::store(keys.add(new * d + i), half::f32_to_f16(key.get(i)));
                global::store(values.add(new * d + i), half::f32_to_f16(global::load(value.add(i), Cached)));
                i += 32;
            }
        }
        thread::sync_threads();

        let job = Job { queries, keys, values, shape, kv_head, split, stretch, partials, out };
        match (shape.heads_together(), d <= 128) {
            (2, true) => job.run::<2, 2>(),
            (_, true) => job.run::<4, 2>(),
            (_, false) => job.run::<2, 4>(),
        }
        if stretch.splits > 1 {
            job.merge_if_last(counters);
        }
    }
}

/// The positions of a block.
#[derive(Clone, Copy)]
struct Stretch {
    start: usize,
    end: usize,
    /// Blocks that have positions.
    splits: usize,
}

impl Stretch {
    /// In 32 bits: a division of 64 takes hundreds of instructions.
    #[inline(always)]
    fn of(split: u32, most: u32, positions: u32) -> Self {
        let wanted = positions.div_ceil(SHORTEST_SPLIT);
        let wanted = wanted.min(most).max(1);
        let each = positions.div_ceil(wanted);
        let start = split * each;
        let splits = positions.div_ceil(each.max(1));
        Self { start: start as usize, end: positions.min(start + each) as usize, splits: splits as usize }
    }
}

/// A head, normalised, turned and scaled, by one warp.
///
/// # Safety
/// `x` and `weight` have a head's elements, `rotation` half as many pairs; `to` is a head in shared memory that no
/// other warp uses.
#[inline(always)]
unsafe fn norm_and_rotate(
    x: *const f32,
    weight: *const f32,
    eps: f32,
    rotation: *const F32x2,
    scale: f32,
    to: shared::Slice<f32>,
) {
    let (d, lane) = (to.len(), warp::lane_id() as usize);
    // SAFETY: as the caller promises; lanes use elements of their own between the barriers of the warp.
    unsafe {
        let (mut sum, mut i) = (0.0f32, lane);
        while i < d {
            let v = global::load(x.add(i), Cached);
            sum = v.mul_add(v, sum);
            to.set(i, v * global::load(weight.add(i), ReadOnly));
            i += 32;
        }
        let factor = float::fast_rsqrt(warp::sum_f32(sum) / d as f32 + eps) * scale;
        warp::sync_warp(warp::ALL);
        let mut i = lane;
        while i < d / 2 {
            let F32x2([cos, sin]) = global::load(rotation.add(i), ReadOnly);
            let (a, b) = (to.get(i) * factor, to.get(i + d / 2) * factor);
            to.set(i, a * cos - b * sin);
            to.set(i + d / 2, b * cos + a * sin);
            i += 32;
        }
        warp::sync_warp(warp::ALL);
    }
}

/// A block's work.
#[derive(Clone, Copy)]
struct Job {
    queries: shared::Slice<f32>,
    keys: *const f16,
    values: *const f16,
    shape: Shape,
    kv_head: usize,
    split: usize,
    stretch: Stretch,
    partials: *mut f32,
    out: *mut f32,
}

/// A running softmax of `H` heads: the largest score, the sum of weights, and this lane's part of the weighted sums.
#[derive(Clone, Copy)]
struct Running<const H: usize, const W: usize> {
    max: [f32; H],
    sum: [f32; H],
    value: [[[f32; 2]; W]; H],
}

impl Job {
    /// Attends, `H` heads at a time; a lane has `W` pairs of a head's elements.
    ///
    /// # Safety
    /// As for the kernel; every thread of the block must call it.
    #[inline(always)]
    unsafe fn run<const H: usize, const W: usize>(self) {
        let (d, group) = (self.shape.head_dim as usize, self.shape.group as usize);
        let me = warp::warp_id() as usize;
        // SAFETY: as the caller promises; the launch has the shared memory for the results of all warps.
        unsafe {
            let results = shared::Slice::<f32>::dynamic((group + 1) * d * 4, WARPS * H * (d + 2));
            let mut first = 0;
            while first < group {
                let r = self.attend::<H, W>(first);
                for h in 0..H {
                    let base = (me * H + h) * (d + 2);
                    for w in 0..W {
                        let i = 2 * (warp::lane_id() as usize + 32 * w);
                        if i < d {
                            results.set(base + i, r.value[h][w][0]);
                            results.set(base + i + 1, r.value[h][w][1]);
                        }
                    }
                    if warp::lane_id() == 0 {
                        results.set(base + d, r.max[h]);
                        results.set(base + d + 1, r.sum[h]);
                    }
                }
                thread::sync_threads();
                let element = thread::thread_idx_x() as usize;
                for h in 0..H {
                    if first + h < group && element < d {
                        self.merge_warps(results, H, first, h, element);
                    }
                }
                thread::sync_threads();
                first += H;
            }
        }
    }

    /// This warp's share of the positions, for heads `first` to `first + H - 1` of the group.
    ///
    /// # Safety
    /// As for the kernel; all lanes must call it.
    #[inline(always)]
    unsafe fn attend<const H: usize, const W: usize>(self, first: usize) -> Running<H, W> {
        let (d, group) = (self.shape.head_dim as usize, self.shape.group as usize);
        let lane = warp::lane_id() as usize;
        let mut r = Running { max: [LOWEST; H], sum: [0.0; H], value: [[[0.0; 2]; W]; H] };
        let queries: [[[f32; 2]; W]; H] = core::array::from_fn(|h| {
            let head = (first + h).min(group - 1) * d;
            core::array::from_fn(|w| {
                let i = 2 * (lane + 32 * w);
                if i < d {
                    // SAFETY: inside the head; heads beyond the group are the last one again.
                    unsafe { [self.queries.get(head + i), self.queries.get(head + i + 1)] }
                } else {
                    [0.0; 2]
                }
            })
        });
        let mut start = self.stretch.start + warp::warp_id() as usize * TOGETHER;
        while start < self.stretch.end {
            // SAFETY: positions beyond the stretch are its last one again.
            let (keys, values) =
                unsafe { (self.rows::<W>(self.keys, start), self.rows::<W>(self.values, start)) };
            let mut scores = [[0.0f32; TOGETHER]; H];
            for p in 0..TOGETHER {
                for h in 0..H {
                    let mut dot = 0.0f32;
                    for w in 0..W {
                        let k = half::f16x2_to_f32(keys[p][w]);
                        dot = queries[h][w][0].mul_add(k[0], dot);
                        dot = queries[h][w][1].mul_add(k[1], dot);
                    }
                    let dot = warp::sum_f32(dot);
                    scores[h][p] = if start + p < self.stretch.end { dot } else { f32::NEG_INFINITY };
                }
            }
            for h in 0..H {
                let mut max = r.max[h];
                for p in 0..TOGETHER {
                    max = if scores[h][p] > max { scores[h][p] } else { max };
                }
                let shrink = float::fast_exp2(r.max[h] - max);
                r.max[h] = max;
                r.sum[h] *= shrink;
                for w in 0..W {
                    r.value[h][w][0] *= shrink;
                    r.value[h][w][1] *= shrink;
                }
                for p in 0..TOGETHER {
                    let weight = float::fast_exp2(scores[h][p] - max);
                    r.sum[h] += weight;
                    for w in 0..W {
                        let v = half::f16x2_to_f32(values[p][w]);
                        r.value[h][w][0] = weight.mul_add(v[0], r.value[h][w][0]);
                        r.value[h][w][1] = weight.mul_add(v[1], r.value[h][w][1]);
                    }
                }
            }
            start += WARPS * TOGETHER;
        }
        r
    }

    /// This lane's pairs of the rows of [`TOGETHER`] positions.
    ///
    /// # Safety
    /// `cache` must have the positions of the stretch.
    #[inline(always)]
    unsafe fn rows<const W: usize>(self, cache: *const f16, start: usize) -> [[u32; W]; TOGETHER] {
        let d = self.shape.head_dim as usize;
        core::array::from_fn(|p| {
            let row = (start + p).min(self.stretch.end - 1) * d;
            core::array::from_fn(|w| {
                let i = 2 * (warp::lane_id() as usize + 32 * w);
                // SAFETY: inside the row; pairs are aligned to 4 bytes.
                if i < d { unsafe { global::load(cache.add(row + i).cast::<u32>(), Cached) } } else { 0 }
            })
        })
    }

    /// An element of head `first + h`, merged over the warps: into `out` if this is the only split, otherwise into
    /// the splits' results.
    ///
    /// # Safety
    /// As for the kernel; the results must be complete.
    #[inline(always)]
    unsafe fn merge_warps(
        self,
        results: shared::Slice<f32>,
        together: usize,
        first: usize,
        h: usize,
        element: usize,
    ) {
        let d = self.shape.head_dim as usize;
        // SAFETY: as the caller promises; each element of the output has a thread of its own.
        unsafe {
            let at = |warp: usize, i: usize| results.get((warp * together + h) * (d + 2) + i);
            let mut max = LOWEST;
            for warp in 0..WARPS {
                let m = at(warp, d);
                max = if m > max { m } else { max };
            }
            let (mut sum, mut value) = (0.0f32, 0.0f32);
            for warp in 0..WARPS {
                let weight = float::fast_exp2(at(warp, d) - max);
                sum = weight.mul_add(at(warp, d + 1), sum);
                value = weight.mul_add(at(warp, element), value);
            }
            let head = self.kv_head * self.shape.group as usize + first + h;
            if self.stretch.splits == 1 {
                global::store(self.out.add(head * d + element), value / sum);
                return;
            }
            let to = self.partial(head, self.split);
            global::store(to.add(element), value);
            if element == 0 {
                global::store(to.add(d), max);
                global::store(to.add(d + 1), sum);
            }
        }
    }

    /// The results of a head in a split.
    ///
    /// # Safety
    /// There must be such a head and split.
    #[inline(always)]
    unsafe fn partial(self, head: usize, split: usize) -> *mut f32 {
        let index = head * thread::grid_dim_x() as usize + split;
        // SAFETY: as the caller promises.
        unsafe { self.partials.add(index * (self.shape.head_dim as usize + 2)) }
    }

    /// The block that ends last merges the splits.
    ///
    /// # Safety
    /// As for the kernel; every thread of the block must call it.
    #[inline(always)]
    unsafe fn merge_if_last(self, counters: *mut u32) {
        let (d, group) = (self.shape.head_dim as usize, self.shape.group as usize);
        // SAFETY: as the caller promises. The fences make the splits' results visible before the count and after it.
        unsafe {
            thread::device_fence();
            thread::sync_threads();
            let last = shared::Slice::<u32>::from_raw(shared_array![u32; 1], 1);
            if thread::thread_idx_x() == 0 {
                let counter = Atomic::<u32, Device>::from_ptr(counters.add(self.kv_head));
                let before = counter.fetch_add(1, Ordering::AcqRel);
                let is_last = before as usize + 1 == self.stretch.splits;
                if is_last {
                    counter.store(0, Ordering::Relaxed);
                }
                last.set(0, u32::from(is_last));
            }
            thread::sync_threads();
            if last.get(0) == 0 {
                return;
            }
            thread::device_fence();
            let element = thread::thread_idx_x() as usize;
            for head in self.kv_head * group..(self.kv_head + 1) * group {
                if element >= d {
                    break;
                }
                let at = |split: usize, i: usize| global::load(self.partial(head, split).add(i), L2);
                let mut max = LOWEST;
                for split in 0..self.stretch.splits {
                    let m = at(split, d);
                    max = if m > max { m } else { max };
                }
                let (mut sum, mut value) = (0.0f32, 0.0f32);
                for split in 0..self.stretch.splits {
                    let weight = float::fast_exp2(at(split, d) - max);
                    sum = weight.mul_add(at(split, d + 1), sum);
                    value = weight.mul_add(at(split, element), value);
                }
                global::store(self.out.add(head * d + element), value / sum);
            }
        }
    }
}

/// Cosine and sine of every position's angles: `theta^(-2 i / head_dim) * position`.
#[cfg(not(target_arch = "nvptx64"))]
pub fn rope_table(theta: f64, head_dim: usize, context: usize) -> std::vec::Vec<F32x2> {
    let half = head_dim / 2;
    let mut table = std::vec::Vec::with_capacity(context * half);
    for position in 0..context {
        for i in 0..half {
            let angle = theta.powf(-2.0 * i as f64 / head_dim as f64) * position as f64;
            table.push(F32x2([angle.cos() as f32, angle.sin() as f32]));
        }
    }
    table
}

/// A head, normalised and turned.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference_head(
    x: &[f64],
    weight: &[f64],
    eps: f64,
    theta: f64,
    position: usize,
) -> std::vec::Vec<f64> {
    let (d, half) = (x.len(), x.len() / 2);
    let x = crate::rms_norm::reference(x, weight, eps);
    let angle = |i: usize| theta.powf(-2.0 * i as f64 / d as f64) * position as f64;
    let mut y = x.clone();
    for i in 0..half {
        let (sin, cos) = angle(i).sin_cos();
        y[i] = x[i] * cos - x[i + half] * sin;
        y[i + half] = x[i + half] * cos + x[i] * sin;
    }
    y
}

/// The output of one query head over the keys and values of all positions.
#[cfg(not(target_arch = "nvptx64"))]
pub fn reference(
    query: &[f64],
    keys: &[std::vec::Vec<f64>],
    values: &[std::vec::Vec<f64>],
) -> std::vec::Vec<f64> {
    let dot = |k: &[f64]| query.iter().zip(k).map(|(a, b)| a * b).sum::<f64>() / (query.len() as f64).sqrt();
    let scores: std::vec::Vec<f64> = keys.iter().map(|k| dot(k)).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: std::vec::Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = std::vec![0.0; query.len()];
    for (weight, value) in weights.iter().zip(values) {
        for (o, v) in out.iter_mut().zip(value) {
            *o += weight / sum * v;
        }
    }
    out
}
