//! The products of a token by themselves: matrices of one shape, one after another, each times a vector of its own.
//!
//! The tiles come through the same ring, and the same functions multiply them and add their sums up, as in
//! [`decode`](fn@super::decode); but no block waits for another one, so this is how fast the weights stream when nothing
//! else holds them up. The rows are divided as those of the logits are, [`Phase::Logits`], and go where those go.

use cuda_std::prelude::*;

use super::block::{self, Block, Exchanges, at, works};
use super::exchange::Watchdog;
use super::plan::{CONSUMERS, MAX_HIDDEN, Phase, Plan, STRIP, Shared, Stream, WARPS, fixed};
use super::residual::{self, Factors};
use super::ring::{Producer, Ring};
use super::{Weights, ask_tiles};
use crate::activation::Vector;
use crate::layout::{Kind, Matrix};

/// Matrices of one shape and kind, in device memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Matrices {
    /// The tiles: of each matrix each block's, in the order of their use.
    pub tiles: *const u8,
    /// Their kind, as [`Stream::kinds`] of a head has it.
    pub kinds: u32,
    /// From one block's tiles to the next one's, in units of 16 bytes.
    pub stride: u32,
    /// How many there are.
    pub count: u32,
}

/// Multiplies each matrix, of [`Plan::vocab`] rows of [`Plan::hidden`] weights, with its vector of `x`, in 8-bit codes:
/// `out` has the results, matrix after matrix.
///
/// # Safety
/// The launch is of [`Plan::groups`] times [`Plan::blocks`] blocks of [`plan::THREADS`](super::plan::THREADS) threads with
/// [`plan::Shared::bytes`](Shared::bytes) of dynamic shared memory, laid out as [`Plan::shared`] says. The matrices
/// are the plan's, packed as [`Plan::source`] says of the head; `x` has a vector for each, aligned to 16 bytes, and `out`
/// room for the rows of all.
#[kernel(launch_bounds(320, 1))]
pub unsafe fn products(plan: Plan, shared: Shared, matrices: Matrices, x: *const f32, out: *mut f32) {
    let (thread, block) = (thread::thread_idx_x(), thread::block_idx_x());
    let warp = warp::warp_id();
    let stream = Stream { kinds: matrices.kinds, start: 0, stride: matrices.stride };
    // SAFETY: as the caller promises, for the whole body.
    unsafe {
        let ring = Ring::new(&plan, shared.ring);
        let mut factors = Factors::new();
        if thread == 0 {
            ring.init();
            factors.init();
            at(fixed::STREAMS, 1).set(0, U32x4([stream.kinds, stream.start, stream.stride, 0]));
        }
        let (group, rank) = (block / plan.blocks, block % plan.blocks);
        if thread < WARPS {
            let work = plan.job(Phase::Logits, group, rank).work(thread);
            works().set((Phase::Logits as u32 * WARPS + thread) as usize, U32x4(work.pack()));
        }
        thread::sync_threads();
        if warp == WARPS {
            if thread == CONSUMERS {
                produce(&plan, matrices, stream, ring, block);
            }
            return;
        }
        if warp == residual::WARP {
            if warp::lane_id() == 0 {
                // Nothing is normalised.
                factors.give(1.0);
            }
            return;
        }
        factors.advance();
        let (weights, exchanges, watchdog) = nothing();
        let mut b = Block::new(&plan, shared, &weights, exchanges, watchdog, (ring, factors), out);
        let (mut x, mut left) = (x, matrices.count);
        let mut elements = load(&b, x);
        while left > 0 {
            b.refresh();
            let input = quantise(&mut b, &elements);
            left -= 1;
            if left > 0 {
                // On its way during the products.
                x = x.add(plan.hidden as usize);
                elements = load(&b, x);
            }
            b.multiply::<false>(0, Phase::Logits, input);
            b.logits = b.logits.add(plan.vocab as usize);
        }
    }
}

/// What a token has beside its products: nobody looks at it.
#[inline(always)]
fn nothing() -> (Weights, Exchanges, Watchdog) {
    use core::ptr::{null, null_mut};
    let weights = Weights {
        tiles: null(),
        streams: null(),
        norms: null(),
        q_norms: null(),
        k_norms: null(),
        rope: null(),
        embedding: Matrix { data: null(), rows: 0, cols: 0, kind: Kind::F32, first_block: 0, blocks: 0 },
        keys: null_mut(),
        values: null_mut(),
    };
    let exchanges = Exchanges {
        heads: null_mut(),
        partials: null_mut(),
        hidden: null_mut(),
        best: null_mut(),
        residual: null_mut(),
        output: null_mut(),
        down: null_mut(),
    };
    (weights, exchanges, Watchdog { patience: 0, report: null_mut() })
}

/// Strips of the longest vector.
const STRIPS: usize = (MAX_HIDDEN / STRIP) as usize;

/// This thread's elements of a vector of floats.
///
/// # Safety
/// `x` has an element for each column, aligned to 16 bytes.
#[inline(always)]
unsafe fn load(b: &Block<'_>, x: *const f32) -> [F32x4; STRIPS] {
    let mut elements = [F32x4([0.0; 4]); STRIPS];
    for strip in 0..STRIPS {
        let i = strip as u32 * STRIP + 4 * b.thread;
        if i < b.plan.hidden {
            // SAFETY: as the caller promises.
            elements[strip] = unsafe { global::load(x.add(i as usize).cast(), Cached) };
        }
    }
    elements
}

/// A vector as the input.
///
/// # Safety
/// All threads that multiply must call it, each with its elements.
#[inline(always)]
unsafe fn quantise(b: &mut Block<'_>, elements: &[F32x4; STRIPS]) -> Vector {
    let cols = b.plan.hidden;
    // SAFETY: as the caller promises, and the launch has the plan's shared memory.
    unsafe {
        let vector = b.next_vector(cols);
        for strip in 0..STRIPS {
            let i = strip as u32 * STRIP + 4 * b.thread;
            vector.set::<4>(i as usize, elements[strip].0, i < cols);
        }
        block::sync();
        vector
    }
}

/// Asks for the block's tiles of all matrices.
///
/// # Safety
/// One thread must call it.
#[inline(always)]
unsafe fn produce(plan: &Plan, matrices: Matrices, stream: Stream, ring: Ring, block: u32) {
    let bytes = stream.kind(Phase::Logits, false).bytes() * WARPS;
    let of_matrix = (plan.groups * plan.blocks) as usize * stream.stride as usize * 16;
    let mut producer = Producer::new(ring);
    // SAFETY: as for the kernel.
    unsafe {
        let (mut tiles, mut left) = (matrices.tiles.add(stream.start_of(block)), matrices.count);
        while left > 0 {
            producer.seek(tiles);
            ask_tiles(&mut producer, Phase::Logits, bytes, plan.in_flight);
            tiles = tiles.add(of_matrix);
            left -= 1;
        }
    }
}
