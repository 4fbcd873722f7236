//! The benchmark over token ids: greedy decoding of one prompt, several times, each from an empty sequence.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::admission::{AdmissionRequest, admit};
use super::artifact::{Provenance, sha256};
use super::error::MedPsyError;
use super::receipt::{BenchReport, Ended, ExecutionEngine, Findings, Run, TimedRun};
use super::size::ModelSize;
use crate::decode::{Activations, DecodeError, Decoder, DecoderOptions, EngineChoice};
use crate::device::{self, BackendChoice};
use crate::gguf::GgufHeader;
use crate::model::{Model, Tokenizer};

/// The kind of a model's artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// Not run natively.
    Safetensors,
    /// A GGUF file.
    Gguf,
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchBackend {
    /// The kernels on the simulator, on the CPU.
    Cpu,
    /// The GPU.
    Cuda,
}

impl BenchBackend {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// The model.
    pub model_path: PathBuf,
    /// What kind of artifact it is said to be.
    pub artifact_kind: ArtifactKind,
    /// The size that it is said to have, or none for a Qwen3 file of any shape.
    pub model_size: Option<ModelSize>,
    /// Where to run.
    pub backend: BenchBackend,
    /// The prompt.
    pub prompt: Vec<u32>,
    /// Tokens to generate, at most.
    pub max_new_tokens: usize,
    /// How often.
    pub repeats: usize,
    /// Whether blocked and 3-bit tiers are admitted.
    pub allow_blocked: bool,
    /// The digest that the file must have.
    pub expected_sha256: Option<String>,
    /// Whether to go on after the token that ends a text.
    pub ignore_eos: bool,
    /// How activations are multiplied with quantised weights.
    pub activations: Activations,
    /// What runs the tokens.
    pub engine: EngineChoice,
}

impl BenchRequest {
    /// Refuses what no model can do.
    fn check(&self) -> Result<(), MedPsyError> {
        let refuse = |expected, found: String| Err(MedPsyError::InvalidRequest { expected, found });
        if self.artifact_kind == ArtifactKind::Safetensors {
            return Err(MedPsyError::ArtifactKind { found: "safetensors" });
        }
        if self.prompt.is_empty() {
            return refuse("a prompt of at least one token", "an empty one".to_owned());
        }
        if self.max_new_tokens == 0 {
            return refuse("at least one new token", "a limit of 0".to_owned());
        }
        if self.repeats == 0 {
            return refuse("at least one repeat", "0".to_owned());
        }
        Ok(())
    }
}

/// Admits the model, loads it once and runs the benchmark. `warn` is told what the admission has to say, before weights
/// are read; `progress` the bytes loaded and of all.
///
/// The digest is computed while the device is opened and the weights are loaded, and compared before any token is run.
///
/// # Errors
/// When the request makes no sense, the model is refused or damaged, the device cannot be used, or repeats differ.
pub fn run(
    request: &BenchRequest,
    warn: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BenchReport, MedPsyError> {
    request.check()?;
    let header = GgufHeader::open(&request.model_path)?;
    let admission = admit(
        &header,
        AdmissionRequest { claimed: request.model_size, allow_blocked: request.allow_blocked },
    )?;
    admission.warnings.iter().for_each(|warning| warn(warning));
    let file = header.into_file()?;
    let model = Model::from_gguf(&file)?;
    // The token that ends a turn and nothing else: what every runtime of the comparison stops at.
    let eos = Tokenizer::from_gguf(&file)?.eos();
    let (vocab, limit) = (model.config.vocab, model.config.context_length);
    if let Some(&token) = request.prompt.iter().find(|token| **token as usize >= vocab) {
        return Err(DecodeError::UnknownToken { token, vocab }.into());
    }
    let context = request.prompt.len().saturating_add(request.max_new_tokens);
    if context > limit {
        return Err(DecodeError::ContextTooLong { asked: context, limit }.into());
    }

    let backend = match request.backend {
        BenchBackend::Cpu => BackendChoice::Sim,
        BenchBackend::Cuda => BackendChoice::Cuda,
    };
    let options =
        DecoderOptions { context: Some(context), activations: request.activations, engine: request.engine };
    // The digest takes longer than the weights: it goes on while the device is opened, too.
    let (digest, hash_time, decoder, load_time) = std::thread::scope(|scope| {
        let hash = scope.spawn(|| timed(|| sha256(file.bytes())));
        let device = device::open(backend).map_err(DecodeError::from);
        let load = |device| timed(|| Decoder::load(device, &model, &options, progress));
        let loaded = device.map(load);
        let (digest, hash_time) = hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        loaded.map(|(decoder, load_time)| (digest, hash_time, decoder, load_time))
    })?;
    if let Some(expected) = request.expected_sha256.as_ref().filter(|expected| **expected != digest) {
        return Err(MedPsyError::DigestMismatch { expected: expected.clone(), got: digest });
    }
    let provenance = Provenance::of(file.metadata(), &digest);
    let mut decoder = decoder?;
    let engine = ExecutionEngine::of(decoder.device().backend);
    let stop: Vec<u32> = eos.filter(|_| !request.ignore_eos).into_iter().collect();
    let mut runs: Vec<Run> = Vec::with_capacity(request.repeats);
    for index in 0..request.repeats {
        let timed = once(&mut decoder, request, &stop)?;
        if runs.first().is_some_and(|first| first.generated_tokens != timed.generated_tokens) {
            return Err(MedPsyError::NotRepeatable { run: index });
        }
        runs.push(Run::new(index, timed, &digest, engine));
    }
    let found = Findings {
        admission,
        provenance,
        artifact_bytes: file.len(),
        eos_token: eos,
        load: load_time,
        hash: hash_time,
    };
    Ok(BenchReport::new(request, &decoder, runs, found))
}

/// One request, from an empty sequence.
fn once(decoder: &mut Decoder, request: &BenchRequest, stop: &[u32]) -> Result<TimedRun, MedPsyError> {
    decoder.reset();
    let mut first = None;
    let start = Instant::now();
    decoder.feed(&request.prompt)?;
    let prompt = start.elapsed();
    let generated_tokens = decoder.generate(request.max_new_tokens, stop, &mut |_| {
        first.get_or_insert_with(|| start.elapsed());
        ControlFlow::Continue(())
    })?;
    let total = start.elapsed();
    let ended = match generated_tokens.last() {
        Some(token) if stop.contains(token) => Ended::Eos,
        _ => Ended::MaxNewTokens,
    };
    Ok(TimedRun { generated_tokens, ended, prompt, first: first.unwrap_or(total), total })
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = action();
    (result, start.elapsed())
}
