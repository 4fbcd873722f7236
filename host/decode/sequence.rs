//! What a sequence has on the device, whichever engine runs it: its tokens, its cache, its last logits.

use cuda_std::F32x2;
use psionic_kernels::attention::rope_table;

use crate::device::{Buffer, Device, DeviceError};
use crate::model::Config;

/// A sequence's memory.
pub struct Sequence {
    /// The tokens so far, and the one that is chosen next.
    pub tokens: Buffer<u32>,
    /// `[layer][kv_head][context][head_dim]`, as `f16`. In which order the elements of a head lie is the engine's affair, so a
    /// sequence is one engine's.
    pub keys: Buffer<u16>,
    pub values: Buffer<u16>,
    /// Cosine and sine, two floats each: `[context][head_dim / 2]`.
    pub rope: Buffer<f32>,
    /// After the last token.
    pub logits: Buffer<f32>,
}

impl Sequence {
    /// Takes the memory for a context.
    pub fn new(device: &Device, config: &Config, context: usize) -> Result<Self, DeviceError> {
        let cache = context * config.kv_width() * config.layers;
        let rope = rope_table(config.rope_theta.into(), config.head_dim, context);
        let rope: Vec<f32> = rope.into_iter().flat_map(|pair| pair.0).collect();
        Ok(Self {
            tokens: device.zeroed(context + 1)?,
            keys: device.zeroed(cache)?,
            values: device.zeroed(cache)?,
            rope: device.upload(&rope)?,
            logits: device.zeroed(config.vocab)?,
        })
    }

    /// Bytes of keys and values.
    pub fn cache_bytes(config: &Config, context: usize) -> u64 {
        context as u64 * config.kv_bytes_per_position()
    }

    /// Bytes of the rest.
    pub fn other_bytes(config: &Config, context: usize) -> u64 {
        let rope = context * config.head_dim / 2 * size_of::<F32x2>();
        (rope + (context + 1 + config.vocab) * 4) as u64
    }
}
