//! What a kernel takes of a GPU: instructions from its PTX, registers and memory from ptxas where that is installed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::tools::find_tool;

/// What a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Instructions of its PTX entry.
    pub instructions: u32,
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
        let instructions =
            instructions(&text, kernel).ok_or_else(|| format!("the PTX has no entry called {kernel}"))?;
        Ok(Self { instructions, registers: assemble(ptx, arch, kernel)? })
    }

    /// In a line, with what has changed since `before`.
    pub fn describe(&self, before: Option<&Self>) -> String {
        let mut text = String::new();
        let mut add = |now: u32, before: Option<u32>, what: &str| {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{now} {what}");
            if let Some(change) =
                before.map(|before| i64::from(now) - i64::from(before)).filter(|change| *change != 0)
            {
                let _ = write!(text, " ({change:+})");
            }
        };
        if let Some(now) = self.registers {
            let before = before.and_then(|before| before.registers);
            let was = |value: fn(&Registers) -> u32| before.as_ref().map(value);
            add(now.registers, was(|r| r.registers), "registers");
            add(now.spill_stores, was(|r| r.spill_stores), "bytes spilled");
            let mut bytes = |now: u32, before: Option<u32>, what: &str| {
                if now > 0 || before.is_some_and(|before| before > 0) {
                    add(now, before, what);
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

/// The instructions of an entry: lines that end with a semicolon and are no directives.
fn instructions(ptx: &str, kernel: &str) -> Option<u32> {
    let entry = format!(".entry {kernel}(");
    let body = &ptx[ptx.find(&entry)?..];
    let (mut depth, mut count) = (0, 0);
    for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        depth += line.matches('{').count() as i64 - line.matches('}').count() as i64;
        if line.starts_with('}') && depth == 0 {
            return Some(count);
        }
        // Before the body there are parameters, which end with no semicolon.
        let instruction = line.split("//").next().unwrap_or_default().trim_end();
        if instruction.ends_with(';') && !instruction.starts_with('.') {
            count += 1;
        }
    }
    None
}

/// Has ptxas compile a kernel; `None` without ptxas.
fn assemble(ptx: &Path, arch: &str, kernel: &str) -> Result<Option<Registers>, String> {
    let Some(ptxas) = find_tool("ptxas") else { return Ok(None) };
    let cubin = ptx.with_extension("cubin");
    let mut command = Command::new(&ptxas);
    command.arg("-v").arg(format!("-arch={arch}")).args(["-e", kernel, "-o"]).arg(&cubin).arg(ptx);
    let output = command.output().map_err(|error| format!("{} cannot be run: {error}", ptxas.display()))?;
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let first =
            said.lines().find(|line| !line.trim().is_empty()).unwrap_or("ptxas failed and says nothing");
        return Err(first.trim().to_owned());
    }
    registers(&said, kernel).map(Some).ok_or_else(|| format!("{} says nothing of {kernel}", ptxas.display()))
}

/// What `ptxas -v` says of an entry.
fn registers(said: &str, kernel: &str) -> Option<Registers> {
    let begin = format!("Compiling entry function '{kernel}'");
    let of_kernel = said.lines().skip_while(|line| !line.contains(&begin)).skip(1);
    let mut found = None::<Registers>;
    let mut memory = Registers::default();
    for line in of_kernel.take_while(|line| !line.contains("Compiling entry function")) {
        // "Used 24 registers, used 1 barriers, 1024 bytes smem", and before it of the entry, then of its functions
        // "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads".
        let part = |what: &str| {
            let part = line.split(',').map(str::trim).find(|part| part.ends_with(what))?;
            part.split_whitespace().find_map(|word| word.parse::<u32>().ok())
        };
        memory.stack = memory.stack.max(part("bytes stack frame").unwrap_or(0));
        memory.spill_stores += part("bytes spill stores").unwrap_or(0);
        memory.spill_loads += part("bytes spill loads").unwrap_or(0);
        if let Some(registers) = part("registers").filter(|_| found.is_none()) {
            found = Some(Registers { registers, shared: part("bytes smem").unwrap_or(0), ..memory });
        }
    }
    found.map(|found| Registers { registers: found.registers, shared: found.shared, ..memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "\
.visible .entry other(
\t.param .u64 other_param_0
)
{
\tret;
}
.visible .entry scale(
\t.param .u64 .ptr .align 1 scale_param_0,
\t.param .u32 scale_param_1
)
.maxntid 256
{
\t.reg .pred \t%p<2>;
\t.loc\t1 2 3; // somewhere
\tld.param.u64 \t%rd1, [scale_param_0]; // a comment
\t// add.s32 %r9, %r9, 1;
\t{
\t.reg .b32 %t;
\tmov.u32 \t%r1, %tid.x;
\t}
\t@%p1 bra \t$L__BB0_2;
$L__BB0_2:
\tret;
}
";

    #[test]
    fn instructions_are_those_of_the_entry() {
        assert_eq!(instructions(PTX, "scale"), Some(4));
        assert_eq!(instructions(PTX, "other"), Some(1));
        assert_eq!(instructions(PTX, "scal"), None);
        assert_eq!(instructions(PTX.trim_end().strip_suffix('}').unwrap(), "scale"), None);
    }

    const SAID: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'scale' for 'sm_90'
ptxas info    : Function properties for scale
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem, 384 bytes cmem[0]
ptxas info    : Compile time = 13.204 ms
ptxas info    : Compiling entry function 'other' for 'sm_90'
ptxas info    : Function properties for other
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 4 registers, used 0 barriers
";

    const SCALE: Registers =
        Registers { registers: 24, stack: 16, spill_stores: 8, spill_loads: 12, shared: 1024 };

    #[test]
    fn registers_are_those_of_the_entry() {
        assert_eq!(registers(SAID, "scale"), Some(SCALE));
        assert_eq!(registers(SAID, "other"), Some(Registers { registers: 4, ..Registers::default() }));
        assert_eq!(registers(SAID, "absent"), None);
    }

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
