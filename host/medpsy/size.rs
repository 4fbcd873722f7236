//! Which published MedPsy model a file has the shape of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gguf::{GgufHeader, Metadata};

/// A published size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSize {
    /// `qvac/MedPsy-1.7B`.
    #[serde(rename = "1.7b")]
    B1_7,
    /// `qvac/MedPsy-4B`.
    #[serde(rename = "4b")]
    B4,
}

/// The numbers that make a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    layers: u64,
    hidden: u64,
    ffn: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
    vocab: u64,
}

impl ModelSize {
    /// Both.
    pub const ALL: [Self; 2] = [Self::B1_7, Self::B4];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::B1_7 => "1.7b",
            Self::B4 => "4b",
        }
    }

    /// The size whose shape a file has, in its metadata and in its tensors.
    pub fn of(header: &GgufHeader) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.shape().is_of(header))
    }

    const fn shape(self) -> Shape {
        let published = Shape {
            layers: 28,
            hidden: 2048,
            ffn: 6144,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            vocab: 151_936,
        };
        match self {
            Self::B1_7 => published,
            Self::B4 => Shape { layers: 36, hidden: 2560, ffn: 9728, heads: 32, ..published },
        }
    }
}

impl Shape {
    fn is_of(self, header: &GgufHeader) -> bool {
        let key = |name: &str, expected| number(header.metadata(), name) == Some(expected);
        let tensor = |name: &str, expected: [u64; 2]| {
            header.tensor(name).is_some_and(|tensor| tensor.dimensions() == expected)
        };
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let layer = |layer: u64| {
            let weights = |name: &str, expected| tensor(&format!("blk.{layer}.{name}.weight"), expected);
            weights("attn_q", [self.hidden, q])
                && weights("attn_k", [self.hidden, kv])
                && weights("ffn_gate", [self.hidden, self.ffn])
        };
        let beyond = format!("blk.{}.", self.layers);
        key("block_count", self.layers)
            && key("embedding_length", self.hidden)
            && key("feed_forward_length", self.ffn)
            && key("attention.head_count", self.heads)
            && key("attention.head_count_kv", self.kv_heads)
            && key("attention.key_length", self.head_dim)
            && tensor("token_embd.weight", [self.hidden, self.vocab])
            && (0..self.layers).all(layer)
            && !header.tensors().iter().any(|tensor| tensor.name().starts_with(&beyond))
    }
}

fn number(metadata: &Metadata, key: &str) -> Option<u64> {
    metadata.unsigned(&format!("qwen3.{key}")).ok().flatten()
}

impl fmt::Display for ModelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
