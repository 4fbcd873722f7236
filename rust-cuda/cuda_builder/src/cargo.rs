//! Runs cargo on a kernel crate.
use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    NvvmArch,
    compiler::{Compiler, Core, TARGET},
};

/// One compilation of a kernel crate.
pub(crate) struct Compilation<'a> {
    pub compiler: &'a Compiler,
    /// The crate's folder.
    pub crate_path: &'a Path,
    pub arch: NvvmArch,
    pub ptx_version: Option<u32>,
    /// Without overflow checks and debug assertions.
    pub release: bool,
    /// Whether LLVM writes comments, which say what each line was inlined through.
    pub comments: bool,
    pub build_args: &'a [String],
    /// Cargo's target directory; not that of a cargo that waits for us, which holds its lock.
    pub target_dir: &'a Path,
    /// Where the PTX goes.
    pub asm: &'a Path,
    /// Where the optimised module goes.
    pub ir: &'a Path,
    pub quiet: bool,
}

/// Why there is no PTX.
pub(crate) enum Failure {
    /// Cargo could not be started.
    Start(io::Error),
    /// Cargo failed, and has said why.
    Build,
}

impl Compilation<'_> {
    /// Compiles, and returns the files that were read: rustc's messages go to standard error as they are.
    pub fn run(&self) -> Result<Vec<PathBuf>, Failure> {
        let output = self.command().output_with_stderr().map_err(Failure::Start)?;
        if !output.status.success() {
            return Err(Failure::Build);
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let name = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Message>(line).ok())
            .filter(|message| message.reason == "compiler-artifact")
            .filter_map(|message| message.target)
            .rfind(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
            .map(|target| target.name.replace('-', "_"))
            .ok_or(Failure::Build)?;
        let dep_info = self.target_dir.join(TARGET).join("release").join(name).with_extension("d");
        let sources = fs::read_to_string(dep_info).map(|text| dependencies(&text)).unwrap_or_default();
        Ok(sources)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.compiler.cargo);
        clear_outer_cargo(&mut command);
        command
            .env("RUSTC", &self.compiler.rustc)
            // What kernels need is unstable in the language, though stable in the compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            // Jump threading copies barriers into the arms of a branch.
            .env("CARGO_ENCODED_RUSTFLAGS", "-Zmir-enable-passes=-JumpThreading");
        let checks = if self.release { "false" } else { "true" };
        for (key, value) in [
            ("OPT_LEVEL", "3"),
            ("LTO", "fat"),
            ("CODEGEN_UNITS", "1"),
            ("PANIC", "abort"),
            ("INCREMENTAL", "false"),
            ("STRIP", "none"),
            ("DEBUG", "line-directives-only"),
            ("OVERFLOW_CHECKS", checks),
            ("DEBUG_ASSERTIONS", checks),
        ] {
            command.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
        }
        command.current_dir(self.crate_path);
        command.args(["rustc", "--release", "--lib", "--crate-type", "cdylib", "--target", TARGET]);
        command.args(["--message-format", "json-render-diagnostics"]);
        command.arg("--target-dir").arg(self.target_dir);
        if self.quiet {
            command.arg("--quiet");
        }
        if self.compiler.core == Core::Source {
            command.arg("-Zbuild-std=core,alloc");
        }
        // The crates of the workspace, and cuda_std wherever it is from, are compiled for one architecture; `core` and
        // what is from a registry do not ask which it is, and are compiled once for all.
        let flags = format!("{:?}", self.arch.cfg_flags());
        command.arg("-Zprofile-rustflags");
        let mut configure = |key: &str, flags: &str| {
            command.arg("--config").arg(format!("profile.release.{key}={flags}"));
        };
        configure("rustflags", &flags);
        configure("package.\"*\".rustflags", "[]");
        configure("build-override.rustflags", "[]");
        if lock_file(self.crate_path)
            .and_then(|lock| fs::read_to_string(lock).ok())
            .is_some_and(|lock| lock.contains("name = \"cuda_std\""))
        {
            configure("package.cuda_std.rustflags", &flags);
        }
        command.args(self.build_args);

        let mut emit = OsString::from("--emit=link,asm=");
        emit.push(self.asm);
        emit.push(",llvm-ir=");
        emit.push(self.ir);
        command.arg("--").arg(emit).arg(format!("-Ctarget-cpu={}", self.arch));
        if let Some(version) = self.ptx_version {
            command.arg(format!("-Ctarget-feature=+ptx{version}"));
        }
        // What `#[kernel]` and `shared_array!` expand to needs these; the kernel's author need not know.
        command.arg("-Zcrate-attr=feature(abi_ptx, asm_experimental_arch)");
        // There is no `std` for a GPU. A kernel crate that has it on the host need not say so; saying it twice is a warning.
        if !says_no_std(self.crate_path) {
            command.arg("-Zcrate-attr=no_std");
        }
        // Arrays live in registers only if the loops over them are unrolled, and local memory costs more than code.
        command.arg("-Cllvm-args=-unroll-threshold=3000");
        // An indirect branch is slow on a GPU, and ptxas 13 was seen to compile loops around one wrongly.
        command.arg("-Cjump-tables=no");
        if self.comments {
            command.arg("-Zverbose-asm");
        }
        // Without `link` rustc skips link-time optimisation between crates; there is nothing to link.
        command.arg(format!("-Clinker={}", do_nothing()));
        command
    }
}

