//! `psionic ptx report`: source, PTX and machine code side by side, for a browser.

use std::path::PathBuf;

use cuda_ptx::html::Page;
use cuda_ptx::{analyse, lint};
use psionic::part_file::{Existing, PartFile};
use serde::Serialize;

use super::input::{Head, InputArgs, named, sources};
use super::machine::MachineArgs;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::terminal::{bytes, note, print, print_json};

/// Write a page with the source beside PTX and machine code
///
/// One HTML file that needs no other and no network. Pointing at a line shows
/// what belongs to it in the other columns; a click keeps it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx report -o report.html
  psionic ptx report attention project -o report.html --gpu H100
  psionic ptx report -f kernel.ptx -o report.html --force")]
pub struct Args {
    /// The entries; by default everything
    #[arg(value_name = "ENTRY")]
    entries: Vec<String>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    machine: MachineArgs,

    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Replace the file if there is one
    #[arg(long)]
    force: bool,

    /// Write one JSON object about it
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    head: Head,
    output: String,
    bytes: usize,
    functions: usize,
    sass: bool,
    sources: usize,
    notes: &'a [String],
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = args.input.text_for(args.machine.capability())?;
    let module = text.parse()?;
    let functions = named(analyse(&module), &args.entries)?;
    let unwritable = |error| Failure::unwritable(&args.output, &error);
    // Found out before anything runs.
    interrupt::discard_parts();
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let file = PartFile::create(&args.output, existing).map_err(unwritable)?;
    let mut machine = args.machine.machine(&text, &module)?;
    let sass = machine.sass()?;
    machine.notes.iter().for_each(note);
    let findings = lint::lint(&module);
    let sources = sources(&module);
    let occupancy = functions
        .iter()
        .filter_map(|function| Some((function.name.clone(), machine.occupancy(function)?)))
        .collect();
    let page = Page {
        title: &text.name,
        text: &text.text,
        module: &module,
        functions: &functions,
        resources: &machine.all_resources(),
        occupancy: &occupancy,
        sass: &sass,
        findings: &findings,
        sources: &sources,
        notes: &machine.notes,
    };
    let html = page.html();
    file.finish_with(&html).map_err(unwritable)?;
    if args.json {
        return print_json(&Record {
            head: Head::new("psionic.ptx.report.v1", &text, &module),
            output: args.output.display().to_string(),
            bytes: html.len(),
            functions: functions.len(),
            sass: !sass.is_empty(),
            sources: sources.len(),
            notes: &machine.notes,
        });
    }
    print(format_args!(
        "{}: {} functions, {} source files, {}\n",
        args.output.display(),
        functions.len(),
        sources.len(),
        bytes(html.len() as u64)
    ))
}
