//! Atomic operations that do not say for whom they are, or in which order.
use super::{Finding, Lint, Subject};

/// `atom` and `red` on memory that others may see, without a scope. In shared memory it is the block.
pub fn check(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    for instruction in subject.body.instructions() {
        let scoped = ["cta", "cluster", "gpu", "sys"].into_iter().any(|scope| instruction.has(scope));
        let shared = instruction.modifiers().any(|part| part.starts_with("shared"));
        // A reduction that belongs to a copy has an order of its own.
        let asynchronous = instruction.has("async");
        if matches!(instruction.base(), "atom" | "red") && !scoped && !shared && !asynchronous {
            let message = "this has no scope, so it is relaxed and for the GPU";
            findings.push(subject.finding(Lint::UnscopedAtomic, instruction, message));
        }
    }
}
