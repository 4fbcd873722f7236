//! The command line: one file for each subcommand. In each, `Args` holds the arguments and the text of
//! `--help`; it is converted to validated settings before anything runs.

mod bench;
mod common;
mod completions;
mod doctor;
mod failure;
mod generate;
mod interrupt;
mod kernel;
mod kernel_bench;
mod kernel_cases;
mod kernel_check;
mod kernel_new;
mod kernel_test;
mod kernel_watch;
mod list;
mod logits;
mod medpsy;
mod model;
mod new;
mod perplexity;
mod profile;
mod ptx;
mod sheet;
mod style;
mod synth;
mod table;
mod terminal;
mod token_ids;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use failure::{EXIT_CODES, Failure};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PSIONIC_COMMIT"), ")");

/// Decode Qwen3 GGUF models through GPU kernels written in Rust
///
/// The kernels run on an NVIDIA GPU, or on a simulator of one on the CPU.
#[derive(Debug, Parser)]
#[command(name = "psionic", version = VERSION, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::Args),
    Perplexity(perplexity::Args),
    Bench(bench::Args),
    Logits(logits::Args),
    Model(model::Args),
    Kernel(kernel::Args),
    Medpsy(medpsy::Args),
    Ptx(ptx::Args),
    New(new::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Runs what the process was told to.
pub fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => match cli.command {
            Command::Generate(args) => generate::run(args),
            Command::Perplexity(args) => perplexity::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Logits(args) => logits::run(args),
            Command::Model(args) => model::run(args),
            Command::Kernel(args) => kernel::run(args),
            Command::Medpsy(args) => medpsy::run(args),
            Command::Ptx(args) => ptx::run(args),
            Command::New(args) => new::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Completions(args) => completions::run(args),
        },
        Err(error) => answer(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

/// What `clap` has to say: help, or why the command line is wrong, in the form of every other failure.
fn answer(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return terminal::print(error.render().ansi()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            terminal::say(error.render().ansi());
            return Err(Failure::usage("expected a subcommand, found none").hint("the help above lists them"));
        }
        _ => {}
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(terminal::one_line);
    let message = paragraphs.next().unwrap_or_default();
    // A list of what is missing may end with `<NAME>...`.
    let message = message.trim_end_matches('.');
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
    let tips: Vec<String> =
        paragraphs.filter_map(|paragraph| paragraph.strip_prefix("tip: ").map(str::to_owned)).collect();
    Err(match tips.as_slice() {
        [] => failure.hint("`--help` lists what there is"),
        tips => failure.hint(tips.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_examples_and_fits_80_columns() {
        let mut command = Cli::command();
        command.build();
        let mut pending: Vec<&mut clap::Command> = vec![&mut command];
        while let Some(command) = pending.pop() {
            let help = command.render_long_help().to_string();
            let name = command.get_name();
            assert!(name == "help" || name == "psionic" || help.contains("Examples:"), "{name}: {help}");
            assert!(!help.contains("\\\""), "{name}: a quote is escaped: {help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            pending.extend(command.get_subcommands_mut().filter(|command| command.get_name() != "help"));
        }
    }
}
