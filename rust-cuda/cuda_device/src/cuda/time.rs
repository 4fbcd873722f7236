//! Copies within the device's memory, and how long its work takes.

use std::time::Duration;

use cust::event::{Event, EventFlags};
use cust::memory::{AsyncCopyDestination, DevicePointer, DeviceSlice};

use super::{DeviceError, Gpu, call};

impl Gpu {
    /// Queues a copy of `bytes` bytes. Both ranges must be inside allocations of this device.
    pub fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the caller's ranges are inside allocations.
        let (from, mut to) = unsafe {
            let slice = |address| DeviceSlice::<u8>::from_raw_parts(DevicePointer::from_raw(address), bytes);
            (slice(from), slice(to))
        };
        // SAFETY: freeing memory waits for what is queued, so the copy ends before either allocation does.
        call("cuMemcpyDtoDAsync", unsafe { to.async_copy_from(&from, &self.stream) })
    }

    /// The time between two events around what `work` queues, as the device's clock counts it.
    pub fn time(&self, work: impl FnOnce() -> Result<(), DeviceError>) -> Result<Duration, DeviceError> {
        let event = || call("cuEventCreate", Event::new(EventFlags::DEFAULT));
        let (start, end) = (event()?, event()?);
        call("cuEventRecord", start.record(&self.stream))?;
        work()?;
        call("cuEventRecord", end.record(&self.stream))?;
        call("cuEventSynchronize", end.synchronize())?;
        call("cuEventElapsedTime", end.elapsed(&start))
    }
}
