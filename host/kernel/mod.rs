//! The kernels individually: which there are, what each must compute, and how fast it is in isolation.
//!
//! A [`Kernel`] has [`Case`]s: shapes that occur in decoding. A case makes its inputs from a seed, knows the bytes that
//! a launch must move, and compares the results of a launch with float64. [`Bench`] times a case, [`check`] looks for
//! mistakes in it.

mod activations;
pub mod bounds;
mod case;
mod cases;
mod check;
mod error;
mod expected;
mod matvec;
mod measure;
mod memory;
mod products;
mod record;
mod shapes;
mod spread;
mod stored;
mod vector;
mod verify;

use cuda_std::launch::{KernelArgs, Param};

pub use activations::Activations;
pub use case::{Case, Prepared};
pub use cases::KERNELS;
pub use check::{Checked, Trouble, check};
pub use error::{KernelError, When};
pub use expected::{Expected, Mismatch, Near, Outputs, Worst};
pub use measure::{Bench, BenchOptions, Measured};
pub use memory::Ceiling;
pub use record::{KernelRecord, RecordHead, TestRecord};
pub use shapes::Shapes;
pub use spread::Spread;
pub use stored::{Stored, to_f64, weights};
pub use verify::{Tested, test};

/// The name that stands for every kernel.
pub const ALL: &str = "all";

/// A kernel, as its source declares it, and what it is measured with.
#[derive(Debug)]
pub struct Kernel {
    /// Its name, which is that of its PTX entry.
    pub name: &'static str,
    /// What it computes.
    pub summary: &'static str,
    /// The most threads of a block, and the fewest blocks of a multiprocessor (0: no wish).
    pub launch_bounds: Option<(u32, u32)>,
    /// Its parameters.
    pub params: &'static [Param],
    /// What measures it, where it has no cases: it cannot be launched alone.
    pub measured_by: Option<&'static str>,
    cases: fn(&Shapes) -> Vec<Case>,
}

impl Kernel {
    const fn of<K: KernelArgs>(summary: &'static str, cases: fn(&Shapes) -> Vec<Case>) -> Self {
        Self {
            name: K::NAME,
            summary,
            launch_bounds: K::LAUNCH_BOUNDS,
            params: K::PARAMS,
            measured_by: None,
            cases,
        }
    }

    /// One without cases.
    const fn without_cases<K: KernelArgs>(summary: &'static str, measured_by: &'static str) -> Self {
        Self { measured_by: Some(measured_by), ..Self::of::<K>(summary, |_| Vec::new()) }
    }

    /// The shapes that decoding a model of this shape gives it.
    pub fn cases(&self, shapes: &Shapes) -> Vec<Case> {
        (self.cases)(shapes)
    }
}

/// The cases that `names` name: of a kernel, `kernel/case`, or [`ALL`]; each once.
///
/// # Errors
/// When there is no such kernel or case.
pub fn select(names: &[String], shapes: &Shapes) -> Result<Vec<Case>, KernelError> {
    let mut selected: Vec<Case> = Vec::new();
    for name in names {
        for case in named(name, shapes)? {
            if !selected.iter().any(|other| other.to_string() == case.to_string()) {
                selected.push(case);
            }
        }
    }
    Ok(selected)
}

fn named(name: &str, shapes: &Shapes) -> Result<Vec<Case>, KernelError> {
    if name == ALL {
        return Ok(KERNELS.iter().flat_map(|kernel| kernel.cases(shapes)).collect());
    }
    let (kernel, wanted) = name.split_once('/').map_or((name, None), |(kernel, case)| (kernel, Some(case)));
    let Some(kernel) = KERNELS.iter().find(|known| known.name == kernel) else {
        let known = KERNELS.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        return Err(KernelError::UnknownKernel { found: kernel.to_owned(), known });
    };
    if let Some(command) = kernel.measured_by {
        return Err(KernelError::NoCases { kernel: kernel.name, command });
    }
    let cases = kernel.cases(shapes);
    let known = || cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>().join(", ");
    match wanted {
        None => Ok(cases),
        Some(wanted) if !cases.iter().any(|case| case.name == wanted) => {
            Err(KernelError::UnknownCase { kernel: kernel.name, found: wanted.to_owned(), known: known() })
        }
        Some(wanted) => Ok(cases.into_iter().filter(|case| case.name == wanted).collect()),
    }
}
