//! A kernel in numbers, each with a name: what is compared, and what a budget limits.
use crate::{FunctionAnalysis, class::Class, tool::Resources};

/// A number of a kernel. Of each, less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Its name: `registers`.
    pub name: &'static str,
    /// What it is, `None` where only the assembler knows and there is none.
    pub value: Option<u64>,
}

/// The figures of a kernel, the same names for all, in a fixed order.
pub fn figures(analysis: &FunctionAnalysis, resources: Option<&Resources>) -> Vec<Figure> {
    let known = |name, value| Figure { name, value: Some(value) };
    let assembled = |name, value: fn(&Resources) -> u32| Figure {
        name,
        value: resources.map(|resources| value(resources).into()),
    };
    let mut figures = vec![
        assembled("registers", |resources| resources.registers),
        assembled("spill_store_bytes", |resources| resources.spill_store_bytes),
        assembled("spill_load_bytes", |resources| resources.spill_load_bytes),
        assembled("stack_bytes", |resources| resources.stack_bytes),
        known("static_shared_bytes", analysis.shared.static_bytes),
        known("local_bytes", analysis.local_bytes),
        known("instructions", analysis.mix.instructions),
        known("barriers", analysis.barriers),
        known("divergent_branches", analysis.divergent_branches.len() as u64),
        known("loaded_bytes", analysis.mix.loaded_bytes),
        known("stored_bytes", analysis.mix.stored_bytes),
    ];
    // Barriers are a class of their own, above.
    let classes = Class::ALL.into_iter().filter(|class| *class != Class::Barrier);
    figures.extend(classes.map(|class| known(class.key(), analysis.mix.count(class))));
    figures
}
