//! Where the time of a token goes, as the blocks of the persistent engine saw it.

use serde::Serialize;

/// A token's steps, one after the other.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// The position of the token.
    pub position: usize,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A step of a token, which all blocks take.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The layer; none for what comes after the layers.
    pub layer: Option<usize>,
    /// What it computes: `query`, `key and value`, `output`, `gate and up`, `down`, `head` or `choice`.
    pub name: &'static str,
    /// Bytes of weights that it reads, over all blocks.
    pub weight_bytes: u64,
    /// Bytes of keys and values that it reads, over all blocks.
    pub cache_bytes: u64,
    /// For each block, when its input was there and when its results were sent, in nanoseconds of the device's clock.
    pub blocks: Vec<[u64; 2]>,
}
