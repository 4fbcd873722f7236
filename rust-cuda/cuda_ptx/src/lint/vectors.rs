//! Accesses side by side that one wider one could do.
use super::{Finding, Lint, Subject};
use crate::{
    Instruction, Operand,
    class::{Access, Memory, Space, memory, results},
};

/// The most bytes of one access.
const WIDEST: u32 = 16;

/// Runs of two and more loads, or stores, of global memory in one block with the same address register and
/// neighbouring offsets, where the first is aligned for twice the width as far as its offset says.
///
/// That the register itself is so aligned the text does not tell.
pub fn check(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    for block in &subject.cfg.blocks {
        let mut runs: Vec<Run<'_, '_>> = Vec::new();
        for (instruction, _) in &block.instructions {
            // What the address or memory may change at ends all runs of that.
            if let Some(candidate) = candidate(instruction) {
                runs.retain(|run| {
                    run.memory.access == candidate.memory.access || run.report(subject, findings)
                });
                match runs.iter_mut().find(|run| run.continues(&candidate)) {
                    Some(run) => run.add(&candidate),
                    None => runs.push(Run::new(candidate)),
                }
            } else if ends_runs(instruction) {
                runs.retain(|run| run.report(subject, findings));
            }
            let written = instruction.operands.first().filter(|_| results(instruction) > 0);
            if let Some(written) = written {
                let mut names = Vec::new();
                written.names(&mut names);
                runs.retain(|run| !names.contains(&run.base) || run.report(subject, findings));
            }
        }
        runs.retain(|run| run.report(subject, findings));
    }
}

/// Whether memory may not be the same behind an instruction.
fn ends_runs(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction.base(),
        "bar"
            | "barrier"
            | "fence"
            | "membar"
            | "atom"
            | "red"
            | "call"
            | "cp"
            | "mbarrier"
            | "griddepcontrol"
    )
}

/// An access that may be a part of a wider one.
struct Candidate<'a, 'm> {
    instruction: &'m Instruction<'a>,
    memory: Memory,
    base: &'a str,
    offset: i64,
}

fn candidate<'a, 'm>(instruction: &'m Instruction<'a>) -> Option<Candidate<'a, 'm>> {
    let memory = memory(instruction)?;
    let plain = instruction.guard.is_none()
        && memory.space == Space::Global
        && matches!(memory.access, Access::Load | Access::Store)
        && (4..WIDEST).contains(&memory.bytes)
        // What is ordered or volatile must stay as it is.
        && !["volatile", "relaxed", "acquire", "release", "mmio"].into_iter().any(|part| instruction.has(part));
    let address = instruction.operands.iter().find_map(|operand| match operand {
        Operand::Address(parts) if parts.len() == 1 => parts.first(),
        _ => None,
    })?;
    let (base, offset) = match address {
        Operand::Name(name) => (*name, 0),
        Operand::Expression(parts) => match parts.as_slice() {
            [Operand::Name(name), offset] => (*name, offset.number()?),
            _ => return None,
        },
        _ => return None,
    };
    plain.then_some(Candidate { instruction, memory, base, offset })
}

/// Accesses that follow each other in memory.
struct Run<'a, 'm> {
    first: &'m Instruction<'a>,
    memory: Memory,
    base: &'a str,
    start: i64,
    end: i64,
    count: u32,
}

impl<'a, 'm> Run<'a, 'm> {
    fn new(candidate: Candidate<'a, 'm>) -> Self {
        let end = candidate.offset.saturating_add(candidate.memory.bytes.into());
        Self {
            first: candidate.instruction,
            memory: candidate.memory,
            base: candidate.base,
            start: candidate.offset,
            end,
            count: 1,
        }
    }

    fn continues(&self, next: &Candidate<'_, '_>) -> bool {
        self.base == next.base && self.memory == next.memory && self.end == next.offset
    }

    fn add(&mut self, next: &Candidate<'_, '_>) {
        self.end = self.end.saturating_add(next.memory.bytes.into());
        self.count += 1;
    }

    /// Tells of it if it is one, and returns `false`: it is over.
    fn report(&self, subject: &Subject<'_, 'a>, findings: &mut Vec<Finding>) -> bool {
        let aligned = self.start.rem_euclid(i64::from(2 * self.memory.bytes)) == 0;
        if self.count > 1 && aligned {
            let what = if self.memory.access == Access::Load { "loads" } else { "stores" };
            let message = format!(
                "{} {what} of {} bytes lie side by side, {} bytes together",
                self.count,
                self.memory.bytes,
                self.end - self.start
            );
            findings.push(subject.finding(Lint::MissedVector, self.first, message));
        }
        false
    }
}
