//! What is between the launches of a token: the position and the activations.

use psionic_kernels::argmax;
use psionic_kernels::attention::{self, Shape};

use crate::device::{Buffer, Device, DeviceError};
use crate::model::Config;

/// Blocks that look for the largest of `vocab` logits: each thread looks at four or so.
pub fn argmax_blocks(vocab: usize) -> u32 {
    vocab.div_ceil(4 * argmax::THREADS as usize) as u32
}

/// Blocks of attention for each KV head: of all heads as many as the device holds, which share the work of a long
/// context.
pub fn attention_splits(device: &Device, shape: &Shape) -> Result<u32, DeviceError> {
    let shared = shape.shared_bytes() as u32;
    let resident = device.resident_blocks::<attention::attention::Args>(attention::THREADS, shared)?;
    Ok((resident / shape.kv_heads).max(1))
}

/// The sizes of attention, known before any memory is taken.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    splits: u32,
    shape: Shape,
}

impl Plan {
    /// The plan for a context of `context` tokens on a device.
    pub fn new(device: &Device, config: &Config, context: usize) -> Result<Self, DeviceError> {
        let shape = Shape {
            kv_heads: config.kv_heads as u32,
            group: (config.heads / config.kv_heads) as u32,
            head_dim: config.head_dim as u32,
            context: context as u32,
        };
        Ok(Self { splits: attention_splits(device, &shape)?, shape })
    }

    /// Bytes of the state.
    pub fn bytes(&self, config: &Config) -> u64 {
        let c = config;
        let floats = 2 * c.hidden + c.q_width() + 2 * c.kv_width() + c.q_width() + 3 * c.ffn;
        // The position, and a counter for each KV head.
        let words = 1 + c.kv_heads;
        let rest = (floats + self.shape.partial_len(self.splits) + words) * 4;
        (rest + argmax_blocks(c.vocab) as usize * 8) as u64
    }
}

/// The memory between launches.
pub struct State {
    pub shape: Shape,
    pub splits: u32,
    /// The index of the token that is being worked on.
    pub position: Buffer<u32>,
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
    /// A value and an index for each block.
    pub best: Buffer<u64>,
}

impl State {
    /// Takes the memory.
    pub fn new(device: &Device, config: &Config, plan: &Plan) -> Result<Self, DeviceError> {
        let c = config;
        Ok(Self {
            shape: plan.shape,
            splits: plan.splits,
            position: device.zeroed(1)?,
            x: device.zeroed(c.hidden)?,
            normed: device.zeroed(c.hidden)?,
            qkv: device.zeroed(c.q_width() + 2 * c.kv_width())?,
            attended: device.zeroed(c.q_width())?,
            partials: device.zeroed(plan.shape.partial_len(plan.splits))?,
            counters: device.zeroed(c.kv_heads)?,
            gate_up: device.zeroed(2 * c.ffn)?,
            ffn: device.zeroed(c.ffn)?,
            best: device.zeroed(argmax_blocks(c.vocab) as usize)?,
        })
    }
}
