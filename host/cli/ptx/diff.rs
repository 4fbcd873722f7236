//! `psionic ptx diff`: what changed.

use std::path::{Path, PathBuf};

use cuda_builder::NvvmArch;
use cuda_ptx::diff::{Entries, EntryDiff, State, diff};
use cuda_ptx::{Figure, analyse, figures};
use psionic::device::{COMMIT, KERNELS};
use serde::Serialize;

use super::input::Text;
use super::machine::MachineArgs;
use super::revision;
use super::table::table;
use crate::cli::failure::Failure;
use crate::cli::terminal::{note, one_line, print, print_json};

/// What stands for the kernels in this program.
const BUILT_IN: &str = "built-in";

/// Show what changed in each entry
///
/// A and B are each a file of PTX, a folder with a kernel crate, which is
/// compiled, a revision in git, whose kernels are compiled, or built-in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx diff old.ptx new.ptx
  psionic ptx diff HEAD kernels-rs
  psionic ptx diff main built-in --gpu H100 --json")]
pub struct Args {
    /// What it was
    #[arg(value_name = "A")]
    before: String,

    /// What it is
    #[arg(value_name = "B")]
    after: String,

    /// The kernel crate in the repository, for revisions
    #[arg(long = "crate", value_name = "DIR", default_value = "kernels-rs")]
    crate_path: PathBuf,

    /// The architecture to compile for; by default the newest of the built-in
    /// kernels
    #[arg(long, value_name = "SM", value_parser = parse_arch)]
    arch: Option<NvvmArch>,

    #[command(flatten)]
    machine: MachineArgs,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

fn parse_arch(name: &str) -> Result<NvvmArch, String> {
    NvvmArch::ALL.iter().copied().find(|arch| arch.sm() == name).ok_or_else(|| {
        let names: Vec<&str> = NvvmArch::ALL.iter().map(|arch| arch.sm()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

#[derive(Serialize)]
struct Record<'a> {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    before: &'a str,
    after: &'a str,
    entries: &'a [EntryDiff],
}

pub fn run(args: &Args) -> Result<(), Failure> {
    // Both are read before anything is said of one.
    let (before, after) = (text(args, &args.before)?, text(args, &args.after)?);
    let ((before, old, notes), (after, new, more)) = (side(args, &before)?, side(args, &after)?);
    if notes == more {
        notes.iter().for_each(note);
    } else {
        notes.iter().for_each(|text| note(format_args!("A: {text}")));
        more.iter().for_each(|text| note(format_args!("B: {text}")));
    }
    let entries = diff(&old, &new);
    if args.json {
        return print_json(&Record {
            schema: "psionic.ptx.diff.v1",
            version: env!("CARGO_PKG_VERSION"),
            commit: COMMIT,
            before: &before,
            after: &after,
            entries: &entries,
        });
    }
    print(format!("A: {before}\nB: {after}\n\n{}", shown(&entries)))
}

/// A name for what is compared, the figures of its entries, and what could not be found out.
fn side(args: &Args, text: &Text) -> Result<(String, Entries, Vec<String>), Failure> {
    let module = text.parse()?;
    let machine = args.machine.machine(text, &module)?;
    let entries = analyse(&module).into_iter().filter(|function| function.entry).map(|function| {
        let mut figures = figures(&function, machine.resources(&function.name));
        let warps = machine.occupancy(&function).map(|found| u64::from(found.warps));
        figures.push(Figure { name: "resident_warps", value: warps });
        (function.name, figures)
    });
    let entries = entries.collect();
    Ok((text.name.clone(), entries, machine.notes))
}

fn text(args: &Args, named: &str) -> Result<Text, Failure> {
    let arch = || {
        let newest = KERNELS
            .ptx
            .last()
            .and_then(|(sm, _)| NvvmArch::ALL.iter().find(|arch| arch.capability_value() == *sm));
        args.arch.or(newest.copied()).unwrap_or_default()
    };
    let path = Path::new(named);
    if named == BUILT_IN {
        Text::built_in(args.arch.map(NvvmArch::sm))
    } else if path.is_dir() {
        revision::of_folder(path, arch())
    } else if named == "-" || path.exists() {
        Text::of_file(path)
    } else {
        revision::of_revision(named, &args.crate_path, arch())
    }
}

fn shown(entries: &[EntryDiff]) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let rows = entries.iter().flat_map(|entry| {
        let state = match entry.state {
            State::Added => " (added)",
            State::Removed => " (removed)",
            State::Same | State::Changed => "",
        };
        entry.changes.iter().enumerate().map(move |(i, change)| {
            let name = if i == 0 { one_line(&entry.name) + state } else { String::new() };
            let by = match (change.before, change.after) {
                (Some(before), Some(after)) if before > 0 => {
                    format!("{:+.1} %", 100.0 * (after as f64 / before as f64 - 1.0))
                }
                _ => String::new(),
            };
            vec![name, change.figure.replace('_', " "), number(change.before), number(change.after), by]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let same = entries.iter().filter(|entry| entry.state == State::Same).count();
    let changes = match rows.is_empty() {
        true => String::new(),
        false => table(&["entry", "figure", ">A", ">B", ">change"], rows) + "\n",
    };
    format!("{changes}{same} of {} entries are the same in all figures\n", entries.len())
}
