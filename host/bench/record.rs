//! The record of a result, in llama-bench's words where it has them.

use serde::Serialize;

use super::run::Samples;
use super::stats::Stats;
use super::workload::{Phase, Workload};
use crate::decode::{Decoder, EngineKind};
use crate::environment::{Environment, now};
use crate::gguf::{GgufFile, Value};
use crate::model::{Config, ModelError, SIZES, describe};

/// A model as a line of a benchmark names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    /// The file.
    pub model_filename: String,
    /// Architecture, size and format: `qwen3 1.7B Q4_K_M`.
    pub model_type: String,
    /// Bytes of all tensors.
    pub model_size: u64,
    /// Weights in all tensors.
    pub model_n_params: u64,
}

impl ModelSummary {
    /// Summarises a file.
    ///
    /// # Errors
    /// When the file is not a model that can run.
    pub fn of(file: &GgufFile) -> Result<Self, ModelError> {
        let report = describe(file)?;
        let format = match file.metadata().get("general.file_type") {
            Some(Value::Unsigned(0)) => "F32",
            Some(Value::Unsigned(1)) => "F16",
            Some(Value::Unsigned(7)) => "Q8_0",
            Some(Value::Unsigned(14)) => "Q4_K_S",
            Some(Value::Unsigned(15)) => "Q4_K_M",
            Some(Value::Unsigned(18)) => "Q6_K",
            _ => report.formats.first().map_or("", |format| format.kind.name()),
        };
        Ok(Self {
            model_type: format!("qwen3 {} {format}", size(&report.config, report.weights)),
            model_filename: report.path,
            model_size: report.weight_bytes,
            model_n_params: report.weights,
        })
    }
}

/// The published model's size where the shape is one's, as `1.7B`; otherwise the number of weights.
fn size(config: &Config, weights: u64) -> String {
    let shape = (config.layers, config.hidden, config.ffn);
    let known = SIZES.iter().find(|size| (size.layers, size.hidden, size.ffn) == shape);
    match known.filter(|size| size.name.ends_with('b')) {
        Some(size) => size.name.to_uppercase(),
        None if weights < 1_000_000_000 => format!("{:.1}M", weights as f64 / 1e6),
        None => format!("{:.1}B", weights as f64 / 1e9),
    }
}

/// What one workload gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// The program and the device.
    #[serde(flatten)]
    pub environment: Environment,
    /// The model.
    #[serde(flatten)]
    pub model: ModelSummary,
    /// How activations are stored: `int8` or `float`.
    pub activations: String,
    /// What ran the tokens.
    pub engine: EngineKind,
    /// The workload's name.
    pub test: String,
    /// Prompt tokens that were timed.
    pub n_prompt: usize,
    /// Generated tokens that were timed.
    pub n_gen: usize,
    /// Tokens in the sequence before.
    pub n_depth: usize,
    /// When the measurement ended, in UTC.
    pub test_time: String,
    /// Mean of `samples_ns`.
    pub avg_ns: f64,
    /// Their sample standard deviation.
    pub stddev_ns: f64,
    /// Mean of `samples_ts`.
    pub avg_ts: f64,
    /// Their sample standard deviation.
    pub stddev_ts: f64,
    /// Each repetition's nanoseconds.
    pub samples_ns: Vec<u64>,
    /// Each repetition's tokens per second.
    pub samples_ts: Vec<f64>,
}

impl Record {
    /// Puts a result on record.
    pub fn new(
        workload: &Workload,
        samples: &Samples,
        model: ModelSummary,
        decoder: &Decoder,
        activations: impl ToString,
    ) -> Self {
        let (n_prompt, n_gen) = match workload.phase {
            Phase::Prompt(n) => (n, 0),
            Phase::Generate(n) => (0, n),
        };
        let samples_ts = samples.rates(workload.tokens());
        let samples_ns = samples.nanoseconds();
        let time = Stats::of(&samples_ns.iter().map(|&ns| ns as f64).collect::<Vec<_>>());
        let rate = Stats::of(&samples_ts);
        Self {
            environment: Environment::of(decoder.device()),
            model,
            activations: activations.to_string(),
            engine: decoder.engine(),
            test: workload.to_string(),
            n_prompt,
            n_gen,
            n_depth: workload.depth,
            test_time: now(),
            avg_ns: time.mean,
            stddev_ns: time.std_dev,
            avg_ts: rate.mean,
            stddev_ts: rate.std_dev,
            samples_ns,
            samples_ts,
        }
    }
}
