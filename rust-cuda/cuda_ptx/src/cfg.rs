//! The control-flow graph of a function: blocks, and which lie on every path to which.
use std::collections::{HashMap, HashSet};

use crate::{Body, Instruction, Module, Statement, analysis::callee};

/// A function's graph.
#[derive(Debug, Clone)]
pub struct Cfg<'a, 'm> {
    /// In the order of the text; the first is the entry. Never empty.
    pub blocks: Vec<Block<'a, 'm>>,
    dominators: Dominators,
    /// The block past the last is where the function ends.
    post_dominators: Dominators,
}

/// Instructions that run one after the other.
#[derive(Debug, Clone, Default)]
pub struct Block<'a, 'm> {
    /// The label that it begins with.
    pub label: Option<&'a str>,
    /// Its instructions, each with the scope that it is in.
    pub instructions: Vec<(&'m Instruction<'a>, usize)>,
    /// The blocks that can follow, without repetition.
    pub successors: Vec<usize>,
    /// The blocks that it can follow.
    pub predecessors: Vec<usize>,
    /// Whether the function can end here.
    pub ends: bool,
    /// Whether it can only end here because something went wrong: a trap, or a call that never returns.
    pub aborts: bool,
}

impl<'a, 'm> Cfg<'a, 'm> {
    /// The graph of a body.
    pub fn new(module: &Module<'a>, body: &'m Body<'a>) -> Self {
        let mut builder = Builder { blocks: vec![Block::default()], ..Builder::default() };
        builder.scopes.push(None);
        builder.read(module, body);
        let blocks = builder.connected();
        let successors: Vec<&[usize]> = blocks.iter().map(|block| block.successors.as_slice()).collect();
        let dominators = Dominators::new(&successors, 0);
        let end = blocks.len();
        let mut backward: Vec<Vec<usize>> = blocks.iter().map(|block| block.predecessors.clone()).collect();
        // Threads that abort end the kernel: the others need not be met again.
        let normal = |block: &usize| blocks[*block].ends && !blocks[*block].aborts;
        let ends = |wanted: &dyn Fn(&usize) -> bool| (0..end).filter(wanted).collect::<Vec<usize>>();
        let normal = ends(&normal);
        backward.push(if normal.is_empty() { ends(&|block| blocks[*block].ends) } else { normal });
        let backward: Vec<&[usize]> = backward.iter().map(Vec::as_slice).collect();
        let post_dominators = Dominators::new(&backward, end);
        Self { blocks, dominators, post_dominators }
    }

    /// Whether every path from the entry to `b` goes through `a`. To a block that nothing reaches, all do.
    pub fn dominates(&self, a: usize, b: usize) -> bool {
        self.dominators.dominates(a, b)
    }

    /// The nearest block that every path from this one goes through, `None` if there is none but the end.
    pub fn post_dominator(&self, block: usize) -> Option<usize> {
        self.post_dominators.nearest(block).filter(|&found| found < self.blocks.len())
    }

    /// Whether a path from the entry leads to a block.
    pub fn is_reachable(&self, block: usize) -> bool {
        self.dominators.is_reachable(block)
    }

    /// How many loops a block is in.
    pub fn loop_depths(&self) -> Vec<usize> {
        let mut loops: HashMap<usize, Vec<bool>> = HashMap::new();
        for (from, block) in self.blocks.iter().enumerate() {
            for &header in &block.successors {
                if !self.is_reachable(from) || !self.dominates(header, from) {
                    continue;
                }
                let inside = loops.entry(header).or_insert_with(|| vec![false; self.blocks.len()]);
                inside[header] = true;
                let mut open = vec![from];
                while let Some(at) = open.pop() {
                    if !std::mem::replace(&mut inside[at], true) {
                        open.extend(&self.blocks[at].predecessors);
                    }
                }
            }
        }
        (0..self.blocks.len()).map(|block| loops.values().filter(|inside| inside[block]).count()).collect()
    }

