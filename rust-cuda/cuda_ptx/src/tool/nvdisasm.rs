//! Machine code as text.
use std::process::Command;

use serde::Serialize;

use super::{Assembled, Tool, ToolError, ptxas::CUBIN, run};

/// The machine code of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SassFunction {
    /// Its name.
    pub name: String,
    /// Its instructions and labels.
    pub lines: Vec<SassLine>,
}

impl SassFunction {
    /// The instructions: labels are none.
    pub fn instructions(&self) -> impl Iterator<Item = &SassLine> {
        self.lines.iter().filter(|line| line.address.is_some())
    }
}

/// An instruction or a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SassLine {
    /// Its address in the function; a label has none.
    pub address: Option<u64>,
    /// Its text.
    pub text: String,
    /// The line of the PTX that it comes from.
    pub ptx_line: Option<u32>,
}

/// Disassembles assembled code. Padding behind a function's end is left out.
pub fn disassemble(assembled: &Assembled) -> Result<Vec<SassFunction>, ToolError> {
    let tool = Tool::Nvdisasm;
    let mut command = Command::new(tool.find()?);
    command.current_dir(assembled.folder.path()).args(["-c", "-gp", CUBIN]);
    let (printed, _) = run(tool, &mut command)?;
    Ok(functions(&printed))
}

fn functions(printed: &str) -> Vec<SassFunction> {
    let mut found: Vec<SassFunction> = Vec::new();
    let mut ptx_line = None;
    for line in printed.lines() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix(".section\t").or_else(|| line.strip_prefix(".section ")) {
            ptx_line = None;
            if let Some(name) = section.trim().strip_prefix(".text.") {
                let name = name.split(',').next().unwrap_or_default().to_owned();
                found.push(SassFunction { name, lines: Vec::new() });
            }
            continue;
        }
        let Some(function) = found.last_mut() else { continue };
        if let Some(place) = line.strip_prefix("//## File ") {
            // `".nv_debug_ptx_txt", line 12`, perhaps with what follows.
            if place.starts_with("\".nv_debug_ptx") {
                ptx_line = place.split("line ").nth(1).and_then(number);
            }
        } else if let Some((address, text)) = line.strip_prefix("/*").and_then(|line| line.split_once("*/")) {
            if let Ok(address) = u64::from_str_radix(address, 16) {
                let text = text.split("/*").next().unwrap_or_default().trim().to_owned();
                function.lines.push(SassLine { address: Some(address), text, ptx_line });
            }
        } else if line.starts_with(".L") && line.ends_with(':') {
            function.lines.push(SassLine { address: None, text: line.to_owned(), ptx_line: None });
        }
    }
    for function in &mut found {
        trim(function);
    }
    found
}

/// Removes what fills a function up behind its code: empty instructions, and before them a jump to itself.
fn trim(function: &mut SassFunction) {
    let is_code = |line: &SassLine| line.address.is_some() && !line.text.starts_with("NOP");
    while let Some(last) = function.lines.iter().rposition(is_code) {
        if !is_own(function, last) {
            function.lines.truncate(last + 1);
            return;
        }
        function.lines.truncate(last);
    }
}

/// Whether an instruction jumps to the label right before it.
fn is_own(function: &SassFunction, at: usize) -> bool {
    let label = at.checked_sub(1).and_then(|before| function.lines.get(before));
    let label = label.filter(|label| label.address.is_none()).map(|label| label.text.trim_end_matches(':'));
    label.is_some_and(|label| function.lines[at].text.contains(&format!("({label})")))
}

fn number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
\t.target\tsm_90

//--------------------- .text.k              --------------------------
\t.section\t.text.k,\"ax\",@progbits
k:
.text.k:
\t//## File \".nv_debug_ptx_txt\", line 8
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
\t//## File \"/src/k.rs\", line 20
\t//## File \".nv_debug_ptx_txt\", line 9 inlined at \"x\", line 3
        /*0010*/               @P0 EXIT ;
.L_x_2:
        /*0020*/                   BRA `(.L_x_2);
        /*0030*/                   NOP;
.L_x_3:
";

    #[test]
    fn instructions_have_addresses_and_lines() {
        let found = functions(PRINTED);
        let line = |address, text: &str, ptx_line| SassLine { address, text: text.into(), ptx_line };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "k");
        assert_eq!(
            found[0].lines[..3],
            [
                line(Some(0), "LDC R1, c[0x0][0x28] ;", Some(8)),
                line(None, ".L_x_1:", None),
                line(Some(16), "@P0 EXIT ;", Some(9)),
            ]
        );
        assert_eq!(found[0].instructions().count(), 2);
    }
}
