//! The GPU as `nvidia-smi` sees it: whether it is idle, and its state for the record.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::programs::output;

/// Per cent of time in which an idle GPU may still have worked.
const IDLE: u32 = 5;

/// What is asked for the record.
const FIELDS: &str = "name,driver_version,utilization.gpu,memory.used,memory.total,temperature.gpu,clocks.sm,clocks.mem,\
    clocks.max.sm,clocks.max.mem,power.draw,power.limit";

/// What `nvidia-smi` says of a GPU, under the names that it is asked by.
pub type GpuState = BTreeMap<String, String>;

/// A GPU of this machine.
#[derive(Debug)]
pub struct Gpu {
    /// `nvidia-smi`.
    pub program: PathBuf,
    /// Its number.
    pub index: u32,
    /// How long to wait for it to become idle: `nvidia-smi` reports the work of the second before.
    pub patience: Duration,
}

impl Gpu {
    /// Waits until nobody uses the GPU and returns its state.
    ///
    /// # Errors
    /// When somebody still does after [`patience`](Self::patience), or it cannot be asked.
    pub fn idle(&self) -> Result<GpuState, Failure> {
        let start = Instant::now();
        loop {
            let state = self.state()?;
            let Some(reason) = self.busy(&state)? else { return Ok(state) };
            if start.elapsed() >= self.patience {
                return Err(Failure(format!(
                    "expected GPU {} to be idle, found {reason}: figures would mean nothing; wait until it is free",
                    self.index
                )));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Who uses it, if anybody does.
    fn busy(&self, state: &GpuState) -> Result<Option<String>, Failure> {
        let programs = self.query("--query-compute-apps=pid,process_name")?;
        if let Some(program) = programs.lines().find(|line| !line.trim().is_empty()) {
            return Ok(Some(format!("it used by process {}", program.trim())));
        }
        // Some kinds of GPU have no such figure: then the list of programs decides.
        let used = state.get("utilization.gpu").and_then(|used| used.parse::<u32>().ok());
        Ok(used.filter(|used| *used > IDLE).map(|used| format!("it {used} % busy")))
    }

    fn state(&self) -> Result<GpuState, Failure> {
        let line = self.query(&format!("--query-gpu={FIELDS}"))?;
        let values: Vec<&str> = line.trim().split(',').map(str::trim).collect();
        let names: Vec<&str> = FIELDS.split(',').collect();
        if values.len() != names.len() {
            return Err(Failure(format!(
                "expected {} values from nvidia-smi, found {:?}; check the driver",
                names.len(),
                line.trim()
            )));
        }
        Ok(names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect())
    }

    fn query(&self, what: &str) -> Result<String, Failure> {
        let index = self.index.to_string();
        let mut command = Command::new(&self.program);
        command.args([what, "--format=csv,noheader,nounits", "-i", &index]);
        output(&mut command).map_err(|Failure(reason)| {
            Failure(format!(
                "the GPU cannot be checked, because {reason}; install the NVIDIA driver, or try the command with --cpu"
            ))
        })
    }
}
