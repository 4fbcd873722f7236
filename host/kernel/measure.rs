//! Timing a case.
//!
//! A batch is a recording of launches of the same kernel, one after another, each on the next copy of the inputs. Before
//! it, every copy is reset and the cache is swept. Where all copies are more than twice the cache, a copy may come round
//! again in a batch; otherwise each comes once. So no launch finds its inputs in the cache.

use std::time::{Duration, Instant};

use super::case::{Case, Prepared};
use super::error::{KernelError, When};
use super::memory::{Ceiling, Memory};
use super::spread::Spread;
use crate::device::{Backend, Device, DeviceError};
use crate::random::Random;

/// The most copies of a case's inputs: batches of so many launches, too, where the inputs are small.
const MOST_COPIES: u64 = 256;

/// Launches of a batch, at least, so that its beginning and its end do not count.
const LEAST_LAUNCHES: usize = 64;

/// The most launches that a copy sees between two resets.
pub(super) const MOST_LAUNCHES: usize = LEAST_LAUNCHES;

/// The cache of a GPU that does not tell: more than any has had.
const UNKNOWN_CACHE: u64 = 256 << 20;

/// How long a case runs before it is timed, at least.
const WARM_UP: Duration = Duration::from_millis(50);

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub struct BenchOptions {
    /// Batches that are timed.
    pub batches: usize,
    /// The seed of the inputs.
    pub seed: u64,
}

/// What a case gave, after its results were found right before and after timing.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Copies of the inputs.
    pub copies: usize,
    /// Launches of a batch.
    pub launches: usize,
    /// Nanoseconds of a launch: each batch's mean.
    pub samples: Vec<f64>,
    /// Where they lie.
    pub spread: Spread,
}

impl Measured {
    /// Bytes per second, when a launch moves `bytes`: in the middle, and of the fastest batch.
    pub fn rates(&self, bytes: u64) -> (f64, f64) {
        let rate = |ns: f64| bytes as f64 * 1e9 / ns;
        (rate(self.spread.median), rate(self.spread.min))
    }
}

/// Copies of the inputs and launches of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    copies: usize,
    launches: usize,
}

impl Rotation {
    /// For a case that moves `bytes`, on a device with a cache of `cache` bytes.
    fn new(bytes: u64, cache: u64) -> Self {
        let needed = 2 * cache / bytes.max(1) + 1;
        let copies = needed.clamp(2, MOST_COPIES) as usize;
        let rounds = if needed > MOST_COPIES { 1 } else { LEAST_LAUNCHES.div_ceil(copies) };
        Self { copies, launches: copies * rounds }
    }

    /// For the simulator, whose times say nothing: both copies once.
    const SIMULATED: Self = Self { copies: 2, launches: 2 };
}

/// A device on which kernels are measured.
pub struct Bench<'d> {
    device: &'d Device,
    options: BenchOptions,
    /// There on a GPU.
    memory: Option<Memory>,
}

impl<'d> Bench<'d> {
    /// On a GPU, measures its memory first.
    ///
    /// # Errors
    /// When the device fails or has too little memory.
    pub fn new(device: &'d Device, options: BenchOptions) -> Result<Self, KernelError> {
        let memory = match device.info().backend {
            Backend::Cuda => Some(Memory::measure(device)?),
            Backend::Sim => None,
        };
        Ok(Self { device, options, memory })
    }

    /// What the memory can do; `None` on the simulator, whose memory is the host's.
    pub fn ceiling(&self) -> Option<Ceiling> {
        self.memory.as_ref().map(|memory| memory.ceiling)
    }

    /// Verifies a case, times it, and verifies it again.
    ///
    /// # Errors
    /// When a result is wrong, when the rate is above what the memory can do, or when the device fails.
    pub fn run(&self, case: &Case) -> Result<Measured, KernelError> {
        let cache = self.device.info().l2_bytes.unwrap_or(UNKNOWN_CACHE);
        let Rotation { copies, launches } = match self.memory {
            Some(_) => Rotation::new(case.bytes, cache),
            None => Rotation::SIMULATED,
        };
        let mut inputs = case.prepare(self.device, copies, &mut Random::new(self.options.seed))?;
        self.verify(case, &mut *inputs, copies, When::Before)?;
        let samples = self.time(&mut *inputs, copies, launches)?;
        self.verify(case, &mut *inputs, copies, When::After)?;
        let measured = Measured { copies, launches, spread: Spread::of(&samples), samples };
        if let Some(ceiling) = self.ceiling() {
            ceiling.check(case, measured.rates(case.bytes).1)?;
        }
        Ok(measured)
    }

    /// Launches each copy once and holds what it leaves against float64.
    fn verify(
        &self,
        case: &Case,
        inputs: &mut dyn Prepared,
        copies: usize,
        when: When,
    ) -> Result<(), KernelError> {
        for copy in 0..copies {
            let found = inputs.run(copy)?;
            inputs.check(copy, &found).map_err(|mismatch| KernelError::Wrong {
                case: case.to_string(),
                when,
                copy,
                mismatch,
            })?;
        }
        Ok(())
    }

    /// Nanoseconds of a launch, for each batch.
    fn time(
        &self,
        inputs: &mut dyn Prepared,
        copies: usize,
        launches: usize,
    ) -> Result<Vec<f64>, DeviceError> {
        let device = self.device;
        let recording = device.record(|| (0..launches).try_for_each(|i| inputs.launch(i % copies)))?;
        let mut batch = || {
            (0..copies).try_for_each(|copy| inputs.reset(copy))?;
            if let Some(memory) = &self.memory {
                memory.sweep(device)?;
            }
            // SAFETY: the launches were recorded on this device, and `inputs` owns what they refer to.
            let time = device.time(|| unsafe { device.replay(&recording) })?;
            Ok(time.as_nanos().max(1) as f64 / launches as f64)
        };
        if self.memory.is_some() {
            let end = Instant::now() + WARM_UP;
            while Instant::now() < end {
                batch()?;
            }
        }
        (0..self.options.batches).map(|_| batch()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: u64 = 50 << 20;

    #[test]
    fn the_copies_are_more_than_twice_the_cache_or_come_once() {
        for bytes in [1, 1 << 10, 100_000, 410_000, 500_000, 2_400_000, 14_000_000, CACHE, 255_000_000] {
            let Rotation { copies, launches } = Rotation::new(bytes, CACHE);
            assert!((2..=MOST_COPIES as usize).contains(&copies) && launches % copies == 0, "{bytes}");
            assert!(copies as u64 * bytes > 2 * CACHE || launches == copies, "{bytes}: {copies}");
            assert!(launches >= LEAST_LAUNCHES && launches / copies <= MOST_LAUNCHES, "{bytes}: {launches}");
        }
    }

    #[test]
    fn rates_are_bytes_over_the_middle_and_over_the_least_time() {
        let samples = vec![2000.0, 1000.0, 4000.0];
        let measured = Measured { copies: 2, launches: 64, spread: Spread::of(&samples), samples };
        assert_eq!(measured.rates(1 << 20), ((1u64 << 20) as f64 / 2e-6, (1u64 << 20) as f64 / 1e-6));
    }
}
