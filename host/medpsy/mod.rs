//! MedPsy, a medical fine-tune of Qwen3: which files may run, what they may be asked, and its benchmark.
//!
//! The rules are those of `fixtures/medpsy/capability`; the release gate checks that they and this module agree.

mod admission;
mod artifact;
mod bench;
mod chat;
mod error;
mod flags;
pub mod gate;
pub mod matrix;
mod policy;
mod receipt;
mod size;
mod tier;

pub use admission::{Admission, AdmissionRequest, OTHER_SIZE, Posture, TABLE, admit, posture};
pub use artifact::{PINNED, Pinned, Provenance, expected_digest, sha256};
pub use bench::{ArtifactKind, BenchBackend, BenchRequest, run};
pub use chat::{Message, Role, medical_prompt, prompt};
pub use error::MedPsyError;
pub use flags::{BenchFlags, ReportFile};
pub use policy::{
    CLAIM_BOUNDARY, DISCLAIMER, MedicalPolicy, PERSONA, POLICY_ID, REFUSED_PHRASES, check_text, is_medpsy,
};
pub use receipt::{
    BENCH_SCHEMA, BenchPolicy, BenchReport, Ended, ExecutionEngine, HowComputed, Machine, Means, Run,
    TimedRun,
};
pub use size::ModelSize;
pub use tier::Tier;
