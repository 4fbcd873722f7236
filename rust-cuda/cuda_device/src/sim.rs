//! The simulator as a device.

use std::cell::RefCell;

use cuda_sim::{Allocation, Checks, SimConfig, Simulator};
use cuda_std::launch::{KernelArgs, LaunchConfig, ParamBuffer};

use super::{Backend, DeviceError, DeviceInfo};

pub(super) type Launch = Box<dyn Fn(&Simulator) -> Result<(), DeviceError>>;

pub(super) struct Sim {
    simulator: Simulator,
    /// Where launches go while they are recorded.
    recording: RefCell<Option<Vec<Launch>>>,
}

impl Sim {
    pub fn new(config: SimConfig) -> (Self, DeviceInfo) {
        let info = DeviceInfo {
            name: "simulated GPU".to_owned(),
            backend: Backend::Sim,
            compute_capability: None,
            ptx: None,
            code: None,
            multiprocessors: config.multiprocessors,
            shared_bytes: config.shared_bytes as u32,
            memory_bytes: config.memory_bytes as u64,
            memory_bytes_per_second: None,
            l2_bytes: None,
            driver: None,
            dependent_launch: false,
            why_not_cuda: None,
        };
        (Self { simulator: Simulator::new(config), recording: RefCell::default() }, info)
    }

    pub fn free_bytes(&self) -> u64 {
        self.simulator.free_bytes() as u64
    }

    /// How many blocks a multiprocessor holds at once.
    pub fn resident_blocks(&self, threads: u32, shared_bytes: u32) -> u32 {
        self.simulator.max_active_blocks(threads, shared_bytes)
    }

    pub fn zeroed(&self, bytes: usize) -> Result<Allocation, DeviceError> {
        let allocation = self.simulator.allocate(bytes)?;
        // SAFETY: the allocation has that many bytes.
        unsafe { allocation.as_ptr().write_bytes(0, bytes) };
        allocation.written(0, bytes);
        Ok(allocation)
    }

    pub fn checks(&self) -> Option<Checks> {
        self.simulator.checks()
    }

    /// # Safety
    /// As for [`Device::launch`](super::Device::launch).
    pub unsafe fn launch<K: KernelArgs + 'static>(
        &self,
        config: LaunchConfig,
        args: K,
    ) -> Result<(), DeviceError> {
        let launch = move |simulator: &Simulator| {
            let parameters = ParamBuffer::addresses(&args);
            let shape = cuda_sim::Launch {
                kernel: K::NAME,
                grid: config.grid.as_array(),
                block: config.block.as_array(),
                shared_bytes: config.shared_bytes as usize,
                cooperative: config.cooperative,
                parameters: &parameters,
            };
            // SAFETY: as the caller promises, now and when it replays.
            unsafe { simulator.launch(&shape, &|| args.call()) }.map_err(|fault| Box::new(fault).into())
        };
        match &mut *self.recording.borrow_mut() {
            Some(list) => {
                list.push(Box::new(launch));
                Ok(())
            }
            None => launch(&self.simulator),
        }
    }

    pub fn record(
        &self,
        launches: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Vec<Launch>, DeviceError> {
        self.recording.replace(Some(Vec::new()));
        let outcome = launches();
        let list = self.recording.take().unwrap_or_default();
        outcome.map(|()| list)
    }

    /// # Safety
    /// As for [`Device::replay`](super::Device::replay).
    pub unsafe fn replay(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        launches.iter().try_for_each(|launch| launch(&self.simulator))
    }
}
