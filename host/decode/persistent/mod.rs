//! The persistent engine: one launch for many tokens, see [`psionic_kernels::persistent`].

pub mod pack;

use cuda_std::launch::LaunchConfig;
use psionic_kernels::persistent::plan::{
    self, HEAD, MAX_BLOCKS, MAX_HIDDEN, MAX_LAYERS, MAX_SLOTS, Phase, Plan, ROW_BYTES, SLOT_POSITIONS,
    Stream, WARPS,
};
use psionic_kernels::persistent::residual;
use psionic_kernels::persistent::tile::BLOCK;
use psionic_kernels::persistent::{
    Exchanges, MAX_CONTRIBUTIONS, Profile, Tokens, Weights, decode, profile_phases,
};

use super::engine::{Engine, Needs};
use super::graph::weights::{DeviceMatrix, upload};
use super::sequence::Sequence;
use super::timeline::{Step, Timeline};
use super::{Activations, DecodeError, Unsupported};
use crate::device::{Backend, Buffer, Device, DeviceError, Mailbox};
use crate::model::Model;
use pack::Matrices;

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

/// The last epoch: an epoch has two tags, of 32 bits.
const LAST_EPOCH: u32 = u32::MAX / 2;

/// Nanoseconds that blocks of a GPU wait for each other before the launch is ended.
const PATIENCE: u64 = 500_000_000;

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

/// The layers and the head.
fn streams<'m, 'a>(model: &'m Model<'a>) -> impl Iterator<Item = Matrices<'m, 'a>> {
    model.layers.iter().map(Matrices::Layer).chain([Matrices::Head(&model.output)])
}

/// A model's weights, and what the blocks exchange.
pub struct Persistent {
    plan: Plan,
    weights: DeviceWeights,
    exchange: Words,
    /// The block that got stuck and one, the epoch, the exchange.
    report: Mailbox,
    /// The kinds of the tiles of each layer and of the head.
    kinds: Vec<u32>,
    /// The last epoch that was used.
    epoch: u32,
    patience: u64,
}

/// The weights on the device.
struct DeviceWeights {
    tiles: Buffer<u8>,
    streams: Buffer<[u32; 4]>,
    norms: Buffer<f32>,
    q_norms: Buffer<f32>,
    k_norms: Buffer<f32>,
    embedding: DeviceMatrix,
}

/// The words of the exchanges.
struct Words {
    heads: Buffer<u64>,
    partials: Buffer<u64>,
    hidden: Buffer<u64>,
    best: Buffer<u64>,
    residual: Buffer<u64>,
    /// Of the output projection, then of the down projection.
    sums: Buffer<u64>,
}

impl Words {
    fn lens(plan: &Plan) -> [usize; 6] {
        let blocks = plan.groups * plan.blocks;
        [
            plan.groups * plan.head_words(),
            blocks * plan.partial_words(),
            plan.groups * plan.largest_slice * BLOCK as u32,
            blocks * 2,
            residual::words(plan.hidden / 32),
            2 * plan.hidden,
        ]
        .map(|len| len as usize)
    }

    fn new(device: &Device, plan: &Plan) -> Result<Self, DeviceError> {
        let [heads, partials, hidden, best, residual, sums] = Self::lens(plan);
        Ok(Self {
            heads: device.zeroed(heads)?,
            partials: device.zeroed(partials)?,
            hidden: device.zeroed(hidden)?,
            best: device.zeroed(best)?,
            residual: device.zeroed(residual)?,
            sums: device.zeroed(sums)?,
        })
    }
}

impl Persistent {
    /// Bytes that it takes on the device.
    pub fn needs(model: &Model<'_>, plan: &Plan) -> Needs {
        let blocks = (plan.groups * plan.blocks) as usize;
        let tiles: usize = streams(model).map(|matrices| matrices.stride(plan) * blocks).sum();
        let norms = (2 * plan.layers + 1) * plan.hidden + 2 * plan.layers * HEAD;
        let embedding = super::pack::packed_len(&model.embedding);
        let words: usize = Words::lens(plan).into_iter().sum();
        Needs {
            weights: (tiles + norms as usize * 4 + embedding) as u64,
            rest: (words * 8 + (plan.layers as usize + 1) * 16) as u64,
        }
    }

