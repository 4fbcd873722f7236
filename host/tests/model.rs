//! Configurations, weights, tokenizers and synthetic models.

mod config;
mod damaged;
mod report;
mod synth;
mod tokenizer;

use crate::fixture;
use psionic::gguf::GgufFile;

/// The trained models.
const TRAINED: [&str; 2] = ["tiny-qwen3-q4_k_m", "tiny-qwen3-q8_0"];

fn trained(name: &str) -> GgufFile {
    GgufFile::open(&fixture("models").join(format!("{name}.gguf"))).unwrap()
}
