//! As much of LLVM's textual IR as the barrier check needs: functions, the blocks they consist of, the calls in those,
//! and where in the source each call comes from.
use std::collections::HashMap;

/// A module after all of LLVM's optimisations.
pub(crate) struct Module<'a> {
    pub functions: Vec<Function<'a>>,
    metadata: HashMap<u32, &'a str>,
}

/// A function that the module defines.
pub(crate) struct Function<'a> {
    pub name: &'a str,
    /// The first is the entry.
    pub blocks: Vec<Block<'a>>,
}

/// Instructions that run one after the other.
#[derive(Default)]
pub(crate) struct Block<'a> {
    pub calls: Vec<Call<'a>>,
    /// Indices of the blocks that can follow.
    pub successors: Vec<usize>,
}

/// A call of a function, or inline assembly.
pub(crate) struct Call<'a> {
    pub callee: Callee<'a>,
    location: Option<u32>,
}

pub(crate) enum Callee<'a> {
    Function(&'a str),
    /// The assembly, its escapes undone.
    Asm(String),
}

/// A place in the source, and the places that it was inlined to, the innermost first.
pub(crate) type Site = Vec<Position>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    /// The metadata of the function or block: the arms of a branch may have code of one macro, so of one line.
    scope: u32,
    line: u32,
    column: u32,
}

impl<'a> Module<'a> {
    pub fn parse(text: &'a str) -> Self {
        let mut functions = Vec::new();
        let mut metadata = HashMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(definition) = line.strip_prefix("define ") {
                let name = symbol(definition).unwrap_or_default();
                functions.push(function(name, lines.by_ref().take_while(|line| *line != "}")));
            } else if let Some((id, node)) = line.strip_prefix('!').and_then(|line| line.split_once(" = "))
                && let Ok(id) = id.parse()
            {
                metadata.insert(id, node.trim_start_matches("distinct "));
            }
        }
        Module { functions, metadata }
    }

    /// Where a call comes from; empty where the compiler does not say.
    pub fn site(&self, call: &Call<'_>) -> Site {
        let mut site = Site::new();
        let mut next = call.location;
        while let Some(node) = next.and_then(|id| self.metadata.get(&id)) {
            let scope = field(node, "scope").and_then(reference);
            let number = |key| field(node, key).and_then(|value| value.parse().ok()).unwrap_or(0);
            site.push(Position {
                scope: scope.map_or(0, |scope| self.unwrapped(scope)),
                line: number("line"),
                column: number("column"),
            });
            next = field(node, "inlinedAt").and_then(reference);
        }
        site
    }

    /// The source position as text: `src/lib.rs:12:5`.
    pub fn describe(&self, position: &Position) -> String {
        let file = self
            .metadata
            .get(&position.scope)
            .and_then(|node| field(node, "file").and_then(reference))
            .and_then(|file| self.metadata.get(&file))
            .and_then(|node| field(node, "filename"))
            .unwrap_or("?");
        format!("{file}:{}:{}", position.line, position.column)
    }

    /// A function, or a block in one. LLVM wraps those to tell copies of one place from each other, which is not wanted here.
    fn unwrapped(&self, mut scope: u32) -> u32 {
        while let Some(node) =
            self.metadata.get(&scope).filter(|node| node.starts_with("!DILexicalBlockFile("))
        {
            match field(node, "scope").and_then(reference) {
                Some(outer) => scope = outer,
                None => break,
            }
        }
        scope
    }
}

fn function<'a>(name: &'a str, lines: impl Iterator<Item = &'a str>) -> Function<'a> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut labels = HashMap::new();
    let mut jumps: Vec<(usize, &'a str)> = Vec::new();
    for line in lines {
        if let Some(label) = label(line) {
            labels.insert(label, blocks.len());
            blocks.push(Block::default());
            continue;
        }
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        if blocks.is_empty() {
            blocks.push(Block::default());
        }
        let current = blocks.len() - 1;
        if let Some(call) = call(line) {
            blocks[current].calls.push(call);
        } else {
            // Only the instructions that end a block name labels; a switch does so on several lines.
            jumps.extend(line.split("label %").skip(1).map(|target| (current, identifier(target))));
        }
    }
    for (from, target) in jumps {
        if let Some(&to) = labels.get(target) {
            blocks[from].successors.push(to);
        }
    }
    Function { name, blocks }
}

/// The label that a line is: `bb1:`, `12:`, `"a b":`, each perhaps with a comment.
fn label(line: &str) -> Option<&str> {
    if line.starts_with(|c: char| c.is_whitespace() || c == ';') {
        return None;
    }
    let name = identifier(line);
    let rest = line.trim_start_matches('"').strip_prefix(name)?.trim_start_matches('"');
    (!name.is_empty() && rest.starts_with(':')).then_some(name)
}

fn call(line: &str) -> Option<Call<'_>> {
    let instruction = match line.split_once(" = ") {
        Some((result, instruction)) if result.starts_with('%') => instruction,
        _ => line,
    };
    let arguments = ["", "tail ", "musttail ", "notail "]
        .iter()
        .find_map(|kind| instruction.strip_prefix(kind)?.strip_prefix("call "))?;
    let callee = match arguments
        .split_once(" asm ")
        .or_else(|| arguments.split_once("asm ").filter(|(a, _)| a.is_empty()))
    {
        Some((_, asm)) => Callee::Asm(unescape(asm.split('"').nth(1)?)),
        None => Callee::Function(symbol(arguments)?),
    };
    let location = line.split_once("!dbg !").and_then(|(_, id)| identifier(id).parse().ok());
    Some(Call { callee, location })
}

/// The first global name in a piece of IR.
fn symbol(text: &str) -> Option<&str> {
    Some(identifier(&text[text.find('@')? + 1..])).filter(|name| !name.is_empty())
}

/// The name that a piece of IR starts with, without quotes.
fn identifier(text: &str) -> &str {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default();
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-$._".contains(c))).unwrap_or(text.len());
    &text[..end]
}

/// The value of a field of a metadata node.
fn field<'a>(node: &'a str, key: &str) -> Option<&'a str> {
    let (_, mut fields) = node.split_once('(')?;
    loop {
        let (name, rest) = fields.split_once(": ")?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find([',', ')']).unwrap_or(rest.len())),
        };
        if name == key {
            return Some(value);
        }
        fields = rest.strip_prefix(", ")?;
    }
}

fn reference(value: &str) -> Option<u32> {
    value.strip_prefix('!')?.parse().ok()
}

/// Undoes the escapes of a string: `\0A` is a line's end.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[2..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}
