//! Panics that are left.
use super::{Finding, Lint, Subject};
use crate::analysis::callee;

/// Calls of what panics. In a name that rustc mangled the path is readable: `core::panicking`, `core::option`.
pub fn check(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    // What panics calls what panics.
    if panics(subject.function.name) {
        return;
    }
    for instruction in subject.body.instructions() {
        if let Some(name) = callee(instruction).filter(|name| panics(name)) {
            let what =
                REASONS.iter().find(|(part, _)| name.contains(part)).map_or("a panic", |(_, what)| what);
            findings.push(subject.finding(Lint::Panic, instruction, format!("{what} can happen here")));
        }
    }
}

/// What names say of the reason.
const REASONS: &[(&str, &str)] = &[
    ("panic_bounds_check", "an index out of bounds"),
    ("panic_const_div_by_zero", "a division by zero"),
    ("panic_const_rem_by_zero", "a remainder by zero"),
    ("overflow", "an arithmetic overflow"),
    ("slice_index", "a slice out of bounds"),
    ("slice5index", "a slice out of bounds"),
    ("unwrap_failed", "an unwrap of nothing"),
    ("__assertfail", "a failed assertion"),
];

fn panics(name: &str) -> bool {
    ["panicking", "panic_", "_fail", "unwrap_failed", "__assertfail", "rust_begin_unwind"]
        .iter()
        .any(|part| name.contains(part))
}
