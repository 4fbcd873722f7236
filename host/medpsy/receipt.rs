//! `psionic.medpsy.bench.v1`: what a benchmark reports. The contract's fields come first, in its order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admission::Admission;
use super::artifact::Provenance;
use super::bench::BenchRequest;
use super::policy::{CLAIM_BOUNDARY, MedicalPolicy};
use crate::bench::Stats;
use crate::decode::Decoder;
use crate::device::{Backend, COMMIT};

/// The report's schema.
pub const BENCH_SCHEMA: &str = "psionic.medpsy.bench.v1";

/// What executed the model: always this project's kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionEngine {
    /// The kernels on an NVIDIA GPU.
    #[serde(rename = "psionic_qwen3_cuda")]
    Cuda,
    /// The same kernels on the simulator, on the CPU; Psionic has no other way to run on a CPU.
    #[serde(rename = "psionic_qwen3_cpu_simulator")]
    CpuSimulator,
}

impl ExecutionEngine {
    /// Of the device that was opened.
    pub fn of(backend: Backend) -> Self {
        match backend {
            Backend::Cuda => Self::Cuda,
            Backend::Sim => Self::CpuSimulator,
        }
    }

    /// As it is reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "psionic_qwen3_cuda",
            Self::CpuSimulator => "psionic_qwen3_cpu_simulator",
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The model ended its text.
    Eos,
    /// As many tokens as were asked for are there.
    MaxNewTokens,
}

/// One run and its times since it began.
#[derive(Debug, Clone)]
pub struct TimedRun {
    /// The tokens that were chosen, the one that ended the text included.
    pub generated_tokens: Vec<u32>,
    /// Why there are no more.
    pub ended: Ended,
    /// When the prompt had gone through the model.
    pub prompt: Duration,
    /// When the first token was on the host.
    pub first: Duration,
    /// When the last one was.
    pub total: Duration,
}

/// One run, on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// From 0.
    pub run_index: usize,
    /// The tokens, the one that ended the text included.
    pub generated_tokens: Vec<u32>,
    /// How many.
    pub output_tokens: usize,
    /// Whether the model ended its text.
    pub stopped_on_eos: bool,
    /// From an empty sequence to the last token on the host, the prompt included.
    pub total_ms: f64,
    /// `output_tokens` over `total_ms`.
    pub decode_tokens_per_second: f64,
    /// The SHA-256 of the file that ran.
    pub model_artifact_sha256: String,
    /// What ran it.
    pub execution_engine: ExecutionEngine,
    /// Whether it was the first after loading.
    pub cold: bool,
    /// Why it ended.
    pub ended_by: Ended,
    /// Until the prompt had gone through the model.
    pub prompt_ms: f64,
    /// Until the first token was on the host.
    pub ttft_ms: f64,
    /// The tokens after the first over the time after it; null where there are none.
    pub decode_only_tokens_per_second: Option<f64>,
}

impl Run {
    /// Puts a run on record.
    pub fn new(run_index: usize, timed: TimedRun, sha256: &str, execution_engine: ExecutionEngine) -> Self {
        let TimedRun { generated_tokens, ended, prompt, first, total } = timed;
        let output_tokens = generated_tokens.len();
        Self {
            run_index,
            output_tokens,
            stopped_on_eos: ended == Ended::Eos,
            total_ms: milliseconds(total),
            decode_tokens_per_second: per_second(output_tokens, total),
            model_artifact_sha256: sha256.to_owned(),
            execution_engine,
            cold: run_index == 0,
            ended_by: ended,
            prompt_ms: milliseconds(prompt),
            ttft_ms: milliseconds(first),
            decode_only_tokens_per_second: (output_tokens > 1)
                .then(|| per_second(output_tokens - 1, total.saturating_sub(first))),
            generated_tokens,
        }
    }
}

/// The policy, as a benchmark reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchPolicy {
    /// The policy's name.
    pub policy_id: String,
    /// What answers are.
    pub default_classification: String,
    /// Whether a disclaimer is shown with them.
    pub disclaimer_required: bool,
    /// Always false.
    pub direct_diagnosis_allowed: bool,
    /// Always false.
    pub prescribing_or_treatment_authority_allowed: bool,
    /// [`CLAIM_BOUNDARY`].
    pub benchmark_claim_boundary: String,
}

