//! Machine code under the lines of the source that it comes from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cuda_ptx::tool::SassLine;
use cuda_ptx::{FunctionAnalysis, Location, Module};

use super::input::shown;
use crate::cli::style::DIM;
use crate::cli::terminal::one_line;

/// The listing of a function.
pub fn listing(
    module: &Module<'_>,
    function: &FunctionAnalysis,
    lines: &[SassLine],
    sources: &BTreeMap<String, String>,
) -> String {
    let places = places(module, function);
    let mut out = String::from("  machine code\n");
    let mut last = None;
    for line in lines {
        let place = line.ptx_line.and_then(|line| places.get(&line)).copied();
        if place.is_some() && place != last {
            out += &heading(module, place, sources);
            last = place;
        }
        match line.address {
            Some(address) => {
                let ptx = line.ptx_line.map_or_else(String::new, |line| format!("{DIM}ptx {line}{DIM:#}"));
                let _ = writeln!(out, "  {address:06x}  {:<60} {ptx}", one_line(&line.text));
            }
            None => {
                let _ = writeln!(out, "  {}", one_line(&line.text));
            }
        }
    }
    out
}

/// By lines of the PTX, the place that tells most.
fn places(module: &Module<'_>, function: &FunctionAnalysis) -> BTreeMap<u32, Location> {
    let body = module.functions.iter().find(|found| found.name == function.name && found.body.is_some());
    let instructions =
        body.and_then(|found| found.body.as_ref()).into_iter().flat_map(|body| body.instructions());
    instructions
        .filter_map(|instruction| Some((instruction.line, module.telling(instruction.place)?)))
        .map(|(line, location)| (line, Location { column: 0, ..location }))
        .collect()
}

fn heading(module: &Module<'_>, place: Option<Location>, sources: &BTreeMap<String, String>) -> String {
    let Some(place) = place else { return String::new() };
    let file = module.file(place.file).unwrap_or("?");
    let index = usize::try_from(place.line).unwrap_or(0).wrapping_sub(1);
    let text = sources.get(file).and_then(|text| text.lines().nth(index)).unwrap_or_default();
    format!("\n  {}:{}  {}\n", one_line(shown(file)), place.line, one_line(text))
}
