//! A round of checks of one kernel: what the compiler says, what it takes of a GPU, whether it is right, how fast it is.
//!
//! The program that runs this was built before the change, so every step is a program of its own that cargo brings up to
//! date, in a target folder of the lab's own: nobody waits for its locks, and it can leave out what the lab does not need.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cuda_builder::NvvmArch;
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use super::child::{self, Ended, Errors};
use super::diagnostics::Diagnostics;
use super::error::LabError;
use super::resources::Resources;
use crate::kernel::KERNELS;

/// The lab rebuilds the host's code for every change of a kernel and runs it on small shapes.
const QUICK_BUILD: [&str; 2] = ["--config", "profile.dev.package.psionic.opt-level=1"];

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Good,
    /// Not as it should.
    Bad,
    /// It could not be done here.
    Skipped,
}

/// A step of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What came of it, in a line.
    pub detail: String,
    /// What more there is to say, in lines.
    pub more: Vec<String>,
    /// What the compiler says, as it says it, with colours.
    pub diagnostics: String,
    /// How long it took.
    pub time: Duration,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No step was bad.
    Good,
    /// This one was the first.
    Bad(&'static str),
    /// It was not wanted any more.
    Interrupted,
}

/// What a round compares with: the last one in which no step was bad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Good {
    resources: Option<Resources>,
    /// The median time of each case on the GPU, in nanoseconds.
    #[serde(default)]
    medians: BTreeMap<String, f64>,
}

/// A kernel of a checkout, and what its rounds need.
#[derive(Debug)]
pub struct Lab {
    checkout: Checkout,
    kernel: String,
    arch: NvvmArch,
    has_gpu: bool,
    folder: PathBuf,
    cargo: OsString,
    /// The name of cargo's subcommand that checks a crate.
    checker: &'static str,
    good: Option<Good>,
}

/// What a step has found; `None` when it was interrupted.
type Found = Result<Option<Step>, LabError>;
type Wanted<'a> = &'a mut dyn FnMut() -> bool;

