//! Findings: likely mistakes, and code that costs more than necessary. One file for each lint.
mod atomics;
mod barriers;
mod doubles;
mod generic;
mod panics;
mod vectors;

use serde::Serialize;

use crate::{Body, Function, Instruction, Module, cfg::Cfg, uniform};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Lint {
    /// One barrier of the source in several places that exclude each other.
    DuplicatedBarrier,
    /// A barrier for all threads that some may not come to.
    DivergentBarrier,
    /// A generic access whose space is known.
    GenericAccess,
    /// Neighbouring loads or stores that one wider one could do.
    MissedVector,
    /// Arithmetic with `f64`.
    Double,
    /// A panic that is left.
    Panic,
    /// An atomic operation without a scope.
    UnscopedAtomic,
}

impl Lint {
    /// Every lint.
    pub const ALL: [Self; 7] = [
        Self::DuplicatedBarrier,
        Self::DivergentBarrier,
        Self::GenericAccess,
        Self::MissedVector,
        Self::Double,
        Self::Panic,
        Self::UnscopedAtomic,
    ];

    /// Its name: `divergent-barrier`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DuplicatedBarrier => "duplicated-barrier",
            Self::DivergentBarrier => "divergent-barrier",
            Self::GenericAccess => "generic-access",
            Self::MissedVector => "missed-vector",
            Self::Double => "double",
            Self::Panic => "panic",
            Self::UnscopedAtomic => "unscoped-atomic",
        }
    }

    /// Whether a kernel with it may do something wrong, rather than only slowly.
    pub fn is_serious(self) -> bool {
        matches!(self, Self::DuplicatedBarrier | Self::DivergentBarrier | Self::UnscopedAtomic)
    }

    /// What it looks for and what to do.
    pub fn help(self) -> &'static str {
        match self {
            Self::DuplicatedBarrier => {
                "the compiler copied a barrier into paths that exclude each other; threads then wait at different ones: \
                 move it out of the branch"
            }
            Self::DivergentBarrier => {
                "not all threads of a block may come to this barrier; move it out of the branch, or give it the number \
                 of threads that do"
            }
            Self::GenericAccess => {
                "the space of this address is known, and a generic access finds it out each time; use an access of that \
                 space"
            }
            Self::MissedVector => {
                "these accesses lie side by side; one of a vector type moves the same in fewer instructions"
            }
            Self::Double => "f64 is 2 to 64 times slower than f32; write 1.0_f32 where it is not meant",
            Self::Panic => {
                "a check that can fail is left in the kernel; prove the bound, or use a checked access"
            }
            Self::UnscopedAtomic => {
                "without a scope and an order an atomic operation is relaxed and seen by the GPU only; name both"
            }
        }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which lint found it.
    pub lint: Lint,
    /// The function that it is in.
    pub function: String,
    /// The line in the text.
    pub line: u32,
    /// The instruction.
    pub instruction: String,
    /// What was seen.
    pub message: String,
    /// The place in the source that tells most: `src/k.rs:20:46`.
    pub source: Option<String>,
    /// All places, the innermost first, each inlined into the next.
    pub inlined: Vec<String>,
}

/// What a lint looks at.
struct Subject<'s, 'a> {
    module: &'s Module<'a>,
    function: &'s Function<'a>,
    body: &'s Body<'a>,
    cfg: Cfg<'a, 's>,
    divergence: uniform::Divergence,
}

impl<'a> Subject<'_, 'a> {
    fn finding(&self, lint: Lint, instruction: &Instruction<'a>, message: impl Into<String>) -> Finding {
        let place = instruction.place.and_then(|place| self.module.places.get(usize::try_from(place).ok()?));
        Finding {
            lint,
            function: self.function.name.to_owned(),
            line: instruction.line,
            instruction: instruction.opcode.to_owned(),
            message: message.into(),
            source: self.module.source(instruction.place),
            inlined: place.map_or_else(Vec::new, |place| {
                place.0.iter().map(|location| self.module.describe(*location)).collect()
            }),
        }
    }
}

/// Runs every lint over a module; findings come in the order of the text.
pub fn lint(module: &Module<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (function, body) in
        module.functions.iter().filter_map(|function| Some((function, function.body.as_ref()?)))
    {
        let cfg = Cfg::new(module, body);
        let divergence = uniform::divergence(function, body, &cfg);
        let subject = Subject { module, function, body, cfg, divergence };
        for lint in [
            barriers::duplicated,
            barriers::divergent,
            generic::check,
            vectors::check,
            doubles::check,
            panics::check,
            atomics::check,
        ] {
            lint(&subject, &mut findings);
        }
    }
    findings.sort_by_key(|finding| (finding.line, finding.lint));
    findings
}
