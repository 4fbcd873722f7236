//! What the assembler tells.
use std::{collections::BTreeMap, fs, process::Command};

use serde::Serialize;
use tempfile::TempDir;

use super::{Tool, ToolError, run};

/// What a kernel takes, once it is assembled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that a thread writes to local memory for want of registers.
    pub spill_store_bytes: u32,
    /// Bytes that it reads back.
    pub spill_load_bytes: u32,
    /// Its stack, in bytes: arrays and spills.
    pub stack_bytes: u32,
    /// Static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Constant memory, in bytes.
    pub constant_bytes: u32,
    /// The numbers of barriers that it uses.
    pub barriers: u32,
}

/// Assembled code.
#[derive(Debug)]
pub struct Assembled {
    /// The target: `sm_90`.
    pub target: String,
    /// By name of the entry or function. The assembler tells nothing of a function but its stack and spills.
    pub resources: BTreeMap<String, Resources>,
    /// Holds the code.
    pub(super) folder: TempDir,
}

/// The name of the code in its folder.
pub(super) const CUBIN: &str = "kernels.cubin";

/// Assembles PTX for a target, with the lines that its code comes from, which change no code.
pub fn assemble(ptx: &str, target: &str) -> Result<Assembled, ToolError> {
    assemble_with(ptx, target, &[])
}

/// The same, of one entry and what it calls: it takes less time.
pub fn assemble_entry(ptx: &str, target: &str, entry: &str) -> Result<Assembled, ToolError> {
    assemble_with(ptx, target, &["-e", entry])
}

fn assemble_with(ptx: &str, target: &str, options: &[&str]) -> Result<Assembled, ToolError> {
    let tool = Tool::Ptxas;
    let path = tool.find()?;
    let io = |source| ToolError::Io { tool, source };
    let folder = tempfile::tempdir().map_err(io)?;
    fs::write(folder.path().join("kernels.ptx"), ptx).map_err(io)?;
    // Names without folders, which its messages repeat.
    let mut command = Command::new(path);
    command.current_dir(folder.path()).args(["-v", "-lineinfo", "-arch", target, "-o", CUBIN]);
    command.args(options).arg("kernels.ptx");
    let (printed, said) = run(tool, &mut command)?;
    Ok(Assembled { target: target.to_owned(), resources: resources(&(said + &printed)), folder })
}

/// What `ptxas -v` says.
fn resources(said: &str) -> BTreeMap<String, Resources> {
    let mut found: BTreeMap<String, Resources> = BTreeMap::new();
    let mut entry: Option<&str> = None;
    let mut function: Option<&str> = None;
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            entry = rest.split('\'').next();
            function = entry;
            found.entry(entry.unwrap_or_default().to_owned()).or_default();
        } else if let Some((_, name)) = line.split_once("Function properties for ") {
            function = Some(name.trim());
        } else if line.contains("bytes stack frame") {
            let Some(name) = function else { continue };
            let resources = found.entry(name.to_owned()).or_default();
            for (number, what) in line.split(',').filter_map(|part| part.trim().split_once(" bytes ")) {
                let Ok(number) = number.parse() else { continue };
                match what {
                    "stack frame" => resources.stack_bytes = number,
                    "spill stores" => resources.spill_store_bytes = number,
                    "spill loads" => resources.spill_load_bytes = number,
                    _ => {}
                }
            }
        } else if let Some((_, used)) = line.split_once("Used ") {
            let Some(name) = entry else { continue };
            let resources = found.entry(name.to_owned()).or_default();
            for part in used.split(',') {
                let part = part.trim();
                let part = part.strip_prefix("used ").unwrap_or(part);
                let Some((Ok(number), what)) =
                    part.split_once(' ').map(|(number, what)| (number.parse::<u32>(), what))
                else {
                    continue;
                };
                match what {
                    "registers" => resources.registers = number,
                    "barriers" | "barrier" => resources.barriers = number,
                    "bytes smem" => resources.shared_bytes = number,
                    _ if what.starts_with("bytes cmem") => resources.constant_bytes += number,
                    _ => {}
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90'
ptxas info    : Function properties for a
    64 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 64 bytes cumulative stack size, 128 bytes smem, 400 bytes cmem[0], 8 bytes cmem[2]
ptxas info    : Compile time = 13.469 ms
ptxas info    : Function properties for helper
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers
";

    #[test]
    fn everything_that_it_says_is_read() {
        let found = resources(SAID);
        let a = Resources {
            registers: 40,
            spill_store_bytes: 8,
            spill_load_bytes: 12,
            stack_bytes: 64,
            shared_bytes: 128,
            constant_bytes: 408,
            barriers: 1,
        };
        assert_eq!(found["a"], a);
        assert_eq!(found["helper"], Resources { stack_bytes: 16, ..Resources::default() });
        assert_eq!(found["b"], Resources { registers: 8, ..Resources::default() });
        assert!(resources("anything else").is_empty());
    }
}