    /// Packs the weights and copies them to the device.
    pub fn load(
        device: &Device,
        model: &Model<'_>,
        plan: &Plan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DeviceError> {
        let weights = DeviceWeights::load(device, model, plan, progress)?;
        Ok(Self {
            plan: *plan,
            weights,
            exchange: Words::new(device, plan)?,
            report: device.mailbox(3)?,
            kinds: streams(model).filter_map(|matrices| matrices.kinds()).collect(),
            epoch: 0,
            // The simulator finds out itself when nothing goes on.
            patience: if device.info().backend == Backend::Cuda { PATIENCE } else { u64::MAX },
        })
    }

    /// Queues a launch that runs the tokens at positions `start` to `start + count - 1`, of which there are `known`.
    fn launch(
        &mut self,
        device: &Device,
        sequence: &Sequence,
        start: usize,
        count: usize,
        known: usize,
        profile: Option<&Buffer<u64>>,
    ) -> Result<(), DeviceError> {
        let plan = self.plan;
        // A token has an epoch for each layer and one more.
        let epochs = (plan.layers + 1) * count as u32;
        if epochs > LAST_EPOCH - self.epoch {
            // Words of an early epoch would pass for those of a later one.
            for words in [&mut self.exchange.heads, &mut self.exchange.partials, &mut self.exchange.hidden] {
                device.clear(words)?;
            }
            device.clear(&mut self.exchange.best)?;
            device.clear(&mut self.exchange.residual)?;
            self.epoch = 0;
        }
        device.clear(&mut self.exchange.sums)?;
        let (weights, words) = (&self.weights, &self.exchange);
        let args = decode::Args {
            plan,
            shared: plan.shared(),
            weights: Weights {
                tiles: weights.tiles.as_ptr().as_host(),
                streams: weights.streams.as_ptr().cast().as_host(),
                norms: weights.norms.as_ptr().as_host(),
                q_norms: weights.q_norms.as_ptr().as_host(),
                k_norms: weights.k_norms.as_ptr().as_host(),
                rope: sequence.rope.as_ptr().cast().as_host(),
                embedding: weights.embedding.argument(0, 1),
                keys: sequence.keys.as_mut_ptr().cast().as_host(),
                values: sequence.values.as_mut_ptr().cast().as_host(),
            },
            exchanges: Exchanges {
                heads: words.heads.as_mut_ptr().as_host(),
                partials: words.partials.as_mut_ptr().as_host(),
                hidden: words.hidden.as_mut_ptr().as_host(),
                best: words.best.as_mut_ptr().as_host(),
                residual: words.residual.as_mut_ptr().as_host(),
                output: words.sums.as_mut_ptr().as_host(),
                down: words.sums.as_mut_ptr().add(plan.hidden as usize).as_host(),
            },
            tokens: Tokens {
                ids: sequence.tokens.as_mut_ptr().as_host(),
                start: start as u32,
                count: count as u32,
                known: known as u32,
                epoch: self.epoch,
            },
            logits: sequence.logits.as_mut_ptr(),
            patience: self.patience,
            report: self.report.as_mut_ptr(),
            profile: Profile {
                times: profile.map_or(std::ptr::null_mut(), |times| times.as_mut_ptr().as_host()),
            },
        };
        self.epoch += epochs;
        let config = LaunchConfig::new(plan.groups * plan.blocks, plan::THREADS)
            .shared_bytes(plan.shared().bytes)
            .cooperative();
        // SAFETY: the weights were packed for this plan; the decoder checks tokens and positions; the words are as
        // long as the plan says and of earlier epochs, the sums zero.
        unsafe { device.launch(config, args) }
    }

    /// Names what a failed launch was stuck in, if it was.
    fn explain<T>(&self, result: Result<T, DeviceError>) -> Result<T, DecodeError> {
        result.map_err(|error| DecodeError::stuck(&self.report).unwrap_or(error.into()))
    }
}

impl Engine for Persistent {
    fn look(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        to: usize,
    ) -> Result<(), DecodeError> {
        let run =
            self.launch(device, sequence, from, to - from, to, None).and_then(|()| device.synchronize());
        self.explain(run)
    }

