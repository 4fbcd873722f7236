//! `psionic model synth`: a model of a published shape with random weights.

use std::path::PathBuf;
use std::time::Instant;

use psionic::model::{SIZES, SynthSpec, write_synthetic};
use serde::Serialize;

use super::failure::{Failure, Kind};
use super::interrupt;
use super::terminal::{Progress, bytes, one_line, print, print_json};

/// Write a model of a real size with random weights
///
/// A valid Q4_K_M file with the shapes, formats and vocabulary of a dense
/// Qwen3 model. It says nothing sensible: it is for measuring speed without a
/// download. The same size and seed give the same file everywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic model synth --size 1.7b -o qwen3-1.7b-synth.gguf
  psionic model synth --size 8b --seed 7 -o model.gguf --force")]
pub struct Args {
    /// The size
    #[arg(long, value_parser = SIZES.map(|size| size.name))]
    size: String,

    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The seed of the weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Replace the file if there is one
    #[arg(long)]
    force: bool,

    /// Write one JSON object
    #[arg(long)]
    json: bool,

    /// Layers, in place of the size's
    #[arg(long, value_name = "N", hide = true)]
    layers: Option<usize>,

    /// Tokens in the vocabulary, in place of Qwen3's
    #[arg(long, value_name = "N", hide = true)]
    vocab: Option<usize>,

    /// The context length that the file announces, in place of Qwen3's
    #[arg(long, value_name = "N", hide = true)]
    context: Option<usize>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut spec = SynthSpec::new(&args.size, args.seed)?;
    spec.layers = args.layers.unwrap_or(spec.layers);
    spec.vocab = args.vocab.unwrap_or(spec.vocab);
    spec.context = args.context.unwrap_or(spec.context);
    let path = &args.output;
    if path.symlink_metadata().is_ok() && !args.force {
        let message = format!("{} is already there; choose another path or add `--force`", path.display());
        return Err(Failure::new(Kind::Failed, message));
    }
    interrupt::discard_parts();
    let start = Instant::now();
    let mut progress = Progress::new("writing");
    let summary = write_synthetic(&spec, path, &mut |done, total| progress.set(done, total))?;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        let path = path.display().to_string();
        let (tensors, bytes) = (summary.tensors, summary.bytes);
        return print_json(&Report { path, size: &args.size, seed: args.seed, tensors, bytes, seconds });
    }
    let text =
        format!("{}: {}, {} tensors, {seconds:.1} s", path.display(), bytes(summary.bytes), summary.tensors);
    print(one_line(&text) + "\n")
}

#[derive(Serialize)]
struct Report<'a> {
    path: String,
    size: &'a str,
    seed: u64,
    tensors: usize,
    bytes: u64,
    seconds: f64,
}
