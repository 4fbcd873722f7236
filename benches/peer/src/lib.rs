//! Runs Psionic and a comparator as programs, each on an otherwise idle GPU, and compares their results.
//!
//! `cargo xtask compare` and `psionic medpsy matrix` are built on this. Nothing here is needed to run a model.

mod gpu;
mod numerics;
mod programs;

use std::fmt;

pub use gpu::{Gpu, GpuState};
pub use numerics::{Divergence, Pair, Row, Rows, Source, Tally, divergence, first_difference, token_ids};
pub use programs::{
    Chosen, Config, Facts, Generation, Greedy, PeerRun, Programs, Series, Timed, Timings, Workload,
    bench_rows, build_info, output, parsed,
};

/// Why a program or a comparison failed, in one sentence.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
