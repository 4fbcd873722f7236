//! Which values differ between threads, and so which branches divide them.
//!
//! A value is uniform unless it comes from what tells threads apart (`%tid`, `%laneid`, a shuffle, an atomic, a clock),
//! from a value that does, or from a place where a branch on such a value decides which of several it is. Loads give what
//! their address gives: two threads that read one place at one time read the same. What a call returns is not known.
use std::collections::HashMap;

use serde::Serialize;

use crate::{
    Body, Function, FunctionKind, Instruction, Operand, Registers, Statement,
    cfg::Cfg,
    class::{Space, results, space},
};

/// Between which threads of a block a value may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All threads of the block have it.
    #[default]
    Block,
    /// All threads of a warp have it; warps may differ.
    Warp,
    /// Threads of one warp may differ.
    Thread,
}

/// What was found out of a function.
#[derive(Debug, Clone)]
pub struct Divergence {
    /// For each block, who may be missing when it runs: [`Level::Block`] if all threads come together.
    pub blocks: Vec<Level>,
    /// For each block, what the branch at its end decides by; [`Level::Block`] where there is none.
    pub branches: Vec<Level>,
}

/// Looks at a function.
pub fn divergence<'a>(function: &Function<'a>, body: &Body<'a>, cfg: &Cfg<'a, '_>) -> Divergence {
    Analysis::new(function, body, cfg).run()
}

/// What is known of a register beside its level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// It is `%tid.x`.
    ThreadIndex,
}

struct Code<'a, 'm> {
    instruction: &'m Instruction<'a>,
    block: usize,
    writes: Vec<usize>,
    reads: Vec<usize>,
    guard: Option<usize>,
    /// What it gives whatever it reads.
    source: Level,
}

struct Analysis<'c, 'a, 'm> {
    cfg: &'c Cfg<'a, 'm>,
    code: Vec<Code<'a, 'm>>,
    levels: Vec<Level>,
    known: Vec<Known>,
    /// How many instructions write a register.
    writers: Vec<u32>,
    /// The blocks that read a register.
    readers: Vec<Vec<usize>>,
    /// For each block the instruction at its end, if that is a branch with a condition.
    branches: Vec<Option<usize>>,
}

impl<'c, 'a, 'm> Analysis<'c, 'a, 'm> {
    fn new(function: &Function<'a>, body: &Body<'a>, cfg: &'c Cfg<'a, 'm>) -> Self {
        let mut names = Names::of(body);
        let mut code = Vec::new();
        let mut branches = vec![None; cfg.blocks.len()];
        for (block, contents) in cfg.blocks.iter().enumerate() {
            for &(instruction, scope) in &contents.instructions {
                let (written, read) =
                    instruction.operands.split_at(results(instruction).min(instruction.operands.len()));
                let mut numbers = |operands: &[Operand<'a>]| -> Vec<usize> {
                    let mut found = Vec::new();
                    operands.iter().for_each(|operand| operand.names(&mut found));
                    found.into_iter().map(|name| names.number(name, scope)).collect()
                };
                let (mut writes, mut reads) = (numbers(written), numbers(read));
                if instruction.base() == "call" {
                    // What it returns, when that is a register.
                    if let [Operand::List(_), ..] = instruction.operands.as_slice() {
                        writes = numbers(&instruction.operands[..1]);
                        reads = numbers(&instruction.operands[1..]);
                    }
                }
                let guard = instruction.guard.map(|guard| names.number(guard.register, scope));
                let conditional = instruction.guard.is_some() || instruction.base() == "brx";
                if conditional && matches!(instruction.base(), "bra" | "brx" | "ret" | "exit" | "trap") {
                    branches[block] = Some(code.len());
                }
                let source = source(function, instruction);
                code.push(Code { instruction, block, writes, reads, guard, source });
            }
        }
        let count = names.count();
        let mut writers = vec![0; count];
        let mut readers = vec![Vec::new(); count];
        for code in &code {
            code.writes.iter().for_each(|&register| writers[register] += 1);
            for &register in code.reads.iter().chain(&code.guard) {
                if readers[register].last() != Some(&code.block) {
                    readers[register].push(code.block);
                }
            }
        }
        let mut levels = vec![Level::Block; count];
        for (register, level) in names.special() {
            levels[register] = level;
        }
        let mut known = vec![Known::Nothing; count];
        if let Some(index) = names.find("%tid.x") {
            known[index] = Known::ThreadIndex;
            for code in code.iter().filter(|code| code.instruction.base() == "mov") {
                if let ([to], [from]) = (code.writes.as_slice(), code.reads.as_slice())
                    && *from == index
                    && writers[*to] == 1
                {
                    known[*to] = Known::ThreadIndex;
                }
            }
        }
        Self { cfg, code, levels, known, writers, readers, branches }
    }

