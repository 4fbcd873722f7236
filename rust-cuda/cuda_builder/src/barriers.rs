//! Checks that the compiler did not multiply a barrier.
//!
//! Instructions that a whole block or warp has to reach together ("collectives") must not be copied into the arms of a
//! branch: threads of one block would then wait at different copies. rustc does not know this of inline assembly, and one
//! of its own passes does not know it of anything. Every collective in the optimised module carries the place in the source
//! that it comes from, with all the calls it was inlined through, so copies are recognised as such. A copy is harmless where
//! one dominates the other: that is an unrolled or peeled loop, every thread passes both in the same order. Copies of which
//! neither dominates the other lie on alternative paths, and are an error. So is a barrier that appears in the PTX more often
//! than in the module it was made from. Fewer is not: code that is never reached was removed.
use std::collections::{HashMap, HashSet};

use cuda_ptx::{
    cfg::Dominators,
    class::{is_barrier, is_collective},
};

use crate::{
    ir::{Call, Callee, Function, Module, Site},
    ptx,
};

/// The compiler multiplied a barrier or another instruction that threads have to reach together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// Copies of one barrier lie on alternative paths.
    #[error(
        "the compiler copied `{operation}` in `{function}` ({location}) into {copies} places that exclude each other, so threads \
         would wait for each other at different ones; use cuda_std's function instead of inline assembly, or move it \
         out of the branch"
    )]
    Duplicated {
        /// The entry or function.
        function: String,
        /// The instruction or intrinsic.
        operation: String,
        /// Its place in the source, and what that was inlined into.
        location: String,
        /// How often it is there.
        copies: usize,
    },
    /// There are more barriers in the PTX than the optimised module had.
    #[error(
        "`{function}` has {found} barriers in the PTX and {expected} before code generation; use cuda_std's barriers instead \
         of inline assembly"
    )]
    Count {
        /// The entry or function.
        function: String,
        /// Barriers before code generation.
        expected: usize,
        /// Barriers in the PTX.
        found: usize,
    },
}

/// Checks every function except those named in `allowed`.
pub(crate) fn check(ir: &str, ptx: &cuda_ptx::Module<'_>, allowed: &[String]) -> Result<(), BarrierError> {
    let module = Module::parse(ir);
    let indirect = functions_with_collectives(&module);
    let mut barriers: HashMap<&str, usize> = ptx
        .functions
        .iter()
        .filter_map(|function| Some((function.name, function.body.as_ref()?)))
        .map(|(name, body)| (name, body.instructions().filter(|found| is_barrier(found.opcode)).count()))
        .collect();
    for function in &module.functions {
        // LLVM replaces the characters that a PTX name cannot have.
        let found = barriers.remove(function.name.replace(['.', '@'], "_$_").as_str()).unwrap_or(0);
        if allowed.iter().any(|name| name == function.name) {
            continue;
        }
        check_copies(&module, function, &indirect)?;
        let expected: usize = function
            .blocks
            .iter()
            .flat_map(|block| &block.calls)
            .map(|call| count_barriers(&call.callee))
            .sum();
        if found > expected {
            return Err(BarrierError::Count { function: function.name.to_owned(), expected, found });
        }
    }
    match barriers.into_iter().filter(|(_, found)| *found > 0).min() {
        Some((name, found)) => Err(BarrierError::Count { function: name.to_owned(), expected: 0, found }),
        None => Ok(()),
    }
}

/// The functions that contain a collective, themselves or through what they call.
fn functions_with_collectives<'a>(module: &Module<'a>) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    loop {
        let before = found.len();
        for function in &module.functions {
            let calls = || function.blocks.iter().flat_map(|block| &block.calls);
            if calls().any(|call| collective(call, &found).is_some()) {
                found.insert(function.name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// What is collective about a call.
fn collective(call: &Call<'_>, indirect: &HashSet<&str>) -> Option<String> {
    match &call.callee {
        Callee::Function(name) => (is_intrinsic(name) || indirect.contains(name)).then(|| (*name).to_owned()),
        Callee::Asm(text) => {
            ptx::operations(text).find(|operation| is_collective(operation)).map(str::to_owned)
        }
    }
}

fn check_copies(
    module: &Module<'_>,
    function: &Function<'_>,
    indirect: &HashSet<&str>,
) -> Result<(), BarrierError> {
    let mut places: HashMap<(String, Site), Vec<usize>> = HashMap::new();
    for (block, contents) in function.blocks.iter().enumerate() {
        for call in &contents.calls {
            if let Some(operation) = collective(call, indirect) {
                places.entry((operation, module.site(call))).or_default().push(block);
            }
        }
    }
    let successors: Vec<&[usize]> = function.blocks.iter().map(|block| block.successors.as_slice()).collect();
    let dominators = Dominators::new(&successors, 0);
    let mut wrong: Vec<_> = places
        .into_iter()
        .filter(|(_, blocks)| {
            blocks.iter().enumerate().any(|(i, &a)| {
                blocks[i + 1..].iter().any(|&b| !dominators.dominates(a, b) && !dominators.dominates(b, a))
            })
        })
        .collect();
    // The map has no order, and the message of one input must not change.
    wrong.sort_by_key(|(_, blocks)| blocks[0]);
    let Some(((operation, site), blocks)) = wrong.into_iter().next() else { return Ok(()) };
    let location: Vec<String> = site.iter().rev().map(|position| module.describe(position)).collect();
    let location = if location.is_empty() { "unknown place".to_owned() } else { location.join(", in ") };
    Err(BarrierError::Duplicated {
        function: function.name.to_owned(),
        operation,
        location,
        copies: blocks.len(),
    })
}

fn count_barriers(callee: &Callee<'_>) -> usize {
    match callee {
        Callee::Function(name) => usize::from(name.starts_with("llvm.nvvm.bar")),
        Callee::Asm(text) => ptx::operations(text).filter(|operation| is_barrier(operation)).count(),
    }
}

/// Whether LLVM's intrinsic of this name is collective.
fn is_intrinsic(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "bar",
        "shfl.",
        "vote.",
        "match.",
        "redux.",
        "elect.",
        "activemask",
        "mma.",
        "wmma.",
        "wgmma.",
        "ldmatrix.",
        "stmatrix.",
    ];
    name.strip_prefix("llvm.nvvm.").is_some_and(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
#[path = "barriers_tests.rs"]
mod tests;
