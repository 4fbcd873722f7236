//! An NVIDIA GPU as a device.

mod time;

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::rc::Rc;

use cuda_driver::function::Function;
use cuda_driver::graph::GraphExec;
use cuda_driver::launch::LaunchAttributes;
use cuda_driver::module::Module;
use cuda_driver::{DriverError, DriverVersion};
use cuda_std::launch::{Dim3, KernelArgs, LaunchConfig, ParamBuffer};
use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::error::CudaResult;
use cust::function::{BlockSize, GridSize};
use cust::memory::{AsyncCopyDestination, DevicePointer, DeviceSlice};
use cust::stream::{Stream, StreamFlags};

use super::{Backend, DeviceError, DeviceInfo, PTX, PTX_MISSING};

/// What a block may have of dynamic shared memory without asking.
const SHARED_BYTES: u32 = 48 << 10;

/// The first driver that records dependent launches as such.
const DEPENDENT_IN_GRAPHS: DriverVersion = DriverVersion::new(12, 3);

/// Device memory, given back when dropped.
pub(super) struct Allocation {
    memory: Option<DevicePointer<u8>>,
    /// The memory is gone with the context: keep that.
    _context: Rc<Context>,
}

impl Allocation {
    pub fn address(&self) -> u64 {
        self.memory.map_or(0, |pointer| pointer.as_raw())
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if let Some(pointer) = self.memory.take() {
            // SAFETY: allocated by `Gpu::zeroed` and freed only here. Freeing waits for what is queued.
            let _ = unsafe { cust::memory::cuda_free(pointer) };
        }
    }
}

pub(super) struct Gpu {
    // In the order in which they must be dropped.
    functions: RefCell<HashMap<&'static str, Function>>,
    module: Module,
    stream: Stream,
    context: Rc<Context>,
}

/// A graph of launches.
pub(super) struct Graph {
    graph: GraphExec,
    /// A graph is gone with its context, and its launches with the module: keep both.
    _module: Module,
    _context: Rc<Context>,
}

/// A failed call of `cust`, with the driver's own words.
fn call<T>(name: &'static str, result: CudaResult<T>) -> Result<T, DeviceError> {
    result.map_err(|error| DriverError::from_cust(name, error).into())
}

fn grid(d: Dim3) -> GridSize {
    GridSize::xyz(d.x, d.y, d.z)
}

fn block(d: Dim3) -> BlockSize {
    BlockSize::xyz(d.x, d.y, d.z)
}

/// Names the PTX to load in place of the newest, as in `80`: to test what older GPUs run.
const PTX_VARIABLE: &str = "PSIONIC_PTX";

/// The PTX to load on a GPU: the newest that it can run.
fn ptx_for(name: &str, capability: u32) -> Result<(u32, &'static str), DeviceError> {
    if let Some(reason) = PTX_MISSING {
        return Err(DeviceError::NoPtx { reason });
    }
    let runs = |sm: u32| sm <= capability;
    if let Some(asked) = env::var_os(PTX_VARIABLE) {
        let named = PTX.iter().find(|(sm, _)| runs(*sm) && asked == *sm.to_string());
        return named.copied().ok_or_else(|| DeviceError::UnknownPtx {
            variable: PTX_VARIABLE,
            asked: asked.to_string_lossy().into_owned(),
            known: PTX.iter().map(|(sm, _)| *sm).filter(|sm| runs(*sm)).collect(),
        });
    }
    let newest = PTX.iter().filter(|(sm, _)| runs(*sm)).max_by_key(|(sm, _)| *sm);
    let required = PTX.iter().map(|(sm, _)| *sm).min().unwrap_or_default();
    newest.copied().ok_or_else(|| DeviceError::TooOld { name: name.to_owned(), found: capability, required })
}

/// Bytes per second of memory with a clock in kHz and a bus in bits, which transfers twice a clock; `None` where the
/// driver does not say.
fn memory_rate(clock: u32, bus: u32) -> Option<u64> {
    let rate = 2 * u64::from(clock) * 1000 * u64::from(bus / 8);
    Some(rate).filter(|rate| *rate > 0)
}

impl Gpu {
    pub fn open() -> Result<(Self, DeviceInfo), DeviceError> {
        let driver = cuda_driver::status(DriverVersion::CUDA_12_0)?;
        let device = call("cuDeviceGet", Device::get_device(0))?;
        let name = call("cuDeviceGetName", device.name())?;
        let attribute = |a| call("cuDeviceGetAttribute", device.get_attribute(a)).map(|v| v as u32);
        let capability = 10 * attribute(DeviceAttribute::ComputeCapabilityMajor)?
            + attribute(DeviceAttribute::ComputeCapabilityMinor)?;
        let (sm, ptx) = ptx_for(&name, capability)?;
        let context = Rc::new(call("cuDevicePrimaryCtxRetain", Context::new(device))?);
        let stream = call("cuStreamCreate", Stream::new(StreamFlags::NON_BLOCKING, None))?;
        let module = Module::from_ptx(ptx)?;
        let info = DeviceInfo {
            backend: Backend::Cuda,
            compute_capability: Some(capability),
            ptx: Some(sm),
            multiprocessors: attribute(DeviceAttribute::MultiprocessorCount)?,
            memory_bytes: call("cuDeviceTotalMem", device.total_memory())? as u64,
            memory_bytes_per_second: memory_rate(
                attribute(DeviceAttribute::MemoryClockRate).unwrap_or(0),
                attribute(DeviceAttribute::GlobalMemoryBusWidth).unwrap_or(0),
            ),
            l2_bytes: attribute(DeviceAttribute::L2CacheSize).ok().filter(|n| *n > 0).map(u64::from),
            driver: Some(driver.to_string()),
            dependent_launch: sm >= 90 && driver >= DEPENDENT_IN_GRAPHS,
            why_not_cuda: None,
            name,
        };
        Ok((Self { functions: RefCell::default(), module, stream, context }, info))
    }

