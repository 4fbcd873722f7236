//! `psionic medpsy gate`: whether what is claimed of MedPsy is backed.

use std::path::PathBuf;

use psionic::medpsy::gate::{Evidence, Finding, check};
use serde::Serialize;

use crate::cli::failure::{Failure, Kind};
use crate::cli::terminal::{one_line, print, print_json};
use crate::cli::token_ids;

/// Check that what is claimed of MedPsy is backed
///
/// The policy file must say what the program does, every retained matrix must
/// follow from its rows and every row have its evidence, no claim may go
/// beyond them, and no other engine be below Psionic. Exit code 1 when not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo tree -p psionic -e normal --prefix none > tree.txt
  psionic medpsy gate --dependencies tree.txt")]
pub struct Args {
    /// The packages below Psionic, as `cargo tree --prefix none` prints them
    #[arg(long, value_name = "FILE")]
    dependencies: PathBuf,

    /// The repository
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: PathBuf,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let evidence =
        Evidence::read(&args.root, token_ids::text(&args.dependencies)?).map_err(Failure::usage)?;
    let findings = check(&evidence);
    let matrices: Vec<&str> = evidence.matrices.iter().map(|(name, _)| name.as_str()).collect();
    if args.json {
        print_json(&Report { open: findings.is_empty(), matrices: &matrices, findings: &findings })?;
    } else {
        print(findings.iter().map(|finding| one_line(&finding.message) + "\n").collect::<String>())?;
    }
    match findings.len() {
        0 if args.json => Ok(()),
        0 => print(format!(
            "open: the policy, {} retained matrices and the dependencies hold\n",
            matrices.len()
        )),
        1 => Err(Failure::new(Kind::Failed, "the release gate is closed by 1 finding")),
        count => {
            Err(Failure::new(Kind::Failed, format_args!("the release gate is closed by {count} findings")))
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    open: bool,
    matrices: &'a [&'a str],
    findings: &'a [Finding],
}
