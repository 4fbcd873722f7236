//! `psionic ptx inspect`: what an entry consists of.

use std::fmt::Write as _;

use cuda_ptx::class::{Access, Class, Space};
use cuda_ptx::occupancy::Occupancy;
use cuda_ptx::tool::{Resources, SassLine};
use cuda_ptx::uniform::Level;
use cuda_ptx::{FunctionAnalysis, Mix, analyse};
use serde::Serialize;

use super::input::{Head, InputArgs, named, shown, sources};
use super::machine::{Machine, MachineArgs, MachineRecord};
use super::sass;
use super::table::{count, table};
use crate::cli::failure::Failure;
use crate::cli::style::DIM;
use crate::cli::terminal::{note, one_line, print, print_json};

/// The most blocks that are shown unless all are asked for.
const BLOCKS: usize = 24;

/// Show what entries consist of: instructions by class, blocks, branches
///
/// Counts are those of the text: a loop counts once. With ptxas also
/// registers, spills and occupancy; with nvdisasm and --sass the machine code
/// under the lines of the source that it comes from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic ptx inspect
  psionic ptx inspect attention --gpu \"RTX 4080\" --threads 256
  psionic ptx inspect swiglu --sass
  psionic ptx inspect -f kernel.ptx --json")]
pub struct Args {
    /// The entries, or device functions; by default all entries, a line each
    #[arg(value_name = "ENTRY")]
    entries: Vec<String>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    machine: MachineArgs,

    /// Show all blocks, however many
    #[arg(long)]
    blocks: bool,

    /// Show the machine code
    #[arg(long, requires = "entries")]
    sass: bool,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    head: Head,
    machine: MachineRecord,
    notes: &'a [String],
    functions: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    analysis: &'a FunctionAnalysis,
    resources: Option<&'a Resources>,
    occupancy: Option<Occupancy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sass: Option<&'a [SassLine]>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let text = args.input.text_for(args.machine.capability())?;
    let module = text.parse()?;
    let functions = named(analyse(&module), &args.entries)?;
    let mut machine = args.machine.machine(&text, &module)?;
    let sass = if args.sass { machine.sass()? } else { Vec::new() };
    let code = |name: &str| sass.iter().find(|found| found.name == name).map(|found| found.lines.as_slice());
    let head = Head::new("psionic.ptx.inspect.v1", &text, &module);
    if args.json {
        let entries = functions.iter().map(|analysis| Entry {
            analysis,
            resources: machine.resources(&analysis.name),
            occupancy: machine.occupancy(analysis),
            sass: code(&analysis.name),
        });
        return print_json(&Record {
            head,
            machine: machine.record(),
            notes: &machine.notes,
            functions: entries.collect(),
        });
    }
    let mut out = head.line();
    if let Some(version) = &machine.ptxas {
        let gpu = machine.gpu.map_or_else(String::new, |gpu| {
            format!(" ({}, {} multiprocessors)", gpu.name, gpu.multiprocessors)
        });
        let _ = writeln!(out, "assembled for {}{gpu} by ptxas {version}", machine.target);
    }
    machine.notes.iter().for_each(note);
    if args.entries.is_empty() {
        out += "\n";
        out += &overview(&functions, &machine);
        out += &format!("\n{DIM}`psionic ptx inspect ENTRY` shows one with its blocks{DIM:#}\n");
        return print(out);
    }
    let sources = if args.sass { sources(&module) } else { Default::default() };
    for function in &functions {
        out += "\n";
        out += &detail(function, &machine, args.blocks);
        if let Some(lines) = code(&function.name) {
            out += &sass::listing(&module, function, lines, &sources);
        }
    }
    print(out)
}

