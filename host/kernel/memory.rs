//! What a GPU's memory can do: the rate of a copy, the most that can be, and the emptying of the cache.

use std::time::{Duration, Instant};

use cuda_std::launch::LaunchConfig;
use psionic_kernels::argmax;

use super::error::KernelError;
use super::spread::Spread;
use crate::device::{Buffer, Device, DeviceError};
use crate::random::Random;

/// Bytes of the copy, read and written: a multiple of any cache.
const COPY_BYTES: usize = 512 << 20;

/// Copies that are timed together, and how often.
const TOGETHER: u32 = 4;
const SAMPLES: usize = 20;

/// How long the device copies before it is timed, to reach its clocks.
const WARM_UP: Duration = Duration::from_millis(200);

/// A copy's rate may be that much below what reading alone reaches, where the driver does not tell the memory's clock.
const ABOVE_COPY: f64 = 1.15;

/// Rates of the memory, in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    /// What a large copy within the memory reaches, reading and writing counted.
    pub copy: f64,
    /// The most that can be.
    pub limit: f64,
}

impl Ceiling {
    /// Of a copy's rate, and of what clock and bus of the memory give, where that is known.
    pub fn new(copy: f64, of_bus: Option<f64>) -> Self {
        Self { copy, limit: copy.max(of_bus.unwrap_or(ABOVE_COPY * copy)) }
    }

    /// Refuses a rate above the limit: what was measured did not come from the memory.
    ///
    /// # Errors
    /// When it is.
    pub fn check(&self, case: impl ToString, rate: f64) -> Result<(), KernelError> {
        if rate > self.limit {
            return Err(KernelError::Impossible { case: case.to_string(), rate, limit: self.limit });
        }
        Ok(())
    }
}

/// A GPU's memory: two large buffers in it.
pub struct Memory {
    source: Buffer<f32>,
    best: Buffer<u64>,
    /// What it can do.
    pub ceiling: Ceiling,
}

impl Memory {
    /// Measures it.
    pub fn measure(device: &Device) -> Result<Self, DeviceError> {
        let mut data = vec![0f32; COPY_BYTES / size_of::<f32>()];
        // Random bits: some devices move zeros faster.
        Random::new(1).fill(bytemuck::cast_slice_mut(&mut data));
        let source = device.upload(&data)?;
        let mut target = device.zeroed::<f32>(data.len())?;
        let end = Instant::now() + WARM_UP;
        while Instant::now() < end {
            device.copy(&source, &mut target)?;
            device.synchronize()?;
        }
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            // The device has something to do while the timed ones are queued.
            device.copy(&source, &mut target)?;
            let time = device.time(|| (0..TOGETHER).try_for_each(|_| device.copy(&source, &mut target)))?;
            samples.push(time.as_secs_f64() / f64::from(TOGETHER));
        }
        let copy = 2.0 * COPY_BYTES as f64 / Spread::of(&samples).median;
        let info = device.info();
        let ceiling = Ceiling::new(copy, info.memory_bytes_per_second.map(|rate| rate as f64));
        Ok(Self { source, best: device.zeroed(blocks(device) as usize)?, ceiling })
    }

    /// Queues a launch that reads more than the cache holds, so that what it held is gone from it and written back.
    pub fn sweep(&self, device: &Device) -> Result<(), DeviceError> {
        let (logits, n) = (self.source.as_ptr(), self.source.len() as u32);
        let args = argmax::argmax::Args { logits, n, best: self.best.as_mut_ptr().cast() };
        // SAFETY: the buffers have `n` numbers and an element for each block.
        unsafe { device.launch(LaunchConfig::new(blocks(device), argmax::THREADS), args) }
    }
}

/// Blocks that read much memory: all that the multiprocessors hold.
fn blocks(device: &Device) -> u32 {
    device.info().multiprocessors * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_the_bus_and_never_below_the_copy() {
        assert_eq!(Ceiling::new(3e12, Some(4e12)).limit, 4e12);
        assert_eq!(Ceiling::new(5e12, Some(4e12)).limit, 5e12);
        assert!((Ceiling::new(2e12, None).limit - 2.3e12).abs() < 1.0);
    }

    #[test]
    fn more_than_the_limit_is_an_error_and_the_limit_is_none() {
        let ceiling = Ceiling::new(3e12, Some(4e12));
        assert!(ceiling.check("project/head", 3.9e12).is_ok());
        assert!(ceiling.check("project/head", 4e12).is_ok());
        let error = ceiling.check("project/head", 4.4e12).unwrap_err();
        assert!(matches!(error, KernelError::Impossible { rate: 4.4e12, limit: 4e12, .. }));
        let text = error.to_string();
        assert!(text.starts_with("project/head was measured to move 4400.0 GB/s, 110.0 % of"), "{text}");
    }
}
