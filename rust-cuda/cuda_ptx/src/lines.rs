//! Where an instruction's line was inlined to.
//!
//! `.loc` names one place, which for a kernel in Rust is mostly a line of a library. LLVM writes what that was inlined
//! through into a comment, when it is asked for comments; [`compact`] keeps that in few bytes. After `.loc 11 53 29`
//! stands `// @7`, and at the end of the text what that is: `// @7 11:91:21 @2`, the number of a `.file`, a line, a
//! column, and what this was inlined to in turn. A comment is no code: the assembler makes the same of the text with
//! and without it.
use std::{collections::HashMap, fmt::Write as _};

use crate::Location;

/// What the end of a text says of places that code was inlined to.
#[derive(Debug, Default)]
pub(crate) struct Sites(HashMap<u32, (Location, Option<u32>)>);

impl Sites {
    pub fn of(text: &str) -> Self {
        let lines = text.lines().rev().map_while(|line| line.strip_prefix("// @"));
        Self(
            lines
                .filter_map(|line| {
                    let mut words = line.split(' ');
                    let id = words.next()?.parse().ok()?;
                    let mut numbers = words.next()?.split(':').map(|number| number.parse().ok());
                    let mut next = || numbers.next().flatten();
                    let location = Location { file: next()?, line: next()?, column: next()? };
                    let outer = words.next().and_then(|outer| outer.strip_prefix('@')?.parse().ok());
                    Some((id, (location, outer)))
                })
                .collect(),
        )
    }

    /// The places that a comment names, the innermost first.
    pub fn chain(&self, comment: &str) -> Vec<Location> {
        let mut chain = Vec::new();
        let mut next = comment.trim().strip_prefix('@').and_then(|id| id.parse().ok());
        // A text may be anything: what was inlined into itself ends too.
        while let Some((location, outer)) = next.and_then(|id: u32| self.0.get(&id)) {
            if chain.len() > self.0.len() {
                break;
            }
            chain.push(*location);
            next = *outer;
        }
        chain
    }
}

/// Brings LLVM's comments into that form and removes those that say nothing else.
///
/// Files that only comments name get a `.file` of their own. Comments that begin and end inline assembly, and those in
/// it, stay.
pub fn compact(ptx: &str) -> String {
    let mut files = Files::of(ptx);
    let mut sites: HashMap<(Location, Option<usize>), usize> = HashMap::new();
    let mut listed = String::new();
    let mut text = String::with_capacity(ptx.len() / 2);
    let mut asm = false;
    for line in ptx.lines() {
        let trimmed = line.trim_start();
        match trimmed {
            "// begin inline asm" => asm = true,
            "// end inline asm" => asm = false,
            _ => {}
        }
        match line.split_once("//") {
            Some((code, comment)) if is_loc(trimmed) => {
                text += code.trim_end();
                let chain: Vec<Location> =
                    places(comment).skip(1).filter_map(|place| files.location(place)).collect();
                let mut outer = None;
                for location in chain.into_iter().rev() {
                    let next = sites.len();
                    outer = Some(*sites.entry((location, outer)).or_insert_with(|| {
                        let Location { file, line, column } = location;
                        let outer = outer.map_or_else(String::new, |outer| format!(" @{outer}"));
                        // Writing to a string cannot fail.
                        let _ = writeln!(listed, "// @{next} {file}:{line}:{column}{outer}");
                        next
                    }));
                }
                if let Some(site) = outer {
                    let _ = write!(text, " // @{site}");
                }
            }
            Some((code, comment)) if !asm && is_noise(comment) => {
                if code.trim().is_empty() {
                    continue;
                }
                text += code.trim_end();
            }
            _ => text += line,
        }
        text.push('\n');
    }
    for (number, name) in files.added {
        let _ = writeln!(text, "\t.file\t{number} \"{name}\"");
    }
    text + &listed
}

fn is_loc(line: &str) -> bool {
    line.strip_prefix(".loc").is_some_and(|rest| rest.starts_with(['\t', ' ']))
}

/// What LLVM says of blocks and loops. Other comments carry something.
fn is_noise(comment: &str) -> bool {
    let comment = comment.trim_start();
    ["%", "=>", "Parent Loop", "Child Loop", "Inner Loop", "in Loop", "implicit-def", "Label of block", "@"]
        .iter()
        .any(|start| comment.starts_with(start))
}

/// The places in LLVM's comment: `a.rs:1:2 @[ b.rs:3:4 @[ c.rs:5:6 ] ]`.
fn places(comment: &str) -> impl Iterator<Item = &str> {
    comment.split("@[").map(|place| place.trim().trim_end_matches([' ', ']']))
}

