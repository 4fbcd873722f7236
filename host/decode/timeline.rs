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

impl Timeline {
    /// When the first block had its first input, by the device's clock.
    pub fn start(&self) -> u64 {
        self.steps.iter().flat_map(|step| &step.blocks).map(|times| times[0]).min().unwrap_or(0)
    }

    /// When the last block had sent its last results, by the device's clock.
    pub fn end(&self) -> u64 {
        self.steps.iter().flat_map(|step| &step.blocks).map(|times| times[1]).max().unwrap_or(0)
    }
}

/// A step of a token, which all blocks take.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The layer; none for what comes after the layers.
    pub layer: Option<usize>,
    /// What it computes: `heads` (queries, key and value), `attention`, `output`, `gate and up`, `down`, `logits` or `choice`.
    ///
    /// `attention` lasts from when a block has sent its keys and values until the heads that it projects are there: the
    /// exchanges before and after it are in it.
    pub name: &'static str,
    /// Bytes of weights that it reads, over all blocks.
    pub weight_bytes: u64,
    /// Bytes of keys and values that it reads, over all blocks.
    pub cache_bytes: u64,
    /// For each block, when its input was there and when its results were sent, in nanoseconds of the device's clock.
    pub blocks: Vec<[u64; 2]>,
}
