//! Qwen3 as a sequence of launches, listed in order.

use cuda_std::launch::{DevicePtr, DevicePtrMut, KernelArgs, LaunchConfig};
use psionic_kernels::layout::Matrix;
use psionic_kernels::{
    activation, advance, argmax, attention, embed, gate_up, project, project_f32, rms_norm, swiglu,
};

use super::state::{State, argmax_blocks};
use super::weights::{DeviceLayer, DeviceMatrix, DeviceWeights};
use crate::decode::Activations;
use crate::decode::sequence::Sequence;
use crate::device::{Device, DeviceError};
use crate::model::Config;

/// Threads of a block of `embed`.
pub const EMBED_THREADS: u32 = 64;
/// Threads of a block of `swiglu`.
pub const SWIGLU_THREADS: u32 = 256;
/// Threads of the block of `rms_norm`.
pub const RMS_NORM_THREADS: u32 = 1024;

/// Everything that a token's launches need.
pub struct Network<'a> {
    pub device: &'a Device,
    pub config: &'a Config,
    pub weights: &'a DeviceWeights,
    pub state: &'a State,
    pub sequence: &'a Sequence,
    pub activations: Activations,
}

/// A vector that matrices are applied to.
#[derive(Clone, Copy)]
struct Input {
    x: DevicePtr<f32>,
    /// The weights of its normalisation; null for none.
    norm: DevicePtr<f32>,
}

