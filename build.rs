//! Compiles the kernels to PTX, and notes which commit is built.
use std::{
    path::Path,
    process::{Command, ExitCode},
};

use cuda_builder::{CudaBuilder, NvvmArch};

/// The crate of the kernels.
const KERNELS: &str = "kernels-rs";

/// For each GPU the PTX of the newest architecture that it has is used.
const ARCHS: [NvvmArch; 2] = [NvvmArch::Compute80, NvvmArch::Compute90];

fn main() -> ExitCode {
    println!("cargo::rustc-env=PSIONIC_COMMIT={}", commit());
    match CudaBuilder::new(KERNELS).embed(&ARCHS) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The commit that is built, `-dirty` when it is not all that is, or `unknown` outside a repository.
fn commit() -> String {
    let git = |arguments: &[&str]| -> Option<String> {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    // A commit, and a change of branch, appends to the log of HEAD.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .unwrap_or_else(|| "unknown".to_owned())
}