impl Lab {
    /// For a kernel of a checkout, and for the GPU of this machine, if there is one, of this compute capability.
    ///
    /// # Errors
    /// When no source file declares the kernel.
    pub fn new(checkout: Checkout, kernel: &str, capability: Option<u32>) -> Result<Self, LabError> {
        checkout.check_kernel(kernel)?;
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| checkout.root().join("target"), |target| checkout.root().join(target));
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let has_clippy = Command::new(&cargo).args(["clippy", "--version"]).output();
        let mut lab = Self {
            kernel: kernel.to_owned(),
            arch: arch_of(capability.unwrap_or(USUAL_CAPABILITY)),
            has_gpu: capability.is_some(),
            folder: target.join("lab"),
            cargo,
            checker: if has_clippy.is_ok_and(|output| output.status.success()) { "clippy" } else { "check" },
            checkout,
            good: None,
        };
        // What cannot be read is nothing to compare with.
        let text = fs::read_to_string(lab.good_file()).ok();
        lab.good = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(lab)
    }

    /// Whether the first round has everything to compile.
    pub fn is_new(&self) -> bool {
        !self.folder.join("debug").exists()
    }

    /// Where the lab keeps what it compiles.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Does all steps until one is bad on which the others depend, and shows each when it is done. Asks again and again
    /// whether the round is still `wanted`.
    ///
    /// # Errors
    /// When a program cannot be started, or the last good figures cannot be kept.
    pub fn round(&mut self, wanted: Wanted<'_>, show: &mut dyn FnMut(&Step)) -> Result<Verdict, LabError> {
        let mut now = Good { resources: None, medians: BTreeMap::new() };
        let mut bad = None;
        for step in [Self::check, Self::ptx, Self::registers, Self::build, Self::test, Self::bench] {
            let start = Instant::now();
            let Some(mut step) = step(self, &mut now, wanted)? else { return Ok(Verdict::Interrupted) };
            step.time = start.elapsed();
            show(&step);
            if step.outcome == Outcome::Bad {
                bad = bad.or(Some(step.name));
                // The simulator runs what could not be made for a GPU.
                if self.has_gpu || step.name != PTX {
                    break;
                }
            }
        }
        match bad {
            Some(name) => Ok(Verdict::Bad(name)),
            None => {
                self.keep(now)?;
                Ok(Verdict::Good)
            }
        }
    }

    /// The kernels as the host sees them: types, borrows and lints. It takes half a second, so it is first.
    fn check(&self, _: &mut Good, wanted: Wanted<'_>) -> Found {
        let mut command = self.cargo(&[self.checker, "--quiet", "--package", "psionic-kernels"]);
        command.arg("--message-format=json-diagnostic-rendered-ansi");
        let Some(ended) = self.run(command, Errors::Shown, wanted)? else { return Ok(None) };
        let found = Diagnostics::of(&ended.stdout);
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut detail = match (found.errors, found.warnings) {
            (0, 0) if ended.status.success() => "nothing to complain about".to_owned(),
            (0, 0) => format!("cargo failed with {}", ended.status),
            (0, warnings) => count(warnings, "warning"),
            (errors, 0) => count(errors, "error"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        };
        if let Some(first) = &found.first {
            detail += &format!(": {first}");
        }
        let step =
            if ended.status.success() { Step::good("check", detail) } else { Step::bad("check", detail) };
        Ok(Some(Step { diagnostics: found.rendered, ..step }))
    }

    /// The kernels as the GPU sees them.
    fn ptx(&self, _: &mut Good, wanted: Wanted<'_>) -> Found {
        let mut command = self.cargo(&["run", "--quiet", "--package", "xtask", "--", "ptx"]);
        command.args(["--arch", self.arch.sm(), "--output"]).arg(self.ptx_file());
        let Some(ended) = self.run(command, Errors::Shown, wanted)? else { return Ok(None) };
        Ok(Some(if ended.status.success() {
            Step::good(PTX, format!("compiled for {}", self.arch))
        } else {
            Step::bad(PTX, format!("not compiled for {}, for the reason above", self.arch))
        }))
    }

    /// What the kernel takes of a GPU, and what it took in the last good round.
    fn registers(&self, now: &mut Good, _: Wanted<'_>) -> Found {
        const NAME: &str = "registers";
        if !self.ptx_file().is_file() {
            return Ok(Some(Step::skipped(NAME, "without PTX there are none")));
        }
        let before = self.good.as_ref().and_then(|good| good.resources);
        Ok(Some(match Resources::of(&self.ptx_file(), self.arch.sm(), &self.kernel) {
            Ok(resources) => {
                now.resources = Some(resources);
                let without = if resources.registers.is_none() {
                    "; ptxas, which counts registers, is not installed"
                } else {
                    ""
                };
                Step::good(NAME, resources.describe(before.as_ref()) + without)
            }
            Err(reason) => Step::bad(NAME, reason),
        }))
    }

    /// The program that tests and measures.
    fn build(&self, _: &mut Good, wanted: Wanted<'_>) -> Found {
        let mut command = self.cargo(&["build", "--quiet", "--package", "psionic", "--bin", "psionic"]);
        command.args(QUICK_BUILD);
        let Some(ended) = self.run(command, Errors::Shown, wanted)? else { return Ok(None) };
        Ok(Some(if ended.status.success() {
            Step::good("build", "the program that tests and measures")
        } else {
            Step::bad("build", "the host's code does not compile, for the reason above")
        }))
    }

    /// The kernel's results, on the simulator and on the GPU.
    fn test(&self, _: &mut Good, wanted: Wanted<'_>) -> Found {
        const NAME: &str = "test";
        if let Some(skipped) = self.cannot_be_launched(NAME) {
            return Ok(Some(skipped));
        }
        let backend = if self.has_gpu { "all" } else { "sim" };
        let command = self.psionic(&["test", &self.kernel, "--json", "--backend", backend]);
        let Some(ended) = self.run(command, Errors::Kept, wanted)? else { return Ok(None) };
        let Ok(tests) = serde_json::from_str::<Vec<Test>>(&ended.stdout) else {
            return Ok(Some(said(NAME, &ended)));
        };
        let (right, wrong): (Vec<&Test>, Vec<&Test>) = tests.iter().partition(|test| test.passed);
        let largest = right.iter().filter_map(|test| test.percent_of_bound).fold(0.0, f64::max);
        let mut devices: Vec<&str> = tests.iter().map(|test| test.device.as_str()).collect();
        devices.dedup();
        let devices = devices.join(", ");
        Ok(Some(if wrong.is_empty() && ended.status.success() {
            let largest = if largest > 0.0 {
                format!("an error of {largest:.1} % of its bound")
            } else {
                "no error".to_owned()
            };
            Step::good(NAME, format!("{} right, with at most {largest}; {devices}", right.len()))
        } else {
            let more = wrong.iter().map(|Test { kernel, case, backend, failure, .. }| {
                format!("{kernel}/{case} on {backend}: {}", failure.as_deref().unwrap_or("wrong"))
            });
            let detail = format!("{} wrong, {} right; {devices}", wrong.len(), right.len());
            Step { more: more.collect(), ..Step::bad(NAME, detail) }
        }))
    }

    /// The kernel's speed on the GPU, and how much faster it is than in the last good round.
    fn bench(&self, now: &mut Good, wanted: Wanted<'_>) -> Found {
        const NAME: &str = "bench";
        if let Some(skipped) = self.cannot_be_launched(NAME) {
            return Ok(Some(skipped));
        }
        if !self.has_gpu {
            return Ok(Some(Step::skipped(NAME, "there is no GPU here")));
        }
        let command = self.psionic(&["bench", &self.kernel, "--json", "--backend", "cuda"]);
        let Some(ended) = self.run(command, Errors::Kept, wanted)? else { return Ok(None) };
        let cases =
            serde_json::from_str::<Vec<Measured>>(&ended.stdout).ok().filter(|_| ended.status.success());
        let Some(cases) = cases else { return Ok(Some(said(NAME, &ended))) };
        let before = self.good.as_ref().map(|good| &good.medians);
        let mut more = Vec::new();
        for Measured { kernel, case, median_ns, gb_per_s } in cases {
            let name = format!("{kernel}/{case}");
            let change =
                before.and_then(|before| before.get(&name)).map(|before| 100.0 * (median_ns / before - 1.0));
            let change = change.map_or(String::new(), |change| format!(" ({change:+.1} %)"));
            let rate = gb_per_s.map_or(String::new(), |rate| format!(", {rate:.1} GB/s"));
            more.push(format!("{name}: {:.2} µs{change}{rate}", median_ns / 1e3));
            now.medians.insert(name, median_ns);
        }
        Ok(Some(Step { more, ..Step::good(NAME, "medians") }))
    }

    /// The step of a kernel that cannot be launched alone.
    fn cannot_be_launched(&self, name: &'static str) -> Option<Step> {
        let kernel = KERNELS.iter().find(|kernel| kernel.name == self.kernel)?;
        Some(Step::skipped(
            name,
            format!("it cannot be launched alone: `{}` measures it", kernel.measured_by?),
        ))
    }

    /// Cargo in the checkout, with the lab's target folder.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(self.checkout.root()).env("CARGO_TARGET_DIR", &self.folder);
        // Cargo's progress, also that of the cargo which xtask runs, says nothing in a round.
        command.env("CARGO_TERM_QUIET", "true");
        // Left by a cargo that runs us, these would be taken for a build script's.
        command.env_remove("OUT_DIR").env_remove("CARGO_MANIFEST_DIR");
        if !self.has_gpu {
            command.env("PSIONIC_SKIP_PTX", "1");
        }
        command
    }

    /// `psionic kernel` as the checkout has it.
    fn psionic(&self, arguments: &[&str]) -> Command {
        let mut command = self.cargo(&["run", "--quiet", "--package", "psionic", "--bin", "psionic"]);
        command.args(QUICK_BUILD).args(["--", "kernel"]).args(arguments);
        command
    }

    fn run(&self, command: Command, errors: Errors, wanted: Wanted<'_>) -> Result<Option<Ended>, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        child::run(command, errors, wanted).map_err(|source| LabError::Program { program, source })
    }

    fn ptx_file(&self) -> PathBuf {
        self.folder.join(format!("kernels_{}.ptx", self.arch))
    }

    fn good_file(&self) -> PathBuf {
        self.folder.join("good").join(format!("{}_{}.json", self.kernel, self.arch))
    }

    /// Keeps the figures of a good round, here and for the next start.
    fn keep(&mut self, good: Good) -> Result<(), LabError> {
        let path = self.good_file();
        let write = || {
            let folder = path.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&file, &good)?;
            file.persist(&path)?;
            Ok::<(), std::io::Error>(())
        };
        write().map_err(LabError::io(&path))?;
        self.good = Some(good);
        Ok(())
    }
}

