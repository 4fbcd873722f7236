//! Installs a compiler for GPU kernels.
use std::{fs::File, process::Command, time::SystemTime};

use cuda_builder::compiler::{self, Installer};

use crate::{Failure, root, run};

/// Finds a compiler, or installs one in the first way that works on this machine.
pub fn install_compiler() -> Result<(), Failure> {
    let missing = match compiler::find() {
        Ok(found) => {
            eprintln!("kernels are compiled by {found}");
            return Ok(());
        }
        Err(missing) => missing,
    };
    eprintln!("no compiler for GPU kernels is installed:");
    for rejected in &missing.rejected {
        eprintln!("  {}: {}", rejected.candidate, rejected.reason);
    }
    if std::env::var_os("PSIONIC_RUSTC").is_some() {
        return Err(Failure(
            "PSIONIC_RUSTC names a compiler that cannot be used; correct it or unset it".into(),
        ));
    }
    let mut failures = Vec::new();
    for installer in compiler::installers() {
        eprintln!("installing one:");
        match install(&installer) {
            Ok(()) => match compiler::find() {
                Ok(found) => {
                    eprintln!("kernels are compiled by {found}");
                    return rebuild();
                }
                Err(error) => failures.push(format!("`{installer}` ran, and still {error}")),
            },
            Err(failure) => {
                eprintln!("{failure}");
                failures.push(failure.0);
            }
        }
    }
    if failures.is_empty() {
        failures.push(format!(
            "this machine has neither rustup nor apt-get; run `{}`",
            compiler::install_command()
        ));
    }
    Err(Failure(format!("no compiler for GPU kernels could be installed: {}", failures.join("; "))))
}

fn install(installer: &Installer) -> Result<(), Failure> {
    for step in &installer.steps {
        let Some((program, arguments)) = step.split_first() else { continue };
        run(Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

/// Has the next build compile the kernels, though no file of theirs changed.
fn rebuild() -> Result<(), Failure> {
    let script = root().join("build.rs");
    File::options()
        .append(true)
        .open(&script)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(|error| Failure(format!("{} cannot be touched: {error}", script.display())))
}
