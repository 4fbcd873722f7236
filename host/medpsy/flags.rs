//! The documented flags of `medpsy_bench`, for every program that takes them.

use std::path::PathBuf;
use std::{fmt, fs};

use clap::{Args, ValueEnum};

use super::bench::{ArtifactKind, BenchBackend, BenchRequest};
use super::error::MedPsyError;
use super::receipt::{BenchReport, Means};
use super::size::ModelSize;
use crate::decode::{Activations, EngineChoice};
use crate::part_file::{Existing, PartFile};

/// The contract's flags, with the contract's defaults.
#[derive(Debug, Clone, Args)]
pub struct BenchFlags {
    /// The model
    #[arg(long, value_name = "PATH")]
    pub model_path: PathBuf,

    /// The kind of the model's artifact; only GGUF runs natively
    #[arg(long, value_enum, default_value_t = Kind::Gguf)]
    pub artifact_kind: Kind,

    /// The size that the model has; the file is checked
    #[arg(long, value_enum, default_value_t = Size::B1_7)]
    pub model_size: Size,

    /// Where to run: on the GPU, or its kernels on the CPU's simulator
    #[arg(long, value_enum, default_value_t = Where::Cpu)]
    pub backend: Where,

    /// The prompt as token ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', default_value = "151644")]
    pub prompt_token_ids: Vec<u32>,

    /// Tokens to generate, at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub max_new_tokens: usize,

    /// Runs, each from an empty sequence
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeats: usize,

    /// Write the report in JSON
    #[arg(long)]
    pub json: bool,

    /// Also write it in JSON to a file; folders are made
    #[arg(long, value_name = "PATH")]
    pub json_out: Option<PathBuf>,
}

/// `--artifact-kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Tensors without their model's numbers
    Safetensors,
    /// A GGUF file
    Gguf,
}

/// `--model-size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// MedPsy 1.7B
    #[value(name = "1.7b")]
    B1_7,
    /// MedPsy 4B
    #[value(name = "4b")]
    B4,
}

/// `--backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Where {
    /// The CPU
    Cpu,
    /// The GPU
    Cuda,
}

impl From<Size> for ModelSize {
    fn from(size: Size) -> Self {
        match size {
            Size::B1_7 => Self::B1_7,
            Size::B4 => Self::B4,
        }
    }
}

impl BenchFlags {
    /// Begins the file of `--json-out`, if there is to be one, and makes its folders.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn report_file(&self) -> Result<Option<ReportFile>, MedPsyError> {
        let Some(path) = &self.json_out else { return Ok(None) };
        let failed = |source| MedPsyError::Unwritable { path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = PartFile::create(path, Existing::Replace).map_err(failed)?;
        Ok(Some(ReportFile { path: path.clone(), file }))
    }

    /// What they ask for, and nothing beyond the contract.
    pub fn request(&self) -> BenchRequest {
        BenchRequest {
            model_path: self.model_path.clone(),
            artifact_kind: match self.artifact_kind {
                Kind::Safetensors => ArtifactKind::Safetensors,
                Kind::Gguf => ArtifactKind::Gguf,
            },
            model_size: Some(self.model_size.into()),
            backend: match self.backend {
                Where::Cpu => BenchBackend::Cpu,
                Where::Cuda => BenchBackend::Cuda,
            },
            prompt: self.prompt_token_ids.clone(),
            max_new_tokens: self.max_new_tokens,
            repeats: self.repeats,
            allow_blocked: false,
            expected_sha256: None,
            ignore_eos: false,
            activations: Activations::default(),
            engine: EngineChoice::default(),
        }
    }
}

/// Where a report goes: begun before anything is measured, so that no measurement is lost to a path that cannot be written.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    file: PartFile,
}

impl BenchReport {
    /// The report in JSON, indented, with a line end.
    ///
    /// # Errors
    /// Never with a report that was measured.
    pub fn to_json(&self) -> Result<String, MedPsyError> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| {
            MedPsyError::InvalidRequest { expected: "a report that JSON can hold", found: error.to_string() }
        })
    }

    /// Writes it to the file that was begun for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, output: ReportFile) -> Result<(), MedPsyError> {
        let text = self.to_json()?;
        let written = output.file.finish_with(&text);
        written.map_err(|source| MedPsyError::Unwritable { path: output.path, source })
    }
}

/// A report for people.
impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: &str, text: String| writeln!(f, "{what:<12} {text}");
        let machine = &self.machine;
        let name = self.model_name.as_deref().unwrap_or("(no name)");
        line(f, "model", format!("{name}, {} {}", self.model_size, self.admission.tier))?;
        line(
            f,
            "engine",
            format!("{} ({}), {}", self.execution_engine.name(), machine.engine, machine.device),
        )?;
        for run in &self.runs {
            let cold = if run.cold { ", cold" } else { "" };
            let end = if run.stopped_on_eos { "the end of the text" } else { "the limit" };
            let rate = run.decode_tokens_per_second;
            line(
                f,
                &format!("run {}", run.run_index),
                format!(
                    "{} tokens to {end} in {:.1} ms, {rate:.1} tok/s{cold}",
                    run.output_tokens, run.total_ms
                ),
            )?;
        }
        let documented = self.mean_decode_tokens_per_second;
        line(
            f,
            "mean",
            format!("{:.1} ms, {documented:.1} tok/s, prompt and cold run included", self.mean_total_ms),
        )?;
        let decode = |means: &Means| means.decode_only_tokens_per_second;
        if let Some(rate) = self.warm.as_ref().and_then(decode) {
            line(f, "warm", format!("{rate:.1} tok/s after the first token"))?;
        }
        line(f, "loading", format!("{:.0} ms, SHA-256 {:.0} ms of it beside", self.load_ms, self.sha256_ms))?;
        line(f, "claim", self.medical_policy.benchmark_claim_boundary.clone())
    }
}
