//! A simulator or a GPU, for tests that do not care which.

use std::marker::PhantomData;
use std::sync::OnceLock;

use bytemuck::Pod;
use cuda_driver::launch::LaunchAttributes;
use cuda_driver::module::Module;
use cuda_driver::{DriverVersion, status};
use cuda_sim::{Allocation, Fault, Launch, Report, SimConfig, Simulator};
use cuda_std::launch::{
    DevicePtr, DevicePtrMut, DeviceSlice, DeviceSliceMut, Dim3, KernelArgs, LaunchConfig, ParamBuffer,
};
use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::stream::{Stream, StreamFlags};

include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// Where kernels run.
pub enum Machine {
    /// The simulator.
    Sim(Simulator),
    /// The first GPU.
    Cuda(Gpu),
}

/// A GPU whose context is current on this thread.
pub struct Gpu {
    stream: Stream,
    module: Module,
    capability: u32,
    _context: Context,
}

impl Gpu {
    fn open() -> Self {
        status(DriverVersion::CUDA_12_0).unwrap_or_else(|e| panic!("a GPU was asked for: {e}"));
        let device = Device::get_device(0).expect("the driver has a GPU");
        let context = Context::new(device).expect("the GPU gives a context");
        let part = |a| device.get_attribute(a).expect("the driver knows its GPU") as u32;
        let capability = 10 * part(DeviceAttribute::ComputeCapabilityMajor)
            + part(DeviceAttribute::ComputeCapabilityMinor);
        let most = std::env::var("PSIONIC_PTX").ok();
        let most = most.map(|arch| arch.parse().expect("PSIONIC_PTX is a number, 80 for sm_80"));
        let capability = capability.min(most.unwrap_or(u32::MAX));
        // Compiled once. The module outlives every test, and so must the context.
        static MODULE: OnceLock<Module> = OnceLock::new();
        let module = MODULE.get_or_init(|| {
            std::mem::forget(context.clone());
            let fitting = PTX.iter().rfind(|(arch, _)| *arch <= capability);
            let (_, ptx) = fitting.unwrap_or_else(|| match PTX_MISSING {
                Some(why) => panic!("a GPU was asked for, but the tests were built without kernels: {why}"),
                None => panic!("there are no kernels for compute capability {capability}"),
            });
            Module::from_ptx(ptx).unwrap_or_else(|e| panic!("{e}"))
        });
        let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("the GPU gives a stream");
        Self { stream, module: module.clone(), capability, _context: context }
    }

    fn launch<K: KernelArgs>(&self, config: LaunchConfig, args: K) {
        let function = self.module.function(K::NAME).unwrap_or_else(|e| panic!("{e}"));
        if config.shared_bytes > 48 << 10 {
            function
                .set_max_dynamic_shared_bytes(config.shared_bytes)
                .expect("the GPU has the shared memory");
        }
        let mut attributes = LaunchAttributes::new();
        if config.cooperative {
            attributes = attributes.cooperative();
        }
        if config.dependent && self.capability >= 90 {
            attributes = attributes.programmatic_dependent();
        }
        let mut params = ParamBuffer::of(&args);
        let dims = |d: Dim3| (d.x, d.y, d.z);
        // SAFETY: the arguments are the kernel's own, and the tests wait for the stream while their buffers live.
        let launched = unsafe {
            function.launch(
                dims(config.grid),
                dims(config.block),
                config.shared_bytes,
                &self.stream,
                &mut params.pointers(),
                attributes,
            )
        };
        launched.unwrap_or_else(|e| panic!("{}: {e}", K::NAME));
    }
}

impl Machine {
    /// A simulator that runs threads in the order of a seed.
    pub fn simulator(seed: u64) -> Self {
        Self::Sim(Simulator::new(SimConfig { seed, ..SimConfig::default() }))
    }

    /// A simulator that checks all it can.
    pub fn checking(seed: u64) -> Self {
        Self::Sim(Simulator::new(SimConfig { seed, checks: true, ..SimConfig::default() }))
    }

    /// What a checking simulator has found since this was called last.
    pub fn take_report(&self) -> Report {
        let Self::Sim(sim) = self else { panic!("only the simulator checks") };
        sim.checks().map(|checks| checks.take_report()).unwrap_or_default()
    }

    /// Whether it is the simulator.
    pub fn is_simulator(&self) -> bool {
        matches!(self, Self::Sim(_))
    }

