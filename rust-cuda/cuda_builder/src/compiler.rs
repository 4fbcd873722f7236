//! Finds a rustc that can compile for `nvptx64-nvidia-cuda`, and says how to get one.
use std::{
    env,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The target that kernels are compiled for.
pub const TARGET: &str = "nvptx64-nvidia-cuda";

/// The oldest rustc whose LLVM knows every intrinsic that kernels use.
const MINIMUM: (u32, u32) = (1, 95);

/// How the candidate that the user names starts.
const NAMED: &str = "PSIONIC_RUSTC=";

/// A compiler for kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// The compiler itself, never a rustup proxy.
    pub rustc: PathBuf,
    /// The cargo that drives it.
    pub cargo: PathBuf,
    /// Its version: `1.96.0`.
    pub version: String,
    /// Where the target's `core` comes from.
    pub core: Core,
}

/// Where a compiler's `core` for the target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// It was installed with the compiler, as by `rustup target add`.
    Prebuilt,
    /// The compiler has the source, and cargo compiles it.
    Source,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} ({})", self.version, self.rustc.display())
    }
}

/// No compiler for kernels was found.
#[derive(Debug, Clone)]
pub struct NoCompiler {
    /// Every candidate, and why it cannot be used.
    pub rejected: Vec<Rejected>,
    /// Files that change when a compiler is installed: a build script watches them.
    pub watch: Vec<PathBuf>,
}

/// A compiler that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What was looked at.
    pub candidate: String,
    /// Why it cannot be used.
    pub reason: String,
}

impl fmt::Display for NoCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no compiler for GPU kernels was found (")?;
        for (i, Rejected { candidate, reason }) in self.rejected.iter().enumerate() {
            write!(f, "{}{candidate}: {reason}", if i > 0 { "; " } else { "" })?;
        }
        write!(f, "); {}", self.advice())
    }
}

impl NoCompiler {
    /// What to do about it, as an imperative without a full stop.
    pub fn advice(&self) -> String {
        match self.rejected.as_slice() {
            [only] if only.candidate.starts_with(NAMED) => "correct PSIONIC_RUSTC or unset it".to_owned(),
            _ => format!("install one with `{}`", install_command()),
        }
    }
}

impl std::error::Error for NoCompiler {}

/// Finds a compiler for kernels: the one that `PSIONIC_RUSTC` names (and nothing else when it is set), else that of a
/// rustup toolchain that has the target or the source of `core`, else the system's (Debian's `rustc-web`).
pub fn find() -> Result<Compiler, NoCompiler> {
    Places::of_this_machine().find()
}

/// The command that installs a compiler on this machine.
pub fn install_command() -> String {
    const RUSTUP: &str =
        "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- --target nvptx64-nvidia-cuda";
    installers().first().map_or_else(|| RUSTUP.to_owned(), Installer::to_string)
}

/// Ways to install a compiler on this machine, the preferred one first.
pub fn installers() -> Vec<Installer> {
    let mut found = Vec::new();
    if runs(Command::new("rustup").arg("--version")) {
        found.push(Installer { steps: vec![words(&["rustup", "target", "add", TARGET])] });
    }
    if cfg!(target_os = "linux") && Path::new("/etc/debian_version").exists() && on_path("apt-get") {
        let apt = |arguments: &[&str]| {
            let mut step = words(if is_root() { &["apt-get"] } else { &["sudo", "apt-get"] });
            step.extend(words(arguments));
            step
        };
        let mut steps = Vec::new();
        if !has_package_lists() {
            steps.push(apt(&["update"]));
        }
        steps.push(apt(&[
            "install",
            "-y",
            "--no-install-recommends",
            "rustc-web",
            "cargo-web",
            "rust-web-src",
        ]));
        found.push(Installer { steps });
    }
    found
}

/// Commands that, run in order, install a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// Each a program and its arguments.
    pub steps: Vec<Vec<String>>,
}

impl fmt::Display for Installer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self.steps.iter().map(|step| step.join(" ")).collect();
        f.write_str(&steps.join(" && "))
    }
}

/// Where to look.
struct Places {
    rustc: Option<PathBuf>,
    cargo: Option<PathBuf>,
    rustup: PathBuf,
    system: PathBuf,
}

impl Places {
    fn of_this_machine() -> Self {
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Places {
            rustc: path("PSIONIC_RUSTC"),
            cargo: path("PSIONIC_CARGO"),
            rustup: "rustup".into(),
            system: "/usr/bin".into(),
        }
    }

