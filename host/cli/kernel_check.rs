//! `psionic kernel check`: what is wrong with a kernel, and how each of its lines uses memory.

use std::collections::BTreeMap;

use cuda_sim::{Act, Finding, GlobalLine, Line, Report, SharedLine};
use psionic::kernel::{Case, Checked, Shapes, check, select};
use psionic::model::SIZES;
use serde::Serialize;

use super::failure::{Failure, Kind};
use super::style::{DIM, ERROR, GOOD};
use super::table::{finish, table};
use super::terminal::{Progress, print, print_json};

/// Look for mistakes in kernels, on the simulator with all its checks
///
/// Each case is launched once. A finding is two accesses that nothing orders
/// (threads, blocks and asynchronous copies), a read of memory that nothing
/// wrote, or a copy that is used before it was waited for. An access outside a
/// buffer, a divergent barrier and the like end the launch and are shown too.
/// The result is held against float64. Anything wrong makes the exit code 1.
///
/// Below are the lines that use shared memory, with how often it had to answer
/// and how often that is without bank conflicts, and those that use global
/// memory, with the sectors of 32 bytes that were moved and those that the
/// bytes would fill.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel check all
  psionic kernel check gate_up project/head
  psionic kernel check attention --seed 7 --json")]
pub struct Args {
    /// Kernels, kernel/case, or `all`; `psionic kernel list` shows them
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// The model's size whose shapes are checked
    #[arg(long, default_value = "tiny", value_parser = SIZES.map(|size| size.name))]
    size: String,

    /// The seed of the inputs and of the order in which threads run
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Write one JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let shapes = Shapes::of(&args.size)?;
    let cases = select(&args.names, &shapes)?;
    let mut steps = Progress::steps("checking", cases.len() as u64);
    let mut all = Vec::with_capacity(cases.len());
    for case in cases {
        let checked = check(&case, args.seed)?;
        all.push((case, checked));
        steps.step();
    }
    drop(steps);
    if args.json {
        print_json(&all.iter().map(|(case, checked)| Record::new(case, checked)).collect::<Vec<_>>())?;
    } else {
        all.chunk_by(|(a, _), (b, _)| a.kernel == b.kernel).try_for_each(|cases| print(section(cases)))?;
    }
    verdict(all.iter().map(|(_, checked)| checked))
}

/// An error if any case is not clean.
fn verdict<'a>(all: impl Iterator<Item = &'a Checked>) -> Result<(), Failure> {
    let (mut cases, mut wrong) = (0, 0);
    for checked in all {
        cases += 1;
        wrong += u32::from(!checked.is_clean());
    }
    if wrong == 0 {
        return Ok(());
    }
    let text = format!("expected no findings, found some in {wrong} of {cases} cases");
    Err(Failure::new(Kind::Failed, text).hint("docs/simulator.md explains each kind of finding"))
}

/// The cases of one kernel.
fn section(cases: &[(Case, Checked)]) -> String {
    let mut text = String::new();
    for (case, Checked { report, trouble }) in cases {
        let mut wrong: Vec<String> = trouble.iter().map(ToString::to_string).collect();
        wrong.extend(report.findings.iter().map(|finding| format!("{}: {finding}", finding.kind.name())));
        match wrong.len() {
            0 => text += &format!("{case} {DIM}({}){DIM:#}: {GOOD}clean{GOOD:#}\n", case.shape),
            _ => text += &format!("{case} {DIM}({}){DIM:#}:\n", case.shape),
        }
        for line in wrong {
            text += &format!("  {ERROR}{line}{ERROR:#}\n");
        }
    }
    let reports = || cases.iter().map(|(_, checked)| &checked.report);
    for table in [shared(reports()), global(reports())] {
        if !table.is_empty() {
            text += &format!("\n{table}");
        }
    }
    text + "\n"
}

/// What tells two accesses of a kernel apart: the line, whether it stores, the bytes of a lane.
type Key = (Line, bool, u8);

fn access(stores: bool, bytes: u8) -> String {
    format!("{} {bytes} B", if stores { "store" } else { "load" })
}