impl BenchPolicy {
    /// The one in force.
    pub fn current() -> Self {
        let policy = MedicalPolicy::current();
        Self {
            policy_id: policy.policy_id,
            default_classification: policy.default_classification,
            disclaimer_required: policy.disclaimer_required,
            direct_diagnosis_allowed: policy.direct_diagnosis_allowed,
            prescribing_or_treatment_authority_allowed: policy.prescribing_or_treatment_authority_allowed,
            benchmark_claim_boundary: CLAIM_BOUNDARY.to_owned(),
        }
    }
}

/// Means of runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// How many runs.
    pub runs: usize,
    /// Mean of `total_ms`.
    pub total_ms: f64,
    /// Mean of `ttft_ms`; null where there is no prompt.
    pub ttft_ms: Option<f64>,
    /// Mean of the rates over the whole time, the prompt included; null where there is none.
    pub end_to_end_tokens_per_second: Option<f64>,
    /// Mean of the rates after the first token; null where a run has no second one.
    pub decode_only_tokens_per_second: Option<f64>,
    /// The sample standard deviation of those.
    pub decode_only_std_dev: Option<f64>,
}

impl Means {
    /// Of runs given as total and first time in milliseconds and their tokens; none of no runs.
    pub fn of(runs: &[(f64, f64, usize)]) -> Option<Self> {
        if runs.is_empty() {
            return None;
        }
        let mean = |value: &dyn Fn(&(f64, f64, usize)) -> f64| {
            Stats::of(&runs.iter().map(value).collect::<Vec<_>>()).mean
        };
        let after: Vec<f64> = runs
            .iter()
            .filter(|(total, first, tokens)| *tokens > 1 && total > first)
            .map(|(total, first, tokens)| (*tokens - 1) as f64 * 1e3 / (total - first))
            .collect();
        let rate = (after.len() == runs.len()).then(|| Stats::of(&after));
        Some(Self {
            runs: runs.len(),
            total_ms: mean(&|run| run.0),
            ttft_ms: Some(mean(&|run| run.1)),
            end_to_end_tokens_per_second: Some(mean(&|run| run.2 as f64 * 1e3 / run.0.max(1e-6))),
            decode_only_tokens_per_second: rate.map(|rate| rate.mean),
            decode_only_std_dev: rate.map(|rate| rate.std_dev),
        })
    }
}

/// How each figure is computed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HowComputed {
    /// The documented rate.
    pub decode_tokens_per_second: String,
    /// The documented means.
    pub means: String,
    /// `ttft_ms`.
    pub ttft_ms: String,
    /// The rate without the prompt.
    pub decode_only_tokens_per_second: String,
    /// What is timed apart.
    pub load_and_hash: String,
    /// `cold` and `warm`.
    pub cold_and_warm: String,
}

impl HowComputed {
    /// The words.
    pub fn words() -> Self {
        Self {
            decode_tokens_per_second: "output_tokens / total_ms: prompt included, loading not".into(),
            means: "arithmetic means over all runs, the cold first one included".into(),
            ttft_ms: "from an empty sequence until the first chosen token is on the host; it has then gone through the \
                model too"
                .into(),
            decode_only_tokens_per_second: "(output_tokens - 1) / (total_ms - ttft_ms): no prompt, no first token"
                .into(),
            load_and_hash: "the SHA-256 is computed by one thread while the weights are loaded; neither is in any rate"
                .into(),
            cold_and_warm: "cold is the first run after loading, warm are the others".into(),
        }
    }
}