/// The step whose failure the simulator can do without.
const PTX: &str = "ptx";

/// What is compiled for without a GPU.
const USUAL_CAPABILITY: u32 = 90;

/// The newest architecture that a GPU of this capability runs, of those that newer GPUs run, too.
fn arch_of(capability: u32) -> NvvmArch {
    let runs = |arch: &&NvvmArch| {
        arch.capability_value() <= capability && arch.sm().ends_with(|c: char| c.is_ascii_digit())
    };
    NvvmArch::ALL.iter().filter(runs).max_by_key(|arch| arch.capability_value()).copied().unwrap_or_default()
}

impl Step {
    fn new(name: &'static str, outcome: Outcome, detail: impl Into<String>) -> Self {
        let (more, diagnostics, time) = (Vec::new(), String::new(), Duration::ZERO);
        Self { name, outcome, detail: detail.into(), more, diagnostics, time }
    }

    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Good, detail)
    }

    fn bad(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Bad, detail)
    }

    fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skipped, detail)
    }
}

/// The step of a program that ended without a report: with what it says itself.
fn said(name: &'static str, ended: &Ended) -> Step {
    let mut lines = ended.stderr.lines().map(str::to_owned).filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_else(|| format!("the program failed with {}", ended.status));
    Step { more: lines.collect(), ..Step::bad(name, first) }
}

/// What a round reads of a record of `kernel test`.
#[derive(Deserialize)]
struct Test {
    kernel: String,
    case: String,
    backend: String,
    device: String,
    passed: bool,
    failure: Option<String>,
    percent_of_bound: Option<f64>,
}

/// What a round reads of a record of `kernel bench`.
#[derive(Deserialize)]
struct Measured {
    kernel: String,
    case: String,
    median_ns: f64,
    gb_per_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_is_the_newest_that_the_gpu_runs() {
        assert_eq!([80, 90, 100, 121].map(|n| arch_of(n).sm()), ["sm_80", "sm_90", "sm_100", "sm_121"]);
        assert_eq!(arch_of(95).sm(), "sm_90");
        assert_eq!(arch_of(999).sm(), "sm_121");
    }
}