    /// The blocks that run in some threads while others wait for them, when a branch at the end of this one divides the
    /// threads: those between it and where all paths meet again. In a loop that it ends, itself too.
    pub fn influence(&self, block: usize) -> Vec<usize> {
        let meet = self.post_dominator(block);
        let mut seen = vec![false; self.blocks.len()];
        let mut open: Vec<usize> = self.blocks[block].successors.clone();
        while let Some(at) = open.pop() {
            if Some(at) != meet && !std::mem::replace(&mut seen[at], true) {
                open.extend(&self.blocks[at].successors);
            }
        }
        (0..seen.len()).filter(|&block| seen[block]).collect()
    }
}

/// Where control goes after an instruction.
enum Flow<'a> {
    On,
    /// To these labels, and not on.
    Jump(Vec<&'a str>),
    End,
    Abort,
}

#[derive(Default)]
struct Builder<'a, 'm> {
    blocks: Vec<Block<'a, 'm>>,
    /// The scope that each scope is in.
    scopes: Vec<Option<usize>>,
    labels: HashMap<(usize, &'a str), usize>,
    tables: HashMap<&'a str, Vec<&'a str>>,
    /// The labels that something jumps to: others, which debuggers and tools need, begin no block.
    targets: HashSet<&'a str>,
    jumps: Vec<(usize, usize, &'a str)>,
    /// Blocks that go on to the next.
    falls: Vec<usize>,
}

impl<'a, 'm> Builder<'a, 'm> {
    fn read(&mut self, module: &Module<'a>, body: &'m Body<'a>) {
        for statement in &body.statements {
            match statement {
                Statement::Table(table) => {
                    self.tables.insert(table.name, table.targets.clone());
                    self.targets.extend(&table.targets);
                }
                Statement::Instruction(instruction) if matches!(instruction.base(), "bra" | "brx") => {
                    self.targets.extend(names(instruction));
                }
                _ => {}
            }
        }
        let mut scope = 0;
        // Whether the next instruction begins a block.
        let mut ended = false;
        for statement in &body.statements {
            match statement {
                Statement::Open => {
                    self.scopes.push(Some(scope));
                    scope = self.scopes.len() - 1;
                }
                Statement::Close => scope = self.scopes[scope].unwrap_or(0),
                Statement::Label(label) if self.targets.contains(label) => {
                    let current = self.blocks.len() - 1;
                    let empty = self.blocks[current].instructions.is_empty();
                    if !empty {
                        if !ended {
                            self.falls.push(current);
                        }
                        self.begin(Some(label));
                    } else if self.blocks[current].label.is_none() {
                        self.blocks[current].label = Some(label);
                    }
                    ended = false;
                    self.labels.insert((scope, label), self.blocks.len() - 1);
                }
                Statement::Instruction(instruction) => {
                    if ended {
                        self.begin(None);
                        ended = false;
                    }
                    let current = self.blocks.len() - 1;
                    self.blocks[current].instructions.push((instruction, scope));
                    let flow = self.flow(module, instruction);
                    if matches!(flow, Flow::On) {
                        continue;
                    }
                    ended = true;
                    if instruction.guard.is_some() {
                        self.falls.push(current);
                    }
                    match flow {
                        Flow::Jump(labels) => {
                            self.jumps.extend(labels.into_iter().map(|label| (current, scope, label)));
                        }
                        flow => {
                            self.blocks[current].ends = true;
                            self.blocks[current].aborts = matches!(flow, Flow::Abort);
                        }
                    }
                }
                Statement::Label(_)
                | Statement::Registers(_)
                | Statement::Variable(_)
                | Statement::Table(_)
                | Statement::Directive(_) => {}
            }
        }
        // Behind the last instruction a function ends.
        if !ended {
            let last = self.blocks.len() - 1;
            self.blocks[last].ends = true;
        }
    }

    fn begin(&mut self, label: Option<&'a str>) {
        self.blocks.push(Block { label, ..Block::default() });
    }

    fn flow(&self, module: &Module<'a>, instruction: &Instruction<'a>) -> Flow<'a> {
        match instruction.base() {
            "bra" => Flow::Jump(names(instruction)),
            // The index comes first, then the name of the table, or the labels themselves.
            "brx" => {
                let mut labels = Vec::new();
                for name in names(instruction).into_iter().skip(1) {
                    match self.tables.get(name) {
                        Some(targets) => labels.extend(targets),
                        None => labels.push(name),
                    }
                }
                Flow::Jump(labels)
            }
            "ret" | "exit" => Flow::End,
            "trap" => Flow::Abort,
            "call" => {
                let callee = callee(instruction);
                let never = module
                    .functions
                    .iter()
                    .any(|function| Some(function.name) == callee && function.never_returns());
                if never { Flow::Abort } else { Flow::On }
            }
            _ => Flow::On,
        }
    }

    fn connected(mut self) -> Vec<Block<'a, 'm>> {
        let count = self.blocks.len();
        let mut edges: Vec<(usize, usize)> = Vec::new();
        for block in self.falls {
            if block + 1 < count {
                edges.push((block, block + 1));
            } else {
                self.blocks[block].ends = true;
            }
        }
        for (from, scope, label) in self.jumps {
            let mut at = Some(scope);
            let mut found = None;
            while let (None, Some(scope)) = (found, at) {
                found = self.labels.get(&(scope, label)).copied();
                at = self.scopes[scope];
            }
            match found {
                Some(to) => edges.push((from, to)),
                None => self.blocks[from].ends = true,
            }
        }
        for (from, to) in edges {
            if !self.blocks[from].successors.contains(&to) {
                self.blocks[from].successors.push(to);
                self.blocks[to].predecessors.push(from);
            }
        }
        self.blocks
    }
}

fn names<'a>(instruction: &Instruction<'a>) -> Vec<&'a str> {
    let mut names = Vec::new();
    instruction.operands.iter().for_each(|operand| operand.names(&mut names));
    names
}

