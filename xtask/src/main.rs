//! The project's tasks: `cargo xtask --help` lists them.
mod chart;
mod compare;
mod report;
mod setup;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};
use cuda_builder::{CudaBuilder, NvvmArch};
use psionic_peer::Failure;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install a compiler for GPU kernels where there is none
    Setup,
    /// Set up, then run every test
    Test {
        /// Passed to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check formatting, and run clippy and rustdoc with warnings as errors
    Lint,
    /// Run Psionic and llama.cpp in turns on the same files and compare speed, ids and logits
    Compare(compare::Args),
    /// Print a folder of benchmark records, and draw it
    Report {
        /// The records, as in fixtures/bench/2026-01-31-h100
        folder: PathBuf,
    },
    /// Compile the kernels to PTX, check it, and say where it is
    Ptx {
        /// The architecture, as in sm_80
        #[arg(long, default_value = "sm_80", value_parser = arch)]
        arch: NvvmArch,
        /// Where to write it
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup => setup::install_compiler(),
        Task::Test { arguments } => setup::install_compiler().and_then(|()| test(&arguments)),
        Task::Lint => lint(),
        Task::Compare(args) => compare::compare(&args).and_then(|()| report::report(&args.output)),
        Task::Report { folder } => report::report(&folder),
        Task::Ptx { arch, output } => ptx(arch, output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn test(arguments: &[String]) -> Result<(), Failure> {
    run(cargo().args(["test", "--workspace"]).args(arguments))
}

fn lint() -> Result<(), Failure> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn ptx(arch: NvvmArch, output: Option<PathBuf>) -> Result<(), Failure> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut builder =
        CudaBuilder::new(root().join("kernels-rs")).arch(arch).target_dir(target.join("cuda_builder"));
    if let Some(output) = output {
        builder = builder.copy_to(output);
    }
    let path = builder.build().map_err(|error| Failure(error.to_string()))?;
    println!("{}", path.display());
    Ok(())
}

fn arch(name: &str) -> Result<NvvmArch, String> {
    let known = NvvmArch::ALL.iter().copied().find(|arch| arch.sm() == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = NvvmArch::ALL.iter().map(|arch| arch.sm()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Says what is run, runs it, and fails when it does.
fn run(command: &mut Command) -> Result<(), Failure> {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| format!(" {}", argument.to_string_lossy()));
    let text = program + &arguments.collect::<String>();
    eprintln!("$ {text}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("`{text}` failed with {status}"))),
        Err(error) => Err(Failure(format!("`{text}` cannot be run: {error}"))),
    }
}