    /// Memory that holds `values`.
    pub fn buffer<T: Pod>(&self, values: &[T]) -> Buffer<'_, T> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let memory = match self {
            Self::Sim(sim) => {
                let allocation = sim.allocate(bytes.len()).expect("the simulator has memory");
                // SAFETY: the allocation has room for the bytes.
                unsafe { allocation.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                allocation.written(0, bytes.len());
                Memory::Sim(allocation)
            }
            Self::Cuda(gpu) => {
                Memory::Cuda(DeviceBuffer::from_slice(bytes).expect("the GPU has memory"), &gpu.stream)
            }
        };
        Buffer { memory, len: values.len(), element: PhantomData }
    }

    /// Memory of `count` zeros.
    pub fn zeros<T: Pod>(&self, count: usize) -> Buffer<'_, T> {
        self.buffer(&vec![T::zeroed(); count])
    }

    /// Memory of a simulator that nothing was written to.
    pub fn unwritten<T: Pod>(&self, count: usize) -> Buffer<'_, T> {
        let Self::Sim(sim) = self else { panic!("only the simulator knows what was not written") };
        let memory = sim.allocate(count * size_of::<T>()).expect("the simulator has memory");
        Buffer { memory: Memory::Sim(memory), len: count, element: PhantomData }
    }

    /// Queues a kernel. The simulator runs it at once; its fault fails the test.
    pub fn launch<K: KernelArgs>(&self, config: LaunchConfig, args: K) {
        match self {
            Self::Sim(_) => self.try_launch(config, args).unwrap_or_else(|fault| panic!("{fault}")),
            Self::Cuda(gpu) => gpu.launch(config, args),
        }
    }

    /// Runs a kernel on the simulator.
    ///
    /// # Errors
    /// Its fault.
    pub fn try_launch<K: KernelArgs>(&self, config: LaunchConfig, args: K) -> Result<(), Fault> {
        let Self::Sim(sim) = self else { panic!("only the simulator tells faults") };
        let launch = Launch {
            kernel: K::NAME,
            grid: config.grid.as_array(),
            block: config.block.as_array(),
            shared_bytes: config.shared_bytes as usize,
            cooperative: config.cooperative,
            parameters: &ParamBuffer::addresses(&args),
        };
        // SAFETY: the tests pass buffers as the kernels demand; where they do not, the simulator checks.
        unsafe { sim.launch(&launch, &|| args.call()) }
    }
}

enum Memory<'m> {
    Sim(Allocation),
    Cuda(DeviceBuffer<u8>, &'m Stream),
}

/// Memory of a machine.
pub struct Buffer<'m, T> {
    memory: Memory<'m>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Buffer<'_, T> {
    fn address(&self) -> u64 {
        match &self.memory {
            Memory::Sim(allocation) => allocation.as_ptr() as u64,
            Memory::Cuda(buffer, _) => buffer.as_device_ptr().as_raw(),
        }
    }

    /// For a kernel that reads.
    pub fn ptr(&self) -> DevicePtr<T> {
        DevicePtr::from_address(self.address())
    }

    /// For a kernel that writes.
    pub fn ptr_mut(&self) -> DevicePtrMut<T> {
        DevicePtrMut::from_address(self.address())
    }

    /// All of it, for a kernel that reads.
    pub fn slice(&self) -> DeviceSlice<T> {
        // SAFETY: one allocation of this length; it lives as long as the test uses it.
        unsafe { DeviceSlice::new(self.ptr(), self.len) }
    }

    /// All of it, for a kernel that writes.
    pub fn slice_mut(&self) -> DeviceSliceMut<T> {
        // SAFETY: as above.
        unsafe { DeviceSliceMut::new(self.ptr_mut(), self.len) }
    }

    /// What is in it, when all that was queued has run.
    pub fn read(&self) -> Vec<T> {
        let mut values = vec![T::zeroed(); self.len];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        match &self.memory {
            Memory::Sim(allocation) => {
                // SAFETY: the allocation has these bytes, and no kernel runs.
                unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(allocation.as_ptr(), bytes.len()) }
            }
            Memory::Cuda(buffer, stream) => {
                stream.synchronize().expect("the kernels ran");
                buffer.copy_to(bytes).expect("the GPU's memory can be read");
            }
        }
        values
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
        Some(Machine::Cuda(gpu)) if gpu.capability < 90 => println!("skipped on the GPU: it is before sm_90"),
        Some(gpu) => test(&gpu),
        None => {}
    }
}

fn gpu() -> Option<Machine> {
    match std::env::var("PSIONIC_TEST_BACKEND").as_deref() {
        Ok("cuda") => Some(Machine::Cuda(Gpu::open())),
        Ok("sim" | "") | Err(_) => None,
        Ok(other) => panic!("PSIONIC_TEST_BACKEND is cuda or sim, not {other}"),
    }
}
