//! Whether the persistent engine can run a model on a device, and how the work is divided.

use psionic_kernels::persistent::MAX_CONTRIBUTIONS;
use psionic_kernels::persistent::plan::{
    HEAD, MAX_BLOCKS, MAX_HIDDEN, MAX_LAYERS, MAX_SLOTS, Phase, Plan, ROW_BYTES, SLOT_POSITIONS, WARPS,
};
use psionic_kernels::persistent::tile::BLOCK;

use super::pack::streams;
use crate::decode::{Activations, Unsupported};
use crate::device::Device;
use crate::model::Model;

/// The first architecture with the copies that fill the ring.
pub const NEEDED_PTX: u32 = 90;

/// Slots that a block has asked for and not received: about as many bytes as the memory delivers in its latency.
const IN_FLIGHT: u32 = 2;

/// Positions up to which the exchange of a group's parts of attention takes longer than to look at all of them: eight slots,
/// measured on an H200.
const ALONE: u32 = 8 * SLOT_POSITIONS;

// The refusals below name them.
const _: () = assert!(MAX_HIDDEN == 4096 && MAX_BLOCKS as usize * BLOCK == 34_048);
const _: () = assert!(MAX_CONTRIBUTIONS == 15 && MAX_LAYERS == 128);

/// How to run a model.
///
/// # Errors
/// When the device, the model or the activations are not such that this engine can run them.
pub fn plan(
    device: &Device,
    model: &Model<'_>,
    context: usize,
    activations: Activations,
) -> Result<Plan, Unsupported> {
    let config = &model.config;
    let info = device.info();
    let unsupported = |needed, found| Err(Unsupported { needed, found });
    if let Some(ptx) = info.ptx.filter(|ptx| *ptx < NEEDED_PTX) {
        return unsupported(
            "a GPU of compute capability 9.0 or newer",
            format!("this one runs code for sm_{ptx}"),
        );
    }
    if activations != Activations::Int8 {
        return unsupported("8-bit activations", "others were asked for".to_owned());
    }
    if config.head_dim != HEAD as usize {
        return unsupported("heads of 128 elements", format!("this model's have {}", config.head_dim));
    }
    let heads = config.heads / config.kv_heads;
    if !heads.is_multiple_of(2) {
        return unsupported("an even number of query heads to a KV head", format!("this model has {heads}"));
    }
    let (hidden, ffn) = (config.hidden, config.ffn);
    if !hidden.is_multiple_of(BLOCK) || hidden > MAX_HIDDEN as usize {
        return unsupported(
            "a width that is a multiple of 256 up to 4096",
            format!("this model's is {hidden}"),
        );
    }
    if !ffn.is_multiple_of(BLOCK) || ffn / BLOCK < config.kv_heads {
        return unsupported(
            "a feed-forward width that is a multiple of 256, and 256 for each KV head",
            format!("this model's is {ffn}"),
        );
    }
    let longest = (ffn / BLOCK).div_ceil(config.kv_heads).max(heads * HEAD as usize / BLOCK);
    if longest > MAX_BLOCKS as usize {
        return unsupported(
            "at most 34,048 elements of a projection's input for each KV head",
            format!("this model has {}", longest * BLOCK),
        );
    }
    if config.kv_heads > MAX_CONTRIBUTIONS as usize || config.layers > MAX_LAYERS as usize {
        let found = format!("this model has {} and {}", config.kv_heads, config.layers);
        return unsupported("at most 15 KV heads and 128 layers", found);
    }
    if let Some(layer) = model.layers.iter().position(|layer| layer.q.kind != layer.k.kind) {
        return unsupported("queries and keys of one format", format!("those of layer {layer} differ"));
    }
    if let Some(layer) = model.layers.iter().position(|layer| layer.gate.kind != layer.up.kind) {
        return unsupported("gate and up of one format", format!("those of layer {layer} differ"));
    }
    if streams(model).any(|matrices| matrices.kinds().is_none()) {
        return unsupported("matrices in Q4_K, Q6_K or Q8_0", "some of this model's are not".to_owned());
    }
    let most = info.multiprocessors / config.kv_heads as u32;
    if most < 2 {
        let found = format!("this GPU has {} for {}", info.multiprocessors, config.kv_heads);
        return unsupported("two multiprocessors for each KV head", found);
    }
    let of = |blocks, key_blocks| Plan {
        groups: config.kv_heads as u32,
        blocks,
        key_blocks,
        layers: config.layers as u32,
        hidden: hidden as u32,
        heads: heads as u32,
        ffn: ffn as u32,
        largest_slice: (ffn / BLOCK).div_ceil(config.kv_heads) as u32,
        vocab: config.vocab as u32,
        context: context as u32,
        eps: config.rms_eps,
        slots: 0,
        slot_bytes: streams(model)
            .map(|matrices| WARPS * matrices.largest_tile())
            .fold(2 * SLOT_POSITIONS * ROW_BYTES, u32::max)
            .next_multiple_of(ROW_BYTES),
        in_flight: IN_FLIGHT,
        alone: ALONE,
    };
    // More blocks than shorten the work of the one with the most only wait for each other.
    let tiles = |plan: &Plan| {
        let most = |phase: Phase| {
            let ranks = [0, plan.blocks - 1].map(|rank| plan.job(phase, plan.groups - 1, rank).tiles());
            ranks[0].max(ranks[1])
        };
        plan.layers * Phase::ALL[..4].iter().map(|phase| most(*phase)).sum::<u32>() + most(Phase::Logits)
    };
    // Every block has a part in the sums that all wait for, so that none falls behind by more than an exchange.
    let takes_part = |plan: &Plan| plan.job(Phase::Output, 0, plan.blocks - 1).rows > 0;
    let plans = (2..=most)
        .flat_map(|blocks| (1..blocks).map(move |key_blocks| of(blocks, key_blocks)))
        .filter(takes_part);
    let mut best = plans.min_by_key(tiles).unwrap_or_else(|| of(2, 1));
    let room = info.shared_bytes.saturating_sub(best.shared().ring);
    best.slots = (room / best.slot_bytes).min(MAX_SLOTS);
    if best.slots < 4 {
        return unsupported(
            "more shared memory for a block",
            format!("this GPU has {} bytes", info.shared_bytes),
        );
    }
    best.in_flight = best.in_flight.min(best.slots);
    Ok(best)
}