/// Which node of a graph lies on every path to which.
#[derive(Debug, Clone)]
pub struct Dominators(Vec<Option<usize>>);

impl Dominators {
    /// Of a graph, given by the nodes that can follow each, whose paths begin at `root`.
    pub fn new(successors: &[&[usize]], root: usize) -> Self {
        Self(immediate_dominators(successors, root))
    }

    /// Whether every path to `b` goes through `a`. To a node that nothing reaches, all do.
    pub fn dominates(&self, a: usize, b: usize) -> bool {
        let mut at = b;
        loop {
            if at == a {
                return true;
            }
            match self.0[at] {
                Some(next) if next != at => at = next,
                Some(_) => return false,
                None => return true,
            }
        }
    }

    /// The nearest other node that every path to this one goes through: none of the root, nor of what is not reached.
    pub fn nearest(&self, node: usize) -> Option<usize> {
        self.0[node].filter(|&found| found != node)
    }

    /// Whether a path leads to a node.
    pub fn is_reachable(&self, node: usize) -> bool {
        self.0[node].is_some()
    }
}

/// The nearest node, for each, that every path from `root` goes through; the root's is itself, and what is not reached
/// has none. The algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
fn immediate_dominators(successors: &[&[usize]], root: usize) -> Vec<Option<usize>> {
    let mut order = Vec::with_capacity(successors.len());
    let mut seen = vec![false; successors.len()];
    let mut open = vec![(root, 0)];
    seen[root] = true;
    while let Some((node, next)) = open.last_mut() {
        match successors[*node].get(*next) {
            Some(&to) => {
                *next += 1;
                if !std::mem::replace(&mut seen[to], true) {
                    open.push((to, 0));
                }
            }
            None => {
                order.push(*node);
                open.pop();
            }
        }
    }
    let mut rank = vec![0; successors.len()];
    for (i, &node) in order.iter().enumerate() {
        rank[node] = i;
    }
    let mut predecessors = vec![Vec::new(); successors.len()];
    for &node in &order {
        for &to in successors[node] {
            predecessors[to].push(node);
        }
    }
    let mut found: Vec<Option<usize>> = vec![None; successors.len()];
    found[root] = Some(root);
    loop {
        let mut changed = false;
        for &node in order.iter().rev().filter(|&&node| node != root) {
            let mut nearest: Option<usize> = None;
            for &before in &predecessors[node] {
                if found[before].is_none() {
                    continue;
                }
                nearest = Some(nearest.map_or(before, |other| meet(&found, &rank, other, before)));
            }
            if found[node] != nearest {
                found[node] = nearest;
                changed = true;
            }
        }
        if !changed {
            return found;
        }
    }
}

