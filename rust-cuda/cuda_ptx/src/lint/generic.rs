//! Generic accesses whose space is known.
use std::collections::HashMap;

use super::{Finding, Lint, Subject};
use crate::{
    Operand,
    class::{Access, Space, memory},
};

/// Accesses whose address comes from a `cvta` of one space, or is the name of a variable, over sums.
///
/// A kernel's pointer parameters are not looked at: that they point to global memory is a custom, which the assembler
/// knows too.
pub fn check(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    let spaces = known(subject);
    for instruction in subject.body.instructions() {
        let Some(memory) = memory(instruction) else { continue };
        if memory.space != Space::Generic || memory.access == Access::Prefetch {
            continue;
        }
        let address = instruction.operands.iter().find_map(|operand| match operand {
            Operand::Address(parts) => parts.first(),
            _ => None,
        });
        if let Some(space) = address.and_then(|part| base(part)).and_then(|name| spaces.get(name)) {
            let message = format!("this address is in {space} memory, and the access is generic");
            findings.push(subject.finding(Lint::GenericAccess, instruction, message));
        }
    }
}

/// The spaces of registers that are written once, and of variables.
fn known<'a>(subject: &Subject<'_, 'a>) -> HashMap<&'a str, &'a str> {
    let mut writers: HashMap<&str, u32> = HashMap::new();
    for instruction in subject.body.instructions() {
        if let Some(Operand::Name(to)) = instruction.operands.first() {
            *writers.entry(to).or_default() += 1;
        }
    }
    let mut spaces: HashMap<&'a str, &'a str> = HashMap::new();
    // In the order of the text: what an address is made from mostly stands above it.
    for instruction in subject.body.instructions() {
        let [Operand::Name(to), from, ..] = instruction.operands.as_slice() else { continue };
        if writers.get(to) != Some(&1) {
            continue;
        }
        let space = match instruction.base() {
            "cvta" if !instruction.has("to") => {
                ["global", "shared", "local", "const"].into_iter().find(|space| instruction.has(space))
            }
            "add" | "sub" | "mov" | "selp" => {
                let of = |operand: &Operand<'a>| base(operand).and_then(|name| spaces.get(name).copied());
                match instruction.base() {
                    "selp" => {
                        of(from).filter(|space| instruction.operands.get(2).and_then(of) == Some(space))
                    }
                    _ => of(from).or_else(|| instruction.operands.get(2).and_then(of)),
                }
            }
            _ => None,
        };
        if let Some(space) = space {
            spaces.insert(to, space);
        }
    }
    spaces
}

/// What an address is counted from.
fn base<'a>(operand: &Operand<'a>) -> Option<&'a str> {
    match operand {
        Operand::Name(name) => Some(name),
        Operand::Expression(parts) => parts.first().and_then(base),
        _ => None,
    }
}
