//! An NVIDIA GPU as a device.

mod time;

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::rc::Rc;
use std::time::Instant;

use cuda_driver::cache::{Origin, Source};
use cuda_driver::function::Function;
use cuda_driver::graph::GraphExec;
use cuda_driver::launch::LaunchAttributes;
use cuda_driver::module::Module;
use cuda_driver::{DriverError, DriverVersion};
use cuda_std::launch::{Dim3, KernelArgs, LaunchConfig, ParamBuffer};
use cust::context::{Context, CurrentContext, ResourceLimit};
use cust::device::{Device, DeviceAttribute};
use cust::error::CudaResult;
use cust::function::{BlockSize, GridSize};
use cust::memory::{AsyncCopyDestination, DevicePointer, DeviceSlice};
use cust::stream::{Stream, StreamFlags};
use cust::sys::CUdevice_attribute;

use super::{Backend, Code, CodeSource, DeviceError, DeviceInfo, Program, code_cache};

/// What a block may have of dynamic shared memory without asking.
const SHARED_BYTES: u32 = 48 << 10;

/// The stack of a thread of kernels that call through pointers, which the driver cannot measure: as much as formatting a
/// float takes, and some more. The driver's own guess, 1 KiB, is too little for that.
const STACK_BYTES: usize = 8 << 10;

/// `CUDA_ERROR_INVALID_VALUE`.
const INVALID_VALUE: i32 = 1;

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
    /// Of a kernel with so many threads and so much shared memory, the blocks that a multiprocessor holds.
    resident: RefCell<HashMap<(&'static str, u32, u32), u32>>,
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
fn ptx_for(program: &Program, name: &str, capability: u32) -> Result<(u32, &'static str), DeviceError> {
    if let Some(reason) = program.missing {
        return Err(DeviceError::NoPtx { reason });
    }
    let ptx = program.ptx;
    let runs = |sm: u32| sm <= capability;
    if let Some(asked) = env::var_os(PTX_VARIABLE) {
        let named = ptx.iter().find(|(sm, _)| runs(*sm) && asked == *sm.to_string());
        return named.copied().ok_or_else(|| DeviceError::UnknownPtx {
            variable: PTX_VARIABLE,
            asked: asked.to_string_lossy().into_owned(),
            known: ptx.iter().map(|(sm, _)| *sm).filter(|sm| runs(*sm)).collect(),
        });
    }
    let newest = ptx.iter().filter(|(sm, _)| runs(*sm)).max_by_key(|(sm, _)| *sm);
    let required = ptx.iter().map(|(sm, _)| *sm).min().unwrap_or_default();
    newest.copied().ok_or_else(|| DeviceError::TooOld { name: name.to_owned(), found: capability, required })
}

/// Loads the code into the current context: from the cache, or compiled. Without a cache the driver compiles while it
/// loads.
fn load(origin: &Origin<'_>) -> Result<(Module, Code), DriverError> {
    let start = Instant::now();
    let (module, source) = match code_cache() {
        Ok(cache) => cache.load(origin)?,
        Err(_) => (Module::from_ptx(origin.ptx)?, Source::Compiled),
    };
    let source = match source {
        Source::Cache => CodeSource::Cache,
        Source::Compiled => CodeSource::Compiled,
    };
    Ok((module, Code { source, ms: start.elapsed().as_secs_f64() * 1e3 }))
}

/// Bytes per second of memory with a clock in kHz and a bus in bits, which transfers twice a clock; `None` where the
/// driver does not say.
fn memory_rate(clock: u32, bus: u32) -> Option<u64> {
    let rate = 2 * u64::from(clock) * 1000 * u64::from(bus / 8);
    Some(rate).filter(|rate| *rate > 0)
}

impl Gpu {
    pub fn open(program: &Program) -> Result<(Self, DeviceInfo), DeviceError> {
        let driver = cuda_driver::status(DriverVersion::CUDA_12_0)?;
        let device = call("cuDeviceGet", Device::get_device(0))?;
        let name = call("cuDeviceGetName", device.name())?;
        let attribute = |a| call("cuDeviceGetAttribute", device.get_attribute(a)).map(|v| v as u32);
        let capability = 10 * attribute(DeviceAttribute::ComputeCapabilityMajor)?
            + attribute(DeviceAttribute::ComputeCapabilityMinor)?;
        let (sm, ptx) = ptx_for(program, &name, capability)?;
        let context = Rc::new(call("cuDevicePrimaryCtxRetain", Context::new(device))?);
        if ptx.contains(".callprototype") {
            let limit = CurrentContext::set_resource_limit(ResourceLimit::StackSize, STACK_BYTES);
            call("cuCtxSetLimit", limit)?;
        }
        let stream = call("cuStreamCreate", Stream::new(StreamFlags::NON_BLOCKING, None))?;
        let (module, code) = load(&Origin { ptx, driver, device: &name, capability, program: program.name })?;
        let info = DeviceInfo {
            backend: Backend::Cuda,
            compute_capability: Some(capability),
            ptx: Some(sm),
            code: Some(code),
            multiprocessors: attribute(DeviceAttribute::MultiprocessorCount)?,
            shared_bytes: cuda_driver::device_attribute(
                device,
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )? as u32,
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
        Ok((
            Self { functions: RefCell::default(), resident: RefCell::default(), module, stream, context },
            info,
        ))
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
        self.clear(allocation.address(), bytes)?;
        self.synchronize()?;
        Ok(allocation)
    }

    /// Queues the zeroing of a caller's range, which is inside one allocation.
    pub fn clear(&self, start: u64, bytes: usize) -> Result<(), DeviceError> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mut slice = unsafe { DeviceSlice::<u8>::from_raw_parts(DevicePointer::from_raw(start), bytes) };
        // On this device's own stream: the default one, and waiting for the whole context, would spoil what another
        // thread records.
        // SAFETY: buffers that are used by what is queued live until the stream is synchronised.
        call("cuMemsetD8Async", unsafe { slice.set_8_async(0, &self.stream) })
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

    /// How many blocks of a kernel a multiprocessor holds at once.
    pub fn resident_blocks(
        &self,
        name: &'static str,
        threads: u32,
        shared_bytes: u32,
    ) -> Result<u32, DeviceError> {
        let shape = (name, threads, shared_bytes);
        if let Some(&blocks) = self.resident.borrow().get(&shape) {
            return Ok(blocks);
        }
        let function = self.function(name)?;
        let blocks = match allow_shared(&function, shared_bytes) {
            // More than any block of this kernel may have.
            Err(DriverError::Call { code: INVALID_VALUE, .. }) => 0,
            allowed => allowed.and_then(|()| function.max_active_blocks(threads, shared_bytes))?,
        };
        self.resident.borrow_mut().insert(shape, blocks);
        Ok(blocks)
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
        allow_shared(&function, config.shared_bytes)?;
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

/// Lets a kernel's launches have that much dynamic shared memory.
fn allow_shared(function: &Function, bytes: u32) -> Result<(), DriverError> {
    if bytes > SHARED_BYTES { function.set_max_dynamic_shared_bytes(bytes) } else { Ok(()) }
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