    pub fn free_bytes(&self) -> Result<u64, DeviceError> {
        Ok(call("cuMemGetInfo", cust::memory::mem_get_info())?.0 as u64)
    }

    pub fn zeroed(&self, bytes: usize) -> Result<Allocation, DeviceError> {
        if bytes == 0 {
            return Ok(Allocation { memory: None, _context: Rc::clone(&self.context) });
        }
        let free = self.free_bytes()?;
        // SAFETY: the size is not zero; the memory is written before anything reads it.
        let pointer = match unsafe { cust::memory::cuda_malloc::<u8>(bytes) } {
            Err(cust::error::CudaError::OutOfMemory) => {
                return Err(DeviceError::OutOfMemory { asked: bytes as u64, free });
            }
            other => call("cuMemAlloc", other)?,
        };
        let allocation = Allocation { memory: Some(pointer), _context: Rc::clone(&self.context) };
        // SAFETY: the memory was just allocated, with that many bytes.
        let mut slice = unsafe { DeviceSlice::from_raw_parts(pointer, bytes) };
        // On this device's own stream: the default one, and waiting for the whole context, would spoil what another
        // thread records.
        // SAFETY: the memory lives until the stream is synchronised, below.
        call("cuMemsetD8Async", unsafe { slice.set_8_async(0, &self.stream) })?;
        self.synchronize()?;
        Ok(allocation)
    }

    pub fn copy_to(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the caller's range is inside one allocation.
        let mut slice = unsafe { DeviceSlice::from_raw_parts(DevicePointer::from_raw(to), bytes.len()) };
        // SAFETY: the bytes are borrowed until the copy has ended, below.
        call("cuMemcpyHtoDAsync", unsafe { slice.async_copy_from(bytes, &self.stream) })?;
        self.synchronize()
    }

    pub fn copy_from(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the caller's range is inside one allocation.
        let slice = unsafe { DeviceSlice::<u8>::from_raw_parts(DevicePointer::from_raw(from), bytes.len()) };
        // SAFETY: the bytes are borrowed until the copy has ended, below.
        call("cuMemcpyDtoHAsync", unsafe { slice.async_copy_to(bytes, &self.stream) })?;
        self.synchronize()
    }

    /// Looks a kernel up once.
    fn function(&self, name: &'static str) -> Result<Function, DeviceError> {
        if let Some(function) = self.functions.borrow().get(name) {
            return Ok(function.clone());
        }
        let function = self.module.function(name)?;
        self.functions.borrow_mut().insert(name, function.clone());
        Ok(function)
    }

    /// # Safety
    /// As for [`Device::launch`](super::Device::launch).
    pub unsafe fn launch(&self, config: LaunchConfig, args: &impl KernelArgs) -> Result<(), DeviceError> {
        let function = self.function(name_of(args))?;
        if config.shared_bytes > SHARED_BYTES {
            function.set_max_dynamic_shared_bytes(config.shared_bytes)?;
        }
        let mut attributes = LaunchAttributes::new();
        if config.cooperative {
            attributes = attributes.cooperative();
        }
        if config.dependent {
            attributes = attributes.programmatic_dependent();
        }
        let mut params = ParamBuffer::of(args);
        // SAFETY: the context was made current by `open`, the parameters are those of the kernel of that name, and
        // the caller vouches for what they point to.
        unsafe {
            function.launch(
                grid(config.grid),
                block(config.block),
                config.shared_bytes,
                &self.stream,
                &mut params.pointers(),
                attributes,
            )
        }?;
        Ok(())
    }

    pub fn synchronize(&self) -> Result<(), DeviceError> {
        call("cuStreamSynchronize", self.stream.synchronize())
    }

    pub fn record(&self, launches: impl FnOnce() -> Result<(), DeviceError>) -> Result<Graph, DeviceError> {
        let graph = GraphExec::capture(&self.stream, |_| launches())?;
        Ok(Graph { graph, _module: self.module.clone(), _context: Rc::clone(&self.context) })
    }

    /// # Safety
    /// As for [`Device::replay`](super::Device::replay).
    pub unsafe fn replay(&self, graph: &Graph) -> Result<(), DeviceError> {
        // SAFETY: as the caller promises.
        Ok(unsafe { graph.graph.launch(&self.stream) }?)
    }
}

fn name_of<K: KernelArgs>(_: &K) -> &'static str {
    K::NAME
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // The module must not go while launches use it. An error has been reported by the call before, or nobody is
        // left to be told.
        let _ = self.stream.synchronize();
    }
}
