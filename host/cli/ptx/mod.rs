//! `psionic ptx`: what kernels cost, read from their PTX. One file for each subcommand; `input` finds the text, and
//! `machine` runs NVIDIA's tools on it.

mod check;
mod diff;
mod input;
mod inspect;
mod lint;
mod list;
mod machine;
mod report;
mod revision;
mod sass;
mod table;

use clap::Subcommand;

use super::failure::Failure;

/// Look into PTX: the built-in kernels' or any other, without a GPU
///
/// PTX is what a compiler makes of a kernel. What an instruction does, which
/// branches may divide threads and what is likely a mistake is read from it.
/// Registers, spills and machine code come from NVIDIA's ptxas and nvdisasm,
/// where they are installed; `psionic doctor` says how to get them.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  psionic ptx list
  psionic ptx inspect attention --gpu H100
  psionic ptx diff HEAD~1 kernels-rs
  psionic ptx check --budget kernels-rs/budget.json
  psionic ptx lint -f kernel.ptx
  psionic ptx report -o report.html"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Check(check::Args),
    Lint(lint::Args),
    Report(report::Args),
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List(args) => list::run(&args),
        Action::Inspect(args) => inspect::run(&args),
        Action::Diff(args) => diff::run(&args),
        Action::Check(args) => check::run(&args),
        Action::Lint(args) => lint::run(&args),
        Action::Report(args) => report::run(&args),
    }
}
