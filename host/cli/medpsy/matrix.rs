//! `psionic medpsy matrix`: Psionic beside other runtimes on one machine.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use psionic::medpsy::ModelSize;
use psionic::medpsy::matrix::{self, Matrix, MatrixFile, MatrixRequest, Row, Status};
use psionic_peer::{Gpu, Programs};

use crate::cli::failure::{Failure, Kind};
use crate::cli::interrupt;
use crate::cli::sheet::{Column, Output, Sheet};
use crate::cli::terminal::{doing, note, one_line};

/// Compare Psionic with other runtimes and retain the result
///
/// Every row runs in a program of its own, only while nobody else uses the
/// GPU, and in every second turn in reverse order. Rows end with the text or,
/// on both sides, at a fixed length. Comparators are judged by their tokens
/// and, on random weights, by logits after given tokens. Rows that cannot be
/// run here are in the matrix with the reason. What may be claimed is computed
/// from the rows. benches/llama.cpp/build.sh makes llama.cpp's programs.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "psionic medpsy matrix [OPTIONS] -m <FILE> -o <FOLDER> --host <NAME>",
    after_help = "\
Examples:
  psionic medpsy matrix -m model.gguf --llama llama/bin --host h200 \\
      -o fixtures/medpsy/benchmarks
  psionic medpsy matrix -m model.gguf --llama llama/bin --host rtx4080 \\
      -o fixtures/medpsy/benchmarks --import-ollama ollama.json"
)]
pub struct Args {
    /// The model, a GGUF file
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,

    /// The folder for the matrix; its name has the day and the host
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,

    /// What to call the machine: letters, digits, `-`
    #[arg(long, value_name = "NAME", value_parser = host)]
    host: String,

    /// The folder with llama-bench and llama-peer
    #[arg(long, value_name = "FOLDER")]
    llama: Option<PathBuf>,

    /// A run of Ollama's API; docs/MEDPSY_BENCHMARK.md has its form
    #[arg(long, value_name = "FILE")]
    import_ollama: Vec<PathBuf>,

    /// Records of llama-bench; docs/MEDPSY_BENCHMARK.md has their form
    #[arg(long, value_name = "FILE")]
    import_llama_bench: Vec<PathBuf>,

    /// The size that the model has; the file is checked
    #[arg(long, value_enum, default_value_t = Size::B1_7)]
    model_size: Size,

    /// The prompt as token ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', default_value = "151644")]
    prompt_token_ids: Vec<u32>,

    /// Tokens to generate, at most
    #[arg(short = 'n', long, value_name = "N", default_value = "512", value_parser = positive::<1>)]
    max_new_tokens: usize,

    /// Runs of each row; the first is cold
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = positive::<2>)]
    repeats: usize,

    /// Turns of each row
    #[arg(long, value_name = "N", default_value = "2", value_parser = positive::<1>)]
    turns: usize,

    /// Tokens after which the logits are compared
    #[arg(long, value_name = "N", default_value = "256", value_parser = positive::<1>)]
    positions: usize,

    /// What those tokens are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// The GPU, by nvidia-smi's number
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpu: u32,

    /// Run all on the CPU: to try the command; such a matrix backs no claim
    #[arg(long)]
    cpu: bool,

    /// The form of the rows on standard output
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    form: Output,

    /// Stands in for nvidia-smi
    #[arg(long, value_name = "FILE", default_value = "nvidia-smi", hide = true)]
    nvidia_smi: PathBuf,

    /// How long to wait for an idle GPU
    #[arg(long, value_name = "N", default_value_t = 30, hide = true)]
    patience_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// MedPsy 1.7B
    #[value(name = "1.7b")]
    B1_7,
    /// MedPsy 4B
    #[value(name = "4b")]
    B4,
    /// Any Qwen3 model; such a matrix is not retained by the release gate
    Any,
}

