//! `psionic kernel test`: whether each kernel computes what it must.

use clap::ValueEnum;
use psionic::device::{self, Backend, BackendChoice, COMMIT, Device, DeviceError};
use psionic::kernel::{Case, KernelError, Shapes, TestRecord, select, test};

use super::common::device_label;
use super::failure::{Failure, Kind};
use super::kernel_cases::CaseArgs;
use super::sheet::{Column, Sheet};
use super::terminal::{Progress, note, one_line, time};

/// Test kernels against float64, on the simulator and on a GPU
///
/// Each case is a kernel with a shape of Qwen3 in Q4_K_M and random inputs, as
/// `kernel bench` has them. It is launched three times on two copies of its
/// inputs; every output must have been written, and is held against float64
/// with a bound of its own. Shown is the output that uses most of its bound.
/// Without --backend the simulator tests each case, and a GPU if there is one.
/// Exits with 1 when a result is wrong, after all others were tested.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel test all
  psionic kernel test gate_up project/head --backend sim
  psionic kernel test all --json > tests.json")]
pub struct Args {
    #[command(flatten)]
    cases: CaseArgs,

    /// Where the kernels run
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    backend: Where,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Where {
    /// The simulator, then the GPU if there is one
    #[default]
    All,
    /// The GPU
    Cuda,
    /// The simulator, on the CPU
    Sim,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let backends: &[Backend] = match args.backend {
        Where::All => &[Backend::Sim, Backend::Cuda],
        Where::Cuda => &[Backend::Cuda],
        Where::Sim => &[Backend::Sim],
    };
    // A name that there is nowhere is found before a device is opened.
    let mut all =
        backends.iter().map(|&backend| args.cases.shapes(backend)).collect::<Result<Vec<_>, _>>()?;
    known(&args.cases.names, &all)?;
    let (devices, no_gpu) = args.backend.open()?;
    all.truncate(devices.len());
    known(&args.cases.names, &all)?;
    if let Some(reason) = no_gpu {
        note(format_args!("testing on the simulator only: {reason}"));
    }
    let work: Vec<(&Device, &Shapes, Vec<Case>)> = devices
        .iter()
        .zip(&all)
        .map(|(device, shapes)| {
            let cases = args.cases.supported(those_of(&args.cases.names, shapes), device.info())?;
            Ok((device, shapes, cases))
        })
        .collect::<Result<_, DeviceError>>()?;
    let cases = || work.iter().flat_map(|(_, _, cases)| cases);
    let mut sheet = Sheet::new(args.cases.output(), columns(cases()));
    let mut steps = Progress::steps("testing", cases().count() as u64);
    let (mut total, mut wrong) = (0, Vec::new());
    for (device, shapes, cases) in &work {
        for case in cases {
            let record = TestRecord::new(case, shapes, &test(device, case, args.cases.seed), device.info());
            total += 1;
            if let Some(failure) = &record.failure {
                let backend = record.head.environment.backend;
                wrong.push(format!("{case} on {backend}: {}", one_line(failure)));
            }
            let cells = cells(&record);
            steps.hidden(|| sheet.add(record, cells))?;
            steps.step();
        }
    }
    drop(steps);
    sheet.finish(&below(&work, &wrong))?;
    verdict(total, &wrong)
}

impl Where {
    /// The devices, the simulator first, and why there is no GPU where one would have been used.
    fn open(self) -> Result<(Vec<Device>, Option<DeviceError>), Failure> {
        let mut devices = Vec::new();
        if self != Self::Cuda {
            devices.push(device::open(BackendChoice::Sim)?);
        }
        if self != Self::Sim {
            match device::open(BackendChoice::Cuda) {
                Err(error) if self == Self::All && error.is_absent() => return Ok((devices, Some(error))),
                opened => devices.push(opened?),
            }
        }
        Ok((devices, None))
    }
}

/// Refuses a name that is in none of the shapes' cases.
fn known(names: &[String], all: &[Shapes]) -> Result<(), KernelError> {
    for name in names {
        let name = std::slice::from_ref(name);
        let mut results = all.iter().map(|shapes| select(name, shapes));
        let first = results.next();
        if results.all(|result| result.is_err())
            && let Some(Err(error)) = first
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The cases that there are in these shapes: a device's own positions are none of another's.
fn those_of(names: &[String], shapes: &Shapes) -> Vec<Case> {
    let there: Vec<String> =
        names.iter().filter(|name| select(std::slice::from_ref(*name), shapes).is_ok()).cloned().collect();
    select(&there, shapes).unwrap_or_default()
}

fn columns<'a>(cases: impl Iterator<Item = &'a Case>) -> [Column; 8] {
    let widest = cases.map(|case| case.to_string().len()).max().unwrap_or_default();
    [
        Column::text("kernel").wide(widest),
        Column::text("on").wide(4),
        Column::text("result").wide(6),
        Column::number("compared").wide(8),
        Column::number("largest error").wide(13),
        Column::number("bound").wide(7),
        Column::number("of bound").wide(8),
        Column::number("time").wide(9),
    ]
}

fn cells(record: &TestRecord) -> [String; 8] {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1e}"));
    let share = match (record.compared, record.bound, record.percent_of_bound) {
        // It ended before there was anything to compare.
        (0, ..) => "-".to_owned(),
        (_, Some(bound), Some(share)) if bound > 0.0 => format!("{share:.1} %"),
        // Where every bit is given, there is no bound to use.
        _ => "exact".to_owned(),
    };
    [
        format!("{}/{}", record.head.kernel, record.head.case),
        record.head.environment.backend.to_string(),
        if record.passed { "pass" } else { "WRONG" }.to_owned(),
        record.compared.to_string(),
        number(record.largest_error),
        number(record.bound),
        share,
        time(record.test_ns as f64),
    ]
}

/// What went wrong, and what the table is of.
fn below(work: &[(&Device, &Shapes, Vec<Case>)], wrong: &[String]) -> String {
    let mut lines: Vec<String> = wrong.iter().map(|line| format!("WRONG {line}")).collect();
    lines.extend(work.iter().filter(|(_, _, cases)| !cases.is_empty()).map(|(device, shapes, _)| {
        format!("size: {}; device: {}", shapes.size, one_line(&device_label(device.info())))
    }));
    lines.push(format!("every output against float64, in two copies of the inputs; build: {COMMIT}"));
    lines.join("\n")
}

fn verdict(total: usize, wrong: &[String]) -> Result<(), Failure> {
    match wrong {
        [] => Ok(()),
        [only] if total == 1 => Err(Failure::new(Kind::Failed, only)),
        [first, ..] => Err(Failure::new(
            Kind::Failed,
            format_args!("{} of {total} are wrong, first {first}", wrong.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_is_a_failure_that_names_the_first() {
        let wrong = |count: usize| vec!["swiglu/ffn on sim: output 3 was not written".to_owned(); count];
        assert!(verdict(3, &[]).is_ok());
        assert_eq!(verdict(1, &wrong(1)).unwrap_err().report(), 1);
        let failure = format!("{:?}", verdict(5, &wrong(2)).unwrap_err());
        assert!(failure.contains("2 of 5 are wrong, first swiglu/ffn on sim: output 3 was"), "{failure}");
    }
}
