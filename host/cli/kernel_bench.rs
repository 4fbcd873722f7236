//! `psionic kernel bench`: how fast each kernel is alone.

use psionic::device::{Backend as Machine, COMMIT};
use psionic::kernel::{Bench, BenchOptions, Case, Ceiling, KernelRecord, Shapes, select};

use super::common::{Backend, device_label};
use super::failure::Failure;
use super::kernel_cases::CaseArgs;
use super::sheet::{Column, Sheet};
use super::terminal::{Progress, bytes, one_line, time};

/// Measure kernels alone, with inputs that no cache holds
///
/// Each case is a kernel with a shape of Qwen3 in Q4_K_M. Its inputs are
/// random, and on the device several times; launches take the copies in turns,
/// and the L2 cache is swept before each batch. Every copy's result is held
/// against float64 before and after timing.
///
/// A time is that of a launch in a chain of the same launches, which do not
/// overlap; the gap between two of them is in it. A rate is the bytes that a
/// launch must move, each input read once and each output written once, over
/// the median time. The copy that it is compared with is one of 512 MiB within
/// the device's memory, in the same run. A rate above what the memory can do
/// is an error. On the simulator the times are the host's and say nothing of a
/// GPU.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel bench all
  psionic kernel bench gate_up project/head --size 8b
  psionic kernel bench all -o csv > kernels.csv")]
pub struct Args {
    #[command(flatten)]
    cases: CaseArgs,

    /// Batches of launches that are timed
    #[arg(short, long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batches: u32,

    /// Where the kernels run
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    backend: Backend,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (on_a_gpu, simulated) = (args.cases.shapes(Machine::Cuda)?, args.cases.shapes(Machine::Sim)?);
    // A name that there is nowhere is found before a device is opened.
    if let (Err(error), Err(_)) =
        (select(&args.cases.names, &on_a_gpu), select(&args.cases.names, &simulated))
    {
        return Err(error.into());
    }
    let device = args.backend.open()?;
    let shapes = if device.info().backend == Machine::Cuda { on_a_gpu } else { simulated };
    let cases = args.cases.supported(select(&args.cases.names, &shapes)?, device.info())?;
    let bench = Bench::new(&device, BenchOptions { batches: args.batches as usize, seed: args.cases.seed })?;
    let mut sheet = Sheet::new(args.cases.output(), columns(&cases));
    let mut steps = Progress::steps("measuring", cases.len() as u64);
    for case in &cases {
        let measured = bench.run(case)?;
        let record = KernelRecord::new(case, &shapes, measured, bench.ceiling(), device.info());
        let cells = cells(&record);
        steps.hidden(|| sheet.add(record, cells))?;
        steps.step();
    }
    drop(steps);
    sheet.finish(&below(&shapes, bench.ceiling(), &one_line(&device_label(device.info()))))
}

fn columns(cases: &[Case]) -> [Column; 8] {
    let widest = |text: fn(&Case) -> String| {
        cases.iter().map(|case| text(case).chars().count()).max().unwrap_or_default()
    };
    [
        Column::text("kernel").wide(widest(Case::to_string)),
        Column::text("shape").wide(widest(|case| case.shape.clone())),
        Column::number("moves").wide(widest(|case| bytes(case.bytes))),
        Column::number("median").wide(10),
        Column::number("fastest").wide(10),
        Column::number("p10 .. p90").wide(22),
        Column::number("GB/s").wide(7),
        Column::number("of copy").wide(7),
    ]
}

fn cells(record: &KernelRecord) -> [String; 8] {
    let spread = &record.spread;
    let number =
        |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.1}{unit}"));
    [
        format!("{}/{}", record.head.kernel, record.head.case),
        record.head.shape.clone(),
        bytes(record.bytes),
        time(spread.median),
        time(spread.min),
        format!("{} .. {}", time(spread.p10), time(spread.p90)),
        number(record.gb_per_s, ""),
        number(record.percent_of_copy, " %"),
    ]
}

/// What the table's figures mean.
fn below(shapes: &Shapes, ceiling: Option<Ceiling>, device: &str) -> String {
    let size = shapes.size;
    let rates = match ceiling {
        Some(Ceiling { copy, limit }) => {
            format!("copy: {:.1} GB/s; limit: {:.1} GB/s", copy / 1e9, limit / 1e9)
        }
        None => "simulator: times are the host's and say nothing of a GPU".to_owned(),
    };
    format!(
        "{rates}\nsize: {size}; device: {device}; every result verified before and after\nbuild: {COMMIT}"
    )
}
