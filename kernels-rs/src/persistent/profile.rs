//! When a block does what, for `psionic bench --profile`.

use cuda_std::prelude::*;

use super::plan::Phase;

/// What a block did when, in nanoseconds: for each phase of each layer and for the head, when its input was there and
/// when its results were sent.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Profile {
    /// `[block][phases][2]`, or null; the times are those of the last token that is run.
    pub times: *mut u64,
}

impl Profile {
    /// The times of a block, or null.
    #[inline(always)]
    pub(super) fn of(self, block: u32, layers: u32) -> *mut u64 {
        let first = (block * profile_phases(layers) * 2) as usize;
        if self.times.is_null() { self.times } else { self.times.wrapping_add(first) }
    }
}

/// Phases of a token that a profile has times of.
pub const fn profile_phases(layers: u32) -> u32 {
    Phase::OF_LAYER * layers + 2
}

/// Writes times down, if anybody wants them.
pub struct Clock {
    /// The block's, or null.
    times: *mut u64,
    next: u32,
}

impl Clock {
    /// Begins to write at `times`; nothing, if that is null.
    #[inline(always)]
    pub fn start(times: *mut u64) -> Self {
        Self { times, next: 0 }
    }

    /// The next time of the block: `thread` 0 writes it.
    ///
    /// # Safety
    /// There must be a place for it.
    #[inline(always)]
    pub unsafe fn tick(&mut self, thread: u32) {
        if !self.times.is_null() && thread == 0 {
            // SAFETY: as the caller promises.
            unsafe { global::store(self.times.add(self.next as usize), thread::global_timer()) };
        }
        self.next += 1;
    }
}
