//! Block formats of quantised weights: how many weights and bytes a block has, and what the weights are.
//!
//! This module is independent of files and models.

mod dequantize;
mod finite;

pub use dequantize::dequantize;
pub use finite::is_finite;

/// A weight format that Psionic reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum QuantType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// Blocks of 32: a half-precision scale and signed 8-bit codes.
    #[serde(rename = "Q8_0")]
    Q8_0,
    /// Blocks of 256: 4-bit codes, eight 6-bit scales and minima, a half-precision scale for each of the two.
    #[serde(rename = "Q4_K")]
    Q4K,
    /// Blocks of 256: 6-bit codes, sixteen signed 8-bit scales, one half-precision scale.
    #[serde(rename = "Q6_K")]
    Q6K,
}

impl QuantType {
    /// Every format, in the order of their GGUF type ids.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4K, Self::Q6K];

    /// The format's type id in a GGUF file.
    pub const fn gguf_id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q6K => 14,
        }
    }

    /// The format with this type id in a GGUF file, if it is one of ours.
    pub fn from_gguf_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.gguf_id() == id)
    }

    /// The name that GGUF tools show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Weights in a block.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `cols` weights; `None` when they are not whole blocks or the size overflows.
    pub const fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for QuantType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
