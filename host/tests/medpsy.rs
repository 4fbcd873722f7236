//! MedPsy: which files are admitted, and what closes the release gate.

mod admission;
mod chat;
mod gate;

use crate::fixture;
use crate::raw_gguf::{Raw, string};
use psionic::medpsy::ModelSize;
use std::path::PathBuf;

/// GGUF's ids of formats.
pub const IDS: [(&str, u32); 10] = [
    ("F16", 1),
    ("Q8_0", 8),
    ("Q4_K", 12),
    ("Q5_K", 13),
    ("Q6_K", 14),
    ("IQ3_XXS", 18),
    ("IQ4_NL", 20),
    ("IQ3_S", 21),
    ("IQ4_XS", 23),
    ("BF16", 30),
];

pub fn id(format: &str) -> u32 {
    IDS.iter().find(|(name, _)| *name == format).unwrap().1
}

/// The header of a MedPsy file: a published shape, most weights of the layers in one format, `attn_v` in another. There is
/// no data behind it, so whatever is refused is refused before any weights are read.
pub fn header(size: ModelSize, main: &str, attn_v: &str, file_type: Option<u32>) -> Raw {
    let (layers, hidden, ffn, heads) = match size {
        ModelSize::B1_7 => (28, 2048, 6144, 16),
        ModelSize::B4 => (36, 2560, 9728, 32),
    };
    let one = 1f32.to_le_bytes();
    let mut raw = Raw::new()
        .string("general.architecture", "qwen3")
        .string("general.name", "MedPsy")
        .u32("qwen3.block_count", layers)
        .u32("qwen3.context_length", 40_960)
        .u32("qwen3.embedding_length", hidden)
        .u32("qwen3.feed_forward_length", ffn)
        .u32("qwen3.attention.head_count", heads)
        .u32("qwen3.attention.head_count_kv", 8)
        .u32("qwen3.attention.key_length", 128)
        .pair("qwen3.rope.freq_base", &[&6u32.to_le_bytes()[..], &one].concat());
    if let Some(file_type) = file_type {
        raw = raw.u32("general.file_type", file_type);
    }
    let (hidden, ffn, q) = (u64::from(hidden), u64::from(ffn), u64::from(heads) * 128);
    for layer in 0..layers {
        for (name, shape, format) in [
            ("attn_q", [hidden, q], main),
            ("attn_k", [hidden, 1024], main),
            ("attn_v", [hidden, 1024], attn_v),
            ("attn_output", [q, hidden], main),
            ("ffn_gate", [hidden, ffn], main),
            ("ffn_up", [hidden, ffn], main),
            ("ffn_down", [ffn, hidden], main),
        ] {
            raw = raw.tensor(&format!("blk.{layer}.{name}.weight"), &shape, id(format), 0);
        }
    }
    raw.tensor("token_embd.weight", &[hidden, 151_936], id("Q6_K"), 0)
}

/// A file with these bytes.
pub fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The trained model under MedPsy's name.
pub fn tiny_medpsy() -> (tempfile::TempDir, PathBuf) {
    let mut bytes = std::fs::read(fixture("models").join("tiny-qwen3-q4_k_m.gguf")).unwrap();
    let name = string("tiny-qwen3-rust");
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at..at + name.len()].copy_from_slice(&string("Tiny MedPsy (x)"));
    file(&bytes)
}
