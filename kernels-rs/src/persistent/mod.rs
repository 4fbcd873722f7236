//! A whole token, and the next ones, in one launch: one block a multiprocessor, all of them at the same time.
//!
//! A launch costs microseconds, and the memory is idle while one ends and the next begins: so here the weights stream
//! through a ring in shared memory (`ring`) that does not stop where the blocks wait for each other, and blocks
//! exchange values without fences (`exchange`). [`plan`] divides the work, [`tile`] is what a warp multiplies at a
//! time. `block` has what a block's threads know, `multiply` their products, `attend` attention, `profile` the times;
//! [`products`] has the products alone, to be measured.
//!
//! From `sm_90` on, which has the copies that fill the ring. It is held against the same references as the kernels of
//! the other engine.

mod attend;
mod block;
mod choice;
mod exchange;
mod multiply;
pub mod plan;
pub mod products;
mod profile;
pub mod residual;
mod ring;
pub mod tile;

use cuda_std::copy_async::{MBarrier, bulk_fence};
use cuda_std::prelude::*;

pub use block::Exchanges;
pub use exchange::{Exchange, MAX_CONTRIBUTIONS, Watchdog};
pub use profile::{Profile, profile_phases};

use crate::layout::Matrix;
use block::{Block, at, work, works};
use plan::{CONSUMERS, Phase, Plan, ROW_BYTES, SLOT_POSITIONS, Shared, Stream, WARPS, Work, fixed};
use profile::Clock;
use residual::Factors;
use ring::{Producer, Ring};

/// A model in device memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Weights {
    /// The tiles: of each layer and of the head, each block's in the order of their use.
    pub tiles: *const u8,
    /// For each layer and for the head a [`plan::Stream`], in four words.
    pub streams: *const U32x4,
    /// The norms' weights: for each layer attention's and the feed-forward network's, and the output's.
    pub norms: *const f32,
    /// Of each layer's queries.
    pub q_norms: *const f32,
    /// Of each layer's keys.
    pub k_norms: *const f32,
    /// `[context][64]` of cosine and sine.
    pub rope: *const F32x2,
    /// The embedding.
    pub embedding: Matrix,
    /// `[layer][kv_head][context][128]`, of which each position's pieces of 8 lie in the order that attention wants.
    pub keys: *mut f16,
    /// The same.
    pub values: *mut f16,
}

/// The tokens that a launch runs.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tokens {
    /// The tokens of the sequence; a chosen one is written behind the last.
    pub ids: *mut u32,
    /// The position of the first that is run.
    pub start: u32,
    /// How many are run.
    pub count: u32,
    /// Tokens of the sequence that are known: logits are computed only where the next one is not.
    pub known: u32,
    /// An epoch before those of this launch, which has one for each layer of each token, and one more for each token.
    pub epoch: u32,
}

/// Runs tokens, and writes the logits after each whose successor is not known, and the best as that successor.
///
/// # Safety
/// The launch is cooperative, of [`Plan::groups`] times [`Plan::blocks`] blocks of [`plan::THREADS`] threads with
/// [`plan::Shared::bytes`] of dynamic shared memory, laid out as [`Plan::shared`] says. The weights are the plan's, packed
/// in the order of [`plan::Job::order`], of what [`Plan::source`] says. The tokens are in the vocabulary, and their
/// positions in the context. The exchanges' words are nobody else's, the sums zero, and the tagged words of earlier
/// epochs.
#[kernel(launch_bounds(320, 1))]
#[allow(clippy::too_many_arguments)]
pub unsafe fn decode(
    plan: Plan,
    shared: Shared,
    weights: Weights,
    exchanges: Exchanges,
    tokens: Tokens,
    logits: *mut f32,
    patience: u64,
    report: *mut u32,
    profile: Profile,
) {
    let (thread, block) = (thread::thread_idx_x(), thread::block_idx_x());
    let warp = warp::warp_id();
    // SAFETY: as the caller promises, for the whole body.
    unsafe {
        let ring = Ring::new(&plan, shared.ring);
        if thread == 0 {
            ring.init();
        }
        let factors = Factors::new();
        if thread == 0 {
            factors.init();
            MBarrier::at(at(fixed::AGREED, 1), 0).init(1);
        }
        let (group, rank) = (block / plan.blocks, block % plan.blocks);
        let works = works();
        let mut phase = Phase::Heads;
        loop {
            if warp == phase as u32 && thread % 32 < WARPS {
                let work = plan.job(phase, group, rank).work(thread % 32);
                works.set((phase as u32 * WARPS + thread % 32) as usize, U32x4(work.pack()));
            }
            if phase == Phase::Logits {
                break;
            }
            phase = phase.next();
        }
        let streams = at::<U32x4>(fixed::STREAMS, plan.layers + 1);
        let mut layer = thread;
        while layer <= plan.layers {
            streams.set(layer as usize, global::load(weights.streams.add(layer as usize), ReadOnly));
            layer += plan::THREADS;
        }
        thread::sync_threads();
        if warp == WARPS {
            if thread == CONSUMERS {
                produce(&plan, &weights, &tokens, ring, block);
            }
            return;
        }
        let watchdog = Watchdog { patience, report };
        if warp == residual::WARP {
            residual::keep(&plan, shared, &weights, exchanges, &tokens, watchdog);
            return;
        }
        let mut b = Block::new(&plan, shared, &weights, exchanges, watchdog, (ring, factors), logits);
        (b.epoch, b.position) = (tokens.epoch, tokens.start);
        let mut done = 0;
        while done < tokens.count {
            done += 1;
            let times =
                if done == tokens.count { profile.of(block, plan.layers) } else { core::ptr::null_mut() };
            let next = b.position + 1;
            let chosen = run(&mut b, next >= tokens.known, times);
            if next >= tokens.known && block == 0 && thread == 0 {
                global::store(tokens.ids.add(next as usize), chosen);
            }
            b.position = next;
        }
    }
}

