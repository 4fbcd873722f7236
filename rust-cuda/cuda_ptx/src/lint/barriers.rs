//! Barriers that threads may not come to together.
use std::collections::BTreeMap;

use super::{Finding, Lint, Subject};
use crate::{analysis::waits_for_all, class::is_barrier, uniform::Level};

/// Copies of one barrier of which neither lies on every path to the other. Only lines of the source tell copies, and
/// only with what they were inlined through: the line of a library's barrier is that of all of them.
pub fn duplicated(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    if !subject.module.places.iter().any(|place| place.0.len() > 1) {
        return;
    }
    let mut places: BTreeMap<(u32, &str), Vec<_>> = BTreeMap::new();
    for (block, contents) in subject.cfg.blocks.iter().enumerate() {
        for (instruction, _) in contents.instructions.iter().filter(|(found, _)| is_barrier(found.opcode)) {
            if let Some(place) = instruction.place {
                places.entry((place, instruction.opcode)).or_default().push((block, *instruction));
            }
        }
    }
    for copies in places.values() {
        let apart = |a: usize, b: usize| !subject.cfg.dominates(a, b) && !subject.cfg.dominates(b, a);
        let excluded = copies
            .iter()
            .enumerate()
            .find_map(|(i, (a, _))| copies[i + 1..].iter().find(|(b, _)| apart(*a, *b)));
        if let Some((_, instruction)) = excluded {
            let message =
                format!("this barrier is there {} times, on paths that exclude each other", copies.len());
            findings.push(subject.finding(Lint::DuplicatedBarrier, instruction, message));
        }
    }
}

/// Barriers for all threads of a block, in a block that a branch keeps some from.
pub fn divergent(subject: &Subject<'_, '_>, findings: &mut Vec<Finding>) {
    for (block, contents) in subject.cfg.blocks.iter().enumerate() {
        let level = subject.divergence.blocks[block];
        if level == Level::Block || !subject.cfg.is_reachable(block) {
            continue;
        }
        for (instruction, _) in contents.instructions.iter().filter(|(found, _)| waits_for_all(found)) {
            let who = if level == Level::Warp { "some warps" } else { "some threads" };
            let message = format!("{who} of a block may not come to this barrier");
            findings.push(subject.finding(Lint::DivergentBarrier, instruction, message));
        }
    }
}
