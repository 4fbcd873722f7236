//! Where keys, values and queries lie in shared memory, and which of them a lane reads.

use cuda_std::prelude::*;

use crate::persistent::block::Block;
use crate::persistent::plan::{HEAD, PARTIALS, ROW_BYTES, SLOT_POSITIONS, STEP};

/// Where a piece of a key or a value lies, in pieces: in another order in each of eight rows, so that lanes that read the same
/// piece of eight rows read from different banks, be they rows in a sequence or every other one. A slot's rows are of
/// positions with the same remainder.
#[inline(always)]
pub const fn turned(row: u32, piece: u32) -> usize {
    // A Gray code.
    (piece ^ ((row ^ (row >> 1)) % 8)) as usize
}

/// Where a piece of a part of a query lies, in pieces: lane `t` of four needs word `t` of each piece of the row, so those
/// lie together, four words in a piece. Lanes that read the same of their pieces, of both parts, read from different banks.
#[inline(always)]
pub const fn gathered(part: u32, t: u32, piece: u32) -> usize {
    (4 * t + (piece ^ (t / 2) ^ (2 * part))) as usize
}

/// A slot's rows of keys and values, and the new position's.
#[derive(Clone, Copy)]
pub struct Rows {
    slot: shared::Slice<u8>,
    /// What [`prepare`] made.
    new: shared::Slice<u8>,
    /// Rows that the slot has.
    pub there: u32,
}

impl Rows {
    /// Those of the slot from position `first` on: the ring's next, if it has come through it.
    ///
    /// # Safety
    /// All lanes must call it; the ring must have the slot next.
    #[inline(always)]
    pub unsafe fn take(b: &mut Block<'_>, first: u32) -> Self {
        // SAFETY: as the plan says.
        unsafe {
            let new = b.at::<u8>(b.shared.heads + 2 * b.plan.heads * ROW_BYTES, 2 * ROW_BYTES);
            let mut rows = Self { slot: new, new, there: b.position.saturating_sub(first) };
            if rows.there > 0 {
                let (ring, warp, lane) = (b.ring, b.warp, b.lane);
                rows.slot = b.tiles.take(ring, warp, lane, 0, |slot| slot);
            }
            rows
        }
    }

    /// The piece of a key at byte `place`, counted from the first row.
    ///
    /// # Safety
    /// The slot must be as long as it may get, and have the rows; what [`prepare`] makes must be complete.
    #[inline(always)]
    pub unsafe fn key(self, place: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.piece(place, 0) }
    }

    /// The piece of a value at byte `place`, counted from the first row.
    ///
    /// # Safety
    /// As for [`key`](Self::key).
    #[inline(always)]
    pub unsafe fn value(self, place: u32) -> shared::Slice<U32x4> {
        // SAFETY: as the caller promises.
        unsafe { self.piece(place, 1) }
    }

    /// A piece of the keys or the values. In rows behind the slot's last it is one of the new position's, so that what is
    /// counted with a weight of nothing is a number.
    #[inline(always)]
    unsafe fn piece(self, place: u32, which: u32) -> shared::Slice<U32x4> {
        // SAFETY: as for `key`.
        unsafe {
            if place < self.there * ROW_BYTES {
                self.slot.from((which * SLOT_POSITIONS * ROW_BYTES + place) as usize).cast()
            } else {
                self.new.from((which * ROW_BYTES + place % ROW_BYTES) as usize).cast()
            }
        }
    }
}

/// Where a lane finds and leaves what.
#[derive(Clone, Copy)]
pub struct Places {
    /// Its words of the queries of the first heads that are looked at together, in bytes from the start of shared memory.
    pub query: u32,
    /// The piece of a slot's keys that it names to load matrices, and of the values, in bytes from the first row.
    pub key: u32,
    pub value: u32,
    /// The row of the first of the two scores that it gets.
    pub row: u32,
    /// The lane whose weights it multiplies with, and 16 further.
    pub source: u32,
    /// Its part of the warp's result, and of those of the head that the warp merges, in bytes from the start of shared memory.
    pub result: u32,
    pub merged: u32,
}

impl Places {
    /// Those of this lane. They are computed when this is called, not when they are needed: that is time to spare.
    #[inline(always)]
    pub fn of(b: &Block<'_>) -> Self {
        let (g, t) = (b.lane / 4, b.lane % 4);
        let first = b.warp % 2 * STEP;
        let piece = |row: u32, piece: u32| row * ROW_BYTES + 16 * turned(row, piece) as u32;
        // Column `g` of the queries: with fewer than four heads the same ones again.
        let column = g % (2 * b.plan.together());
        Self {
            query: misc::opaque(b.shared.heads + column * ROW_BYTES + 16 * gathered(g % 2, t, 0) as u32),
            // Four matrices: eight even positions, eight odd ones, and the same of the next piece. So a lane gets
            // neighbouring positions, whose weights share a word.
            key: misc::opaque(piece(first + 2 * (b.lane % 8) + b.lane / 8 % 2, b.lane / 16)),
            // Eight positions, the same of the next piece, and both of the next eight.
            value: misc::opaque(piece(first + b.lane % 8 + b.lane / 16 * 8, b.lane / 8 % 2)),
            row: misc::opaque(first + 2 * g),
            source: misc::opaque(4 * t + g / 2),
            result: misc::opaque(b.shared.partials + 4 * (t * PARTIALS + b.warp * HEAD + g)),
            merged: misc::opaque(b.shared.partials + 4 * (b.warp * PARTIALS + 4 * b.lane)),
        }
    }
}