/// A line for each entry.
fn overview(functions: &[FunctionAnalysis], machine: &Machine) -> String {
    let rows = functions.iter().filter(|function| function.entry).map(|function| {
        let resources = machine.resources(&function.name);
        let of = |value: fn(&Resources) -> u32| {
            resources.map_or_else(|| "-".into(), |found| value(found).to_string())
        };
        vec![
            one_line(&function.name),
            function.mix.instructions.to_string(),
            of(|resources| resources.registers),
            of(|resources| resources.spill_store_bytes + resources.spill_load_bytes),
            count(function.shared.static_bytes) + if function.shared.dynamic { " + dynamic" } else { "" },
            machine
                .occupancy(function)
                .map_or_else(|| "-".into(), |found| format!("{:.0} %", 100.0 * found.fraction)),
            count(function.barriers),
            count(function.divergent_branches.len() as u64),
            vectorised(&function.mix),
        ]
    });
    let titles = [
        "entry",
        ">instructions",
        ">registers",
        ">spill bytes",
        ">shared bytes",
        ">occupancy",
        ">barriers",
        ">divergent branches",
        ">in 16 bytes",
    ];
    table(&titles, rows)
}

fn detail(function: &FunctionAnalysis, machine: &Machine, all_blocks: bool) -> String {
    let mut out = format!("{}\n", one_line(&function.name));
    if let Some(resources) = machine.resources(&function.name) {
        if function.entry {
            let _ = writeln!(
                out,
                "  registers: {}; barriers: {}; constant memory: {} bytes",
                resources.registers, resources.barriers, resources.constant_bytes
            );
        }
        let _ = writeln!(
            out,
            "  spills: {} bytes stored, {} bytes loaded; stack: {} bytes",
            resources.spill_store_bytes, resources.spill_load_bytes, resources.stack_bytes
        );
    }
    if let Some(found) = machine.occupancy(function) {
        let _ = writeln!(
            out,
            "  occupancy: {} blocks of {} threads and {} bytes of shared memory on a multiprocessor, {} of {} warps \
             ({:.0} %), limited by {}",
            found.blocks,
            found.threads,
            found.shared_bytes,
            found.warps,
            found.max_warps,
            100.0 * found.fraction,
            found.limit.name()
        );
        if machine.lacks_shared(function) {
            out += "    without its dynamic shared memory, which --dynamic-shared tells\n";
        }
    }
    let dynamic = if function.shared.dynamic { ", more at launch" } else { "" };
    let _ = writeln!(
        out,
        "  shared memory: {} bytes{dynamic}; local memory: {} bytes; launch bounds: {}",
        function.shared.static_bytes,
        function.local_bytes,
        function.max_threads.map_or_else(|| "none".into(), |threads| format!("{threads} threads"))
    );
    let mix = &function.mix;
    let _ = writeln!(
        out,
        "  a thread loads {} bytes and stores {} if it runs each instruction once; {} of global bytes go in 16 or more\n",
        mix.loaded_bytes,
        mix.stored_bytes,
        vectorised(mix)
    );
    out += &indented(&classes(mix));
    out += &indented(&memory(mix));
    out += &unknown(mix);
    out += &branches(function);
    out += &blocks(function, all_blocks);
    out
}

fn classes(mix: &Mix) -> String {
    let mut classes: Vec<_> = mix.classes.iter().collect();
    classes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let rows = classes.into_iter().map(|(class, &count)| {
        let share = 100.0 * count as f64 / mix.instructions.max(1) as f64;
        vec![class.name().to_owned(), count.to_string(), format!("{share:.1} %")]
    });
    table(&["class", ">instructions", ">share"], rows)
}

fn memory(mix: &Mix) -> String {
    if mix.memory.is_empty() {
        return String::new();
    }
    let rows = mix.memory.iter().map(|group| {
        let memory = &group.memory;
        let bytes = if memory.bytes == 0 { "?".to_owned() } else { memory.bytes.to_string() };
        vec![
            format!("{} {}", space(memory.space), access(memory.access)),
            bytes,
            memory.policy.clone(),
            group.count.to_string(),
        ]
    });
    table(&["access", ">bytes", "cache and order", ">instructions"], rows)
}

fn space(space: Space) -> &'static str {
    match space {
        Space::Global => "global",
        Space::Shared => "shared",
        Space::Local => "local",
        Space::Constant => "constant",
        Space::Param => "parameter",
        _ => "generic",
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Load => "load",
        Access::Store => "store",
        Access::Atomic => "atomic",
        Access::Copy => "async copy",
        _ => "prefetch",
    }
}

