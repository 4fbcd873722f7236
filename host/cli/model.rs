//! `psionic model`: what is in a file.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use psionic::gguf::GgufFile;
use psionic::model::{ModelReport, describe};

use super::failure::Failure;
use super::synth;
use super::table::{finish, table};
use super::terminal::{bytes, one_line, print, print_json};

/// Show what is in a model's file, or write a synthetic one
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  psionic model -m model.gguf
  psionic model -m model.gguf --tensors
  psionic model -m model.gguf --json
  psionic model synth --size 1.7b -o model.gguf"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// The model, a GGUF file
    #[arg(short, long, value_name = "FILE", required = true)]
    model: Option<PathBuf>,

    /// Also list the tensors
    #[arg(long)]
    tensors: bool,

    /// Write one JSON object, tensors included
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    Synth(synth::Args),
}

pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(Action::Synth(args)) = args.action {
        return synth::run(args);
    }
    // `clap` lets nothing else through.
    let path = args.model.ok_or_else(|| Failure::usage("expected a model, found none; give one with -m"))?;
    let report = describe(&GgufFile::open(&path)?)?;
    if args.json {
        return print_json(&report);
    }
    let mut text = overview(&report) + "\n" + &formats(&report);
    if args.tensors {
        text += "\n";
        text += &tensors(&report);
    }
    print(text)
}

fn overview(report: &ModelReport) -> String {
    let config = &report.config;
    let name = config.name.as_deref().map_or_else(|| "(none)".to_owned(), one_line);
    let output = if report.tied { "the embedding's weights" } else { "its own weights" };
    let rows = [
        ("file", format!("{} ({})", one_line(&report.path), bytes(report.file_bytes))),
        ("name", name),
        ("layers", config.layers.to_string()),
        ("hidden", config.hidden.to_string()),
        ("feed-forward", config.ffn.to_string()),
        (
            "heads",
            format!(
                "{} for queries, {} for keys and values, {} wide",
                config.heads, config.kv_heads, config.head_dim
            ),
        ),
        ("vocabulary", format!("{} tokens", config.vocab)),
        ("context", format!("{} positions", config.context_length)),
        ("RoPE theta", config.rope_theta.to_string()),
        ("RMSNorm eps", format!("{:e}", config.rms_eps)),
        ("output", output.to_owned()),
        ("weights", format!("{} in {}", grouped(report.weights), bytes(report.weight_bytes))),
        ("per token", format!("{} bytes of weights are read", grouped(report.bytes_per_token))),
        (
            "per position",
            format!("{} bytes of cache in half precision", grouped(report.kv_bytes_per_position)),
        ),
    ];
    let mut text = String::new();
    for (title, value) in rows {
        let _ = writeln!(text, "{title:<13} {value}");
    }
    text
}

fn formats(report: &ModelReport) -> String {
    let mut table = table(["format", "tensors", "weights", "bytes", "share"]);
    for format in &report.formats {
        table.add_row([
            format.kind.name().to_owned(),
            format.tensors.to_string(),
            grouped(format.weights),
            grouped(format.bytes),
            format!("{:.1} %", 100.0 * format.share),
        ]);
    }
    finish(table, 1..5)
}

fn tensors(report: &ModelReport) -> String {
    let mut table = table(["tensor", "format", "dimensions", "bytes", "offset"]);
    for tensor in &report.tensors {
        let dimensions: Vec<String> = tensor.dimensions.iter().map(u64::to_string).collect();
        table.add_row([
            one_line(&tensor.name),
            tensor.kind.name().to_owned(),
            dimensions.join(" × "),
            grouped(tensor.bytes),
            tensor.offset.to_string(),
        ]);
    }
    finish(table, 2..5)
}

/// A number with commas between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!([0, 12, 999, 1000, 1234567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
