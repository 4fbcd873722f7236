//! `psionic.medpsy.comparator_matrix.v1`: what was measured, what was not and why, and what may be claimed of it.

use psionic_peer::{GpuState, Pair};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decision::Decision;
use crate::medpsy::admission::Admission;
use crate::medpsy::artifact::Provenance;
use crate::medpsy::policy::MedicalPolicy;
use crate::medpsy::receipt::{HowComputed, Means};

/// The record's schema.
pub const MATRIX_SCHEMA: &str = "psionic.medpsy.comparator_matrix.v1";

/// A matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// [`MATRIX_SCHEMA`].
    pub schema: String,
    /// `complete`, or `partial` when rows failed or were not run.
    pub status: String,
    /// In UTC.
    pub created_at: String,
    /// What the machine is called.
    pub host: String,
    /// The file that every row ran, or should have.
    pub artifact: Artifact,
    /// What every row was asked.
    pub prompt_contract: PromptContract,
    /// The rows, in the order in which they were run; those that were not come last.
    pub rows: Vec<Row>,
    /// Both engines' logits after the same tokens, where they were compared.
    pub logits: Option<LogitsAgreement>,
    /// The policy in force.
    pub medical_policy: MedicalPolicy,
    /// What may be claimed, computed from the rows.
    pub decision: Decision,
    /// The GPU before anything ran; none for a trial on the CPU.
    pub machine: Option<GpuState>,
    /// How Psionic's figures are computed; the comparators' are computed alike.
    pub how_computed: HowComputed,
}

/// The file that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where it is published; none for a file that is not.
    pub repo: Option<String>,
    /// Its name.
    pub file: String,
    /// Its digest.
    pub sha256: String,
    /// Never the machine's own path.
    pub source_path: String,
    /// Always false.
    pub tracked_in_repo: bool,
    /// Its size.
    pub bytes: u64,
    /// The model's own name.
    pub model_name: Option<String>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The same, in words.
    pub provenance_note: String,
    /// Why it was admitted.
    pub admission: Admission,
}

/// What every row was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptContract {
    /// `token_ids`.
    pub kind: String,
    /// The prompt.
    pub psionic_prompt_tokens: Vec<u32>,
    /// Tokens to generate, at most.
    pub max_new_tokens: usize,
    /// The token that ends a text, in rows that honour it.
    pub eos_token: Option<u32>,
    /// What the figures are not.
    pub claim_boundary: String,
}

/// Whether a row ran, and how it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has figures.
    Completed,
    /// It was run and gave none.
    Failed,
    /// It was not run.
    #[default]
    NotRun,
}

/// What ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// The end of the text, or the limit.
    EosHonoured,
    /// The limit only, so that both sides generate as much.
    FixedLengthEosIgnored,
}

impl Scenario {
    /// Both.
    pub const ALL: [Self; 2] = [Self::EosHonoured, Self::FixedLengthEosIgnored];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::EosHonoured => "end of text honoured",
            Self::FixedLengthEosIgnored => "fixed length",
        }
    }
}

/// How a row was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `psionic medpsy bench`.
    PsionicBench,
    /// llama.cpp's library in the same loop, the token chosen on the device.
    LlamaPeerDevice,
    /// The same, chosen on the host.
    LlamaPeerHost,
    /// llama-bench, which feeds tokens and chooses none.
    LlamaBench,
    /// The API of Ollama.
    OllamaApi,
}

impl Method {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::PsionicBench => "Psionic",
            Self::LlamaPeerDevice => "llama.cpp, device chooses",
            Self::LlamaPeerHost => "llama.cpp, host chooses",
            Self::LlamaBench => "llama-bench, no token chosen",
            Self::OllamaApi => "Ollama",
        }
    }
}

/// One runtime's figures, or why there are none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Who ran.
    pub runtime: String,
    /// Whether it has figures.
    pub status: Status,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The row of the contract that it stands for, when it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirement: Option<String>,
    /// As in `gguf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_kind: Option<String>,
    /// `cpu` or `cuda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// What the machine is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The GPU's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// What executed the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_engine: Option<String>,
    /// How it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What ended its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
    /// From 1; the order of the rows is reversed in every second turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<usize>,
    /// The program's build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the file that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_sha256: Option<String>,
    /// Tokens to generate, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
    /// Runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<usize>,
    /// Tokens of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<usize>,
    /// The tokens; none where the program does not say them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_tokens: Option<Vec<u32>>,
    /// Whether the model ended its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_on_eos: Option<bool>,
    /// Whether every run chose the same tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats_identical: Option<bool>,
    /// Mean over all runs, the cold one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_total_ms: Option<f64>,
    /// Mean over all runs of the tokens over the whole time, the prompt included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_decode_tokens_per_second: Option<f64>,
    /// The best warm run's rate after its first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_warm_decode_tokens_per_second: Option<f64>,
    /// The first run after loading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<Means>,
    /// The others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm: Option<Means>,
    /// The GPU just before, when nobody used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_check: Option<GpuState>,
    /// How far its tokens are Psionic's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// The file that it was imported from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// What the program said, without the machine's paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
}

impl Row {
    /// Whether it has figures of another runtime.
    pub fn is_comparator(&self) -> bool {
        self.status == Status::Completed && self.method.is_some_and(|method| method != Method::PsionicBench)
    }

    /// Whether it has figures of Psionic.
    pub fn is_psionic(&self) -> bool {
        self.status == Status::Completed && self.method == Some(Method::PsionicBench)
    }
}

/// How much a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// The same tokens or, with random weights, the same logits within the limits.
    Strong,
    /// As many tokens; which ones is not known.
    WeakLengthMatchedOnly,
    /// Other tokens.
    Mismatched,
}

/// What agreement was judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The tokens that both chose.
    GeneratedTokens,
    /// The logits after a fixed sequence: with random weights near-ties decide which token is chosen.
    LogitsOverFixedTokens,
    /// The numbers of tokens.
    Lengths,
}

/// A row's agreement with Psionic's of the same scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// How much it says.
    pub strength: Strength,
    /// What it was judged on.
    pub basis: Basis,
    /// Tokens before the first that differs, or all; none where they are not known.
    pub same_tokens: Option<usize>,
    /// Where the two part.
    pub first_divergence: Option<DivergenceAt>,
}

/// Where two sequences part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DivergenceAt {
    /// From 0.
    pub index: usize,
    /// Psionic's token, none where its text had ended.
    pub psionic_id: Option<u32>,
    /// The other's.
    pub other_id: Option<u32>,
    /// The logit of Psionic's choice minus that of the other's, by Psionic; none where the logits cannot be had.
    pub psionic_margin: Option<f64>,
    /// The logit of the other's choice minus that of Psionic's, by the other.
    pub other_margin: Option<f64>,
}

/// Both engines' logits after the same given tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogitsAgreement {
    /// What the tokens are drawn from.
    pub token_seed: u64,
    /// How many tokens.
    pub positions: usize,
    /// The largest `mean_kl` that counts as agreement.
    pub limit_mean_kl: f64,
    /// The largest `relative_rms` that does.
    pub limit_relative_rms: f64,
    /// Whether both are kept.
    pub within_limits: bool,
    /// llama.cpp as the reference, Psionic as the other.
    pub pair: Pair,
}