/// Whether a crate does without `std` by itself. One whose library is at an unusual place must.
fn says_no_std(crate_path: &Path) -> bool {
    let says = |text: String| text.lines().any(|line| line.starts_with("#![") && line.contains("no_std"));
    fs::read_to_string(crate_path.join("src/lib.rs")).map_or(true, says)
}

trait OutputWithStderr {
    fn output_with_stderr(&mut self) -> io::Result<std::process::Output>;
}

impl OutputWithStderr for Command {
    fn output_with_stderr(&mut self) -> io::Result<std::process::Output> {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?.wait_with_output()
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    #[serde(default)]
    crate_types: Vec<String>,
}

/// A program that does nothing, successfully.
fn do_nothing() -> &'static str {
    ["/bin/true", "/usr/bin/true"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("true")
}

/// Removes what the cargo that runs a build script tells it about another compiler and another crate.
fn clear_outer_cargo(command: &mut Command) {
    const PREFIXES: &[&str] = &[
        "CARGO_BIN_",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_CRATE_",
        "CARGO_ENCODED_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
        "DEP_",
    ];
    const NAMES: &[&str] = &[
        "CARGO",
        "CARGO_INCREMENTAL",
        "CARGO_PRIMARY_PACKAGE",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "TARGET",
    ];
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // rustup puts the libraries of the outer toolchain here, and this one has other libraries of the same names.
    if let Some(libraries) = env::var_os("LD_LIBRARY_PATH") {
        let foreign =
            |path: &Path| path.components().any(|part| part.as_os_str() == OsStr::new("toolchains"));
        let kept = env::join_paths(env::split_paths(&libraries).filter(|path| !foreign(path)));
        command.env("LD_LIBRARY_PATH", kept.unwrap_or_default());
    }
}

/// The lock file that cargo uses for the crate in a folder.
pub(crate) fn lock_file(crate_path: &Path) -> Option<PathBuf> {
    crate_path.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file())
}

/// The files that a makefile's rule depends on, as cargo writes it: spaces in names have a backslash before them.
fn dependencies(rule: &str) -> Vec<PathBuf> {
    let Some(line) = rule.lines().next() else { return Vec::new() };
    let Some((_, files)) = line.split_once(": ") else { return Vec::new() };
    files
        .replace("\\ ", "\0")
        .split(' ')
        .filter(|file| !file.is_empty())
        .map(|file| file.replace('\0', " ").into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_std_says_so_at_its_top() {
        let folder = tempfile::tempdir().unwrap();
        assert!(says_no_std(folder.path()));
        fs::create_dir(folder.path().join("src")).unwrap();
        for (text, says) in [
            ("//! Kernels.\n#![no_std]\n", true),
            ("#![cfg_attr(target_arch = \"nvptx64\", no_std)]\n", true),
            ("//! There is no_std here.\n#![allow(unused)]\n", false),
        ] {
            fs::write(folder.path().join("src/lib.rs"), text).unwrap();
            assert_eq!(says_no_std(folder.path()), says, "{text}");
        }
    }

    #[test]
    fn a_rules_files_may_have_spaces() {
        let files = dependencies("/t/k.ptx: /a\\ b/lib.rs /c/lib.rs\n");
        assert_eq!(files, [PathBuf::from("/a b/lib.rs"), PathBuf::from("/c/lib.rs")]);
        assert!(dependencies("").is_empty());
    }
}
