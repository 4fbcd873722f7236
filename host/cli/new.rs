//! `psionic new`: a project to write kernels in.

use std::path::PathBuf;

use psionic::project;

use super::failure::Failure;
use super::terminal::{one_line, print};

/// Start a project of your own kernels
///
/// A folder with a kernel, its launch, a test on the simulator and a build
/// script, which use the crates of a checkout of Psionic. It builds, passes
/// its test and runs as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic new my-kernels
  psionic new ~/src/my-kernels --psionic ~/src/psionic")]
pub struct Args {
    /// The folder to make, whose name is the project's
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// The checkout of Psionic whose crates it uses [default: that which this
    /// program was built from]
    #[arg(long, value_name = "FOLDER")]
    psionic: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    project::create(&args.folder, args.psionic.as_deref())?;
    let folder = one_line(&args.folder.display().to_string());
    print(format_args!("{folder} is there; in it, `cargo test` and `cargo run`\n"))
}
