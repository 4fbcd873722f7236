//! Decode benchmarks: workloads, timing, statistics, and the record of a result.

mod profile;
mod record;
mod run;
mod stats;
mod workload;

pub use profile::{PROFILED_TOKENS, PhaseRecord, PhaseTimes, Profile, ProfileRecord, TokenTimes, profile};
pub use record::{ModelSummary, Record};
pub use run::{Samples, measure};
pub use stats::Stats;
pub use workload::{Phase, Workload};
