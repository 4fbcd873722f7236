//! The sizes that the kernels meet when a model is decoded.

use crate::device::Backend;
use crate::model::{HEAD_DIM, Size, SynthError, SynthSpec};
use crate::quant::QuantType;

/// The shape of a model, as its kernels see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes {
    /// The size's name.
    pub size: &'static str,
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward network.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Tokens.
    pub vocab: usize,
    /// The format of the embedding in Q4_K_M.
    pub embedding: QuantType,
    /// Positions of the token whose attention is computed.
    pub positions: [usize; 4],
}

impl Shapes {
    /// Those of a published size, or of the one for tests, which is small in everything so that the simulator does it.
    ///
    /// # Errors
    /// When there is no such size.
    pub fn of(size: &str) -> Result<Self, SynthError> {
        let spec = SynthSpec::new(size, 0)?;
        let &Size { name, layers, hidden, ffn, heads, kv_heads, tied, .. } = spec.size;
        let small = name == "tiny";
        Ok(Self {
            size: name,
            layers,
            hidden,
            ffn,
            heads,
            kv_heads,
            head_dim: HEAD_DIM,
            vocab: if small { 1003 } else { spec.vocab },
            embedding: if tied { QuantType::Q6K } else { QuantType::Q4K },
            positions: if small { [0, 5, 40, 100] } else { [0, 512, 4096, 32_768] },
        })
    }

    /// The size where none is asked for: what a GPU is for, and what the simulator can do.
    pub fn usual_size(backend: Backend) -> &'static str {
        match backend {
            Backend::Cuda => "1.7b",
            Backend::Sim => "tiny",
        }
    }

    /// Rows of the query projection.
    pub fn q(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection.
    pub fn kv(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}
