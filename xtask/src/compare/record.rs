//! `compare.json`: everything that a comparison found. fixtures/bench/README.md explains each field.

pub use psionic_peer::{Divergence, GpuState, Pair, Series, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form of the record. A change that old readers cannot read makes it the next number.
pub const SCHEMA: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    /// When it began, in UTC.
    pub date: String,
    /// The GPU before anything ran; none when both ran on the CPU.
    pub gpu: Option<GpuState>,
    pub settings: Settings,
    /// What came with llama.cpp about its build.
    pub llama_build: Option<String>,
    pub models: Vec<ModelRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Tokens that are generated.
    pub tokens: usize,
    /// Tokens in the sequence before.
    pub depths: Vec<usize>,
    /// Timed repetitions in a turn.
    pub repetitions: usize,
    /// How often each program has its turn.
    pub turns: usize,
    /// Tokens after which the logits are compared.
    pub positions: usize,
    /// What the token ids are drawn from.
    pub seed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The file's name.
    pub file: String,
    pub sha256: Option<String>,
    /// Architecture, size and format, in Psionic's words.
    pub model_type: String,
    pub vocab: usize,
    /// Bytes of weights that a token reads.
    pub bytes_per_token: u64,
    /// The commit of Psionic that was built.
    pub psionic_commit: String,
    /// Where Psionic ran.
    pub device: Value,
    /// Psionic's loading, from a file that the page cache has.
    pub load_seconds: f64,
    /// In the order of the runs.
    pub speed: Vec<Speed>,
    /// One for each depth.
    pub greedy: Vec<Greedy>,
    pub numerics: Numerics,
}

/// The repetitions of one workload in one turn.
#[derive(Debug, Serialize, Deserialize)]
pub struct Speed {
    pub series: Series,
    /// What llama.cpp's environment had beyond the usual: `NAME=VALUE`.
    pub environment: Vec<String>,
    /// From 1.
    pub turn: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    /// Mean of `samples_ts`.
    pub avg_ts: f64,
    /// Their sample standard deviation.
    pub stddev_ts: f64,
    /// Tokens per second of each repetition.
    pub samples_ts: Vec<f64>,
    pub samples_ns: Vec<u64>,
    /// The GPU just before.
    pub gpu: Option<GpuState>,
    /// The rest of what the program said.
    pub program: Value,
}

/// What both chose after the same tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Greedy {
    pub n_depth: usize,
    /// Tokens before the first divergence, or all.
    pub same: usize,
    pub divergence: Option<Divergence>,
    pub psionic_ids: Vec<u32>,
    pub llama_ids: Vec<u32>,
    /// llama.cpp's best minus its second-best logit, for each of its ids.
    pub llama_margins: Vec<f64>,
}

/// Logits after the same given tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Numerics {
    pub token_ids: Vec<u32>,
    pub pairs: Vec<Pair>,
}
