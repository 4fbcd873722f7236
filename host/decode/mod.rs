//! Decoding: tokens in, tokens out, one sequence at a time.
//!
//! A [`Decoder`] holds a model's weights and one sequence on a device. A token's launches are recorded once and
//! replayed; the position, the tokens and the choice of the next one stay on the device, so that nothing waits for
//! the host between tokens.

mod error;
mod network;
pub mod pack;
mod state;
mod weights;

use std::fmt;
use std::ops::ControlFlow;

pub use error::DecodeError;

use crate::device::{Backend, Device, DeviceError, DeviceInfo, Recording};
use crate::model::{Config, Model};
use network::Network;
use state::{Plan, State};
use weights::DeviceWeights;

/// How decoding launches its kernels, for whoever measures them one by one.
pub(crate) mod launches {
    pub use super::network::{EMBED_THREADS, RMS_NORM_THREADS, SWIGLU_THREADS, mat_vec_blocks, share};
    pub use super::state::{argmax_blocks, attention_splits};
    pub use super::weights::DeviceMatrix;
}

/// A context when none is asked for, if the model's is longer.
pub const DEFAULT_CONTEXT: usize = 4096;

/// Tokens that are chosen on a GPU between two looks from the host, at most.
const LARGEST_BATCH: usize = 32;

/// How activations are multiplied with quantised weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// As 8-bit codes, 32 to a scale: fast, and what llama.cpp does.
    #[default]
    Int8,
    /// As they are.
    Float,
}

/// What a decoder may be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecoderOptions {
    /// Tokens that the cache has room for; by default the model's context, at most [`DEFAULT_CONTEXT`].
    pub context: Option<usize>,
    /// How activations are multiplied.
    pub activations: Activations,
}

/// A model and a sequence on a device.
pub struct Decoder {
    /// Dropped first: nothing else of the decoder may go while launches use it.
    steps: Steps,
    state: State,
    /// Only the launches use them.
    _weights: DeviceWeights,
    device: Device,
    config: Config,
    context: usize,
    /// Tokens of the sequence.
    len: usize,
    /// Whether the logits on the device are those after the last token, and the device stands at that token.
    current: bool,
}

/// A token's launches.
struct Steps {
    /// Layers, then on to the next token, which is known.
    absorb: Recording,
    /// Layers and logits.
    look: Recording,
    /// The best token, its layers and the logits after it.
    extend: Recording,
}

impl Decoder {
    /// Packs a model's weights and copies them to the device; `progress` is told the bytes done and of all.
    ///
    /// # Errors
    /// When the context is longer than the model's, or the model does not fit: before anything is copied.
    pub fn load(
        device: Device,
        model: &Model<'_>,
        options: &DecoderOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DecodeError> {
        let config = model.config.clone();
        let limit = config.context_length;
        let context = options.context.unwrap_or(limit.min(DEFAULT_CONTEXT));
        if context == 0 || context > limit {
            return Err(DecodeError::ContextTooLong { asked: context, limit });
        }
        let plan = Plan::new(&config, context, device.info().multiprocessors);
        plan.check(&device, &config, weights::device_bytes(model))?;
        let weights = weights::load(&device, model, progress)?;
        let state = State::new(&device, &config, &plan)?;
        let activations = options.activations;
        let network =
            Network { device: &device, config: &config, weights: &weights, state: &state, activations };
        let steps = Steps::record(&network)?;
        Ok(Self { steps, state, _weights: weights, device, config, context, len: 0, current: false })
    }

    /// The model's numbers.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it runs on.
    pub fn device(&self) -> &DeviceInfo {
        self.device.info()
    }

    /// Tokens that there is room for.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Tokens of the sequence so far.
    pub fn position(&self) -> usize {
        self.len
    }

    /// Begins a new sequence.
    pub fn reset(&mut self) {
        self.len = 0;
        self.current = false;
    }

    /// Appends tokens to the sequence. [`logits`](Self::logits) are then those after the last one.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or there is no room: before anything is appended. When the device
    /// fails.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        let Some((_, before_last)) = tokens.split_last() else { return Ok(()) };
        self.check_room(tokens.len())?;
        let vocab = self.config.vocab;
        if let Some(&token) = tokens.iter().find(|t| **t as usize >= vocab) {
            return Err(DecodeError::UnknownToken { token, vocab });
        }
        self.current = false;
        self.device.write(&mut self.state.tokens, self.len, tokens)?;
        self.stand_at(self.len)?;
        for _ in before_last {
            self.replay(|steps| &steps.absorb)?;
        }
        self.replay(|steps| &steps.look)?;
        self.device.synchronize()?;
        self.len += tokens.len();
        self.current = true;
        Ok(())
    }

