//! `psionic ptx check`: kernels held to a budget.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use cuda_ptx::budget::{Budget, Excess, SCHEMA};
use cuda_ptx::diff::Entries;
use cuda_ptx::tool::Tool;
use cuda_ptx::{analyse, figures};
use psionic::device::COMMIT;
use psionic::part_file::{Existing, PartFile};
use serde::Serialize;

use super::input::InputArgs;
use super::machine::MachineArgs;
use super::table::table;
use crate::cli::failure::{Failure, Kind};
use crate::cli::terminal::{note, one_line, print, print_json};

/// Hold kernels to a committed budget
///
/// A budget limits figures of entries: registers, spills, shared memory,
/// instructions. What ptxas alone knows is not checked without it, unless
/// --require-ptxas is given. Of the built-in kernels every architecture is
/// checked. Exits with 1 when a limit is exceeded or an entry has none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx check --budget kernels-rs/budget.json
  psionic ptx check --budget budget.json -f kernel.ptx --require-ptxas
  psionic ptx check --budget kernels-rs/budget.json --write")]
pub struct Args {
    /// The budget, a JSON file
    #[arg(long, value_name = "FILE")]
    budget: PathBuf,

    #[command(flatten)]
    input: InputArgs,

    /// Write the budget from what is there now
    #[arg(long)]
    write: bool,

    /// How many percent more instructions a written budget allows: compilers
    /// differ
    #[arg(long, value_name = "N", default_value_t = 10, requires = "write")]
    slack: u32,

    /// Fail, with exit code 2, without ptxas
    #[arg(long)]
    require_ptxas: bool,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    budget: String,
    ok: bool,
    checked: usize,
    skipped: usize,
    excesses: Vec<Excess>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.require_ptxas {
        Tool::Ptxas.find().map_err(Failure::usage)?;
    }
    let (targets, notes) = measured(&args.input)?;
    if args.write {
        return write(args, &targets, &notes);
    }
    let text = fs::read_to_string(&args.budget).map_err(|error| {
        let path = args.budget.display();
        Failure::usage(format!("{path} could not be read ({error}); `--write` makes a budget"))
    })?;
    let named = |error| Failure::usage(format!("{}: {error}", args.budget.display()));
    let budget = Budget::parse(&text).map_err(named)?;
    let (mut excesses, mut checked, mut skipped) = (Vec::new(), 0, 0);
    for (target, entries) in &targets {
        let verdict = budget.check(target, entries).map_err(named)?;
        excesses.extend(verdict.excesses);
        checked += verdict.checked;
        skipped += verdict.skipped;
    }
    if skipped > 0 {
        notes.iter().for_each(note);
    }
    let broken = excesses.len();
    if args.json {
        print_json(&Record {
            schema: "psionic.ptx.check.v1",
            version: env!("CARGO_PKG_VERSION"),
            commit: COMMIT,
            budget: args.budget.display().to_string(),
            ok: broken == 0,
            checked,
            skipped,
            excesses,
        })?;
    } else {
        print(shown(&excesses, checked, skipped))?;
    }
    match broken {
        0 => Ok(()),
        1 => Err(over("1 limit of the budget is")),
        _ => Err(over(&format!("{broken} limits of the budget are"))),
    }
}

fn over(limits: &str) -> Failure {
    Failure::new(Kind::Failed, format!("{limits} not kept"))
        .hint("make the kernels smaller, or write what they need with `--write` and commit it")
}

/// The figures of every entry, by target.
fn measured(input: &InputArgs) -> Result<(BTreeMap<String, Entries>, Vec<String>), Failure> {
    let mut targets = BTreeMap::new();
    let mut notes = Vec::new();
    for text in input.texts()? {
        let module = text.parse()?;
        let machine = MachineArgs::default().machine(&text, &module)?;
        let entries: Entries = analyse(&module)
            .iter()
            .filter(|function| function.entry)
            .map(|function| (function.name.clone(), figures(function, machine.resources(&function.name))))
            .collect();
        notes.extend(machine.notes);
        targets.insert(module.targets.first().copied().unwrap_or_default().to_owned(), entries);
    }
    notes.dedup();
    Ok((targets, notes))
}

fn write(args: &Args, targets: &BTreeMap<String, Entries>, notes: &[String]) -> Result<(), Failure> {
    let older = match fs::read_to_string(&args.budget) {
        Ok(text) => Budget::parse(&text).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::unwritable(&args.budget, &error)),
    };
    notes.iter().for_each(note);
    let budget = Budget::of(targets, args.slack, older.as_ref());
    let text =
        serde_json::to_string_pretty(&budget).map_err(|error| Failure::new(Kind::Failed, error))? + "\n";
    let written = PartFile::create(&args.budget, Existing::Replace);
    written
        .and_then(|file| file.finish_with(&text))
        .map_err(|error| Failure::unwritable(&args.budget, &error))?;
    if args.json {
        return print_json(&budget);
    }
    let entries: usize = targets.values().map(BTreeMap::len).sum();
    print(format_args!("{}: {entries} entries, {SCHEMA}\n", args.budget.display()))
}

fn shown(excesses: &[Excess], checked: usize, skipped: usize) -> String {
    let rows = excesses.iter().map(|excess| match excess {
        Excess::Over { target, entry, figure, limit, found } => {
            vec![target.clone(), one_line(entry), figure.clone(), limit.to_string(), found.to_string()]
        }
        Excess::NoTarget { target } => {
            vec![
                target.clone(),
                "(all)".into(),
                "no budget for this target".into(),
                String::new(),
                String::new(),
            ]
        }
        Excess::NoBudget { target, entry } => {
            vec![target.clone(), one_line(entry), "no budget".into(), String::new(), String::new()]
        }
        Excess::NoEntry { target, entry } => {
            vec![target.clone(), one_line(entry), "in the budget only".into(), String::new(), String::new()]
        }
        _ => Vec::new(),
    });
    let mut out = String::new();
    if !excesses.is_empty() {
        out = table(&["target", "entry", "figure", ">limit", ">found"], rows) + "\n";
    }
    let kept = excesses.iter().filter(|excess| matches!(excess, Excess::Over { .. })).count();
    out += &format!("{} of {checked} limits kept", checked - kept);
    if skipped > 0 {
        out += &format!(", {skipped} not checked without ptxas");
    }
    out + "\n"
}