    fn run(mut self) -> Divergence {
        let count = self.cfg.blocks.len();
        let mut blocks = vec![Level::Block; count];
        let mut branches = vec![Level::Block; count];
        let mut influences: Vec<Option<Vec<usize>>> = vec![None; count];
        loop {
            while self.spread(&blocks) {}
            let mut changed = false;
            for block in 0..count {
                let Some(code) = self.branches[block].map(|at| &self.code[at]) else { continue };
                let decided = code.reads.iter().chain(&code.guard).map(|&register| self.levels[register]);
                let level = decided.max().unwrap_or_default();
                if level <= branches[block] {
                    continue;
                }
                changed = true;
                branches[block] = level;
                if !self.divides(block) {
                    continue;
                }
                let influence = influences[block].get_or_insert_with(|| self.cfg.influence(block));
                for &influenced in influence.iter() {
                    blocks[influenced] = blocks[influenced].max(level);
                }
                if influence.contains(&block) {
                    self.leave_loop(influence, level);
                }
            }
            if !changed {
                return Divergence { blocks, branches };
            }
        }
    }

    /// One pass over all instructions; whether anything became less uniform.
    fn spread(&mut self, blocks: &[Level]) -> bool {
        let mut changed = false;
        for code in &self.code {
            let read = code.reads.iter().chain(&code.guard).map(|&register| self.levels[register]);
            let mut level = read.max().unwrap_or_default().max(code.source);
            if let Some(refined) = self.refined(code) {
                level = refined.max(code.guard.map_or(Level::Block, |guard| self.levels[guard]));
            }
            for &register in &code.writes {
                let mut level = level;
                // Which of several values it is depends on the way that a thread came.
                if self.writers[register] > 1 {
                    level = level.max(blocks[code.block]);
                }
                if level > self.levels[register] {
                    self.levels[register] = level;
                    changed = true;
                }
            }
        }
        changed
    }

    /// Whether a branch leaves threads on two ways. Those that end at once are missed by nobody: a barrier waits for
    /// the threads that are still there.
    fn divides(&self, block: usize) -> bool {
        let goes_on = |&&next: &&usize| {
            let next = &self.cfg.blocks[next];
            let only_ends = next.ends && next.successors.is_empty() && next.instructions.len() == 1;
            !only_ends
        };
        self.cfg.blocks[block].successors.iter().filter(goes_on).count() > 1
    }

    /// Threads leave a loop at different turns: what it computes differs between them behind it.
    fn leave_loop(&mut self, inside: &[usize], level: Level) {
        for code in &self.code {
            if !inside.contains(&code.block) {
                continue;
            }
            for &register in &code.writes {
                let outside = self.readers[register].iter().any(|block| !inside.contains(block));
                if outside {
                    self.levels[register] = self.levels[register].max(level);
                }
            }
        }
    }

