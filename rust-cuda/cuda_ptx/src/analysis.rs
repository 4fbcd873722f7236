//! What is found out of a function, as reports tell it.
use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::{
    Body, Function, FunctionKind, Location, Mix, Module, Operand, Statement,
    cfg::Cfg,
    class::{self, Class},
    uniform::{self, Level},
};

/// A function of a module.
#[derive(Debug, Clone, Serialize)]
pub struct FunctionAnalysis {
    /// Its name.
    pub name: String,
    /// Whether it is a kernel.
    pub entry: bool,
    /// The lines of the text that its body is in.
    pub lines: (u32, u32),
    /// Its parameters.
    pub params: Vec<ParamInfo>,
    /// Shared memory, of what it calls too.
    pub shared: SharedMemory,
    /// Local memory that it declares for each thread, in bytes.
    pub local_bytes: u64,
    /// `.maxntid` or `.reqntid`: the most threads of a block.
    pub max_threads: Option<u32>,
    /// `.minnctapersm`: how many blocks a multiprocessor has to hold.
    pub min_blocks: Option<u32>,
    /// All its instructions.
    pub mix: Mix,
    /// Barriers in the text.
    pub barriers: u64,
    /// Branches that threads may take differently.
    pub divergent_branches: Vec<Branch>,
    /// Its blocks, in the order of the text.
    pub blocks: Vec<BlockAnalysis>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParamInfo {
    /// Its name.
    pub name: String,
    /// Its type: `u64`, `b8[16]`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Shared memory of a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SharedMemory {
    /// What the text declares, in bytes.
    pub static_bytes: u64,
    /// Whether a launch gives it more.
    pub dynamic: bool,
}

/// A branch that threads may take differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// Its line in the text.
    pub line: u32,
    /// The block that it ends.
    pub block: usize,
    /// Between which threads.
    pub level: Level,
    /// Its place in the source.
    pub source: Option<String>,
}

/// A block of a function.
#[derive(Debug, Clone, Serialize)]
pub struct BlockAnalysis {
    /// Its number.
    pub index: usize,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// The lines of its first and last instruction.
    pub lines: (u32, u32),
    /// The blocks that can follow.
    pub successors: Vec<usize>,
    /// How many loops it is in.
    pub loop_depth: usize,
    /// Whether some threads may be elsewhere when it runs.
    pub divergent: Level,
    /// Its instructions.
    pub mix: Mix,
    /// The places of its first instruction in the source.
    pub source: Option<String>,
}

/// What paths of code contain that a kernel's author mostly did not write: the standard library, crates of a registry,
/// `cuda_std`.
const LIBRARIES: &[&str] = &["/rustlib/", "/rustc/", "/registry/src/", "/cuda_std/"];

impl Module<'_> {
    /// The name of a file as it is to be shown.
    pub fn file(&self, number: u32) -> Option<&str> {
        self.files.get(&number).copied()
    }

    /// The place that says most of a number of [`places`](Self::places): the innermost that is in no library, else the
    /// innermost.
    pub fn telling(&self, place: Option<u32>) -> Option<Location> {
        let place = self.places.get(usize::try_from(place?).ok()?)?;
        let library = |location: &&Location| {
            let file = self.file(location.file).unwrap_or_default();
            LIBRARIES.iter().any(|folder| file.contains(folder))
        };
        let lined = || place.0.iter().filter(|location| location.line > 0);
        lined().find(|location| !library(location)).or_else(|| lined().next()).copied()
    }

    /// That place as text: `src/k.rs:20:46`.
    pub fn source(&self, place: Option<u32>) -> Option<String> {
        self.telling(place).map(|location| self.describe(location))
    }

    /// A location as text.
    pub fn describe(&self, location: Location) -> String {
        let file = self.file(location.file).unwrap_or("?");
        format!("{file}:{}:{}", location.line, location.column)
    }

    /// The functions with a body: kernels first, each kind in the order of the text.
    pub fn defined(&self) -> impl Iterator<Item = (&Function<'_>, &Body<'_>)> {
        let of = |kind| {
            self.functions.iter().filter_map(move |function| {
                function.body.as_ref().filter(|_| function.kind == kind).map(|body| (function, body))
            })
        };
        of(FunctionKind::Entry).chain(of(FunctionKind::Device))
    }

    /// The shared memory of a function and of what it calls.
    pub fn shared(&self, function: &Function<'_>) -> SharedMemory {
        let mut named = BTreeSet::new();
        let mut open = vec![function.name];
        let bodies: HashMap<&str, &Body<'_>> = self
            .functions
            .iter()
            .filter_map(|function| Some((function.name, function.body.as_ref()?)))
            .collect();
        let mut own = 0u64;
        while let Some(body) = open.pop().and_then(|name| bodies.get(name)) {
            for statement in &body.statements {
                match statement {
                    Statement::Instruction(instruction) => {
                        let mut names = Vec::new();
                        instruction.operands.iter().for_each(|operand| operand.names(&mut names));
                        for name in names.into_iter().filter(|name| !name.starts_with('%')) {
                            if named.insert(name) && bodies.contains_key(name) {
                                open.push(name);
                            }
                        }
                    }
                    Statement::Variable(variable) if variable.space == "shared" => own += variable.bytes(),
                    _ => {}
                }
            }
        }
        let mut shared = SharedMemory { static_bytes: own, dynamic: false };
        for variable in self.variables.iter().filter(|variable| variable.space == "shared") {
            if named.contains(variable.name) {
                shared.dynamic |= variable.is_dynamic_shared();
                shared.static_bytes = shared.static_bytes.saturating_add(variable.bytes());
            }
        }
        shared
    }
}