    /// The logits after the last token.
    ///
    /// # Errors
    /// When there is no token yet, or the device fails.
    pub fn logits(&mut self) -> Result<Vec<f32>, DecodeError> {
        self.bring_up_to_date()?;
        Ok(self.device.download(&self.state.logits)?)
    }

    /// Appends up to `count` tokens, each the one with the largest logit, the lowest id on ties. `on_tokens` is given
    /// them as they come back from the device and may stop. Ends after a token of `stop`, which is appended too.
    ///
    /// # Errors
    /// When there is no token to begin with, no room for `count` more, or the device fails.
    pub fn generate(
        &mut self,
        count: usize,
        stop: &[u32],
        on_tokens: &mut dyn FnMut(&[u32]) -> ControlFlow<()>,
    ) -> Result<Vec<u32>, DecodeError> {
        self.check_room(count)?;
        self.bring_up_to_date()?;
        let start = self.len;
        let mut chosen = Vec::with_capacity(count);
        let mut batch = 1;
        while chosen.len() < count {
            let now = batch.min(count - chosen.len());
            self.current = false;
            for _ in 0..now {
                self.replay(|steps| &steps.extend)?;
            }
            let mut tokens = vec![0; now];
            self.device.read(&self.state.tokens, start + chosen.len(), &mut tokens)?;
            let stopped_at = tokens.iter().position(|t| stop.contains(t));
            let kept = &tokens[..stopped_at.map_or(now, |i| i + 1)];
            chosen.extend_from_slice(kept);
            self.len = start + chosen.len();
            self.current = kept.len() == now;
            if on_tokens(kept).is_break() || stopped_at.is_some() {
                break;
            }
            // The first token soon, then fewer looks: each lets the device wait for the host.
            let largest = if self.device.info().backend == Backend::Cuda { LARGEST_BATCH } else { 1 };
            batch = (2 * batch).min(largest);
        }
        Ok(chosen)
    }

    fn check_room(&self, asked: usize) -> Result<(), DecodeError> {
        if asked > self.context - self.len {
            return Err(DecodeError::ContextFull { asked, used: self.len, context: self.context });
        }
        Ok(())
    }

    /// Computes the logits after the last token again, when the device has gone beyond it.
    fn bring_up_to_date(&mut self) -> Result<(), DecodeError> {
        if self.len == 0 {
            return Err(DecodeError::NoTokens);
        }
        if !self.current {
            self.stand_at(self.len - 1)?;
            self.replay(|steps| &steps.look)?;
            self.current = true;
        }
        Ok(())
    }

    fn stand_at(&mut self, position: usize) -> Result<(), DeviceError> {
        self.device.write(&mut self.state.position, 0, &[position as u32])
    }

    fn replay(&self, step: impl FnOnce(&Steps) -> &Recording) -> Result<(), DeviceError> {
        // SAFETY: recorded for this decoder's weights and state, which it owns.
        unsafe { self.device.replay(step(&self.steps)) }
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::Float => "float",
        })
    }
}

impl Steps {
    fn record(network: &Network<'_>) -> Result<Self, DeviceError> {
        let device = network.device;
        Ok(Self {
            absorb: device.record(|| network.layers().and_then(|()| network.skip()))?,
            look: device.record(|| network.layers().and_then(|()| network.logits()))?,
            extend: device.record(|| {
                network.choose()?;
                network.layers()?;
                network.logits()
            })?,
        })
    }
}
