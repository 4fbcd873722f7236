//! How blocks that run at the same time give each other values, without fences and without a barrier of the grid.
//!
//! A fence waits for everything that a multiprocessor has under way, and the weights always are. So every word says
//! itself whether it is the one that is waited for:
//! - a **tagged** word is a value and the epoch it is of, written and read as one 64-bit word;
//! - a **sum** is a 64-bit word that all contributions are added to: a fixed-point number in the low 56 bits, the
//!   number of contributions in the high 8. It only grows: a reader takes the difference to what it read before.
//!   Addition of integers does not depend on the order, so the sum is the same every time.
//!
//! A buffer may be used again when the epochs are some exchange apart that everybody takes part in, and each layer has
//! two such.

use cuda_std::atomic::{Atomic, Device, Ordering};
use cuda_std::prelude::*;

/// The value of a unit of a sum is `2^-32`.
const FRACTION: f32 = 4_294_967_296.0;

/// The largest contribution that is kept, `2^19`: 15 of them fit the 56 bits. A larger one, and what is no number,
/// count as this.
const LIMIT: f32 = 524_288.0;

/// The most contributions to a sum.
pub const MAX_CONTRIBUTIONS: u32 = 15;

const COUNT_SHIFT: u32 = 56;

/// Looks between two looks at the clock.
const LOOKS: u32 = 256;

/// What ends a wait that has no end.
#[derive(Clone, Copy)]
pub struct Watchdog {
    /// Nanoseconds that a wait may take.
    pub patience: u64,
    /// Where the stuck block says so: its number and one, the epoch, and the exchange. Host memory, which a failed launch
    /// leaves readable.
    pub report: *mut u32,
}

/// The exchanges, as a report of a stuck one names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Exchange {
    /// Queries, key and value, in a group.
    Heads = 1,
    /// The blocks' parts of the attention, in a group.
    Attention = 2,
    /// The sums of the output projection, over all blocks.
    Output = 3,
    /// The feed-forward network's hidden elements, in a group.
    Hidden = 4,
    /// The sums of the down projection, over all blocks.
    Down = 5,
    /// The best logits, over all blocks.
    Best = 6,
    /// The residual stream's codes, over all blocks.
    Residual = 7,
}

impl Exchange {
    /// Cycles for which a block that has just contributed need not look: nothing can have come, and looks in vain take the L2
    /// cache's bandwidth from what is on its way. Found by trying, on an H200 with 1.7B; a fifth more costs what they save.
    #[inline(always)]
    const fn earliest(self) -> u32 {
        match self {
            // By way of the owner of the elements.
            Self::Residual => 2400,
            Self::Hidden | Self::Heads => 600,
            Self::Attention => 900,
            // One warp of a block looks, at a few words.
            Self::Output | Self::Down | Self::Best => 0,
        }
    }
}

/// A wait: what it is for, and when it began.
struct Wait {
    watchdog: Watchdog,
    epoch: u32,
    exchange: Exchange,
    looks: u32,
    since: u64,
}

impl Wait {
    #[inline(always)]
    fn new(watchdog: Watchdog, epoch: u32, exchange: Exchange) -> Self {
        Self { watchdog, epoch, exchange, looks: 0, since: 0 }
    }

    /// After a look in vain.
    #[inline(always)]
    fn again(&mut self) {
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS) {
            let now = thread::global_timer();
            if self.since == 0 {
                self.since = now;
            } else if now - self.since > self.watchdog.patience {
                give_up(self.watchdog.report, self.epoch, self.exchange as u32);
            }
        }
    }
}

/// Tells the host and ends the launch. Not inlined, and with numbers for arguments: a wait stays in registers.
#[cold]
#[inline(never)]
fn give_up(report: *mut u32, epoch: u32, exchange: u32) -> ! {
    // SAFETY: the report has three words, as the launch promises.
    unsafe {
        global::store(report.add(1), epoch);
        global::store(report.add(2), exchange);
        thread::system_fence();
        global::store(report, thread::block_idx_x() + 1);
        thread::system_fence();
    }
    thread::trap()
}

/// Words that are written by one thread and read by many.
#[derive(Clone, Copy)]
pub struct Tagged {
    words: *mut u64,
    epoch: u32,
    exchange: Exchange,
    watchdog: Watchdog,
}

impl Tagged {
    /// The words from `words` on, aligned to 16 bytes, in an epoch other than 0.
    #[inline(always)]
    pub fn new(words: *mut u64, epoch: u32, exchange: Exchange, watchdog: Watchdog) -> Self {
        Self { words, epoch, exchange, watchdog }
    }