    fn extend(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, DecodeError> {
        let mut tokens = vec![0; count];
        let run = self
            .launch(device, sequence, from, count, from + 1, None)
            .and_then(|()| device.read(&sequence.tokens, from, &mut tokens));
        self.explain(run)?;
        Ok(tokens)
    }

    fn profile(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Option<Timeline>, DecodeError> {
        let plan = self.plan;
        let (phases, blocks) = (profile_phases(plan.layers) as usize, (plan.groups * plan.blocks) as usize);
        let times = device.zeroed(2 * phases * blocks)?;
        let run = self
            .launch(device, sequence, from, count, from + 1, Some(&times))
            .and_then(|()| device.download(&times));
        let times = self.explain(run)?;
        let position = from + count - 1;
        let time = |block: usize, index: usize| {
            let first = 2 * (block * phases + index);
            [times[first], times[first + 1]]
        };
        let mut steps = Vec::with_capacity(phases + plan.layers as usize);
        for index in 0..phases {
            let of_layer = Phase::OF_LAYER as usize;
            let layer = Some(index / of_layer).filter(|layer| *layer < plan.layers as usize);
            let (phase, name) = match (layer, index % of_layer) {
                (Some(_), i) => (Some(Phase::ALL[i]), ["heads", "output", "gate and up", "down"][i]),
                (None, 0) => (Some(Phase::Logits), "logits"),
                (None, _) => (None, "choice"),
            };
            if phase == Some(Phase::Output) {
                let between = |block| [time(block, index - 1)[1], time(block, index)[0]];
                steps.push(Step {
                    layer,
                    name: "attention",
                    weight_bytes: 0,
                    cache_bytes: 4 * u64::from(plan.groups * HEAD) * position as u64,
                    blocks: (0..blocks).map(between).collect(),
                });
            }
            let kinds = self.kinds[layer.unwrap_or(plan.layers as usize)];
            steps.push(Step {
                layer,
                name,
                weight_bytes: phase.map_or(0, |phase| stream_bytes(&plan, kinds, phase)),
                cache_bytes: 0,
                blocks: (0..blocks).map(|block| time(block, index)).collect(),
            });
        }
        Ok(Some(Timeline { position, steps }))
    }
}

/// Bytes of the tiles of a phase, over all blocks.
fn stream_bytes(plan: &Plan, kinds: u32, phase: Phase) -> u64 {
    let stream = Stream { kinds, start: 0, stride: 0 };
    let blocks = (0..plan.groups).flat_map(|group| (0..plan.blocks).map(move |rank| (group, rank)));
    let bytes = |(group, rank)| {
        let tile = stream.kind(phase, rank >= plan.key_blocks).bytes();
        u64::from(plan.job(phase, group, rank).tiles() * WARPS * tile)
    };
    blocks.map(bytes).sum()
}

impl DeviceWeights {
    fn load(
        device: &Device,
        model: &Model<'_>,
        plan: &Plan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DeviceError> {
        let blocks = (plan.groups * plan.blocks) as usize;
        let strides: Vec<usize> = streams(model).map(|matrices| matrices.stride(plan)).collect();
        let total: usize = strides.iter().map(|stride| stride * blocks).sum();
        let mut tiles = device.zeroed(total)?;
        let (mut start, mut table, mut staging) = (0, Vec::new(), Vec::new());
        for (matrices, stride) in streams(model).zip(strides) {
            staging.resize(stride * blocks, 0);
            matrices.pack(plan, &mut staging);
            device.write(&mut tiles, start, &staging)?;
            table.push([matrices.kinds().unwrap_or(0), (start / 16) as u32, (stride / 16) as u32, 0]);
            start += staging.len();
            progress(start as u64, total as u64);
        }
        let layers = &model.layers;
        let mut norms: Vec<f32> =
            layers.iter().flat_map(|l| [&l.attn_norm, &l.ffn_norm]).flatten().copied().collect();
        norms.extend(&model.output_norm);
        let q_norms: Vec<f32> = layers.iter().flat_map(|l| &l.q_norm).copied().collect();
        let k_norms: Vec<f32> = layers.iter().flat_map(|l| &l.k_norm).copied().collect();
        Ok(Self {
            tiles,
            streams: device.upload(&table)?,
            norms: device.upload(&norms)?,
            q_norms: device.upload(&q_norms)?,
            k_norms: device.upload(&k_norms)?,
            embedding: upload(device, &model.embedding)?,
        })
    }
}
