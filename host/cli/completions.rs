//! `psionic completions`: completion scripts for shells.

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::Failure;
use super::{Cli, terminal};

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic completions bash > ~/.local/share/bash-completion/completions/psionic
  psionic completions zsh > ~/.zfunc/_psionic
  psionic completions fish > ~/.config/fish/completions/psionic.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: Args) -> Result<(), Failure> {
    // Into memory first: the library panics when its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "psionic", &mut script);
    terminal::print(String::from_utf8_lossy(&script))
}
