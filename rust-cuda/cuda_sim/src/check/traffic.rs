//! How the lines of a kernel use shared memory's banks and global memory's sectors.

use std::collections::HashMap;

use super::lanes::{Instruction, LineKey};
use super::report::{GlobalLine, Report, SharedLine};
use super::sites::Sites;
use super::{banks, coalescing};

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    instructions: u64,
    actual: u64,
    ideal: u64,
    worst: f64,
}

/// The sums of all instructions of each line.
#[derive(Default)]
pub(super) struct Traffic(HashMap<LineKey, Sum>);

impl Traffic {
    /// One more instruction.
    pub fn add(&mut self, key: LineKey, instruction: &Instruction) {
        let bytes = key.bytes.into();
        let (actual, ideal) = if key.shared {
            let passes = banks::passes(instruction, bytes);
            (passes.actual, passes.ideal)
        } else {
            let sectors = coalescing::sectors(instruction, bytes);
            (sectors.touched, sectors.needed)
        };
        let sum = self.0.entry(key).or_default();
        sum.instructions += 1;
        sum.actual += u64::from(actual);
        sum.ideal += u64::from(ideal);
        sum.worst = sum.worst.max(f64::from(actual) / f64::from(ideal.max(1)));
    }

    /// Moves everything to a report, in the order of the source.
    pub fn take(&mut self, sites: &Sites, report: &mut Report) {
        let mut lines: Vec<_> = self.0.drain().map(|(key, sum)| (sites.line(key.site), key, sum)).collect();
        lines.sort_unstable_by_key(|(line, key, _)| (*line, *key));
        for (line, LineKey { shared, stores, bytes, .. }, sum) in lines {
            let Sum { instructions, actual, ideal, worst } = sum;
            if shared {
                report.shared.push(SharedLine {
                    line,
                    stores,
                    bytes,
                    instructions,
                    passes: actual,
                    ideal,
                    worst,
                });
            } else {
                report.global.push(GlobalLine {
                    line,
                    stores,
                    bytes,
                    instructions,
                    sectors: actual,
                    needed: ideal,
                });
            }
        }
    }
}