impl Network<'_> {
    /// Runs the token at the current position through the layers.
    pub fn layers(&self) -> Result<(), DeviceError> {
        self.embed()?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(index, layer)?;
            self.feed_forward(layer)?;
        }
        Ok(())
    }

    /// The logits after the token at the current position.
    pub fn logits(&self) -> Result<(), DeviceError> {
        let input = Input { x: self.state.x.as_ptr(), norm: self.weights.output_norm.as_ptr() };
        self.project(input, &[self.weights.output()], self.sequence.logits.as_mut_ptr(), false)
    }

    /// Chooses the token with the largest logit and moves on to its position.
    pub fn choose(&self) -> Result<(), DeviceError> {
        let args = argmax::argmax::Args {
            logits: self.sequence.logits.as_ptr(),
            n: self.config.vocab as u32,
            best: self.state.best.as_mut_ptr().cast(),
        };
        let blocks = argmax_blocks(self.config.vocab);
        // SAFETY: the buffers have the vocabulary's logits and an element for each block.
        unsafe { self.device.launch(self.shape(blocks, argmax::THREADS), args) }?;
        self.advance(blocks)
    }

    /// Moves on to the next position, whose token is known.
    pub fn skip(&self) -> Result<(), DeviceError> {
        self.advance(0)
    }

    fn advance(&self, candidates: u32) -> Result<(), DeviceError> {
        let args = advance::advance::Args {
            best: self.state.best.as_ptr().cast(),
            candidates,
            tokens: self.sequence.tokens.as_mut_ptr(),
            position: self.state.position.as_mut_ptr(),
        };
        // SAFETY: `tokens` has an element more than the context, and the decoder does not go beyond that.
        unsafe { self.device.launch(self.shape(1, argmax::THREADS), args) }
    }

    fn embed(&self) -> Result<(), DeviceError> {
        let table = &self.weights.embedding;
        let args = embed::embed::Args {
            m: table.argument(0, 1),
            tokens: self.sequence.tokens.as_ptr(),
            position: self.state.position.as_ptr(),
            out: self.state.x.as_mut_ptr(),
        };
        let chunks = psionic_kernels::layout::chunks(table.cols()) as u32;
        // SAFETY: the decoder checks tokens against the vocabulary; `x` is as long as a row.
        unsafe { self.device.launch(self.shape(chunks.div_ceil(EMBED_THREADS), EMBED_THREADS), args) }
    }

    /// `x += W_o attention(norm(x))`
    fn attention(&self, index: usize, layer: &DeviceLayer) -> Result<(), DeviceError> {
        let state = self.state;
        let input = Input { x: state.x.as_ptr(), norm: layer.attn_norm.as_ptr() };
        let [q, k, v] = &layer.qkv;
        self.project(input, &[q, k, v], state.qkv.as_mut_ptr(), false)?;

        let shape = state.shape;
        let start = index * shape.context as usize * self.config.kv_width();
        let args = attention::attention::Args {
            qkv: state.qkv.as_ptr(),
            q_norm: layer.q_norm.as_ptr(),
            k_norm: layer.k_norm.as_ptr(),
            eps: self.config.rms_eps,
            rope: self.sequence.rope.as_ptr().cast(),
            position: state.position.as_ptr(),
            keys: self.sequence.keys.as_mut_ptr().add(start).cast(),
            values: self.sequence.values.as_mut_ptr().add(start).cast(),
            shape,
            partials: state.partials.as_mut_ptr(),
            counters: state.counters.as_mut_ptr(),
            out: state.attended.as_mut_ptr(),
        };
        let config = LaunchConfig::new((state.splits, shape.kv_heads), attention::THREADS)
            .shared_bytes(shape.shared_bytes() as u32)
            .dependent(self.device.info().dependent_launch);
        // SAFETY: the state was made for this shape and number of splits; a layer's cache begins at `start`.
        unsafe { self.device.launch(config, args) }?;

        let attended = Input { x: state.attended.as_ptr(), norm: DevicePtr::null() };
        self.project(attended, &[&layer.o], state.x.as_mut_ptr(), true)
    }

    /// `x += W_down (silu(W_gate n) * W_up n)`, `n = norm(x)`
    fn feed_forward(&self, layer: &DeviceLayer) -> Result<(), DeviceError> {
        let state = self.state;
        let input = Input { x: state.x.as_ptr(), norm: layer.ffn_norm.as_ptr() };
        let matrices = [&layer.gate, &layer.up];
        if self.takes_codes(&matrices) && layer.gate.kind() == layer.up.kind() {
            self.gate_up(input, &layer.gate, &layer.up)?;
        } else {
            self.project(input, &matrices, state.gate_up.as_mut_ptr(), false)?;
            self.swiglu()?;
        }
        let hidden = Input { x: state.ffn.as_ptr(), norm: DevicePtr::null() };
        self.project(hidden, &[&layer.down], state.x.as_mut_ptr(), true)
    }

    /// Gate, up and SwiGLU in one launch.
    fn gate_up(&self, input: Input, gate: &DeviceMatrix, up: &DeviceMatrix) -> Result<(), DeviceError> {
        let shared = activation::shared_bytes(gate.cols()) as u32;
        let blocks = self.blocks_for::<gate_up::gate_up::Args>(gate.rows(), shared)?;
        let args = gate_up::gate_up::Args {
            x: input.x,
            norm: input.norm,
            eps: self.config.rms_eps,
            gate: gate.argument(0, blocks),
            up: up.argument(0, blocks),
            out: self.state.ffn.as_mut_ptr(),
        };
        let config = self.shape(blocks, project::THREADS).shared_bytes(shared);
        // SAFETY: the model's shapes were checked when it was read; both matrices are of one quantised kind.
        unsafe { self.device.launch(config, args) }
    }

    fn swiglu(&self) -> Result<(), DeviceError> {
        let n = self.config.ffn as u32;
        let args = swiglu::swiglu::Args {
            gate_up: self.state.gate_up.as_ptr(),
            n,
            out: self.state.ffn.as_mut_ptr(),
        };
        // SAFETY: the buffers have `2 n` and `n` elements.
        unsafe { self.device.launch(self.shape(n.div_ceil(SWIGLU_THREADS), SWIGLU_THREADS), args) }
    }

    /// `out = W x` for up to three matrices of one input, or `out += W x`.
    fn project(
        &self,
        input: Input,
        matrices: &[&DeviceMatrix],
        out: DevicePtrMut<f32>,
        add: bool,
    ) -> Result<(), DeviceError> {
        let codes = self.takes_codes(matrices);
        let cols = matrices[0].cols();
        let rows: usize = matrices.iter().map(|m| m.rows()).sum();
        if codes {
            let shared = activation::shared_bytes(cols) as u32;
            let blocks = self.blocks_for::<project::project::Args>(rows.div_ceil(project::ROWS), shared)?;
            let ([m0, m1, m2], blocks) = share(matrices, blocks);
            let args = project::project::Args {
                x: input.x,
                norm: input.norm,
                eps: self.config.rms_eps,
                m0,
                m1,
                m2,
                out,
                add: add.into(),
            };
            let config = self.shape(blocks, project::THREADS).shared_bytes(shared);
            // SAFETY: the model's shapes were checked when it was read; the matrices are quantised.
            return unsafe { self.device.launch(config, args) };
        }
        let x = if input.norm.address() == 0 { input.x } else { self.rms_norm(input, cols)? };
        let blocks = self.blocks_for::<project_f32::project_f32::Args>(rows, 0)?;
        let ([m0, m1, m2], blocks) = share(matrices, blocks);
        let args = project_f32::project_f32::Args { x, m0, m1, m2, out, add: add.into() };
        // SAFETY: the model's shapes were checked when it was read.
        unsafe { self.device.launch(self.shape(blocks, project::THREADS), args) }
    }

    fn rms_norm(&self, input: Input, n: usize) -> Result<DevicePtr<f32>, DeviceError> {
        let out = self.state.normed.as_mut_ptr();
        let args = rms_norm::rms_norm::Args {
            x: input.x,
            weight: input.norm,
            eps: self.config.rms_eps,
            n: n as u32,
            out,
        };
        // SAFETY: only `x` is normalised here, and `normed` is as long.
        unsafe { self.device.launch(self.shape(1, RMS_NORM_THREADS), args) }?;
        Ok(out.into())
    }

    /// Whether the matrices are multiplied with 8-bit activations.
    fn takes_codes(&self, matrices: &[&DeviceMatrix]) -> bool {
        self.activations == Activations::Int8 && matrices.iter().all(|m| m.kind().is_quantized())
    }

    fn blocks_for<K: KernelArgs>(&self, groups: usize, shared_bytes: u32) -> Result<u32, DeviceError> {
        mat_vec_blocks::<K>(self.device, groups, shared_bytes)
    }

    fn shape(&self, blocks: u32, threads: u32) -> LaunchConfig {
        LaunchConfig::new(blocks, threads).dependent(self.device.info().dependent_launch)
    }
}

/// Blocks for a mat-vec kernel with a warp for each of `groups` groups of rows: as many as fit on the device together,
/// evenly loaded.
pub fn mat_vec_blocks<K: KernelArgs>(
    device: &Device,
    groups: usize,
    shared_bytes: u32,
) -> Result<u32, DeviceError> {
    let warps = project::THREADS / cuda_std::warp::SIZE;
    let needed = (groups as u32).div_ceil(warps);
    let resident = device.resident_blocks::<K>(project::THREADS, shared_bytes)?;
    Ok(needed.div_ceil(needed.div_ceil(resident)))
}

/// The matrices as a kernel takes them, and the blocks of the launch: shared out by bytes, at least one each.
pub fn share(matrices: &[&DeviceMatrix], blocks: u32) -> ([Matrix; 3], u32) {
    let total: usize = matrices.iter().map(|m| m.bytes()).sum();
    let mut arguments = [Matrix::NONE; 3];
    let mut first = 0;
    for (argument, m) in arguments.iter_mut().zip(matrices) {
        let part = (u64::from(blocks) * m.bytes() as u64 + total as u64 / 2) / total as u64;
        let part = (part as u32).max(1);
        *argument = m.argument(first, part);
        first += part;
    }
    (arguments, first)
}
