//! What a sequence has on the device besides weights: the tokens, the cache, the activations between kernels.

use cuda_std::F32x2;
use psionic_kernels::argmax;
use psionic_kernels::attention::{Shape, rope_table};

use super::error::DecodeError;
use crate::device::{Buffer, Device, DeviceError};
use crate::model::Config;

/// Blocks that look for the largest of `vocab` logits: each thread looks at four or so.
pub fn argmax_blocks(vocab: usize) -> u32 {
    vocab.div_ceil(4 * argmax::THREADS as usize) as u32
}

/// Blocks of attention for each KV head: one of all for each multiprocessor, which share the work of a long context.
pub fn attention_splits(multiprocessors: u32, kv_heads: u32) -> u32 {
    (multiprocessors / kv_heads).max(1)
}

/// Bytes of everything on the device, known before any of it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    context: usize,
    splits: u32,
    shape: Shape,
}

impl Plan {
    /// The plan for a context of `context` tokens on a device with `multiprocessors`.
    pub fn new(config: &Config, context: usize, multiprocessors: u32) -> Self {
        let shape = Shape {
            kv_heads: config.kv_heads as u32,
            group: (config.heads / config.kv_heads) as u32,
            head_dim: config.head_dim as u32,
            context: context as u32,
        };
        let splits = attention_splits(multiprocessors, shape.kv_heads);
        Self { context, splits, shape }
    }

    /// Bytes of keys and values.
    pub fn cache_bytes(&self, config: &Config) -> u64 {
        self.context as u64 * config.kv_bytes_per_position()
    }

    /// Bytes of everything but the weights and the cache.
    pub fn rest_bytes(&self, config: &Config) -> u64 {
        let c = config;
        let floats = 2 * c.hidden + c.q_width() + 2 * c.kv_width() + c.q_width() + 3 * c.ffn + c.vocab;
        let rope = self.context * c.head_dim / 2 * size_of::<F32x2>();
        // The tokens and the one after them, the position, and a counter for each KV head.
        let words = self.context + 1 + 1 + c.kv_heads;
        let rest = (floats + self.shape.partial_len(self.splits) + words) * 4;
        (rope + rest + argmax_blocks(c.vocab) as usize * 8) as u64
    }

    /// Refuses what does not fit.
    pub fn check(&self, device: &Device, config: &Config, weights: u64) -> Result<(), DecodeError> {
        let (cache, rest, free) = (self.cache_bytes(config), self.rest_bytes(config), device.free_bytes()?);
        let needed = weights.saturating_add(cache).saturating_add(rest);
        if needed > free {
            return Err(DecodeError::DoesNotFit {
                needed,
                weights,
                cache,
                rest,
                context: self.context,
                free,
            });
        }
        Ok(())
    }
}

/// A sequence's memory.
pub struct State {
    pub shape: Shape,
    pub splits: u32,
    /// The tokens so far, and the one that is chosen next.
    pub tokens: Buffer<u32>,
    /// The index of the token that is being worked on.
    pub position: Buffer<u32>,
    /// `[layer][kv_head][context][head_dim]`, as `f16`.
    pub keys: Buffer<u16>,
    pub values: Buffer<u16>,
    /// Cosine and sine, two floats each.
    pub rope: Buffer<f32>,
    /// The residual stream.
    pub x: Buffer<f32>,
    /// `x` normalised, where a kernel does not do that itself.
    pub normed: Buffer<f32>,
    pub qkv: Buffer<f32>,
    pub attended: Buffer<f32>,
    pub partials: Buffer<f32>,
    pub counters: Buffer<u32>,
    /// Gate and up, where they are not computed together.
    pub gate_up: Buffer<f32>,
    pub ffn: Buffer<f32>,
    pub logits: Buffer<f32>,
    /// A value and an index for each block.
    pub best: Buffer<u64>,
}

impl State {
    /// Takes the memory.
    pub fn new(device: &Device, config: &Config, plan: &Plan) -> Result<Self, DeviceError> {
        let c = config;
        let cache = plan.context * c.kv_width() * c.layers;
        let rope = rope_table(c.rope_theta.into(), c.head_dim, plan.context);
        let rope: Vec<f32> = rope.into_iter().flat_map(|pair| pair.0).collect();
        Ok(Self {
            shape: plan.shape,
            splits: plan.splits,
            tokens: device.zeroed(plan.context + 1)?,
            position: device.zeroed(1)?,
            keys: device.zeroed(cache)?,
            values: device.zeroed(cache)?,
            rope: device.upload(&rope)?,
            x: device.zeroed(c.hidden)?,
            normed: device.zeroed(c.hidden)?,
            qkv: device.zeroed(c.q_width() + 2 * c.kv_width())?,
            attended: device.zeroed(c.q_width())?,
            partials: device.zeroed(plan.shape.partial_len(plan.splits))?,
            counters: device.zeroed(c.kv_heads)?,
            gate_up: device.zeroed(2 * c.ffn)?,
            ffn: device.zeroed(c.ffn)?,
            logits: device.zeroed(c.vocab)?,
            best: device.zeroed(argmax_blocks(c.vocab) as usize)?,
        })
    }
}
