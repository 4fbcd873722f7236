//! `psionic kernel`: the kernels one by one. `list` is here, the others in files of their own.

use std::fmt::Write as _;

use clap::Subcommand;
use psionic::kernel::{Case, KERNELS, Kernel, Shapes};
use psionic::model::SIZES;
use serde::Serialize;

use super::failure::Failure;
use super::style::DIM;
use super::terminal::{bytes, print, print_json};
use super::{kernel_bench, kernel_check, kernel_new, kernel_test, kernel_watch};

/// Show, test, check, measure and write kernels one by one
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  psionic kernel list
  psionic kernel test all
  psionic kernel bench all
  psionic kernel bench gate_up project/head -o json
  psionic kernel check attention
  psionic kernel new softcap
  psionic kernel watch softcap"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(ListArgs),
    Test(kernel_test::Args),
    Bench(kernel_bench::Args),
    Check(kernel_check::Args),
    New(kernel_new::Args),
    Watch(kernel_watch::Args),
}

/// Show the kernels: parameters, launch bounds, and the cases they are measured with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel list
  psionic kernel list --size 8b --json")]
struct ListArgs {
    /// The model's size whose shapes are shown
    #[arg(long, default_value = "1.7b", value_parser = SIZES.map(|size| size.name))]
    size: String,

    /// Write one JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List(args) => list(&args),
        Action::Test(args) => kernel_test::run(args),
        Action::Bench(args) => kernel_bench::run(args),
        Action::Check(args) => kernel_check::run(args),
        Action::New(args) => kernel_new::run(args),
        Action::Watch(args) => kernel_watch::run(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let shapes = Shapes::of(&args.size)?;
    if args.json {
        let entries: Vec<Entry> = KERNELS.iter().map(|kernel| Entry::new(kernel, &shapes)).collect();
        return print_json(&entries);
    }
    let entries: Vec<String> = KERNELS.iter().map(|kernel| text(kernel, &shapes)).collect();
    print(entries.join("\n"))
}

fn text(kernel: &Kernel, shapes: &Shapes) -> String {
    let bounds = match kernel.launch_bounds {
        None => "no launch bounds".to_owned(),
        Some((threads, 0)) => format!("at most {threads} threads a block"),
        Some((threads, 1)) => format!("at most {threads} threads a block, at least 1 block a multiprocessor"),
        Some((threads, n)) => {
            format!("at most {threads} threads a block, at least {n} blocks a multiprocessor")
        }
    };
    let mut text = format!("{}: {}\n  {DIM}{bounds}{DIM:#}\n", kernel.name, kernel.summary);
    let params: Vec<String> =
        kernel.params.iter().map(|param| format!("{}: {}", param.name, ty(param.ty))).collect();
    let _ = writeln!(text, "  ({})", params.join(", "));
    if let Some(command) = kernel.measured_by {
        let _ = writeln!(text, "  no case of its own: measured by `{command}`");
    }
    for case in kernel.cases(shapes) {
        let name = case.to_string();
        let _ = writeln!(text, "  {name:<20} {:>10}  {}", bytes(case.bytes), case.shape);
    }
    text
}

/// A type as it is written, without the spaces that the macro puts between its parts.
fn ty(text: &str) -> String {
    text.replace("* const ", "*const ").replace("* mut ", "*mut ").replace("& ", "&")
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    summary: &'static str,
    launch_bounds: Option<Bounds>,
    params: Vec<Param>,
    measured_by: Option<&'static str>,
    cases: Vec<CaseEntry>,
}

#[derive(Serialize)]
struct Bounds {
    threads: u32,
    blocks: u32,
}

#[derive(Serialize)]
struct Param {
    name: &'static str,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Serialize)]
struct CaseEntry {
    name: String,
    shape: String,
    bytes: u64,
}

impl Entry {
    fn new(kernel: &Kernel, shapes: &Shapes) -> Self {
        let case = |Case { name, shape, bytes, .. }: Case| CaseEntry { name, shape, bytes };
        Self {
            name: kernel.name,
            summary: kernel.summary,
            launch_bounds: kernel.launch_bounds.map(|(threads, blocks)| Bounds { threads, blocks }),
            params: kernel.params.iter().map(|param| Param { name: param.name, ty: ty(param.ty) }).collect(),
            measured_by: kernel.measured_by,
            cases: kernel.cases(shapes).into_iter().map(case).collect(),
        }
    }
}
