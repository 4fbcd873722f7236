//! `psionic ptx list`: the entries of a text.

use cuda_ptx::{FunctionAnalysis, ParamInfo, SharedMemory, analyse};
use serde::Serialize;

use super::input::{Head, InputArgs};
use super::table::{count, table};
use crate::cli::failure::Failure;
use crate::cli::style::DIM;
use crate::cli::terminal::{one_line, print, print_json};

/// Show the entries: parameters, launch bounds, shared memory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx list
  psionic ptx list --arch sm_80 --json
  psionic ptx list -f kernel.ptx")]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    head: Head,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    params: &'a [ParamInfo],
    max_threads: Option<u32>,
    min_blocks: Option<u32>,
    shared: SharedMemory,
    local_bytes: u64,
    instructions: u64,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = args.input.text()?;
    let module = text.parse()?;
    let functions = analyse(&module);
    let entries: Vec<&FunctionAnalysis> = functions.iter().filter(|function| function.entry).collect();
    let head = Head::new("psionic.ptx.list.v1", &text, &module);
    if args.json {
        let entries = entries.into_iter().map(|entry| Entry {
            name: &entry.name,
            params: &entry.params,
            max_threads: entry.max_threads,
            min_blocks: entry.min_blocks,
            shared: entry.shared,
            local_bytes: entry.local_bytes,
            instructions: entry.mix.instructions,
        });
        return print_json(&Record { head, entries: entries.collect() });
    }
    let rows = entries.iter().map(|entry| {
        vec![
            one_line(&entry.name),
            entry.max_threads.map_or_else(String::new, |threads| threads.to_string()),
            entry.min_blocks.map_or_else(String::new, |blocks| blocks.to_string()),
            count(entry.shared.static_bytes) + if entry.shared.dynamic { " + dynamic" } else { "" },
            count(entry.local_bytes),
            entry.mix.instructions.to_string(),
            entry.blocks.len().to_string(),
        ]
    });
    let titles =
        ["entry", ">threads", ">min blocks", ">shared bytes", ">local bytes", ">instructions", ">blocks"];
    let mut shown = head.line() + "\n" + &table(&titles, rows);
    for entry in &entries {
        shown += &format!("\n{}\n", one_line(&entry.name));
        for param in &entry.params {
            shown += &format!(
                "  {:<8} {:>4} bytes  {DIM}{}{DIM:#}\n",
                param.ty,
                param.bytes,
                one_line(&param.name)
            );
        }
    }
    print(shown)
}
