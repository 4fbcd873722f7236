//! What is read from and changed in the PTX that LLVM writes.
use std::collections::HashMap;

/// The PTX cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PtxError {
    /// It is not what PTX looks like: inline assembly can hold anything.
    #[error("the PTX that the compiler wrote cannot be read: {0}; look at the kernels' inline assembly")]
    Syntax(#[source] cuda_ptx::ParseError),
    /// Functions are called that no crate defines.
    #[error("the kernels call {}, which neither they nor the driver define; give each a body that is compiled for the GPU", names(.0))]
    Unresolved(Vec<String>),
    /// A launch bound cannot be understood.
    #[error(
        "`{0}` in the PTX is not `launch_bounds <entry> <threads> <blocks>` with at least one thread; use #[kernel(launch_bounds(..))]"
    )]
    BadLaunchBounds(String),
    /// A launch bound names no entry.
    #[error("launch bounds are given for `{0}`, which is not an entry of the PTX")]
    NoSuchEntry(String),
    /// An entry has two launch bounds.
    #[error("`{0}` has two different launch bounds; remove one")]
    TwoLaunchBounds(String),
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What the driver defines for every module.
const PROVIDED: &[&str] = &["vprintf", "malloc", "free", "__assertfail"];

/// What a line starts with that asks for launch bounds.
const LAUNCH_BOUNDS: &str = "// cuda_std: launch_bounds ";

/// Fails when a function is called that nobody defines.
pub(crate) fn check_externs(module: &cuda_ptx::Module<'_>) -> Result<(), PtxError> {
    let mut unresolved: Vec<String> = module
        .functions
        .iter()
        .filter(|function| function.body.is_none() && function.linkage.contains(&"extern"))
        .map(|function| function.name)
        .filter(|name| !PROVIDED.contains(name))
        .map(str::to_owned)
        .collect();
    unresolved.sort();
    unresolved.dedup();
    if unresolved.is_empty() { Ok(()) } else { Err(PtxError::Unresolved(unresolved)) }
}

/// Gives entries the launch bounds that their markers ask for: rustc knows no attribute for them.
pub(crate) fn apply_launch_bounds(ptx: &str) -> Result<String, PtxError> {
    let mut wanted: HashMap<&str, String> = HashMap::new();
    for line in ptx.lines() {
        let Some(bounds) = line.trim().strip_prefix(LAUNCH_BOUNDS) else { continue };
        let bad = || PtxError::BadLaunchBounds(line.trim().to_owned());
        let words: Vec<&str> = bounds.split_whitespace().collect();
        let &[entry, threads, blocks] = words.as_slice() else { return Err(bad()) };
        let threads: u32 = threads.parse().ok().filter(|&threads| threads > 0).ok_or_else(bad)?;
        let blocks: u32 = blocks.parse().map_err(|_| bad())?;
        let mut directives = format!(".maxntid {threads}, 1, 1\n");
        if blocks > 0 {
            directives += &format!(".minnctapersm {blocks}\n");
        }
        if wanted.insert(entry, directives.clone()).is_some_and(|other| other != directives) {
            return Err(PtxError::TwoLaunchBounds(entry.to_owned()));
        }
    }
    let mut bounded = String::with_capacity(ptx.len() + 64 * wanted.len());
    let mut pending = None;
    for line in ptx.split_inclusive('\n') {
        if let Some((_, entry)) = line.split_once(".entry ") {
            pending = wanted.remove(function_name(entry));
        }
        // The parameters end with a parenthesis, and the body begins with a line of its own.
        if line.trim_end() == "{"
            && let Some(directives) = pending.take()
        {
            bounded += &directives;
        }
        bounded += line;
    }
    match wanted.keys().min() {
        Some(entry) => Err(PtxError::NoSuchEntry((*entry).to_owned())),
        None => Ok(bounded),
    }
}

/// Instructions that LLVM's intrinsics cannot be called for, and those that `cuda_std` calls in their place: rustc passes no
/// vectors of `f16` and no pointers to shared memory. Their operands are of the same registers.
const STANDING_FOR: [[&str; 2]; 3] = [
    [
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
    ],
    ["ldmatrix.sync.aligned.m8n8.x4.b16", "ldmatrix.sync.aligned.m8n8.x4.shared.b16"],
    ["ldmatrix.sync.aligned.m8n8.x4.trans.b16", "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16"],
];

/// Puts the instructions that are meant for those that stand for them. What a kernel's inline assembly says is meant.
pub(crate) fn put_meant(ptx: &str) -> String {
    let mut inline = false;
    let line = |line: &str| {
        inline = match line.trim() {
            "// begin inline asm" => true,
            "// end inline asm" => false,
            _ => inline,
        };
        if inline {
            return line.to_owned();
        }
        STANDING_FOR.iter().fold(line.to_owned(), |line, [written, meant]| line.replace(written, meant))
    };
    ptx.split_inclusive('\n').map(line).collect()
}

/// Removes what maps instructions to source lines.
pub(crate) fn strip_line_info(ptx: &str) -> String {
    let is_line_info = |line: &str| {
        let line = line.trim_start();
        line.starts_with(".loc\t")
            || line.starts_with(".loc ")
            || line.starts_with(".file\t")
            || line.starts_with(".file ")
    };
    let code = ptx.split_once("\n\t.section\t.debug").map_or(ptx, |(code, _)| code);
    code.lines().filter(|line| !is_line_info(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The name in a declaration, after `.entry` or `.func` and the value that it may return.
fn function_name(declaration: &str) -> &str {
    let mut rest = declaration.trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(')').map_or("", |(_, rest)| rest).trim_start();
    }
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_$%".contains(c))).unwrap_or(rest.len());
    &rest[..end]
}

/// The operations in a piece of inline assembly, in order: the first word of every statement, its predicate aside.
pub(crate) fn operations(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split([';', '{', '}']))
        .filter_map(|statement| {
            let mut words =
                statement.split_whitespace().skip_while(|word| word.starts_with('@') || word.ends_with(':'));
            words.next()
        })
}

#[cfg(test)]
#[path = "ptx_tests.rs"]
mod tests;
