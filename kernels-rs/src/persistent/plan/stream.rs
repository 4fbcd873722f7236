//! Where a layer's tiles lie in global memory, and of what format they are.

use cuda_std::prelude::*;

use super::{Phase, fixed};
use crate::persistent::{block, tile};

/// The tiles of a layer, or of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The tiles' kinds, [`tile::KIND_BITS`] each: queries and key, value, output, gate and up, down; or the logits'.
    pub kinds: u32,
    /// Where the first block's begin, in units of 16 bytes.
    pub start: u32,
    /// From one block's to the next one's, in units of 16 bytes.
    pub stride: u32,
}

impl Stream {
    /// The field of [`kinds`](Self::kinds) that a phase has. `values`: the block is one of those that compute the
    /// group's value.
    #[inline(always)]
    pub const fn field(phase: Phase, values: bool) -> u32 {
        if phase as u32 == 0 { values as u32 } else { phase as u32 + 1 }
    }

    /// The stream of a layer, or of the logits behind the last, from the table in shared memory.
    ///
    /// # Safety
    /// The table must be complete.
    #[inline(always)]
    pub(crate) unsafe fn of(layer: u32) -> Self {
        // SAFETY: as the caller promises.
        let U32x4([kinds, start, stride, _]) =
            unsafe { block::at::<U32x4>(fixed::STREAMS, layer + 1).get(layer as usize) };
        Self { kinds, start, stride }
    }

    /// The stream of a layer, or of the logits behind the last, from the table in global memory.
    ///
    /// # Safety
    /// The table must have it.
    #[inline(always)]
    pub(crate) unsafe fn load(table: *const U32x4, layer: u32) -> Self {
        // SAFETY: as the caller promises.
        let U32x4([kinds, start, stride, _]) = unsafe { global::load(table.add(layer as usize), ReadOnly) };
        Self { kinds, start, stride }
    }

    /// The kind of a block's tiles.
    #[inline(always)]
    pub const fn kind(self, phase: Phase, values: bool) -> tile::Code {
        tile::Code(
            self.kinds >> (tile::KIND_BITS * Self::field(phase, values)) & ((1 << tile::KIND_BITS) - 1),
        )
    }

    /// Where a block's tiles begin, in bytes.
    #[inline(always)]
    pub const fn start_of(self, block: u32) -> usize {
        (self.start as usize + (block * self.stride) as usize) * 16
    }
}
