//! `psionic bench --profile`: where the time of a token goes. `svg` and `trace` draw it.

mod svg;
mod trace;

use std::path::{Path, PathBuf};

use psionic::bench::{
    ModelSummary, PROFILED_TOKENS, PhaseRecord, Profile, ProfileRecord, profile as measure,
};
use psionic::device::{Backend, COMMIT};
use psionic::gguf::GgufFile;
use psionic::model::Model;
use psionic::part_file::{Existing, PartFile};

use super::common::{DeviceArgs, Engine};
use super::failure::{Failure, Kind};
use super::sheet::{Column, Output, Sheet};
use super::terminal::{Progress, bytes, one_line, print};

/// What is profiled, how, and what becomes of it.
pub struct Request<'a> {
    pub models: &'a [(GgufFile, ModelSummary)],
    pub depths: &'a [usize],
    pub warmup: usize,
    pub repetitions: usize,
    pub output: Output,
    /// Where the picture goes.
    pub timeline: Option<Picture>,
    pub device: DeviceArgs,
}

/// A file for the picture.
pub struct Picture {
    path: PathBuf,
    file: PartFile,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Svg,
    Trace,
}

impl Picture {
    /// Of `profiles` profiles, in the form that the name ends with.
    pub fn new(path: &Path, profiles: usize) -> Result<Self, Failure> {
        let form = match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Form::Svg,
            Some("json") => Form::Trace,
            _ => {
                let path = path.display();
                return Err(Failure::usage(format!(
                    "expected a timeline's name to end with .svg or .json, found {path}; choose one of them"
                )));
            }
        };
        if profiles != 1 {
            return Err(Failure::usage(format!(
                "expected one model and one depth for a timeline, found {profiles} profiles; ask for one at a time"
            )));
        }
        // Found out before anything runs; a file that comes in the meantime is not overwritten either.
        let file =
            PartFile::create(path, Existing::Refuse).map_err(|error| Failure::unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), file, form })
    }

    fn write(self, record: &ProfileRecord, profile: &Profile) -> Result<(), Failure> {
        let text = match self.form {
            Form::Svg => svg::draw(record, &profile.timeline),
            Form::Trace => {
                let trace = trace::Trace::new(record, &profile.timeline);
                serde_json::to_string(&trace).map_err(|error| Failure::new(Kind::Failed, error))?
            }
        };
        self.file.finish_with(&text).map_err(|error| Failure::unwritable(&self.path, &error))
    }
}

pub fn run(mut request: Request<'_>) -> Result<(), Failure> {
    if request.device.engine == Engine::Graph {
        return Err(without_times());
    }
    let context = request.depths.iter().map(|&depth| Profile::positions(depth)).max().unwrap_or(0);
    let mut sheet = Sheet::new(request.output, []);
    let mut steps = Progress::steps("profiling", (request.models.len() * request.depths.len()) as u64);
    for (file, summary) in request.models {
        let model = Model::from_gguf(file)?;
        let mut decoder = request.device.load(&model, context)?;
        for &depth in request.depths {
            let profile = measure(&mut decoder, depth, request.warmup, request.repetitions)?
                .ok_or_else(without_times)?;
            let activations = request.device.activations();
            let record = ProfileRecord::new(depth, &profile, summary.clone(), &decoder, activations);
            if let Some(picture) = request.timeline.take() {
                picture.write(&record, &profile)?;
            }
            steps.hidden(|| match request.output {
                Output::Md => table(&record),
                _ => sheet.add(record, []),
            })?;
            steps.step();
        }
    }
    drop(steps);
    match request.output {
        Output::Md => print(format_args!("build: {COMMIT}\n")),
        _ => sheet.finish(""),
    }
}

/// The graph keeps no times: its launches are measured from outside.
fn without_times() -> Failure {
    Failure::usage(
        "expected the persistent engine, whose blocks keep their times, found the graph; use `--engine persistent`",
    )
    .hint("benches/kernels.sh measures each launch of the graph with Nsight Compute (ncu)")
}

/// What a table is about, the table, and what its figures mean.
fn table(record: &ProfileRecord) -> Result<(), Failure> {
    print(one_line(&heading(record)) + "\n\n")?;
    let mut sheet = Sheet::new(Output::Md, COLUMNS.map(|column| column()));
    for phase in &record.phases {
        sheet.add((), cells(phase))?;
    }
    sheet.add((), total(record))?;
    sheet.finish(&below(record))?;
    print("\n")
}

/// What was profiled, in a line.
fn heading(record: &ProfileRecord) -> String {
    format!(
        "{} on {} ({} engine, {} blocks): a token at position {}, {}",
        record.model.model_type,
        record.environment.device,
        record.engine,
        record.blocks,
        record.position,
        time(record.token_ns)
    )
}

const COLUMNS: [fn() -> Column; 10] = [
    || Column::text("phase").wide(13),
    || Column::number("steps"),
    || Column::number("reads").wide(10),
    || Column::number("work").wide(9),
    || Column::number("waiting").wide(9),
    || Column::number("a token").wide(10),
    || Column::number("share").wide(7),
    || Column::number("GB/s").wide(7),
    || Column::number("working").wide(7),
    || Column::number("of limit").wide(7),
];

fn cells(phase: &PhaseRecord) -> [String; 10] {
    [
        phase.phase.to_owned(),
        phase.steps.to_string(),
        reads(phase.bytes),
        time(phase.work_ns),
        time(phase.waiting_ns),
        time(phase.token_ns),
        format!("{:.1} %", phase.percent_of_token),
        number(phase.gb_per_s, ""),
        number(phase.working_gb_per_s, ""),
        number(phase.percent_of_limit, " %"),
    ]
}

fn total(record: &ProfileRecord) -> [String; 10] {
    let none = || "-".to_owned();
    [
        "token".to_owned(),
        none(),
        reads(record.bytes),
        none(),
        none(),
        time(record.token_ns),
        "100.0 %".to_owned(),
        number(record.gb_per_s, ""),
        none(),
        number(record.percent_of_limit, " %"),
    ]
}

fn below(record: &ProfileRecord) -> String {
    let limit = match (record.environment.backend, record.limit_gb_per_s) {
        (Backend::Sim, _) => "simulator: times are the host's and say nothing of a GPU".to_owned(),
        (_, Some(limit)) => format!("limit: {limit:.1} GB/s, from the memory's clock and bus"),
        (_, None) => "limit: not known, the driver does not tell".to_owned(),
    };
    let waiting: f64 = record.phases.iter().map(|phase| phase.waiting_ns * phase.steps as f64).sum();
    let (least, most) = record
        .samples_ns
        .iter()
        .fold((f64::INFINITY, 0f64), |(least, most), &ns| (least.min(ns), most.max(ns)));
    format!(
        "waiting: {} of the token, {:.1} %\n{limit}\nthe median of {} profiles, {} .. {}, each of the last of \
         {PROFILED_TOKENS} tokens",
        time(waiting),
        100.0 * waiting / record.token_ns.max(1.0),
        record.samples_ns.len(),
        time(least),
        time(most),
    )
}

fn reads(count: u64) -> String {
    if count > 0 { bytes(count) } else { "-".to_owned() }
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.1}{unit}"))
}

/// Nanoseconds with a unit and digits that say something.
pub fn time(ns: f64) -> String {
    match ns {
        ..1e6 => format!("{:.2} µs", ns / 1e3),
        ..1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}
