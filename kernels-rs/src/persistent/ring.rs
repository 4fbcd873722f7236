//! The ring in shared memory: one warp asks for tiles, and for keys and values, far ahead; the others take them as they need
//! them.
//!
//! A block's weights are one stream in the order of their use, so that asking for the next ones needs to know their
//! number and nothing else: it does not stop where the others wait for an exchange. A slot takes a tile of each warp, or the
//! keys and values of some positions.

use cuda_std::copy_async::{MBarrier, bulk};
use cuda_std::prelude::*;

use super::block::at;
use super::plan::{Plan, ROW_BYTES, SLOT_POSITIONS, WARPS, fixed};

/// A place in the ring, and how often it was there: the parity of its barriers' phases.
#[derive(Clone, Copy)]
struct Cursor {
    slot: u32,
    parity: u32,
}

impl Cursor {
    const START: Self = Self { slot: 0, parity: 0 };

    #[inline(always)]
    fn advance(&mut self, slots: u32) {
        self.slot += 1;
        if self.slot == slots {
            self.slot = 0;
            self.parity ^= 1;
        }
    }
}

/// The ring's memory and barriers.
#[derive(Clone, Copy)]
pub struct Ring {
    full: shared::Slice<u64>,
    empty: shared::Slice<u64>,
    tiles: shared::Slice<u8>,
    slots: u32,
    slot_bytes: u32,
}

impl Ring {
    /// The ring of a plan.
    ///
    /// # Safety
    /// The launch must have asked for the plan's shared memory.
    #[inline(always)]
    pub unsafe fn new(plan: &Plan, ring: u32) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            Self {
                full: at(fixed::FULL, plan.slots),
                empty: at(fixed::EMPTY, plan.slots + 1),
                tiles: at(ring, plan.slots * plan.slot_bytes),
                slots: plan.slots,
                slot_bytes: plan.slot_bytes,
            }
        }
    }

    /// Prepares the barriers. A barrier of the block must follow.
    ///
    /// # Safety
    /// One thread must call it.
    #[inline(always)]
    pub unsafe fn init(self) {
        // SAFETY: the barriers' words are nobody else's.
        unsafe {
            let mut slot = 0;
            while slot < self.slots as usize {
                MBarrier::at(self.full, slot).init(1);
                MBarrier::at(self.empty, slot).init(WARPS);
                slot += 1;
            }
            MBarrier::at(self.empty, slot).init(WARPS);
        }
        MBarrier::publish();
    }
}

/// The side that asks.
pub struct Producer {
    ring: Ring,
    next: Cursor,
    /// The oldest slot that may be on its way.
    landing: Cursor,
    /// Slots from there on that were asked for.
    in_flight: u32,
    from: *const u8,
}

impl Producer {
    /// Begins at the start of the ring.
    #[inline(always)]
    pub fn new(ring: Ring) -> Self {
        Self { ring, next: Cursor::START, landing: Cursor::START, in_flight: 0, from: core::ptr::null() }
    }

    /// Goes on at another place of the stream.
    #[inline(always)]
    pub fn seek(&mut self, from: *const u8) {
        self.from = from;
    }

    /// Asks for the next `count` slots of `bytes` bytes of the stream, `most` at a time.
    ///
    /// # Safety
    /// One thread must call it, and the stream must have them.
    #[inline(always)]
    pub unsafe fn ask(&mut self, count: u32, bytes: u32, most: u32) {
        let mut left = count;
        while left > 0 {
            // SAFETY: as the caller promises.
            unsafe {
                let (slot, full) = self.slot(bytes, most);
                bulk(slot, self.from, bytes, full);
                self.from = self.from.add(bytes as usize);
            }
            left -= 1;
        }
    }

    /// Asks for a slot of the `bytes` bytes from `keys` on and, in its second half, as many from `values` on.
    ///
    /// # Safety
    /// One thread must call it, and there must be as many, aligned to 16 bytes.
    #[inline(always)]
    pub unsafe fn ask_rows(&mut self, keys: *const u8, values: *const u8, bytes: u32, most: u32) {
        // SAFETY: as the caller promises.
        unsafe {
            let (slot, full) = self.slot(2 * bytes, most);
            bulk(slot, keys, bytes, full);
            bulk(slot.from((SLOT_POSITIONS * ROW_BYTES) as usize), values, bytes, full);
        }
    }

    /// The next slot for `bytes` bytes and its barrier, as soon as its readers are done with it, and fewer than `most`
    /// others are on their way.
    #[inline(always)]
    unsafe fn slot(&mut self, bytes: u32, most: u32) -> (shared::Slice<u8>, MBarrier) {
        let ring = self.ring;
        let slot = self.next.slot as usize;
        // SAFETY: the barriers are initialised.
        unsafe {
            MBarrier::at(ring.empty, slot).wait(self.next.parity ^ 1);
            while self.in_flight >= most {
                MBarrier::at(ring.full, self.landing.slot as usize).wait(self.landing.parity);
                self.landing.advance(ring.slots);
                self.in_flight -= 1;
            }
            let full = MBarrier::at(ring.full, slot);
            full.arrive_and_expect(bytes);
            self.in_flight += 1;
            self.next.advance(ring.slots);
            (ring.tiles.from(slot * ring.slot_bytes as usize), full)
        }
    }
}

/// The side of a warp that takes.
pub struct Consumer {
    next: Cursor,
    /// Where the next slot begins, in bytes.
    start: u32,
    /// The slot that was taken last, and is not given back yet.
    held: u32,
}

impl Consumer {
    /// Begins at the start of the ring.
    #[inline(always)]
    pub fn new(ring: Ring) -> Self {
        Self { next: Cursor::START, start: 0, held: ring.slots }
    }

    /// Takes the next slot: waits for it, and reads of it with `load`, from the warp's `bytes` bytes on.
    ///
    /// The slot before is given back only now: what was read of it has arrived long ago, so that nobody waits for that.
    ///
    /// # Safety
    /// All lanes must call it, and the producer must have been told to ask for a slot with as many for each warp.
    #[inline(always)]
    pub unsafe fn take<T>(
        &mut self,
        ring: Ring,
        warp: u32,
        lane: u32,
        bytes: u32,
        load: impl FnOnce(shared::Slice<u8>) -> T,
    ) -> T {
        // SAFETY: the barriers are initialised; the tiles have landed when the barrier says so.
        unsafe {
            MBarrier::at(ring.full, self.next.slot as usize).wait(self.next.parity);
            warp::sync_warp(warp::ALL);
            if lane == 0 {
                MBarrier::at(ring.empty, self.held as usize).arrive();
            }
            let loaded = load(ring.tiles.from((self.start + warp * bytes) as usize));
            self.held = self.next.slot;
            self.start += ring.slot_bytes;
            self.next.advance(ring.slots);
            if self.next.slot == 0 {
                self.start = 0;
            }
            loaded
        }
    }
}