/// The table of the lines that use shared memory; nothing where none does.
fn shared<'a>(reports: impl Iterator<Item = &'a Report>) -> String {
    let mut lines: BTreeMap<Key, SharedLine> = BTreeMap::new();
    for line in reports.flat_map(|report| &report.shared) {
        let add = |sum: &mut SharedLine| {
            sum.instructions += line.instructions;
            sum.passes += line.passes;
            sum.ideal += line.ideal;
            sum.worst = sum.worst.max(line.worst);
        };
        lines.entry((line.line, line.stores, line.bytes)).and_modify(add).or_insert(*line);
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut table =
        table(["shared memory", "access", "instructions", "passes", "needed", "conflicts", "worst"]);
    for line in lines.into_values() {
        table.add_row([
            line.line.to_string(),
            access(line.stores, line.bytes),
            line.instructions.to_string(),
            line.passes.to_string(),
            line.ideal.to_string(),
            format!("{:.2}-way", line.ways()),
            format!("{:.0}-way", line.worst),
        ]);
    }
    finish(table, 2..7)
}

/// The table of the lines that use global memory; nothing where none does.
fn global<'a>(reports: impl Iterator<Item = &'a Report>) -> String {
    let mut lines: BTreeMap<Key, GlobalLine> = BTreeMap::new();
    for line in reports.flat_map(|report| &report.global) {
        let add = |sum: &mut GlobalLine| {
            sum.instructions += line.instructions;
            sum.sectors += line.sectors;
            sum.needed += line.needed;
        };
        lines.entry((line.line, line.stores, line.bytes)).and_modify(add).or_insert(*line);
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut table = table(["global memory", "access", "instructions", "sectors", "needed", "used"]);
    for line in lines.into_values() {
        table.add_row([
            line.line.to_string(),
            access(line.stores, line.bytes),
            line.instructions.to_string(),
            line.sectors.to_string(),
            line.needed.to_string(),
            format!("{:.0} %", line.efficiency()),
        ]);
    }
    finish(table, 2..6)
}

#[derive(Serialize)]
struct Record {
    kernel: &'static str,
    case: String,
    shape: String,
    clean: bool,
    /// What ended the launch or is wrong with its result.
    trouble: Option<String>,
    findings: Vec<FindingRecord>,
    shared: Vec<SharedRecord>,
    global: Vec<GlobalRecord>,
}

#[derive(Serialize)]
struct FindingRecord {
    kind: &'static str,
    message: String,
    count: u64,
    reversed: u64,
    place: String,
    act: ActRecord,
    before: Option<ActRecord>,
}

#[derive(Serialize)]
struct ActRecord {
    deed: String,
    line: String,
    block: [u32; 3],
    thread: [u32; 3],
}

#[derive(Serialize)]
struct SharedRecord {
    line: String,
    stores: bool,
    bytes: u8,
    instructions: u64,
    passes: u64,
    needed: u64,
    ways: f64,
    worst_ways: f64,
}

#[derive(Serialize)]
struct GlobalRecord {
    line: String,
    stores: bool,
    bytes: u8,
    instructions: u64,
    sectors: u64,
    needed: u64,
    percent_used: f64,
}

impl Record {
    fn new(case: &Case, checked: &Checked) -> Self {
        let Report { findings, shared, global, .. } = &checked.report;
        Self {
            kernel: case.kernel,
            case: case.name.clone(),
            shape: case.shape.clone(),
            clean: checked.is_clean(),
            trouble: checked.trouble.as_ref().map(ToString::to_string),
            findings: findings.iter().map(FindingRecord::new).collect(),
            shared: shared
                .iter()
                .map(|line| SharedRecord {
                    line: line.line.to_string(),
                    stores: line.stores,
                    bytes: line.bytes,
                    instructions: line.instructions,
                    passes: line.passes,
                    needed: line.ideal,
                    ways: line.ways(),
                    worst_ways: line.worst,
                })
                .collect(),
            global: global
                .iter()
                .map(|line| GlobalRecord {
                    line: line.line.to_string(),
                    stores: line.stores,
                    bytes: line.bytes,
                    instructions: line.instructions,
                    sectors: line.sectors,
                    needed: line.needed,
                    percent_used: line.efficiency(),
                })
                .collect(),
        }
    }
}

impl FindingRecord {
    fn new(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.name(),
            message: finding.to_string(),
            count: finding.count,
            reversed: finding.reversed,
            place: finding.place.to_string(),
            act: ActRecord::new(&finding.act),
            before: finding.before.as_ref().map(ActRecord::new),
        }
    }
}

impl ActRecord {
    fn new(act: &Act) -> Self {
        let &Act { deed, line, block, thread } = act;
        Self { deed: deed.to_string(), line: line.to_string(), block, thread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psionic::kernel::{Mismatch, Trouble};

    #[test]
    fn one_case_that_is_not_clean_is_a_failure() {
        let clean = Checked { report: Report::default(), trouble: None };
        assert!(verdict([&clean].into_iter()).is_ok());
        let trouble = Some(Trouble::Wrong(Mismatch::Unwritten { index: 0 }));
        let wrong = Checked { report: Report::default(), trouble };
        assert!(verdict([&clean, &wrong].into_iter()).is_err());
    }
}