/// Looks at every function that has a body, kernels first.
pub fn analyse(module: &Module<'_>) -> Vec<FunctionAnalysis> {
    module.defined().map(|(function, body)| of(module, function, body)).collect()
}

fn of(module: &Module<'_>, function: &Function<'_>, body: &Body<'_>) -> FunctionAnalysis {
    let cfg = Cfg::new(module, body);
    let divergence = uniform::divergence(function, body, &cfg);
    let depths = cfg.loop_depths();
    let mix = Mix::of(body.instructions());
    let blocks = cfg.blocks.iter().enumerate().map(|(index, block)| {
        let first = block.instructions.first().map(|(instruction, _)| instruction);
        let last = block.instructions.last().map(|(instruction, _)| instruction);
        BlockAnalysis {
            index,
            label: block.label.map(str::to_owned),
            lines: (first.map_or(0, |first| first.line), last.map_or(0, |last| last.line)),
            successors: block.successors.clone(),
            loop_depth: depths[index],
            divergent: divergence.blocks[index],
            mix: Mix::of(block.instructions.iter().map(|(instruction, _)| *instruction)),
            source: first.and_then(|first| module.source(first.place)),
        }
    });
    let branches = cfg.blocks.iter().enumerate().filter_map(|(block, contents)| {
        let level = divergence.branches[block];
        let (last, _) = contents.instructions.last().filter(|_| level > Level::Block)?;
        Some(Branch { line: last.line, block, level, source: module.source(last.place) })
    });
    let threads = |directive| {
        let numbers = function.numbers(directive)?;
        Some(numbers.into_iter().fold(1u32, u32::saturating_mul))
    };
    FunctionAnalysis {
        name: function.name.to_owned(),
        entry: function.kind == FunctionKind::Entry,
        lines: body.lines,
        params: function.params.iter().map(ParamInfo::of).collect(),
        shared: module.shared(function),
        local_bytes: local_bytes(body),
        max_threads: threads(".maxntid").or_else(|| threads(".reqntid")),
        min_blocks: function.numbers(".minnctapersm").and_then(|numbers| numbers.first().copied()),
        barriers: mix.count(Class::Barrier),
        divergent_branches: branches.collect(),
        blocks: blocks.collect(),
        mix,
    }
}

impl ParamInfo {
    fn of(variable: &crate::Variable<'_>) -> Self {
        let lanes = if variable.lanes > 1 { format!(".v{}", variable.lanes) } else { String::new() };
        let array = variable.elements.map_or_else(String::new, |elements| format!("[{elements}]"));
        Self {
            name: variable.name.to_owned(),
            ty: format!("{}{lanes}{array}", variable.ty),
            bytes: variable.bytes(),
        }
    }
}

fn local_bytes(body: &Body<'_>) -> u64 {
    let local = body.statements.iter().filter_map(|statement| match statement {
        Statement::Variable(variable) if variable.space == "local" => Some(variable.bytes()),
        _ => None,
    });
    local.fold(0, u64::saturating_add)
}

/// The function that an instruction calls.
pub(crate) fn callee<'a>(instruction: &crate::Instruction<'a>) -> Option<&'a str> {
    if instruction.base() != "call" {
        return None;
    }
    instruction.operands.iter().find_map(|operand| match operand {
        Operand::Name(name) => Some(*name),
        _ => None,
    })
}

/// Whether all threads of a block have to come to a barrier, rather than as many as it says.
pub(crate) fn waits_for_all(instruction: &crate::Instruction<'_>) -> bool {
    class::is_barrier(instruction.opcode)
        && !instruction.has("arrive")
        && !instruction.has("cluster")
        && !instruction.has("warp")
        && instruction.operands.len() <= 1
}
