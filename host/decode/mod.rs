//! Decoding: tokens in, tokens out, one sequence at a time.
//!
//! A [`Decoder`] holds a model's weights and one sequence on a device, and an engine that runs its tokens. The position,
//! the tokens and the choice of the next one stay on the device, so that the device never waits for the host between
//! tokens.

mod engine;
mod error;
mod graph;
mod persistent;
mod sequence;
mod timeline;

use std::fmt;
use std::ops::ControlFlow;

pub use engine::{EngineChoice, EngineKind};
pub use error::{DecodeError, Unsupported};
pub(crate) use graph::launches;
pub use graph::pack;
pub use persistent::plan as persistent_plan;
pub(crate) use persistent::{NEEDED_PTX, pack as tiles};
pub use timeline::{Step, Timeline};

use crate::device::{Backend, Device, DeviceInfo};
use crate::model::{Config, Model};
use engine::{Chosen, Engine, Needs};
use graph::Graph;
use persistent::Persistent;
use sequence::Sequence;

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
    /// What runs the tokens.
    pub engine: EngineChoice,
}

/// A model and a sequence on a device.
pub struct Decoder {
    /// Dropped first: nothing else of the decoder may go while launches use it.
    engine: Box<dyn Engine>,
    kind: EngineKind,
    why_not_persistent: Option<Unsupported>,
    sequence: Sequence,
    device: Device,
    config: Config,
    context: usize,
    /// Tokens of the sequence.
    len: usize,
    /// Whether the logits on the device are those after the last token, and the device stands at that token.
    current: bool,
}

impl Decoder {
    /// Packs a model's weights and copies them to the device; `progress` is told the bytes done and of all.
    ///
    /// # Errors
    /// When the context is longer than the model's, the model does not fit, or its weights are damaged: before anything is
    /// copied.
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
        let plan = || persistent::plan(&device, model, context, options.activations);
        let chosen = options.engine.decide(device.info().backend, plan)?;
        let needs = match &chosen {
            Chosen::Persistent(plan) => Persistent::needs(model, plan),
            Chosen::Graph(_) => Graph::needs(&device, model, context)?,
        };
        check(&device, &config, context, needs)?;
        model.check_weights()?;
        let sequence = Sequence::new(&device, &config, context)?;
        let mut why_not_persistent = None;
        let (kind, engine): (_, Box<dyn Engine>) = match chosen {
            Chosen::Persistent(plan) => {
                let engine = Persistent::load(&device, model, &plan, progress)?;
                (EngineKind::Persistent, Box::new(engine))
            }
            Chosen::Graph(reason) => {
                why_not_persistent = reason;
                let activations = options.activations;
                let engine = Graph::load(&device, model, &sequence, context, activations, progress)?;
                (EngineKind::Graph, Box::new(engine))
            }
        };
        Ok(Self {
            engine,
            kind,
            why_not_persistent,
            sequence,
            device,
            config,
            context,
            len: 0,
            current: false,
        })
    }

    /// The model's numbers.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it runs on.
    pub fn device(&self) -> &DeviceInfo {
        self.device.info()
    }

    /// What runs the tokens.
    pub fn engine(&self) -> EngineKind {
        self.kind
    }

    /// Why the graph runs the tokens where [`EngineChoice::Auto`] would rather have had the persistent engine.
    pub fn why_not_persistent(&self) -> Option<&Unsupported> {
        self.why_not_persistent.as_ref()
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
        self.truncate(0);
    }

    /// Goes back to the first `len` tokens of the sequence, if it has more.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.current = false;
        }
    }

    /// Appends tokens to the sequence. [`logits`](Self::logits) are then those after the last one.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or there is no room: before anything is appended. When the device
    /// fails.
    pub fn feed(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.check_room(tokens.len())?;
        let vocab = self.config.vocab;
        if let Some(&token) = tokens.iter().find(|t| **t as usize >= vocab) {
            return Err(DecodeError::UnknownToken { token, vocab });
        }
        self.current = false;
        self.device.write(&mut self.sequence.tokens, self.len, tokens)?;
        self.engine.look(&self.device, &mut self.sequence, self.len, self.len + tokens.len())?;
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
        Ok(self.device.download(&self.sequence.logits)?)
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
            let from = start + chosen.len();
            let tokens = self.engine.extend(&self.device, &mut self.sequence, from, now)?;
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

    /// Appends `count` tokens as [`generate`](Self::generate) does, at once, and gives the times of the last; none where
    /// the engine does not keep them, and then nothing is appended.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn profile(&mut self, count: usize) -> Result<Option<Timeline>, DecodeError> {
        self.check_room(count)?;
        self.bring_up_to_date()?;
        let timeline = self.engine.profile(&self.device, &mut self.sequence, self.len, count)?;
        if timeline.is_some() {
            self.len += count;
        }
        Ok(timeline)
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
            self.engine.look(&self.device, &mut self.sequence, self.len - 1, self.len)?;
            self.current = true;
        }
        Ok(())
    }
}

/// Refuses what does not fit, before any memory is taken.
fn check(device: &Device, config: &Config, context: usize, needs: Needs) -> Result<(), DecodeError> {
    let Needs { weights, rest } = needs;
    let cache = Sequence::cache_bytes(config, context);
    let rest = rest + Sequence::other_bytes(config, context);
    let free = device.free_bytes()?;
    let needed = weights.saturating_add(cache).saturating_add(rest);
    if needed > free {
        return Err(DecodeError::DoesNotFit { needed, weights, cache, rest, context, free });
    }
    Ok(())
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::Float => "float",
        })
    }
}