    /// The index of a thread tells warps apart, and not the threads of one, in a quotient by a warp's size and in a
    /// comparison with a multiple of that. Of blocks with one dimension, that is, as most are.
    fn refined(&self, code: &Code<'_, '_>) -> Option<Level> {
        let [register] = code.reads.as_slice() else { return None };
        if self.known[*register] != Known::ThreadIndex {
            return None;
        }
        let number = code.instruction.operands.get(2)?.number()?;
        let modifiers = |parts: &[&str]| parts.iter().any(|part| code.instruction.has(part));
        let whole = match code.instruction.base() {
            "shr" => number >= 5,
            "div" => number > 0 && number % 32 == 0,
            "and" => number & 31 == 0,
            "setp" if modifiers(&["lt", "lo", "ge", "hs"]) => number % 32 == 0,
            "setp" if modifiers(&["gt", "hi", "le", "ls"]) => number % 32 == 31,
            _ => return None,
        };
        whole.then_some(Level::Warp)
    }
}

/// How far an instruction tells threads apart, whatever it reads.
fn source(function: &Function<'_>, instruction: &Instruction<'_>) -> Level {
    match instruction.base() {
        // What others have done by then, or which lane this is.
        "atom" | "shfl" | "match" | "elect" | "activemask" | "call" | "ldmatrix" | "mma" | "wmma"
        | "wgmma" | "tcgen05" | "movmatrix" => Level::Thread,
        "mbarrier" => Level::Thread,
        "vote" | "redux" => Level::Warp,
        "ld" | "ldu" => match space(instruction) {
            Space::Local => Level::Thread,
            Space::Param => {
                let mut names = Vec::new();
                instruction.operands.iter().skip(1).for_each(|operand| operand.names(&mut names));
                let own = names.iter().any(|name| function.params.iter().any(|param| param.name == *name));
                // A kernel's parameters are the same for all; a function's are what it is called with.
                if own && function.kind == FunctionKind::Entry { Level::Block } else { Level::Thread }
            }
            _ if instruction.has("volatile") || instruction.has("relaxed") || instruction.has("acquire") => {
                Level::Thread
            }
            _ => Level::Block,
        },
        _ => Level::Block,
    }
}

/// Registers by number: the same name in two scopes may be two registers.
struct Names<'a> {
    /// For each scope the one that it is in and what it declares.
    scopes: Vec<(Option<usize>, Vec<&'a Registers<'a>>)>,
    numbers: HashMap<(usize, &'a str), usize>,
}

impl<'a> Names<'a> {
    fn of(body: &'a Body<'_>) -> Names<'a> {
        let mut scopes = vec![(None, Vec::new())];
        let mut scope = 0;
        for statement in &body.statements {
            match statement {
                Statement::Open => {
                    scopes.push((Some(scope), Vec::new()));
                    scope = scopes.len() - 1;
                }
                Statement::Close => scope = scopes[scope].0.unwrap_or(0),
                Statement::Registers(registers) if scope > 0 => scopes[scope].1.push(registers),
                _ => {}
            }
        }
        Names { scopes, numbers: HashMap::new() }
    }

    fn count(&self) -> usize {
        self.numbers.len()
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.numbers.get(&(0, name)).copied()
    }

    fn number(&mut self, name: &'a str, scope: usize) -> usize {
        let mut at = scope;
        while let (Some(outer), registers) = &self.scopes[at] {
            if registers.iter().any(|registers| declares(registers, name)) {
                break;
            }
            at = *outer;
        }
        let next = self.numbers.len();
        *self.numbers.entry((at, name)).or_insert(next)
    }

    /// What tells threads apart by itself.
    fn special(&self) -> impl Iterator<Item = (usize, Level)> {
        self.numbers.iter().filter_map(|((_, name), number)| {
            let level = match name.split('.').next().unwrap_or_default() {
                "%tid" | "%laneid" | "%lanemask_eq" | "%lanemask_le" | "%lanemask_lt" | "%lanemask_ge"
                | "%lanemask_gt" | "%clock" | "%clock64" | "%clock_hi" | "%globaltimer"
                | "%globaltimer_lo" | "%globaltimer_hi" => Level::Thread,
                "%warpid" => Level::Warp,
                _ => return None,
            };
            Some((*number, level))
        })
    }
}

