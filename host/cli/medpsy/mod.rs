//! `psionic medpsy`: a medical fine-tune of Qwen3, and what its contract requires.

mod admit;
mod bench;
mod gate;
mod matrix;

use clap::Subcommand;

use super::failure::Failure;

/// Admit, measure and compare MedPsy models
///
/// MedPsy is a medical fine-tune of Qwen3. What these commands measure is the
/// runtime, never the quality of medical answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic medpsy admit -m medpsy-1.7b-q4_k_m-imat.gguf
  psionic medpsy bench --model-path model.gguf --backend cuda --json
  psionic medpsy matrix -m model.gguf --llama llama/bin --host h200 \\
      -o fixtures/medpsy/benchmarks
  psionic medpsy gate --dependencies tree.txt")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Admit(admit::Args),
    Bench(bench::Args),
    Matrix(matrix::Args),
    Gate(gate::Args),
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Admit(args) => admit::run(args),
        Action::Bench(args) => bench::run(args),
        Action::Matrix(args) => matrix::run(args),
        Action::Gate(args) => gate::run(args),
    }
}
