//! `psionic doctor`: what this machine has of what is needed, and the command that adds the rest.

use cuda_builder::compiler;
use cuda_driver::{DriverError, DriverVersion};
use cuda_ptx::tool::{self, Tool, ToolError};
use psionic::device::{
    self, BackendChoice, COMMIT, CodeSource, DeviceError, KERNELS, NoCodeCache, code_cache,
};
use serde::Serialize;

use super::failure::{Failure, Kind};
use super::style::{DIM, ERROR, GOOD, HINT};
use super::terminal::{bytes, one_line, print, print_json};

/// Check what this machine has of what is needed
///
/// Each line is a requirement, with the command that fulfils it where it is
/// not. Only the simulator is needed to run at all; the rest is for a GPU.
/// Exits with 0 when there is something to run on, and with 4 when
/// --require-gpu is given and the GPU cannot be used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic doctor
  psionic doctor --json
  psionic doctor --require-gpu && psionic bench -m model.gguf --backend cuda")]
pub struct Args {
    /// Fail, with exit code 4, when the GPU cannot be used
    #[arg(long)]
    require_gpu: bool,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is there.
    Ok,
    /// It is not, and something cannot be done for that.
    Missing,
    /// It is not, and nothing here needs it.
    Absent,
    /// It depends on something that is missing.
    Unknown,
}

/// A requirement on this machine.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    /// What it is for.
    purpose: &'static str,
    state: State,
    detail: String,
    /// What to do, where something is to be done.
    fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, purpose: &'static str, detail: impl ToString) -> Self {
        Self { name, purpose, state: State::Ok, detail: detail.to_string(), fix: None }
    }

    fn not(name: &'static str, purpose: &'static str, state: State, detail: impl ToString) -> Self {
        Self { name, purpose, state, detail: detail.to_string(), fix: None }
    }

    fn fix(mut self, fix: impl ToString) -> Self {
        self.fix = Some(fix.to_string());
        self
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let simulator = simulator();
    let driver = driver();
    let gpu = gpu(&driver);
    let simulates = simulator.state == State::Ok;
    let computes = gpu.state == State::Ok;
    let (kept, cache) = kept_code();
    let checks =
        [simulator, kernel_compiler(), ptx(), driver, gpu, kept, tool(Tool::Ptxas), tool(Tool::Nvdisasm)];
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        simulates,
        computes,
        cache,
        checks: &checks,
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(text(&report))?;
    }
    if args.require_gpu && !computes {
        return Err(Failure::new(
            Kind::Device,
            "the GPU cannot be used; `psionic doctor` says what is missing",
        ));
    }
    if !simulates && !computes {
        return Err(Failure::new(
            Kind::Device,
            "there is nothing to run on: neither the simulator nor a GPU works",
        ));
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    commit: &'static str,
    #[serde(rename = "simulator")]
    simulates: bool,
    #[serde(rename = "gpu")]
    computes: bool,
    cache: Cache,
    checks: &'a [Check],
}

/// The folder of compiled GPU code.
#[derive(Default, Serialize)]
struct Cache {
    path: Option<String>,
    writable: bool,
    entries: usize,
    bytes: u64,
}

fn text(report: &Report<'_>) -> String {
    let mut text = format!("psionic {} ({})\n\n", report.version, report.commit);
    for Check { name, purpose, state, detail, fix } in report.checks {
        let mark = match state {
            State::Ok => format!("{GOOD}✓{GOOD:#}"),
            State::Missing => format!("{ERROR}✗{ERROR:#}"),
            State::Absent | State::Unknown => format!("{DIM}-{DIM:#}"),
        };
        text += &format!("{mark} {name:<16} {}\n", one_line(detail));
        if *state != State::Ok {
            text += &format!("  {:<16} {DIM}for {purpose}{DIM:#}\n", "");
        }
        if let Some(fix) = fix {
            text += &format!("  {:<16} {HINT}fix:{HINT:#} {}\n", "", one_line(fix));
        }
    }
    let end = match (report.computes, report.simulates) {
        (true, _) => "The GPU is ready.",
        (false, true) => "The simulator is ready; the GPU cannot be used.",
        (false, false) => "There is nothing to run on.",
    };
    text + "\n" + end + "\n"
}

fn simulator() -> Check {
    const PURPOSE: &str = "running the kernels on the CPU";
    match device::open(BackendChoice::Sim) {
        Ok(device) => {
            let memory = bytes(device.info().memory_bytes);
            Check::ok("simulator", PURPOSE, format_args!("{}, {memory}", device.info().name))
        }
        Err(error) => Check::not("simulator", PURPOSE, State::Missing, error),
    }
}

fn kernel_compiler() -> Check {
    const PURPOSE: &str = "building this program with GPU code";
    match compiler::find() {
        Ok(compiler) => Check::ok("kernel compiler", PURPOSE, compiler),
        Err(error) => {
            let reasons: Vec<String> = error
                .rejected
                .iter()
                .map(|rejected| format!("{}: {}", rejected.candidate, rejected.reason))
                .collect();
            // A program that holds its GPU code runs without the compiler.
            let state = if KERNELS.missing.is_some() { State::Missing } else { State::Absent };
            Check::not("kernel compiler", PURPOSE, state, format_args!("none found ({})", reasons.join("; ")))
                .fix(error.advice())
        }
    }
}

