//! `psionic kernel new`: a kernel to begin with.

use std::path::{Path, PathBuf};

use psionic::lab::{Checkout, LabError, scaffold};
use serde::Serialize;

use super::failure::Failure;
use super::terminal::{print, print_json};

/// Add a kernel to this checkout: source, reference, test and cases
///
/// Works in any folder of a checkout of Psionic. The kernel multiplies a vector
/// by a number, to begin with; it compiles, its tests pass, and the program,
/// built again, lists, tests and measures it. All files are written or none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic kernel new softcap
  cargo run -- kernel test softcap
  psionic kernel watch softcap")]
pub struct Args {
    /// The kernel's name: small letters, digits and underscores
    #[arg(value_name = "NAME")]
    name: String,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let checkout = here()?;
    let changes = scaffold(&checkout, &args.name)?;
    changes.apply()?;
    let inside = |path: &Path| path.strip_prefix(checkout.root()).unwrap_or(path).display().to_string();
    let report = Report {
        root: checkout.root().to_owned(),
        created: changes.created().map(inside).collect(),
        changed: changes.rewritten().map(inside).collect(),
        name: args.name,
    };
    if args.json {
        return print_json(&report);
    }
    let Report { name, created, changed, .. } = &report;
    let files = created.iter().map(|path| format!("made     {path}\n"));
    let files: String = files.chain(changed.iter().map(|path| format!("changed  {path}\n"))).collect();
    print(format_args!("{files}next: `psionic kernel watch {name}`, or `cargo run -- kernel test {name}`\n"))
}

/// The checkout that this process is in.
pub fn here() -> Result<Checkout, Failure> {
    let folder = std::env::current_dir()
        .map_err(|source| LabError::Io { path: PathBuf::from("the current folder"), source })?;
    Ok(Checkout::around(&folder)?)
}

#[derive(Serialize)]
struct Report {
    name: String,
    root: PathBuf,
    created: Vec<String>,
    changed: Vec<String>,
}
