//! Compiles the kernels to PTX, and notes which commit is built.
//!
//! Without a compiler for kernels the crate still builds: `PTX` is then empty, and `PTX_MISSING` says why and what to do.
use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use cuda_builder::{CudaBuilder, CudaBuilderError, NvvmArch, compiler};

/// The crate of the kernels.
const KERNELS: &str = "kernels-rs";

/// For each GPU the PTX of the newest architecture that it has is used.
const ARCHS: [NvvmArch; 2] = [NvvmArch::Compute80, NvvmArch::Compute90];

fn main() -> ExitCode {
    println!("cargo::rustc-env=PSIONIC_COMMIT={}", commit());
    println!("cargo::rerun-if-env-changed=PSIONIC_SKIP_PTX");
    match ptx() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles for every architecture and writes `ptx.rs`, which the library includes.
fn ptx() -> Result<(), Box<dyn Error>> {
    let out_dir =
        PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: cargo has to run this program")?);
    let (compiler, built, missing) = if env::var_os("PSIONIC_SKIP_PTX").is_some_and(|value| !value.is_empty())
    {
        (
            None,
            Vec::new(),
            Some("PSIONIC_SKIP_PTX was set when this program was built; build it again without".to_owned()),
        )
    } else {
        match compile(&out_dir) {
            Ok(built) => (compiler::find().ok().map(|compiler| compiler.to_string()), built, None),
            Err(CudaBuilderError::NoCompiler(error)) => {
                println!("cargo::warning=the GPU cannot be used: {error}, then build again");
                (None, Vec::new(), Some(format!("{error}, then build this program again")))
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut source = String::from(
        "/// The kernels as PTX, by compute capability, the lowest first.\npub static PTX: &[(u32, &str)] = &[\n",
    );
    for (arch, path) in built {
        writeln!(source, "    ({}, include_str!({path:?})),", arch.capability_value())?;
    }
    writeln!(source, "];")?;
    writeln!(source, "/// What compiled the kernels.\npub const COMPILER: Option<&str> = {compiler:?};")?;
    writeln!(
        source,
        "/// Why there is no PTX, and what to do.\npub const PTX_MISSING: Option<&str> = {missing:?};"
    )?;
    let path = out_dir.join("ptx.rs");
    if !fs::read_to_string(&path).is_ok_and(|old| old == source) {
        fs::write(&path, source)?;
    }
    Ok(())
}

fn compile(out_dir: &Path) -> Result<Vec<(NvvmArch, PathBuf)>, CudaBuilderError> {
    let built = ARCHS.into_iter().map(|arch| {
        let path = out_dir.join(format!("kernels_{arch}.ptx"));
        Ok((arch, CudaBuilder::new(KERNELS).arch(arch).copy_to(path).build()?))
    });
    built.collect()
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