/// The numbers of files.
struct Files<'a> {
    /// By the path in a comment, which is a `.file`'s or its end.
    known: HashMap<&'a str, u32>,
    listed: Vec<(u32, &'a str)>,
    added: Vec<(u32, String)>,
}

impl<'a> Files<'a> {
    fn of(ptx: &'a str) -> Self {
        let listed = ptx.lines().filter_map(|line| {
            let (number, name) = line.trim_start().strip_prefix(".file")?.trim_start().split_once(' ')?;
            Some((number.trim().parse().ok()?, name.trim().split('"').nth(1)?))
        });
        Self { known: HashMap::new(), listed: listed.collect(), added: Vec::new() }
    }

    fn location(&mut self, place: &'a str) -> Option<Location> {
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        let file = self.number(parts.next()?);
        Some(Location { file, line, column })
    }

    fn number(&mut self, path: &'a str) -> u32 {
        if let Some(number) = self.known.get(path) {
            return *number;
        }
        let is = |name: &str| {
            name.strip_suffix(path).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
        };
        let number = match self.listed.iter().find(|(_, name)| is(name)) {
            Some((number, _)) => *number,
            None => {
                let last = self.listed.iter().map(|(number, _)| *number);
                let last = last.chain(self.added.iter().map(|(number, _)| *number)).max().unwrap_or(0);
                self.added.push((last + 1, self.absolute(path)));
                last + 1
            }
        };
        self.known.insert(path, number);
        number
    }

    /// A path in the folder that other paths of comments turned out to be in.
    fn absolute(&self, path: &str) -> String {
        let folder = self.known.iter().find_map(|(known, number)| {
            let (_, listed) = self.listed.iter().find(|(listed, _)| listed == number)?;
            listed.strip_suffix(known).filter(|folder| !folder.is_empty())
        });
        match folder {
            Some(folder) if !path.starts_with('/') => format!("{folder}{path}"),
            _ => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBOSE: &str = "\
//
// Generated by LLVM NVPTX Back-End
//
.version 8.0
.target sm_90
// cuda_std: launch_bounds k 256 0
.visible .entry k()
{
// %bb.0:                               // %start
\t.loc\t1 53 29                         // std/global.rs:53:29 @[ std/global.rs:91:21 @[ src/k.rs:20:46 ] ]
\t// begin inline asm
\tmov.u32 %r1, 1; // % stays
\t// end inline asm
$L__BB0_2:                              // %bb2
                                        // =>This Inner Loop Header: Depth=1
\t{ // callseq 0, 0
\t}
\t.loc\t2 9 3                          // src/k.rs:9:3
\t.loc\t2 9 4                          // src/k.rs:9:4 @[ src/other.rs:1:2 ]
}
\t.file\t1 \"/home/a b/std/global.rs\"
\t.file\t2 \"/home/a b/src/k.rs\"
";

    #[test]
    fn comments_become_short_and_lose_what_is_not_needed() {
        let expected = "\
//
// Generated by LLVM NVPTX Back-End
//
.version 8.0
.target sm_90
// cuda_std: launch_bounds k 256 0
.visible .entry k()
{
\t.loc\t1 53 29 // @1
\t// begin inline asm
\tmov.u32 %r1, 1; // % stays
\t// end inline asm
$L__BB0_2:
\t{ // callseq 0, 0
\t}
\t.loc\t2 9 3
\t.loc\t2 9 4 // @2
}
\t.file\t1 \"/home/a b/std/global.rs\"
\t.file\t2 \"/home/a b/src/k.rs\"
\t.file\t3 \"/home/a b/src/other.rs\"
// @0 2:20:46
// @1 1:91:21 @0
// @2 3:1:2
";
        assert_eq!(compact(VERBOSE), expected);
        let module = crate::parse(expected).unwrap();
        let at = |file, line, column| Location { file, line, column };
        assert_eq!(module.places[0].0, [at(1, 53, 29), at(1, 91, 21), at(2, 20, 46)]);
        assert_eq!(module.source(Some(0)).unwrap(), "/home/a b/std/global.rs:53:29");
    }

    #[test]
    fn a_list_that_goes_in_circles_ends() {
        let sites = Sites::of("// @0 1:2:3 @1\n// @1 1:2:3 @0\n");
        assert!(sites.chain(" @0").len() < 5);
        for other in ["", " anything", " @9", " @", " a@b.c"] {
            assert!(sites.chain(other).is_empty(), "{other}");
        }
    }
}
