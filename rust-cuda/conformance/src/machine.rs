//! A simulator or a GPU, for tests that do not care which: a device whose refusals fail the test.

use bytemuck::Pod;
use cuda_device::{Backend, BackendChoice, Device, DeviceError, Program};
use cuda_sim::{Fault, Report, SimConfig};
use cuda_std::launch::{DevicePtr, DevicePtrMut, DeviceSlice, DeviceSliceMut, KernelArgs, LaunchConfig};

/// The kernels, compiled by `build.rs`.
pub static KERNELS: Program = cuda_device::program!();

/// Where kernels run.
pub struct Machine(Device);

impl Machine {
    /// A simulator that runs threads in the order of a seed.
    pub fn simulator(seed: u64) -> Self {
        Self::simulated(SimConfig { seed, ..SimConfig::default() })
    }

    /// A simulator that checks all it can.
    pub fn checking(seed: u64) -> Self {
        Self::simulated(SimConfig { seed, checks: true, ..SimConfig::default() })
    }

    /// A simulator of one's own.
    pub fn simulated(config: SimConfig) -> Self {
        Self(Device::simulated(config))
    }

    /// What a checking simulator has found since this was called last.
    pub fn take_report(&self) -> Report {
        assert!(self.is_simulator(), "only the simulator checks");
        self.0.checks().map(|checks| checks.take_report()).unwrap_or_default()
    }

    /// Whether it is the simulator.
    pub fn is_simulator(&self) -> bool {
        self.0.info().backend == Backend::Sim
    }

    /// Memory that holds `values`.
    pub fn buffer<T: Pod>(&self, values: &[T]) -> Buffer<'_, T> {
        let memory = self.0.upload(values).unwrap_or_else(|error| panic!("{error}"));
        Buffer { device: &self.0, memory }
    }

    /// Memory of `count` zeros.
    pub fn zeros<T: Pod>(&self, count: usize) -> Buffer<'_, T> {
        let memory = self.0.zeroed(count).unwrap_or_else(|error| panic!("{error}"));
        Buffer { device: &self.0, memory }
    }

    /// Memory that nothing was written to, as far as the simulator's checks know.
    pub fn unwritten<T: Pod>(&self, count: usize) -> Buffer<'_, T> {
        let mut buffer = self.zeros(count);
        let nothing = vec![T::zeroed(); count];
        self.0.poison(&mut buffer.memory, 0, &nothing).unwrap_or_else(|error| panic!("{error}"));
        buffer
    }

    /// Queues a kernel. The simulator runs it at once; its fault fails the test.
    pub fn launch<K: KernelArgs + 'static>(&self, config: LaunchConfig, args: K) {
        self.queue(config, args).unwrap_or_else(|error| panic!("{}: {error}", K::NAME));
    }

    /// Runs a kernel on the simulator.
    ///
    /// # Errors
    /// Its fault.
    pub fn try_launch<K: KernelArgs + 'static>(&self, config: LaunchConfig, args: K) -> Result<(), Fault> {
        assert!(self.is_simulator(), "only the simulator tells faults");
        self.queue(config, args).map_err(|error| match error {
            DeviceError::Fault(fault) => *fault,
            other => panic!("{}: {other}", K::NAME),
        })
    }

    fn queue<K: KernelArgs + 'static>(&self, config: LaunchConfig, args: K) -> Result<(), DeviceError> {
        // GPUs before sm_90 refuse dependent launches, and kernels compiled for those do not wait for their predecessor.
        let config = config.dependent(config.dependent && self.0.info().dependent_launch);
        // SAFETY: the tests pass buffers as the kernels demand, and wait for the kernels while these live; where they
        // pass others, the simulator checks.
        unsafe { self.0.launch(config, args) }
    }
}

/// Memory of a machine.
pub struct Buffer<'m, T> {
    device: &'m Device,
    memory: cuda_device::Buffer<T>,
}

impl<T: Pod> Buffer<'_, T> {
    /// For a kernel that reads.
    pub fn ptr(&self) -> DevicePtr<T> {
        self.memory.as_ptr()
    }

    /// For a kernel that writes.
    pub fn ptr_mut(&self) -> DevicePtrMut<T> {
        self.memory.as_mut_ptr()
    }

    /// All of it, for a kernel that reads.
    pub fn slice(&self) -> DeviceSlice<T> {
        self.memory.as_slice()
    }

    /// All of it, for a kernel that writes.
    pub fn slice_mut(&self) -> DeviceSliceMut<T> {
        self.memory.as_mut_slice()
    }

    /// What is in it, when all that was queued has run.
    pub fn read(&self) -> Vec<T> {
        self.device.download(&self.memory).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Runs a test on the simulator in three orders, and on the GPU when `PSIONIC_TEST_BACKEND` is `cuda`. With
/// `PSIONIC_PTX=80` that runs what was compiled for `sm_80`, as an older GPU would.
pub fn for_each_machine(test: impl Fn(&Machine)) {
    for seed in [0, 1, 0x5eed] {
        test(&Machine::simulator(seed));
    }
    if let Some(gpu) = gpu() {
        test(&gpu);
    }
}

/// As [`for_each_machine`], but for what GPUs before `sm_90` do not have.
pub fn for_each_newer_machine(test: impl Fn(&Machine)) {
    for seed in [0, 1, 0x5eed] {
        test(&Machine::simulator(seed));
    }
    match gpu() {
        Some(gpu) if gpu.0.info().ptx.is_some_and(|ptx| ptx < 90) => {
            println!("skipped on the GPU: it is before sm_90");
        }
        Some(gpu) => test(&gpu),
        None => {}
    }
}

fn gpu() -> Option<Machine> {
    match BackendChoice::for_tests() {
        BackendChoice::Cuda => {
            let device = Device::open(BackendChoice::Cuda, &KERNELS);
            Some(Machine(device.unwrap_or_else(|error| panic!("a GPU was asked for: {error}"))))
        }
        _ => None,
    }
}
