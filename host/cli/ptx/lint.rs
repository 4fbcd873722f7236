//! `psionic ptx lint`: what is likely a mistake.

use cuda_ptx::lint::{Finding, Lint, lint};
use serde::Serialize;

use super::input::{Head, InputArgs, shown};
use crate::cli::failure::{Failure, Kind};
use crate::cli::style::{DIM, ERROR, NOTE};
use crate::cli::terminal::{one_line, print, print_json};

/// Find likely mistakes, each with the line of the source
///
/// Barriers that some threads may miss, generic accesses, narrow neighbouring
/// accesses, f64, panics that are left, atomics without a scope. Lines are
/// there where the PTX has them, as the built-in kernels' has.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx lint
  psionic ptx lint -f kernel.ptx --allow missed-vector
  psionic ptx lint --deny all --json")]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// Fail, with exit code 1, when these find something: their names, serious
    /// (what may go wrong, not only be slow) or all
    #[arg(long, value_name = "LINT,..", value_delimiter = ',', value_parser = parse_selection)]
    deny: Vec<Selection>,

    /// Leave out what these find
    #[arg(long, value_name = "LINT,..", value_delimiter = ',', value_parser = parse_selection)]
    allow: Vec<Selection>,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Some lints.
#[derive(Debug, Clone, Copy)]
enum Selection {
    All,
    Serious,
    One(Lint),
}

impl Selection {
    fn has(self, lint: Lint) -> bool {
        match self {
            Self::All => true,
            Self::Serious => lint.is_serious(),
            Self::One(one) => one == lint,
        }
    }
}

fn parse_selection(name: &str) -> Result<Selection, String> {
    match name {
        "all" => Ok(Selection::All),
        "serious" => Ok(Selection::Serious),
        _ => Lint::ALL.into_iter().find(|lint| lint.name() == name).map(Selection::One).ok_or_else(|| {
            let names = Lint::ALL.map(Lint::name);
            format!("expected all, serious or one of {}", names.join(", "))
        }),
    }
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    head: Head,
    findings: &'a [Finding],
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = args.input.text()?;
    let module = text.parse()?;
    let mut findings = lint(&module);
    let any = |selections: &[Selection], lint| selections.iter().any(|selection| selection.has(lint));
    findings.retain(|finding| !any(&args.allow, finding.lint));
    let head = Head::new("psionic.ptx.lint.v1", &text, &module);
    if args.json {
        print_json(&Record { head, findings: &findings })?;
    } else {
        print(head.line() + "\n" + &shown_text(&findings))?;
    }
    match findings.iter().filter(|finding| any(&args.deny, finding.lint)).count() {
        0 => Ok(()),
        denied => Err(Failure::new(Kind::Failed, format!("{denied} findings of lints that are denied"))
            .hint("`--allow` leaves those of a lint out")),
    }
}

/// Findings by lint, and those of one line of the source together.
fn shown_text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for lint in Lint::ALL {
        let found: Vec<&Finding> = findings.iter().filter(|finding| finding.lint == lint).collect();
        if found.is_empty() {
            continue;
        }
        let style = if lint.is_serious() { ERROR } else { NOTE };
        out += &format!("{style}{}{style:#}: {}\n", lint.name(), lint.help());
        let mut groups: Vec<(&Finding, Vec<u32>)> = Vec::new();
        for finding in found {
            let same = |(first, _): &&mut (&Finding, Vec<u32>)| {
                first.source.is_some()
                    && (&first.source, &first.function, &first.message)
                        == (&finding.source, &finding.function, &finding.message)
            };
            match groups.iter_mut().find(same) {
                Some((_, lines)) => lines.push(finding.line),
                None => groups.push((finding, vec![finding.line])),
            }
        }
        for (finding, lines) in groups {
            let source = finding.source.as_deref().map_or("no line of the source", shown);
            out +=
                &format!("  {} in {}: {}\n", one_line(source), one_line(&finding.function), finding.message);
            let more =
                if lines.len() > 1 { format!(", and {} more", lines.len() - 1) } else { String::new() };
            out += &format!("    {DIM}line {}: {}{more}{DIM:#}\n", lines[0], one_line(&finding.instruction));
        }
        out += "\n";
    }
    if findings.is_empty() {
        return "nothing was found\n".to_owned();
    }
    out + &format!("{} findings\n", findings.len())
}
