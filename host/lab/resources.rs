//! What a kernel takes of a GPU: instructions from its PTX, registers and memory from ptxas where that is installed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cuda_ptx::tool::{self, ToolError};
use serde::{Deserialize, Serialize};

/// What a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Instructions of its PTX entry.
    pub instructions: u64,
    /// What ptxas says; `None` without ptxas.
    pub registers: Option<Registers>,
}

/// What ptxas gives a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of a thread's local memory.
    pub stack: u32,
    /// Bytes that it stores for want of registers.
    pub spill_stores: u32,
    /// Bytes that it loads for want of registers.
    pub spill_loads: u32,
    /// Bytes of a block's shared memory that the kernel itself declares.
    pub shared: u32,
}

impl Resources {
    /// Those of a kernel in a file of PTX for an architecture.
    ///
    /// # Errors
    /// In a sentence: the file has no such kernel, or ptxas refuses it.
    pub fn of(ptx: &Path, arch: &str, kernel: &str) -> Result<Self, String> {
        let text =
            fs::read_to_string(ptx).map_err(|error| format!("{} cannot be read: {error}", ptx.display()))?;
        Ok(Self { instructions: instructions(&text, kernel)?, registers: assemble(&text, arch, kernel)? })
    }

    /// In a line, with what has changed since `before`.
    pub fn describe(&self, before: Option<&Self>) -> String {
        let mut text = String::new();
        let mut add = |now: u64, before: Option<u64>, what: &str| {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{now} {what}");
            if let Some(change) =
                before.map(|before| now as i64 - before as i64).filter(|change| *change != 0)
            {
                let _ = write!(text, " ({change:+})");
            }
        };
        if let Some(now) = self.registers {
            let before = before.and_then(|before| before.registers);
            let was = |value: fn(&Registers) -> u32| before.as_ref().map(value).map(u64::from);
            add(now.registers.into(), was(|r| r.registers), "registers");
            add(now.spill_stores.into(), was(|r| r.spill_stores), "bytes spilled");
            let mut bytes = |now: u32, before: Option<u64>, what: &str| {
                if now > 0 || before.is_some_and(|before| before > 0) {
                    add(now.into(), before, what);
                }
            };
            bytes(now.spill_loads, was(|r| r.spill_loads), "bytes of spills loaded");
            bytes(now.stack, was(|r| r.stack), "bytes of stack");
            bytes(now.shared, was(|r| r.shared), "bytes of shared memory");
        }
        add(self.instructions, before.map(|before| before.instructions), "PTX instructions");
        text
    }
}

/// The instructions of an entry.
fn instructions(ptx: &str, kernel: &str) -> Result<u64, String> {
    let module = cuda_ptx::parse(ptx).map_err(|error| error.to_string())?;
    let entry = module.functions.iter().find(|function| function.name == kernel);
    let body = entry.and_then(|entry| entry.body.as_ref());
    let body = body.ok_or_else(|| format!("the PTX has no entry called {kernel}"))?;
    Ok(body.instructions().count() as u64)
}

/// Has ptxas compile a kernel; `None` without ptxas.
fn assemble(ptx: &str, arch: &str, kernel: &str) -> Result<Option<Registers>, String> {
    let assembled = match tool::assemble_entry(ptx, arch, kernel) {
        Ok(assembled) => assembled,
        Err(ToolError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let found = assembled.resources.get(kernel).ok_or_else(|| format!("ptxas says nothing of {kernel}"))?;
    Ok(Some(Registers {
        registers: found.registers,
        stack: found.stack_bytes,
        spill_stores: found.spill_store_bytes,
        spill_loads: found.spill_load_bytes,
        shared: found.shared_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "\
.version 7.8
.target sm_90
.address_size 64
.visible .entry other()
{
\tret;
}
.visible .entry scale(
\t.param .u32 scale_param_0
)
.maxntid 256
{
\t.reg .b32 %r<3>;
\tmov.u32 \t%r1, %tid.x;
\tadd.s32 \t%r2, %r1, 1;
\tret;
}
";

    #[test]
    fn instructions_are_those_of_the_entry() {
        assert_eq!(instructions(PTX, "scale"), Ok(3));
        assert_eq!(instructions(PTX, "other"), Ok(1));
        assert!(instructions(PTX, "scal").unwrap_err().contains("scal"));
        assert!(instructions(PTX.trim_end().strip_suffix('}').unwrap(), "scale").is_err());
    }

    #[test]
    fn registers_are_those_of_the_entry() {
        match assemble(PTX, "sm_90", "scale") {
            Ok(Some(registers)) => assert!(registers.registers > 0 && registers.spill_stores == 0),
            Ok(None) => eprintln!("not tested: ptxas is not installed"),
            Err(error) => panic!("{error}"),
        }
    }

    const SCALE: Registers =
        Registers { registers: 24, stack: 16, spill_stores: 8, spill_loads: 12, shared: 1024 };

    #[test]
    fn a_line_tells_what_has_changed() {
        let few = Registers { registers: 26, ..Registers::default() };
        let now = Resources { instructions: 46, registers: Some(few) };
        assert_eq!(now.describe(None), "26 registers, 0 bytes spilled, 46 PTX instructions");
        assert_eq!(now.describe(Some(&now)), now.describe(None));
        let before = Resources { instructions: 49, registers: Some(SCALE) };
        assert_eq!(
            now.describe(Some(&before)),
            "26 registers (+2), 0 bytes spilled (-8), 0 bytes of spills loaded (-12), 0 bytes of stack (-16), \
             0 bytes of shared memory (-1024), 46 PTX instructions (-3)"
        );
        let counted = Resources { instructions: 46, registers: None };
        assert_eq!(counted.describe(Some(&before)), "46 PTX instructions (-3)");
    }
}