/// Where it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The device's name.
    pub device: String,
    /// The CUDA version that the driver supports.
    pub driver: Option<String>,
    /// As in `sm_90`.
    pub compute_capability: Option<u32>,
    /// The PTX that ran.
    pub ptx: Option<u32>,
    /// `graph` or `persistent`.
    pub engine: String,
    /// `int8` or `float`.
    pub activations: String,
    /// This program's version.
    pub version: String,
    /// The commit that was built.
    pub commit: String,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// [`BENCH_SCHEMA`].
    pub schema: String,
    /// As it was given.
    pub model_path: String,
    /// `1.7b`, `4b` or `other`, from the file.
    pub model_size: String,
    /// `gguf`.
    pub artifact_kind: String,
    /// `cpu` or `cuda`.
    pub backend: String,
    /// What ran it.
    pub execution_engine: ExecutionEngine,
    /// The prompt's ids.
    pub prompt_tokens: Vec<u32>,
    /// Tokens that were asked for, at most.
    pub max_new_tokens: usize,
    /// Runs.
    pub repeats: usize,
    /// Each run.
    pub runs: Vec<Run>,
    /// Over all runs.
    pub mean_total_ms: f64,
    /// Over all runs.
    pub mean_decode_tokens_per_second: f64,
    /// The policy.
    pub medical_policy: BenchPolicy,
    /// Where it ran.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether the run went on after the end of the text.
    pub ignore_eos: bool,
    /// The token that ends a text.
    pub eos_token: Option<u32>,
    /// Why the file was admitted, and the warnings.
    pub admission: Admission,
    /// Where the file comes from.
    pub artifact_provenance: Provenance,
    /// The file's size.
    pub artifact_bytes: u64,
    /// The model's own name.
    pub model_name: Option<String>,
    /// Loading, with the GPU's code.
    pub load_ms: f64,
    /// Hashing, at the same time.
    pub sha256_ms: f64,
    /// The first run.
    pub cold: Option<Means>,
    /// The others.
    pub warm: Option<Means>,
    /// How each figure is computed.
    pub how_computed: HowComputed,
}

/// What a benchmark found out besides its runs.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Why the file was admitted.
    pub admission: Admission,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Its size.
    pub artifact_bytes: u64,
    /// The token that ends a text.
    pub eos_token: Option<u32>,
    /// How long loading took.
    pub load: Duration,
    /// How long hashing took.
    pub hash: Duration,
}

impl BenchReport {
    /// The report of these runs.
    pub fn new(request: &BenchRequest, decoder: &Decoder, runs: Vec<Run>, found: Findings) -> Self {
        let mean = |value: fn(&Run) -> f64| Stats::of(&runs.iter().map(value).collect::<Vec<_>>()).mean;
        let times: Vec<_> = runs.iter().map(|run| (run.total_ms, run.ttft_ms, run.output_tokens)).collect();
        let (cold, warm) = times.split_at(times.len().min(1));
        let device = decoder.device();
        Self {
            schema: BENCH_SCHEMA.to_owned(),
            model_path: request.model_path.display().to_string(),
            model_size: found.admission.model_size.clone(),
            artifact_kind: "gguf".to_owned(),
            backend: request.backend.name().to_owned(),
            execution_engine: ExecutionEngine::of(device.backend),
            prompt_tokens: request.prompt.clone(),
            max_new_tokens: request.max_new_tokens,
            repeats: request.repeats,
            mean_total_ms: mean(|run| run.total_ms),
            mean_decode_tokens_per_second: mean(|run| run.decode_tokens_per_second),
            medical_policy: BenchPolicy::current(),
            machine: Machine {
                device: device.name.clone(),
                driver: device.driver.clone(),
                compute_capability: device.compute_capability,
                ptx: device.ptx,
                engine: decoder.engine().to_string(),
                activations: request.activations.to_string(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: COMMIT.to_owned(),
            },
            ignore_eos: request.ignore_eos,
            eos_token: found.eos_token,
            admission: found.admission,
            artifact_provenance: found.provenance,
            artifact_bytes: found.artifact_bytes,
            model_name: decoder.config().name.clone(),
            load_ms: milliseconds(found.load),
            sha256_ms: milliseconds(found.hash),
            cold: Means::of(cold),
            warm: Means::of(warm),
            how_computed: HowComputed::words(),
            runs,
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn per_second(tokens: usize, time: Duration) -> f64 {
    tokens as f64 / time.as_secs_f64().max(1e-9)
}