fn ptx() -> Check {
    const PURPOSE: &str = "running the kernels on a GPU";
    match KERNELS.missing {
        None => {
            let archs: Vec<String> = KERNELS.ptx.iter().map(|(sm, _)| format!("sm_{sm}")).collect();
            let by = KERNELS.compiler.map(|compiler| format!(", compiled by {compiler}")).unwrap_or_default();
            Check::ok("GPU code", PURPOSE, format_args!("{}{by}", archs.join(", ")))
        }
        Some(reason) => Check::not("GPU code", PURPOSE, State::Missing, "none in this program").fix(reason),
    }
}

fn driver() -> Check {
    const LEAST: DriverVersion = DriverVersion::CUDA_12_0;
    const PURPOSE: &str = "using a GPU";
    match cuda_driver::status(LEAST) {
        Ok(found) => Check::ok("NVIDIA driver", PURPOSE, format_args!("CUDA {found} (at least {LEAST})")),
        // The driver is there and answers: what is missing is the GPU.
        Err(DriverError::NoDevice) => {
            Check::ok("NVIDIA driver", PURPOSE, format_args!("at least CUDA {LEAST}"))
        }
        Err(DriverError::NoDriver { tried }) => {
            Check::not("NVIDIA driver", PURPOSE, State::Missing, format_args!("none found ({tried})"))
                .fix("install the driver of this machine's GPU, after which `nvidia-smi` must work")
        }
        Err(DriverError::TooOld { found, required }) => Check::not(
            "NVIDIA driver",
            PURPOSE,
            State::Missing,
            format_args!("CUDA {found}, too old (at least {required})"),
        )
        .fix("update the driver"),
        Err(error) => Check::not("NVIDIA driver", PURPOSE, State::Missing, error)
            .fix("install the driver again, and restart the machine if `nvidia-smi` still fails"),
    }
}

fn gpu(driver: &Check) -> Check {
    const PURPOSE: &str = "decoding at full speed";
    if driver.state != State::Ok {
        return Check::not("GPU", PURPOSE, State::Unknown, "not seen without a driver");
    }
    match device::open(BackendChoice::Cuda) {
        Ok(device) => {
            let info = device.info();
            let sm = |value: Option<u32>| value.map_or_else(String::new, |value| format!("sm_{value}"));
            let code = info.code.map_or_else(String::new, |code| {
                let source = match code.source {
                    CodeSource::Cache => "found in the cache",
                    CodeSource::Compiled => "compiled",
                };
                format!(", {source} in {:.1} ms", code.ms)
            });
            Check::ok(
                "GPU",
                PURPOSE,
                format_args!(
                    "{}, {}, {}, {} multiprocessors, runs the code for {}{}",
                    info.name,
                    bytes(info.memory_bytes),
                    sm(info.compute_capability),
                    info.multiprocessors,
                    sm(info.ptx),
                    code
                ),
            )
        }
        Err(DeviceError::NoPtx { .. }) => {
            Check::not("GPU", PURPOSE, State::Unknown, "not used without GPU code")
        }
        Err(DeviceError::Driver(DriverError::NoDevice)) => {
            Check::not("GPU", PURPOSE, State::Missing, "the driver shows none to this process")
                .fix("look at `nvidia-smi`, CUDA_VISIBLE_DEVICES and the container's settings")
        }
        Err(error @ DeviceError::TooOld { .. }) => {
            Check::not("GPU", PURPOSE, State::Missing, error).fix("use a newer GPU, or the simulator")
        }
        Err(error) => Check::not("GPU", PURPOSE, State::Missing, error)
            .fix("see whether `nvidia-smi` works and the GPU is free, then update the driver"),
    }
}

fn kept_code() -> (Check, Cache) {
    const NAME: &str = "code cache";
    const PURPOSE: &str = "not compiling the GPU code at every start";
    const FIX: &str = "name a folder that only you can write to in PSIONIC_CACHE";
    match code_cache() {
        Ok(found) => {
            // A folder that cannot be listed has nothing to offer.
            let usage = found.usage().unwrap_or_default();
            let cache = Cache {
                path: Some(found.folder().display().to_string()),
                writable: found.is_writable(),
                entries: usage.entries,
                bytes: usage.bytes,
            };
            let entries = if cache.entries == 1 { "entry" } else { "entries" };
            let detail =
                format!("{}, {} {entries}, {}", found.folder().display(), cache.entries, bytes(cache.bytes));
            let check = if cache.writable {
                Check::ok(NAME, PURPOSE, detail)
            } else {
                Check::not(NAME, PURPOSE, State::Absent, detail + ", cannot be written").fix(FIX)
            };
            (check, cache)
        }
        Err(error @ NoCodeCache::Off) => (Check::not(NAME, PURPOSE, State::Absent, error), Cache::default()),
        Err(error) => {
            let path = error.folder().map(|folder| folder.display().to_string());
            (Check::not(NAME, PURPOSE, State::Absent, error).fix(FIX), Cache { path, ..Cache::default() })
        }
    }
}

fn tool(tool: Tool) -> Check {
    let purpose = match tool {
        Tool::Ptxas => "registers, spills and occupancy in `psionic ptx`; nothing needs it to run",
        Tool::Nvdisasm => "machine code in `psionic ptx`; nothing needs it to run",
    };
    match tool.find() {
        Ok(path) => {
            let version = tool::version(&path).map_or_else(String::new, |version| format!("{version}, "));
            Check::ok(tool.name(), purpose, format_args!("{version}{}", path.display()))
        }
        Err(error @ ToolError::Named { .. }) => Check::not(tool.name(), purpose, State::Absent, error)
            .fix(format_args!("correct {} or unset it", tool.variable())),
        Err(_) => {
            Check::not(tool.name(), purpose, State::Absent, "not installed (optional)").fix(tool.advice())
        }
    }
}