fn declares(registers: &Registers<'_>, name: &str) -> bool {
    registers.names.iter().any(|(declared, count)| match count {
        None => *declared == name,
        Some(count) => name
            .strip_prefix(declared)
            .and_then(|number| number.parse::<u32>().ok())
            .is_some_and(|number| number < *count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(body: &str) -> Divergence {
        let text = format!(
            ".version 8.0\n.target sm_90\n.entry k(.param .u32 n)\n{{\n.reg .pred %p<9>;\n.reg .b32 %r<9>;\n{body}\n}}\n"
        );
        let module = crate::parse(&text).unwrap();
        let function = &module.functions[0];
        let body = function.body.as_ref().unwrap();
        divergence(function, body, &Cfg::new(&module, body))
    }

    #[test]
    fn the_index_of_a_thread_divides_and_a_parameter_does_not() {
        let divided = look(
            "mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 7; @%p1 bra A; bar.sync 0; A: st.global.u32 [%rd1], 1; ret;",
        );
        assert_eq!(divided.branches[0], Level::Thread);
        assert_eq!(divided.blocks, [Level::Block, Level::Thread, Level::Block]);
        let together = look(
            "ld.param.u32 %r1, [n]; setp.eq.u32 %p1, %r1, 7; @%p1 bra A; bar.sync 0; A: st.global.u32 [%rd1], 1; ret;",
        );
        assert_eq!(together.blocks, [Level::Block; 3]);
    }

    #[test]
    fn threads_that_end_are_missed_by_nobody() {
        let found = look("mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 7; @%p1 bra A; bar.sync 0; A: ret;");
        assert_eq!((found.branches[0], found.blocks[1]), (Level::Thread, Level::Block));
        let found = look("mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 7; @%p1 exit; bar.sync 0; ret;");
        assert_eq!((found.branches[0], found.blocks[1]), (Level::Thread, Level::Block));
    }

    #[test]
    fn warps_are_told_apart_by_whole_multiples() {
        for (condition, level) in [
            ("setp.lt.u32 %p1, %r1, 32;", Level::Warp),
            ("setp.gt.u32 %p1, %r1, 31;", Level::Warp),
            ("setp.lt.u32 %p1, %r1, 31;", Level::Thread),
            ("shr.u32 %r2, %r1, 5; setp.eq.u32 %p1, %r2, 0;", Level::Warp),
            ("shr.u32 %r2, %r1, 4; setp.eq.u32 %p1, %r2, 0;", Level::Thread),
        ] {
            let found = look(&format!(
                "mov.u32 %r1, %tid.x; {condition} @%p1 bra A; bar.sync 0; A: st.global.u32 [%rd1], 1; ret;"
            ));
            assert_eq!(found.branches[0], level, "{condition}");
        }
    }

    #[test]
    fn which_value_it_is_may_depend_on_the_way() {
        let found = look(
            "mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, 1; @%p1 bra A; mov.u32 %r2, 2; A:
             setp.eq.u32 %p2, %r2, 1; @%p2 bra B; bar.sync 0; B: st.global.u32 [%rd1], 1; ret;",
        );
        assert_eq!(found.branches[2], Level::Thread);
        assert_eq!(found.blocks[3], Level::Thread);
    }

    #[test]
    fn what_a_loop_leaves_behind_differs_where_threads_leave_it_apart() {
        let text = |limit: &str| {
            format!(
                "mov.u32 %r3, {limit}; mov.u32 %r1, 0; A: add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, %r3; @%p1 bra A;
                 setp.eq.u32 %p2, %r1, 3; @%p2 bra B; bar.sync 0; B: st.global.u32 [%rd1], 1; ret;"
            )
        };
        assert_eq!(look(&text("%tid.x")).blocks[3], Level::Thread);
        assert_eq!(look(&text("%ntid.x")).blocks[3], Level::Block);
    }

    #[test]
    fn one_name_in_two_scopes_is_two_registers() {
        let found = look(
            "{ .reg .pred p; mov.u32 %r1, %tid.x; setp.eq.u32 p, %r1, 0; } { .reg .pred p; setp.eq.u32 p, 1, 0; @p bra A; }
             bar.sync 0; A: st.global.u32 [%rd1], 1; ret;",
        );
        assert_eq!(found.branches[0], Level::Block);
    }
}