    /// Before the first look, by a block that has just contributed: lets the time pass in which nothing can come.
    #[inline(always)]
    pub fn rest(self) {
        thread::pause(self.exchange.earliest());
    }

    /// Writes word `i`.
    ///
    /// # Safety
    /// There must be such a word, and nobody else may write it in this epoch.
    #[inline(always)]
    pub unsafe fn set(self, i: usize, value: u32) {
        let word = u64::from(self.epoch) << 32 | u64::from(value);
        // SAFETY: as the caller promises.
        unsafe { Atomic::<u64, Device>::from_ptr(self.words.add(i)) }.store(word, Ordering::Relaxed);
    }

    /// The pairs of words that begin at `places`, as soon as all are of this epoch.
    ///
    /// # Safety
    /// There must be such words, and the places must be even.
    #[inline(always)]
    pub unsafe fn pairs<const N: usize>(self, places: [usize; N]) -> [[u32; 2]; N] {
        // SAFETY: as the caller promises.
        unsafe { self.words_and_pairs([], places).1 }
    }

    /// The words at `singles` and the pairs that begin at `places`, as soon as all are of this epoch: all are looked at in
    /// each round, as a round takes as long for many as for one.
    ///
    /// # Safety
    /// There must be such words, and the places must be even.
    #[inline(always)]
    pub unsafe fn words_and_pairs<const W: usize, const N: usize>(
        self,
        singles: [usize; W],
        places: [usize; N],
    ) -> ([u32; W], [[u32; 2]; N]) {
        let mut wait = Wait::new(self.watchdog, self.epoch, self.exchange);
        loop {
            let (mut words, mut values, mut late) = ([0; W], [[0; 2]; N], 0);
            for n in 0..W {
                // SAFETY: as the caller promises.
                let word = unsafe { Atomic::<u64, Device>::from_ptr(self.words.add(singles[n])) };
                let word = word.load(Ordering::Relaxed);
                late |= (word >> 32) as u32 ^ self.epoch;
                words[n] = word as u32;
            }
            for n in 0..N {
                // SAFETY: as the caller promises.
                let pair = unsafe { &*self.words.add(places[n]).cast::<[Atomic<u64, Device>; 2]>() };
                let [a, b] = Atomic::load_pair(pair);
                late |= (a >> 32) as u32 ^ self.epoch | (b >> 32) as u32 ^ self.epoch;
                values[n] = [a as u32, b as u32];
            }
            if late == 0 {
                return (words, values);
            }
            wait.again();
        }
    }
}

/// Sums over the groups.
#[derive(Clone, Copy)]
pub struct Sums {
    /// The sums.
    pub words: *mut u64,
    /// Contributions to each.
    pub contributions: u32,
}

impl Sums {
    /// Contributes to sum `i`.
    ///
    /// # Safety
    /// There must be such a sum, and this must be the group's one contribution.
    #[inline(always)]
    pub unsafe fn add(self, i: usize, value: f32) {
        let value = if value.abs() < LIMIT { value } else { LIMIT.copysign(value) };
        // SAFETY: the value is a number, and far inside the range.
        let fixed = unsafe { (value * FRACTION).to_int_unchecked::<i64>() };
        let word = (1u64 << COUNT_SHIFT).wrapping_add(fixed as u64);
        // SAFETY: as the caller promises.
        unsafe { Atomic::<u64, Device>::from_ptr(self.words.add(i)) }.add(word, Ordering::Relaxed);
    }

    /// Sum `i` as soon as all contributions are there since it was `before`, and what was added.
    ///
    /// # Safety
    /// There must be such a sum.
    #[inline(always)]
    pub unsafe fn wait(
        self,
        i: usize,
        before: u64,
        epoch: u32,
        exchange: Exchange,
        watchdog: Watchdog,
    ) -> (u64, f32) {
        let mut wait = Wait::new(watchdog, epoch, exchange);
        loop {
            // SAFETY: as the caller promises.
            let now = unsafe { Atomic::<u64, Device>::from_ptr(self.words.add(i)) }.load(Ordering::Relaxed);
            let added = now.wrapping_sub(before);
            // The fraction may be negative: rounded to the nearest, the count is what it is.
            let count = added.wrapping_add(1 << (COUNT_SHIFT - 1)) >> COUNT_SHIFT;
            if count as u32 == self.contributions {
                let fixed = (added << (64 - COUNT_SHIFT)) as i64 >> (64 - COUNT_SHIFT);
                return (now, fixed as f32 * (1.0 / FRACTION));
            }
            wait.again();
        }
    }
}