fn meet(found: &[Option<usize>], rank: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        // Ranks grow towards the root, so each step goes up and ends there at the latest.
        if rank[a] < rank[b] {
            a = found[a].unwrap_or(b);
        } else {
            b = found[b].unwrap_or(a);
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<R>(body: &str, test: impl FnOnce(&Cfg<'_, '_>) -> R) -> R {
        let text = format!(".version 8.0\n.target sm_90\n.entry k()\n{{\n{body}\n}}\n");
        let module = crate::parse(&text).unwrap();
        test(&Cfg::new(&module, module.functions[0].body.as_ref().unwrap()))
    }

    const DIAMOND: &str = "@%p bra B; mov.b32 %r1, 1; bra C; B: mov.b32 %r1, 2; C: ret;";

    #[test]
    fn the_arms_of_a_branch_meet_behind_it() {
        with(DIAMOND, |cfg| {
            let successors: Vec<_> = cfg.blocks.iter().map(|block| block.successors.clone()).collect();
            assert_eq!(successors, [vec![1, 2], vec![3], vec![3], vec![]]);
            assert!(cfg.dominates(0, 3) && !cfg.dominates(1, 3) && !cfg.dominates(1, 2));
            assert_eq!(cfg.post_dominator(0), Some(3));
            assert_eq!(cfg.influence(0), [1, 2]);
            assert_eq!(cfg.loop_depths(), [0, 0, 0, 0]);
        });
    }

    #[test]
    fn a_loop_influences_itself() {
        with("A: add.u32 %r1, %r1, 1; B: @%p bra B; @%q bra A; ret;", |cfg| {
            assert_eq!(cfg.loop_depths(), [1, 2, 1, 0]);
            assert_eq!(cfg.influence(1), [1]);
            assert_eq!(cfg.influence(2), [0, 1, 2]);
        });
    }

    #[test]
    fn labels_belong_to_their_scope() {
        let body = "{ W: @%p bra W; } { W: @!%p bra W; bra.uni E; } trap; E: ret;";
        with(body, |cfg| {
            assert!(cfg.blocks[0].successors.contains(&0) && cfg.blocks[0].successors.contains(&1));
            assert!(cfg.blocks[1].successors.contains(&1));
            assert!(!cfg.is_reachable(3) && cfg.is_reachable(4));
        });
    }

    #[test]
    fn a_check_that_traps_does_not_part_the_arms_of_a_branch() {
        let body = "@%p bra B; @%q trap; mov.b32 %r1, 1; B: mov.b32 %r1, 2; ret;";
        with(body, |cfg| {
            assert_eq!(cfg.post_dominator(0), Some(3));
            assert_eq!(cfg.influence(0), [1, 2]);
        });
        with("@%p bra B; trap; B: trap;", |cfg| assert_eq!(cfg.post_dominator(0), None));
    }

    #[test]
    fn tables_are_followed_and_endless_loops_have_no_end() {
        with("T: .branchtargets A, B; brx.idx %r1, T; A: bra A; B: exit;", |cfg| {
            assert_eq!(cfg.blocks[0].successors, [1, 2]);
            assert_eq!(cfg.post_dominator(1), None);
        });
        with("", |cfg| assert!(cfg.blocks[0].ends));
    }
}
