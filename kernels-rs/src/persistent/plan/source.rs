//! Which weights a block multiplies: what the host packs them by.

use super::{HEAD, Phase, Plan};
use crate::persistent::tile;

/// A matrix of the model, as a tile's blocks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// The output projection.
    O,
    /// Gate.
    Gate,
    /// Up.
    Up,
    /// Down.
    Down,
    /// The logits.
    Head,
}

impl Plan {
    /// The matrix, row and block of 256 weights that row `row` of a thread block's is in block `block` of; none beyond the
    /// matrix.
    pub fn source(
        &self,
        phase: Phase,
        (group, rank): (u32, u32),
        (row, block): (u32, u32),
    ) -> Option<(Source, u32, u32)> {
        let job = self.job(phase, group, rank);
        if row >= job.rows || block >= job.blocks {
            return None;
        }
        let i = job.first + row;
        let (_, slice) = self.slice(group);
        Some(match phase {
            Phase::Heads if rank >= self.key_blocks => (Source::V, group * HEAD + i, block),
            Phase::Heads if i >= self.heads * HEAD => {
                (Source::K, group * HEAD + i - self.heads * HEAD, block)
            }
            Phase::Heads => (Source::Q, group * self.heads * HEAD + i, block),
            Phase::Output => (Source::O, i, group * self.heads * HEAD / tile::BLOCK as u32 + block),
            Phase::GateUp => {
                let which = if i.is_multiple_of(2) { Source::Gate } else { Source::Up };
                (which, slice * tile::BLOCK as u32 + i / 2, block)
            }
            Phase::Down => (Source::Down, i, slice + block),
            Phase::Logits => (Source::Head, i, block),
        })
    }
}