/// A number of at least `LEAST`.
fn positive<const LEAST: usize>(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n >= LEAST)
        .ok_or_else(|| format!("expected a number of at least {LEAST}, found {text:?}"))
}

/// A part of a file's name.
fn host(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then(|| text.to_owned()).ok_or_else(|| format!("expected letters, digits and `-`, found {text:?}"))
}

impl Args {
    fn request(&self) -> Result<MatrixRequest, Failure> {
        let mut imported = Vec::new();
        for path in &self.import_ollama {
            imported.push(matrix::ollama(path)?);
        }
        for path in &self.import_llama_bench {
            imported.extend(matrix::llama_bench(path)?);
        }
        let psionic = env::current_exe().map_err(|error| {
            Failure::new(Kind::Failed, format_args!("this program cannot be found to be run again: {error}"))
        })?;
        let gpu = Gpu {
            program: self.nvidia_smi.clone(),
            index: self.gpu,
            patience: Duration::from_secs(self.patience_seconds),
        };
        Ok(MatrixRequest {
            model: self.model.clone(),
            size: match self.model_size {
                Size::B1_7 => Some(ModelSize::B1_7),
                Size::B4 => Some(ModelSize::B4),
                Size::Any => None,
            },
            programs: Programs {
                psionic,
                llama: self.llama.clone().unwrap_or_default(),
                gpu: (!self.cpu).then_some(self.gpu),
            },
            with_llama: self.llama.is_some(),
            gpu: (!self.cpu).then_some(gpu),
            host: self.host.clone(),
            prompt: self.prompt_token_ids.clone(),
            max_new_tokens: self.max_new_tokens,
            repeats: self.repeats,
            turns: self.turns,
            positions: self.positions,
            seed: self.seed,
            imported,
        })
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let request = args.request()?;
    let today = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let path = Matrix::path(&args.output, &today, &args.host);
    interrupt::discard_parts();
    let file = MatrixFile::create(&path)?;
    let matrix = matrix::measure(&request, &mut |what| doing(one_line(what)))?;
    // Whatever it says, it was measured.
    matrix.retain(file)?;
    let mut sheet = Sheet::new(args.form, columns());
    for row in &matrix.rows {
        let cells = cells(row);
        sheet.add(row.clone(), cells)?;
    }
    let parity = &matrix.decision.parity;
    let verdict = if parity.met { "the parity threshold is met" } else { "the parity threshold is not met" };
    sheet.finish(&format!("{}: {verdict}", path.display()))?;
    parity.reasons.iter().chain(&matrix.decision.reasons).for_each(note);
    Ok(())
}

fn columns() -> [Column; 8] {
    [
        Column::text("runtime").wide(25),
        Column::text("method").wide(28),
        Column::text("scenario").wide(20),
        Column::number("turn"),
        Column::number("decode-only t/s"),
        Column::number("end-to-end t/s"),
        Column::text("agreement").wide(24),
        Column::text("status"),
    ]
}

fn cells(row: &Row) -> [String; 8] {
    let dash = || "-".to_owned();
    let rate = |rate: Option<f64>| rate.map_or_else(dash, |rate| format!("{rate:.1}"));
    let name = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(dash)
    };
    let status = match (row.status, &row.reason) {
        (Status::Completed, _) | (_, None) => name(serde_json::to_value(row.status)),
        (status, Some(reason)) => format!("{}: {}", name(serde_json::to_value(status)), one_line(reason)),
    };
    [
        row.runtime.clone(),
        row.method.map_or_else(dash, |method| method.title().to_owned()),
        row.scenario.map_or_else(dash, |scenario| scenario.title().to_owned()),
        row.turn.map_or_else(dash, |turn| turn.to_string()),
        rate(row.warm.and_then(|warm| warm.decode_only_tokens_per_second)),
        rate(row.warm.and_then(|warm| warm.end_to_end_tokens_per_second)),
        row.agreement.as_ref().map_or_else(dash, |agreement| name(serde_json::to_value(agreement.strength))),
        status,
    ]
}
