//! What runs a model's tokens: an engine, of which there are two.

use std::fmt;

use serde::Serialize;

use super::DecodeError;
use super::sequence::Sequence;
use super::timeline::Timeline;
use crate::device::Device;

/// Which engine to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The persistent one on a GPU that can run it, for a model that it can run; otherwise the graph.
    #[default]
    Auto,
    /// The graph.
    Graph,
    /// The persistent one, or an error that says why not.
    Persistent,
}

/// Which engine is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// A graph of launches: any model on any device.
    Graph,
    /// One launch for many tokens: GPUs from `sm_90` on, and the simulator.
    Persistent,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graph => "graph",
            Self::Persistent => "persistent",
        })
    }
}

/// Bytes that an engine takes on a device besides the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Of weights.
    pub weights: u64,
    /// Of the rest.
    pub rest: u64,
}

/// Runs tokens of a sequence.
pub trait Engine {
    /// Runs the tokens at positions `from` to `to - 1`, which are known; the logits are then those after the last.
    fn look(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        to: usize,
    ) -> Result<(), DecodeError>;

    /// Chooses `count` tokens from position `from` on, each the best after the one before, and runs them. The token
    /// before `from` was run last.
    fn extend(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, DecodeError>;

    /// As [`extend`](Self::extend), with the times of the last token; none where an engine does not keep them.
    fn profile(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Option<Timeline>, DecodeError>;
}
