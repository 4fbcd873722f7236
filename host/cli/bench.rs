//! `psionic bench`: tokens per second, in llama-bench's conventions.

use std::path::PathBuf;

use psionic::bench::{ModelSummary, Record, Workload, measure};
use psionic::device::COMMIT;
use psionic::gguf::GgufFile;
use psionic::model::Model;

use super::common::{DeviceArgs, open_model};
use super::failure::Failure;
use super::interrupt;
use super::list::Numbers;
use super::profile::{self, Picture};
use super::sheet::{Column, Output, Sheet};
use super::terminal::{Progress, bytes, one_line};

/// Repetitions where none are asked for: of a workload, and of a profile, whose median is robust against a stray one.
const REPETITIONS: u32 = 5;
const PROFILES: u32 = 9;

/// Measure the speed of prompts and of generation
///
/// As llama-bench: pp512 feeds a prompt of 512 tokens, tg128 generates 128 one
/// after another, tg128 @ d4096 does so behind 4096 others. Numbers may be
/// lists (0,512) and ranges (1-8, 512-2048+512, 1-64*2); every prompt and
/// every generation is measured at every depth, 0 tokens not at all.
///
/// A repetition starts from an empty sequence; filling the depth is not timed.
/// A generation starts from one token that is not timed, chooses every token
/// on the device, ignores the end of the text, and is timed until the last
/// token is on the host. A rate is tokens divided by that time; what is shown
/// is the mean and the sample standard deviation of the repetitions' rates.
///
/// With --profile each block of the persistent engine notes when it works and
/// when it waits during one token, at every depth.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic bench -m model.gguf
  psionic bench -m model.gguf -p 0 -n 512 -d 0,2048,8192
  psionic bench -m a.gguf,b.gguf -p 512 -n 0 -r 10 -o jsonl > speed.jsonl
  psionic bench -m model.gguf --profile -d 4096 --timeline token.svg")]
pub struct Args {
    /// Models, GGUF files, separated by commas
    #[arg(short, long, value_name = "FILES", value_delimiter = ',', required = true)]
    model: Vec<PathBuf>,

    /// Lengths of prompts
    #[arg(short = 'p', long, value_name = "N", default_value = "512")]
    n_prompt: Numbers,

    /// Tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value = "128")]
    n_gen: Numbers,

    /// Tokens in the sequence before
    #[arg(short = 'd', long, value_name = "N", default_value = "0")]
    n_depth: Numbers,

    /// Timed repetitions of each [default: 5, and 9 with --profile]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repetitions: Option<u32>,

    /// Repetitions before those, which are not timed
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(..=10_000))]
    warmup: u32,

    /// Show where the time of a token goes, in place of rates
    #[arg(long, conflicts_with_all = ["n_prompt", "n_gen"])]
    profile: bool,

    /// Draw that over the blocks: .svg is a picture, .json for Perfetto
    #[arg(long, value_name = "FILE", requires = "profile")]
    timeline: Option<PathBuf>,

    /// The form of the results
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,

    /// The same as `-o json`
    #[arg(long, conflicts_with = "output")]
    json: bool,

    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    /// The form of the results.
    fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}

/// What was asked for, with every model's file checked.
struct Plan {
    models: Vec<(GgufFile, ModelSummary)>,
    workloads: Vec<Workload>,
    /// Positions that the largest workload needs.
    context: usize,
}

impl Plan {
    fn new(args: &Args) -> Result<Self, Failure> {
        let workloads = Workload::product(&args.n_prompt.0, &args.n_gen.0, &args.n_depth.0);
        let Some(context) = workloads.iter().map(Workload::positions).max() else {
            return Err(Failure::usage(
                "expected something to measure, found -p and -n of 0 only; give one a length",
            ));
        };
        Ok(Self { models: open(&args.model)?, workloads, context })
    }
}

fn open(paths: &[PathBuf]) -> Result<Vec<(GgufFile, ModelSummary)>, Failure> {
    let open = |path: &PathBuf| {
        let file = open_model(path)?;
        let summary = ModelSummary::of(&file)?;
        Ok((file, summary))
    };
    paths.iter().map(open).collect()
}

/// As `--profile` asks.
fn profile(args: &Args) -> Result<(), Failure> {
    let profiles = args.model.len() * args.n_depth.0.len();
    interrupt::discard_parts();
    let timeline = args.timeline.as_deref().map(|path| Picture::new(path, profiles)).transpose()?;
    profile::run(profile::Request {
        models: &open(&args.model)?,
        depths: &args.n_depth.0,
        warmup: args.warmup as usize,
        repetitions: args.repetitions.unwrap_or(PROFILES) as usize,
        output: args.output(),
        timeline,
        device: args.device,
    })
}

pub fn run(args: Args) -> Result<(), Failure> {
    if args.profile {
        return profile(&args);
    }
    let repetitions = args.repetitions.unwrap_or(REPETITIONS) as usize;
    let plan = Plan::new(&args)?;
    let mut sheet = Sheet::new(args.output(), columns(&plan));
    let mut steps = Progress::steps("measuring", (plan.models.len() * plan.workloads.len()) as u64);
    for (file, summary) in &plan.models {
        let model = Model::from_gguf(file)?;
        let mut decoder = args.device.load(&model, plan.context)?;
        for workload in &plan.workloads {
            let samples = measure(&mut decoder, workload, args.warmup as usize, repetitions)?;
            let activations = args.device.activations();
            let record = Record::new(workload, &samples, summary.clone(), &decoder, activations);
            let cells = cells(&record);
            steps.hidden(|| sheet.add(record, cells))?;
            steps.step();
        }
    }
    drop(steps);
    sheet.finish(&format!("build: {COMMIT}"))
}

/// The columns of the table: models are known before anything is measured.
fn columns(plan: &Plan) -> [Column; 8] {
    let mut models = [0; 3];
    for (_, summary) in &plan.models {
        for (width, cell) in models.iter_mut().zip(model_cells(summary)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [model, size, params] = models;
    [
        Column::text("model").wide(model),
        Column::number("size").wide(size),
        Column::number("params").wide(params),
        Column::text("backend"),
        Column::text("device"),
        Column::text("engine"),
        Column::number("test").wide(15),
        Column::number("t/s").wide(20),
    ]
}

fn model_cells(summary: &ModelSummary) -> [String; 3] {
    let params = match summary.model_n_params {
        n @ 1_000_000_000.. => format!("{:.2} B", n as f64 / 1e9),
        n => format!("{:.2} M", n as f64 / 1e6),
    };
    [summary.model_type.clone(), bytes(summary.model_size), params]
}

fn cells(record: &Record) -> [String; 8] {
    let [model, size, params] = model_cells(&record.model);
    let rate = format!("{:.2} ± {:.2}", record.avg_ts, record.stddev_ts);
    [
        model,
        size,
        params,
        record.environment.backend.to_string(),
        one_line(&record.environment.device),
        record.engine.to_string(),
        record.test.clone(),
        rate,
    ]
}
