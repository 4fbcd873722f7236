//! `psionic medpsy bench`: the benchmark of `medpsy_bench`, and what the documented flags leave out.

use psionic::medpsy::{self, BenchFlags};

use crate::cli::common::{Activations, Engine};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::terminal::{Progress, note, one_line, print, print_text};

/// Measure greedy decoding of a prompt of token ids
///
/// The model is loaded once; every run starts from an empty sequence. A run's
/// rate is its tokens over its whole time, the prompt included, as documented;
/// the rate after the first token, the time to it, and cold and warm runs are
/// reported apart. The figures say nothing of medical quality.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic medpsy bench --model-path model.gguf --backend cuda \\
      --max-new-tokens 512 --repeats 5
  psionic medpsy bench --model-path model.gguf --backend cuda --json \\
      --json-out out/report.json --expected-sha256 pinned")]
pub struct Args {
    #[command(flatten)]
    flags: BenchFlags,

    /// The SHA-256 that the file must have; `pinned` is the published one's
    #[arg(long, value_name = "DIGEST", help_heading = "Beyond the documented flags")]
    expected_sha256: Option<String>,

    /// Admit a quantisation that the medical policy blocks
    #[arg(long, help_heading = "Beyond the documented flags")]
    allow_blocked_quantization: bool,

    /// Run a Qwen3 file of any shape, in place of checking --model-size
    #[arg(long, help_heading = "Beyond the documented flags")]
    any_shape: bool,

    /// Go on after the token that ends a text
    #[arg(long, help_heading = "Beyond the documented flags")]
    ignore_eos: bool,

    /// How activations are multiplied with quantised weights
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(help_heading = "Beyond the documented flags")]
    activations: Activations,

    /// What runs the tokens
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    #[arg(help_heading = "Beyond the documented flags")]
    engine: Engine,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut request = args.flags.request();
    request.expected_sha256 = args.expected_sha256.as_deref().map(medpsy::expected_digest).transpose()?;
    request.allow_blocked = args.allow_blocked_quantization;
    request.ignore_eos = args.ignore_eos;
    request.activations = args.activations.into();
    request.engine = args.engine.into();
    if args.any_shape {
        request.model_size = None;
    }
    interrupt::discard_parts();
    let file = args.flags.report_file()?;
    let mut progress = Progress::new("loading");
    let report =
        medpsy::run(&request, &mut |warning| note(warning), &mut |done, all| progress.set(done, all))?;
    drop(progress);
    if let Some(file) = file {
        report.write(file)?;
    }
    if args.flags.json {
        return print_text(&report.to_json()?);
    }
    let text = report.to_string();
    print(text.lines().map(|line| one_line(line) + "\n").collect::<String>())
}