    fn find(&self) -> Result<Compiler, NoCompiler> {
        let mut rejected = Vec::new();
        let mut watch = vec![PathBuf::from("/var/lib/dpkg/status")];
        if let Some(rustc) = &self.rustc {
            match probe(rustc, self.cargo.as_deref()) {
                Ok(compiler) => return Ok(compiler),
                Err(reason) => {
                    rejected.push(Rejected { candidate: format!("{NAMED}{}", rustc.display()), reason })
                }
            }
        } else {
            match toolchains(&self.rustup) {
                Ok(names) if names.is_empty() => {
                    rejected.push(Rejected { candidate: "rustup".into(), reason: "has no toolchain".into() })
                }
                Ok(names) => {
                    for name in names {
                        let probed = match output(Command::new(&self.rustup).args([
                            "which",
                            "--toolchain",
                            &name,
                            "rustc",
                        ])) {
                            Ok(rustc) => {
                                let rustc = PathBuf::from(rustc.trim());
                                if let Some(sysroot) = rustc.ancestors().nth(2) {
                                    watch.push(sysroot.join("lib/rustlib/components"));
                                    watch.extend(
                                        sysroot.ancestors().nth(2).map(|home| home.join("update-hashes")),
                                    );
                                }
                                probe(&rustc, self.cargo.as_deref())
                            }
                            Err(reason) => Err(reason),
                        };
                        match probed {
                            Ok(compiler) => return Ok(compiler),
                            Err(reason) => {
                                rejected.push(Rejected { candidate: format!("toolchain {name}"), reason })
                            }
                        }
                    }
                }
                Err(reason) => rejected.push(Rejected { candidate: "rustup".into(), reason }),
            }
            let system = self.system.join("rustc");
            match probe(&system, self.cargo.as_deref()) {
                Ok(compiler) => return Ok(compiler),
                Err(reason) => rejected.push(Rejected { candidate: system.display().to_string(), reason }),
            }
        }
        watch.retain(|path| path.exists());
        watch.sort();
        watch.dedup();
        Err(NoCompiler { rejected, watch })
    }
}

/// The names of rustup's toolchains, the active one first.
fn toolchains(rustup: &Path) -> Result<Vec<String>, String> {
    let list = output(Command::new(rustup).args(["toolchain", "list"]))?;
    let mut names: Vec<(bool, String)> = list
        .lines()
        .filter_map(|line| {
            let name = line.split_whitespace().next()?;
            // Without any, rustup prints "no installed toolchains".
            (name != "no").then(|| (!line.contains("active"), name.to_owned()))
        })
        .collect();
    names.sort_by_key(|(inactive, _)| *inactive);
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// Whether a rustc can compile kernels, and if not, why.
fn probe(rustc: &Path, cargo: Option<&Path>) -> Result<Compiler, String> {
    let ask = |arguments: &[&str]| output(Command::new(rustc).args(arguments));
    let verbose = ask(&["-vV"])?;
    let version = verbose
        .lines()
        .find_map(|line| line.strip_prefix("release: "))
        .ok_or("does not answer `-vV` as rustc does")?
        .trim();
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    let found = numbers.next().flatten().zip(numbers.next().flatten());
    if found.is_none_or(|found| found < MINIMUM) {
        return Err(format!("is version {version}, and kernels need {}.{}", MINIMUM.0, MINIMUM.1));
    }
    // A rustc can be built with an LLVM that lacks the backend.
    if !ask(&["--print", "target-cpus", "--target", TARGET]).is_ok_and(|cpus| cpus.contains("sm_")) {
        return Err(format!("its LLVM cannot compile for {TARGET}"));
    }
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
    let libraries = PathBuf::from(ask(&["--print", "target-libdir", "--target", TARGET])?.trim());
    let core = if has_core(&libraries) {
        Core::Prebuilt
    } else if sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        Core::Source
    } else {
        return Err(format!("has neither the target {TARGET} nor rust-src"));
    };
    let cargo = cargo
        .map_or_else(|| rustc.with_file_name(format!("cargo{}", env::consts::EXE_SUFFIX)), Path::to_owned);
    if !cargo.is_file() {
        return Err(format!("there is no cargo at {}", cargo.display()));
    }
    Ok(Compiler { rustc: rustc.to_owned(), cargo, version: version.to_owned(), core })
}

fn has_core(libraries: &Path) -> bool {
    std::fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    })
}

/// The standard output of a command, or in a few words why there is none.
fn output(command: &mut Command) -> Result<String, String> {
    // rustup must never start to download a toolchain because it was asked about one, and the toolchain of the cargo that
    // runs us must not decide what another one answers.
    let command = command.env("RUSTUP_AUTO_INSTALL", "0").env_remove("LD_LIBRARY_PATH").stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not installed".to_owned(),
        _ => format!("cannot be run: {error}"),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "fails: {}",
            said.lines().find(|line| !line.is_empty()).unwrap_or("it says nothing")
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn runs(command: &mut Command) -> bool {
    output(command).is_ok()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn on_path(program: impl AsRef<OsStr>) -> bool {
    let program = Path::new(program.as_ref());
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Whether `apt-get update` ever ran: images of containers come without the lists.
fn has_package_lists() -> bool {
    std::fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

#[cfg(all(test, unix))]
#[path = "compiler_tests.rs"]
mod tests;