/// Runs a token through the layers and, if that is asked for, the head; gives the best token.
#[inline(always)]
unsafe fn run(b: &mut Block<'_>, head: bool, times: *mut u64) -> u32 {
    let plan = b.given;
    b.clock = Clock::start(times);
    // SAFETY: as for the kernel.
    unsafe {
        let (mut layer, mut phase) = (0, Phase::Heads);
        b.epoch += 1;
        b.splits = plan.splits(b.position);
        loop {
            // Half a layer, or the head: a product with the residual stream, and one that is added to it.
            b.refresh();
            let codes = b.normalised(phase);
            if phase != Phase::Logits || head {
                b.multiply::<false>(layer, phase, codes);
            } else {
                // The next token's words take these ones' places only when this block has seen them.
                b.factors.get();
                b.clock.tick(b.thread);
            }
            b.clock.tick(b.thread);
            if phase == Phase::Logits {
                break;
            }
            phase = phase.next();
            b.refresh();
            let input = if phase == Phase::Output { b.attend(layer) } else { b.gather_hidden() };
            b.multiply::<true>(layer, phase, input);
            b.clock.tick(b.thread);
            phase = phase.next();
            if phase == Phase::Logits {
                layer += 1;
                if layer < plan.layers {
                    phase = Phase::Heads;
                }
                // The head's exchange is of an epoch of its own.
                b.epoch += 1;
            }
        }
        let chosen = b.agree();
        b.clock.tick(b.thread);
        b.clock.tick(b.thread);
        chosen
    }
}

/// Asks for the block's tiles of all tokens, and for its keys and values, in the order in which they are used.
///
/// # Safety
/// One thread must call it.
#[inline(always)]
unsafe fn produce(plan: &Plan, weights: &Weights, tokens: &Tokens, ring: Ring, block: u32) {
    // SAFETY: as for the kernel.
    unsafe {
        let (group, rank) = (block / plan.blocks, block % plan.blocks);
        let values = rank >= plan.key_blocks;
        let mut producer = Producer::new(ring);
        let mut token = 0;
        while token < tokens.count {
            let position = tokens.start + token;
            let head = position + 1 >= tokens.known;
            let (mut layer, mut phase) = (0, Phase::Heads);
            let mut stream = Stream::load(weights.streams, layer);
            producer.seek(weights.tiles.add(stream.start_of(block)));
            while phase != Phase::Logits || head {
                let bytes = stream.kind(phase, values).bytes() * WARPS;
                // Nobody exchanges anything beside the logits.
                let in_flight = if phase == Phase::Logits { plan.slots } else { plan.in_flight };
                ask_tiles(&mut producer, phase, bytes, in_flight);
                if phase == Phase::Heads {
                    if layer == 0 && token > 0 {
                        // The keys and values of the token before: others wrote them.
                        MBarrier::at(at(fixed::AGREED, 1), 0).wait((token - 1) % 2);
                        bulk_fence();
                    }
                    produce_cache(plan, weights, &mut producer, (layer, group, rank), position);
                }
                match phase {
                    Phase::Logits => break,
                    Phase::Down if layer + 1 < plan.layers => phase = Phase::Heads,
                    _ => phase = phase.next(),
                }
                if matches!(phase, Phase::Heads | Phase::Logits) {
                    layer += 1;
                    // Not from the table in shared memory: ptxas (13.0 and 13.5) adds 32 bytes to its address here.
                    stream = Stream::load(weights.streams, layer);
                    producer.seek(weights.tiles.add(stream.start_of(block)));
                }
            }
            token += 1;
        }
    }
}

/// Asks for the block's tiles of a phase, the next ones of the stream: slots of `bytes` bytes, `in_flight` at a time.
///
/// # Safety
/// One thread must call it; the table of work must be complete, and the stream must have them.
#[inline(always)]
unsafe fn ask_tiles(producer: &mut Producer, phase: Phase, bytes: u32, in_flight: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        let Work { job, round, .. } = work(phase, 0);
        let mut left = job.sets;
        while left > 0 {
            let sets = left.min(round);
            producer.ask(job.tiles_of(sets), bytes, in_flight);
            left -= sets;
        }
    }
}

/// Asks for a block's keys and values of the positions before `position`: in slots, which the blocks take in turns.
///
/// # Safety
/// One thread must call it.
#[inline(always)]
unsafe fn produce_cache(
    plan: &Plan,
    weights: &Weights,
    producer: &mut Producer,
    (layer, group, rank): (u32, u32, u32),
    position: u32,
) {
    let splits = plan.splits(position);
    let first = (layer * plan.groups + group) as usize * (plan.context * ROW_BYTES) as usize;
    // For each of the heads that are looked at together.
    let mut head = 0;
    while head < plan.heads && (rank < splits || splits == 1) {
        let mut slot = if splits == 1 { 0 } else { rank };
        while slot * SLOT_POSITIONS < position {
            let rows = (position - slot * SLOT_POSITIONS).min(SLOT_POSITIONS);
            let at = first + (slot * SLOT_POSITIONS * ROW_BYTES) as usize;
            // SAFETY: the cache has the positions before this one.
            unsafe {
                let (keys, values) = (weights.keys.cast::<u8>().add(at), weights.values.cast::<u8>().add(at));
                producer.ask_rows(keys, values, rows * ROW_BYTES, plan.in_flight);
            }
            slot += splits;
        }
        head += plan.together();
    }
}