fn unknown(mix: &Mix) -> String {
    if mix.unknown.is_empty() {
        return String::new();
    }
    let list: Vec<String> =
        mix.unknown.iter().map(|(opcode, count)| format!("{} ({count})", one_line(opcode))).collect();
    format!("  not known: {}\n\n", list.join(", "))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Block => "",
        Level::Warp => "warps",
        Level::Thread => "threads",
    }
}

fn branches(function: &FunctionAnalysis) -> String {
    /// The most lines of the source that are shown.
    const PLACES: usize = 12;
    if function.divergent_branches.is_empty() {
        return "  no branch divides the threads of a block\n\n".to_owned();
    }
    // An unrolled loop has a branch of the source many times.
    let mut places: Vec<(&str, Level, u64)> = Vec::new();
    for branch in &function.divergent_branches {
        let source = branch.source.as_deref().unwrap_or("no line of the source");
        match places.iter_mut().find(|(place, level, _)| (*place, *level) == (source, branch.level)) {
            Some((.., count)) => *count += 1,
            None => places.push((source, branch.level, 1)),
        }
    }
    places.sort_by_key(|(_, level, count)| std::cmp::Reverse((*level, *count)));
    let rest = places.len().saturating_sub(PLACES);
    let rows = places
        .iter()
        .take(PLACES)
        .map(|(source, by, count)| vec![level(*by).to_owned(), count.to_string(), one_line(shown(source))]);
    let mut out = indented(&table(&["may divide", ">branches", "source"], rows));
    if rest > 0 {
        out.truncate(out.trim_end().len());
        let _ = write!(out, "\n  {DIM}and {rest} more places, in --json{DIM:#}\n\n");
    }
    out
}

fn blocks(function: &FunctionAnalysis, all: bool) -> String {
    let mut order: Vec<usize> = (0..function.blocks.len()).collect();
    let cut = !all && order.len() > BLOCKS;
    if cut {
        // Those in the deepest loops run most often.
        order.sort_by_key(|&block| {
            let block = &function.blocks[block];
            std::cmp::Reverse((block.loop_depth, block.mix.instructions))
        });
        order.truncate(BLOCKS);
        order.sort_unstable();
    }
    let rows = order.iter().map(|&index| {
        let block = &function.blocks[index];
        let successors: Vec<String> = block.successors.iter().map(usize::to_string).collect();
        let mix = &block.mix;
        vec![
            index.to_string(),
            format!("{}-{}", block.lines.0, block.lines.1),
            count(block.loop_depth as u64),
            mix.instructions.to_string(),
            count(mix.count(Class::GlobalMemory) + mix.count(Class::GenericMemory)),
            count(mix.count(Class::SharedMemory)),
            count(
                mix.count(Class::Fma)
                    + mix.count(Class::Float)
                    + mix.count(Class::Dp4a)
                    + mix.count(Class::Mma),
            ),
            count(mix.count(Class::Barrier)),
            count(mix.loaded_bytes),
            count(mix.stored_bytes),
            level(block.divergent).to_owned(),
            successors.join(" "),
            block.source.as_deref().map(shown).map(one_line).unwrap_or_default(),
        ]
    });
    let titles = [
        ">block",
        "lines",
        ">loops",
        ">instr.",
        ">global",
        ">shared",
        ">math",
        ">barriers",
        ">loaded",
        ">stored",
        "divided",
        "next",
        "source",
    ];
    let mut out = indented(&table(&titles, rows));
    if cut {
        out.truncate(out.trim_end().len());
        let _ = write!(
            out,
            "\n  {DIM}{} of {} blocks, those in the deepest loops; --blocks shows all{DIM:#}\n",
            order.len(),
            function.blocks.len()
        );
    }
    out
}

fn vectorised(mix: &Mix) -> String {
    mix.vectorised().map_or_else(|| "none".into(), |share| format!("{:.0} %", 100.0 * share))
}

/// A table in its place, with an empty line behind it.
fn indented(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    text.lines().map(|line| format!("  {line}\n")).collect::<String>() + "\n"
}
