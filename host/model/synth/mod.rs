//! Synthetic models: the exact shapes and formats of real Qwen3 models, filled with seeded random weights. They say
//! nothing sensible; they are for speed and for comparing logits.

mod blocks;
mod plan;
mod vocabulary;
mod write;

pub use plan::{HEAD_DIM, SIZES, Size, SynthSpec};
pub use write::{SynthSummary, write_synthetic};
