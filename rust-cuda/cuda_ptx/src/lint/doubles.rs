//! Arithmetic with `f64`, which in a kernel is mostly a literal without a suffix.
use super::{Finding, Lint, Subject};

/// One finding for each place in the source, or for each function where there are none.
pub fn check(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    let mut seen = Vec::new();
    for instruction in subject.body.instructions() {
        let moves = matches!(instruction.base(), "ld" | "ldu" | "st" | "mov" | "atom" | "red");
        if moves || !instruction.has("f64") || seen.contains(&instruction.place) {
            continue;
        }
        seen.push(instruction.place);
        findings.push(subject.finding(Lint::Double, instruction, "this computes with f64"));
    }
}
