//! What NVIDIA's tools say of a text, and how much of it a multiprocessor holds.

use std::collections::BTreeMap;

use cuda_ptx::gpu::{Capability, GPUS, Gpu};
use cuda_ptx::occupancy::{BlockNeeds, Occupancy, occupancy};
use cuda_ptx::tool::{self, Assembled, Resources, SassFunction, Tool, ToolError};
use cuda_ptx::{FunctionAnalysis, Module};
use serde::Serialize;

use super::input::Text;
use crate::cli::failure::Failure;

/// The threads of a block of which nothing is known.
const THREADS: u32 = 256;

/// For which GPU, and launched how.
#[derive(Debug, Default, clap::Args)]
pub struct MachineArgs {
    /// The GPU, as in H100 or "RTX 4080", or a target, as in sm_89; by default
    /// the target of the PTX
    #[arg(long, value_name = "NAME", value_parser = parse_gpu)]
    gpu: Option<Wanted>,

    /// The threads of a block; by default the most that the kernel allows, or
    /// 256
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,

    /// The dynamic shared memory of a block, in bytes
    #[arg(long, value_name = "BYTES")]
    dynamic_shared: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    gpu: Option<Gpu>,
    capability: u32,
}

fn parse_gpu(name: &str) -> Result<Wanted, String> {
    if let Some(gpu) = Gpu::of(name) {
        return Ok(Wanted { gpu: Some(gpu), capability: gpu.capability });
    }
    match Capability::of_target(name) {
        Some(found) => Ok(Wanted { gpu: None, capability: found.capability }),
        None => {
            let known: Vec<&str> = GPUS.iter().map(|gpu| gpu.name).collect();
            Err(format!("expected a target such as sm_90 or one of {}", known.join(", ")))
        }
    }
}

/// What is known of a text beyond it.
#[derive(Debug)]
pub struct Machine {
    /// The target that it is assembled for.
    pub target: String,
    /// The GPU, if it has a name.
    pub gpu: Option<Gpu>,
    /// The assembler's version.
    pub ptxas: Option<String>,
    /// What could not be found out, and what to do.
    pub notes: Vec<String>,
    assembled: Option<Assembled>,
    capability: Option<Capability>,
    threads: Option<u32>,
    dynamic_shared: Option<u32>,
}

impl MachineArgs {
    /// The compute capability that was asked for.
    pub fn capability(&self) -> Option<u32> {
        self.gpu.map(|wanted| wanted.capability)
    }

    /// Asks the assembler.
    pub fn machine(&self, text: &Text, module: &Module<'_>) -> Result<Machine, Failure> {
        let own = module.targets.first().copied().unwrap_or_default();
        let target = match &self.gpu {
            // Code for `sm_90a` is for no other target, and for all GPUs of that capability.
            Some(wanted)
                if Capability::of_target(own).map(|own| own.capability) != Some(wanted.capability) =>
            {
                format!("sm_{}", wanted.capability)
            }
            _ => own.to_owned(),
        };
        let mut notes = Vec::new();
        let needed = Capability::of_target(own).map(|own| own.capability);
        let assembled = if self.capability().zip(needed).is_some_and(|(wanted, needed)| wanted < needed) {
            notes
                .push(format!("no registers, spills and occupancy: code for {own} does not run on {target}"));
            None
        } else {
            match tool::assemble(&text.text, &target) {
                Ok(assembled) => Some(assembled),
                Err(error) => {
                    notes.push(note(&error, "registers, spills and occupancy")?);
                    None
                }
            }
        };
        Ok(Machine {
            capability: Capability::of_target(&target),
            target,
            gpu: self.gpu.as_ref().and_then(|wanted| wanted.gpu),
            ptxas: assembled.as_ref().and_then(|_| tool::version(&Tool::Ptxas.find().ok()?)),
            notes,
            assembled,
            threads: self.threads,
            dynamic_shared: self.dynamic_shared,
        })
    }
}

/// What is missing for want of a tool. A variable that names the wrong file is a mistake of the user's.
fn note(error: &ToolError, missing: &str) -> Result<String, Failure> {
    match error {
        ToolError::Named { .. } => Err(Failure::usage(error)),
        _ => Ok(format!("no {missing}: {error}")),
    }
}

impl Machine {
    /// What the assembler says of a function.
    pub fn resources(&self, name: &str) -> Option<&Resources> {
        self.assembled.as_ref()?.resources.get(name)
    }

    /// What it says of all.
    pub fn all_resources(&self) -> BTreeMap<String, Resources> {
        self.assembled.as_ref().map(|assembled| assembled.resources.clone()).unwrap_or_default()
    }

    /// How many blocks of a kernel a multiprocessor holds.
    pub fn occupancy(&self, function: &FunctionAnalysis) -> Option<Occupancy> {
        let resources = self.resources(&function.name).filter(|_| function.entry)?;
        let fixed = u64::from(resources.shared_bytes).max(function.shared.static_bytes);
        let needs = BlockNeeds {
            threads: self.threads.or(function.max_threads).unwrap_or(THREADS),
            registers: resources.registers,
            shared_bytes: u32::try_from(fixed)
                .unwrap_or(u32::MAX)
                .saturating_add(self.dynamic_shared.unwrap_or(0)),
        };
        occupancy(&self.capability?, needs)
    }

    /// Whether a kernel takes shared memory that nothing is known of.
    pub fn lacks_shared(&self, function: &FunctionAnalysis) -> bool {
        function.shared.dynamic && self.dynamic_shared.is_none()
    }

    /// The machine code. Why there is none is added to the notes.
    pub fn sass(&mut self) -> Result<Vec<SassFunction>, Failure> {
        let Some(assembled) = &self.assembled else { return Ok(Vec::new()) };
        match tool::disassemble(assembled) {
            Ok(sass) => Ok(sass),
            Err(error) => {
                self.notes.push(note(&error, "machine code")?);
                Ok(Vec::new())
            }
        }
    }

    /// What the assembler was asked for.
    pub fn record(&self) -> MachineRecord {
        MachineRecord {
            target: self.target.clone(),
            gpu: self.gpu.map(|gpu| gpu.name),
            multiprocessors: self.gpu.map(|gpu| gpu.multiprocessors),
            ptxas: self.ptxas.clone(),
        }
    }
}

/// For what the code was assembled.
#[derive(Serialize)]
pub struct MachineRecord {
    target: String,
    gpu: Option<&'static str>,
    multiprocessors: Option<u32>,
    ptxas: Option<String>,
}
