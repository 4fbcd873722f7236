//! `psionic bench`: tokens per second, in llama-bench's conventions.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use psionic::bench::{ModelSummary, Record, Workload, measure};
use psionic::device::COMMIT;
use psionic::gguf::GgufFile;
use psionic::model::Model;
use serde_json::Value;

use super::common::DeviceArgs;
use super::failure::Failure;
use super::list::Numbers;
use super::terminal::{Progress, bytes, one_line, print, print_json, print_json_line};

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
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic bench -m model.gguf
  psionic bench -m model.gguf -p 0 -n 512 -d 0,2048,8192
  psionic bench -m a.gguf,b.gguf -p 512 -n 0 -r 10 -o jsonl > speed.jsonl")]
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

    /// Timed repetitions of each
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repetitions: u32,

    /// Repetitions before those, which are not timed
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(..=10_000))]
    warmup: u32,

    /// Also write down where the time of a token goes, as JSON
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// The form of the results
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,

    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table in Markdown
    #[default]
    Md,
    /// Comma-separated values, with a header
    Csv,
    /// An array of objects, at the end
    Json,
    /// An object in each line
    Jsonl,
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
        let open = |path: &PathBuf| {
            let file = GgufFile::open(path)?;
            let summary = ModelSummary::of(&file)?;
            Ok((file, summary))
        };
        let models = args.model.iter().map(open).collect::<Result<_, Failure>>()?;
        Ok(Self { models, workloads, context })
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let plan = Plan::new(&args)?;
    let mut sheet = Sheet::new(args.output, &plan);
    let mut steps = Progress::steps("measuring", (plan.models.len() * plan.workloads.len()) as u64);
    for (file, summary) in &plan.models {
        let model = Model::from_gguf(file)?;
        let mut decoder = args.device.load(&model, plan.context)?;
        if let Some(path) = &args.profile {
            decoder.feed(&[1])?;
            let timeline = decoder.profile(plan.context.min(33) - 1)?;
            let _ = std::fs::write(path, serde_json::to_vec(&timeline).unwrap_or_default());
            decoder.reset();
        }
        for workload in &plan.workloads {
            let samples = measure(&mut decoder, workload, args.warmup as usize, args.repetitions as usize)?;
            let activations = args.device.activations();
            let record = Record::new(workload, &samples, summary.clone(), decoder.device(), activations);
            steps.hidden(|| sheet.add(record))?;
            steps.step();
        }
    }
    drop(steps);
    sheet.finish()
}

/// The results on standard output, each as soon as it is there where the form allows.
enum Sheet {
    Markdown { widths: Option<[usize; 7]>, models: [usize; 3] },
    Csv { begun: bool },
    Json(Vec<Record>),
    Jsonl,
}

const TITLES: [&str; 7] = ["model", "size", "params", "backend", "device", "test", "t/s"];

impl Sheet {
    fn new(output: Output, plan: &Plan) -> Self {
        match output {
            Output::Md => {
                let mut models = [0; 3];
                for (_, summary) in &plan.models {
                    for (width, cell) in models.iter_mut().zip(model_cells(summary)) {
                        *width = (*width).max(cell.chars().count());
                    }
                }
                Self::Markdown { widths: None, models }
            }
            Output::Csv => Self::Csv { begun: false },
            Output::Json => Self::Json(Vec::new()),
            Output::Jsonl => Self::Jsonl,
        }
    }

    fn add(&mut self, record: Record) -> Result<(), Failure> {
        match self {
            Self::Markdown { widths, models } => {
                let cells = cells(&record);
                let begun = widths.is_some();
                // The device is known with the first record, the models before.
                let widths = widths.get_or_insert_with(|| {
                    let [model, size, params] = *models;
                    let device = cells[4].chars().count();
                    let least = [model, size, params, 7, device, 15, 20];
                    std::array::from_fn(|i| least[i].max(TITLES[i].len()))
                });
                let mut text = String::new();
                if !begun {
                    text += &markdown_head(widths);
                }
                text += &markdown_row(&cells, widths);
                print(text)
            }
            Self::Csv { begun } => {
                let fields = csv_fields(&record);
                let mut text = String::new();
                if !*begun {
                    text += &csv_line(fields.iter().map(|(name, _)| name.as_str()));
                    *begun = true;
                }
                text += &csv_line(fields.iter().map(|(_, value)| value.as_str()));
                print(text)
            }
            Self::Json(records) => {
                records.push(record);
                Ok(())
            }
            Self::Jsonl => print_json_line(&record),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Markdown { .. } => print(format_args!("\nbuild: {COMMIT}\n")),
            Self::Json(records) => print_json(&records),
            Self::Csv { .. } | Self::Jsonl => Ok(()),
        }
    }
}

fn model_cells(summary: &ModelSummary) -> [String; 3] {
    let params = match summary.model_n_params {
        n @ 1_000_000_000.. => format!("{:.2} B", n as f64 / 1e9),
        n => format!("{:.2} M", n as f64 / 1e6),
    };
    [summary.model_type.clone(), bytes(summary.model_size), params]
}

fn cells(record: &Record) -> [String; 7] {
    let [model, size, params] = model_cells(&record.model);
    let rate = format!("{:.2} ± {:.2}", record.avg_ts, record.stddev_ts);
    [model, size, params, record.backend.to_string(), one_line(&record.device), record.test.clone(), rate]
}

/// Whether a column holds numbers, which stand on the right.
fn on_the_right(column: usize) -> bool {
    matches!(column, 1 | 2 | 5 | 6)
}

fn markdown_head(widths: &[usize; 7]) -> String {
    let titles = TITLES.map(str::to_owned);
    let mut text = markdown_row(&titles, widths);
    for (column, &width) in widths.iter().enumerate() {
        let (dashes, end) = if on_the_right(column) { (width + 1, ":") } else { (width + 2, "") };
        text += &format!("|{}{end}", "-".repeat(dashes));
    }
    text + "|\n"
}

fn markdown_row(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut text = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        // Writing to a string cannot fail.
        let _ = if on_the_right(column) {
            write!(text, "| {cell:>width$} ")
        } else {
            write!(text, "| {cell:<width$} ")
        };
    }
    text + "|\n"
}

/// The record's fields in order, without the lists of samples.
fn csv_fields(record: &Record) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

/// Fields in quotes, as llama-bench writes them.
fn csv_line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = fields.map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
    quoted.join(",") + "\n"
}
