//! Runs kernels on an NVIDIA GPU through `cust`, or on the simulator on the CPU.
//!
//! The build script compiles the kernels and embeds them in the program,
//!
//! ```ignore
//! CudaBuilder::new("kernels").embed(&[NvvmArch::Compute80, NvvmArch::Compute90])
//! ```
//!
//! and the program opens a device with them:
//!
//! ```ignore
//! let device = Device::open(BackendChoice::Auto, &cuda_device::program!())?;
//! ```
//!
//! Both accept the same launches: a kernel's `Args`, checked against its signature by the compiler. [`BackendChoice`]
//! decides which one a [`Device`] uses: there is no switch afterwards, and no fallback that was not asked for.

mod buffer;
mod cache;
mod cuda;
mod error;
mod mailbox;
mod program;
mod sim;

use std::env;
use std::fmt;
use std::time::{Duration, Instant};

use cuda_std::launch::{Dim3, KernelArgs, LaunchConfig};
use serde::Serialize;

pub use buffer::{Buffer, Element};
pub use cache::{Code, CodeSource, NoCodeCache, code_cache};
/// What the simulator can be told, and what it tells.
pub use cuda_sim::{Checks, Fault, FaultKind, Finding, FindingKind, Report, SimConfig};
pub use error::DeviceError;
pub use mailbox::Mailbox;
pub use program::Program;

/// Which device to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendChoice {
    /// The GPU if the machine has a driver and a GPU, otherwise the simulator.
    Auto,
    /// The GPU.
    Cuda,
    /// The simulator.
    Sim,
}

impl BackendChoice {
    /// What tests run on: the simulator, or the GPU with `PSIONIC_TEST_BACKEND=cuda`. A test that silently took one for
    /// the other would prove nothing, so there is no third way.
    ///
    /// # Panics
    /// If the variable says anything but `cuda`, `sim` or nothing.
    pub fn for_tests() -> Self {
        let named = env::var_os(TEST_BACKEND).unwrap_or_default();
        match named.to_str() {
            Some("cuda") => Self::Cuda,
            Some("sim" | "") => Self::Sim,
            _ => panic!("{TEST_BACKEND} is cuda or sim, not {}", named.display()),
        }
    }
}

/// Names the device that tests run on.
const TEST_BACKEND: &str = "PSIONIC_TEST_BACKEND";

/// Which kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A GPU.
    Cuda,
    /// The simulator.
    Sim,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Cuda => "cuda",
            Backend::Sim => "sim",
        })
    }
}

/// What a device is.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceInfo {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub backend: Backend,
    /// The compute capability as in `sm_90`; the simulator has none.
    pub compute_capability: Option<u32>,
    /// The PTX that the kernels are loaded from, as in `sm_90`.
    pub ptx: Option<u32>,
    /// Where their machine code came from; the simulator has none.
    pub code: Option<Code>,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// The most shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The most that the memory can move, from its clock and bus; `None` where that is not known.
    pub memory_bytes_per_second: Option<u64>,
    /// The L2 cache in bytes; the simulator has none.
    pub l2_bytes: Option<u64>,
    /// The CUDA version that the driver supports.
    pub driver: Option<String>,
    /// Whether a launch may begin before the one before it has ended (programmatic dependent launch).
    pub dependent_launch: bool,
    /// Why this is not a GPU, when [`BackendChoice::Auto`] took the simulator.
    pub why_not_cuda: Option<String>,
}

/// A device that runs kernels, in the order in which they are launched.
pub struct Device {
    info: DeviceInfo,
    machine: Machine,
}

enum Machine {
    Cuda(cuda::Gpu),
    Sim(sim::Sim),
}

/// Launches that were recorded and can be replayed at little cost.
pub struct Recording(Recorded);

enum Recorded {
    Cuda(cuda::Graph),
    Sim(Vec<sim::Launch>),
}

impl Device {
    /// Opens a device with the kernels of a program.
    ///
    /// # Errors
    /// What keeps the device that was asked for from being used. [`BackendChoice::Auto`] takes the simulator only
    /// where there is no driver or no GPU; a GPU that cannot be used is an error.
    pub fn open(choice: BackendChoice, program: &Program) -> Result<Self, DeviceError> {
        match choice {
            BackendChoice::Cuda => Self::open_cuda(program),
            BackendChoice::Sim => Ok(Self::simulated(SimConfig::default())),
            BackendChoice::Auto => match Self::open_cuda(program) {
                Err(error) if error.is_absent() => {
                    let mut device = Self::simulated(SimConfig::default());
                    device.info.why_not_cuda = Some(error.to_string());
                    Ok(device)
                }
                opened => opened,
            },
        }
    }

    fn open_cuda(program: &Program) -> Result<Self, DeviceError> {
        let (gpu, info) = cuda::Gpu::open(program)?;
        Ok(Self { info, machine: Machine::Cuda(gpu) })
    }

    /// A simulator of the GPU that `config` describes.
    pub fn simulated(config: SimConfig) -> Self {
        let (sim, info) = sim::Sim::new(config);
        Self { info, machine: Machine::Sim(sim) }
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Bytes of memory that can still be taken.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn free_bytes(&self) -> Result<u64, DeviceError> {
        match &self.machine {
            Machine::Cuda(gpu) => gpu.free_bytes(),
            Machine::Sim(sim) => Ok(sim.free_bytes()),
        }
    }

    /// Takes memory for `len` elements, all bits zero.
    ///
    /// # Errors
    /// When there is too little.
    pub fn zeroed<T: Element>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(DeviceError::TooLarge)?;
        let memory = match &self.machine {
            Machine::Cuda(gpu) => buffer::Memory::Cuda(gpu.zeroed(bytes)?),
            Machine::Sim(sim) => buffer::Memory::Sim(sim.zeroed(bytes)?),
        };
        Ok(Buffer::new(memory, len))
    }

    /// Takes memory for a copy of `data`.
    ///
    /// # Errors
    /// When there is too little, or the copy fails.
    pub fn upload<T: Element>(&self, data: &[T]) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.zeroed(data.len())?;
        self.write(&mut buffer, 0, data)?;
        Ok(buffer)
    }

    /// Copies `data` to elements `start..` of `buffer`, after the launches so far.
    ///
    /// # Errors
    /// When the buffer is too short, or a launch before or the copy fails.
    pub fn write<T: Element>(
        &self,
        buffer: &mut Buffer<T>,
        start: usize,
        data: &[T],
    ) -> Result<(), DeviceError> {
        let to = buffer.range(start, data.len())?;
        let bytes = bytemuck::cast_slice(data);
        match &self.machine {
            Machine::Cuda(gpu) => gpu.copy_to(to, bytes),
            Machine::Sim(_) => {
                // SAFETY: the range is inside the buffer, which is host memory on the simulator, and the exclusive
                // borrow keeps others out.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
                buffer.written(start, data.len());
                Ok(())
            }
        }
    }

    /// As [`write`](Self::write), of what stands for nothing: where the simulator's checks are on, a kernel that reads
    /// it before one has written there is found out.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn poison<T: Element>(
        &self,
        buffer: &mut Buffer<T>,
        start: usize,
        data: &[T],
    ) -> Result<(), DeviceError> {
        self.write(buffer, start, data)?;
        buffer.forget(start, data.len());
        Ok(())
    }

    /// Copies elements `start..` of `buffer` to `data`, after the launches so far.
    ///
    /// # Errors
    /// When the buffer is too short, or a launch before or the copy fails.
    pub fn read<T: Element>(
        &self,
        buffer: &Buffer<T>,
        start: usize,
        data: &mut [T],
    ) -> Result<(), DeviceError> {
        let from = buffer.range(start, data.len())?;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(data);
        match &self.machine {
            Machine::Cuda(gpu) => gpu.copy_from(from, bytes),
            Machine::Sim(_) => {
                // SAFETY: the range is inside the buffer, which is host memory on the simulator; kernels have ended
                // when a launch returns.
                unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
                Ok(())
            }
        }
    }

    /// Copies all of `buffer`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn download<T: Element>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, DeviceError> {
        let mut data = vec![T::zeroed(); buffer.len()];
        self.read(buffer, 0, &mut data)?;
        Ok(data)
    }

    /// Sets all bits of `buffer` to zero, after the launches so far and before those that follow.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn clear<T: Element>(&self, buffer: &mut Buffer<T>) -> Result<(), DeviceError> {
        let bytes = buffer.len() * size_of::<T>();
        let start = buffer.range(0, buffer.len())?;
        match &self.machine {
            Machine::Cuda(gpu) => gpu.clear(start, bytes),
            Machine::Sim(_) => {
                // SAFETY: the buffer is host memory on the simulator, borrowed exclusively.
                unsafe { (start as *mut u8).write_bytes(0, bytes) };
                buffer.written(0, buffer.len());
                Ok(())
            }
        }
    }

    /// Queues a copy of all of `from` to the start of `to`.
    ///
    /// # Errors
    /// When `to` is too short, or the device refuses the copy.
    pub fn copy<T: Element>(&self, from: &Buffer<T>, to: &mut Buffer<T>) -> Result<(), DeviceError> {
        let (len, bytes) = (from.len(), from.len() * size_of::<T>());
        let (from, target) = (from.range(0, len)?, to.range(0, len)?);
        match &self.machine {
            Machine::Cuda(gpu) => gpu.copy(from, target, bytes),
            Machine::Sim(_) => {
                // SAFETY: both ranges are inside their buffers, which are host memory on the simulator, and apart,
                // since one of them is borrowed exclusively.
                unsafe { std::ptr::copy_nonoverlapping(from as *const u8, target as *mut u8, bytes) };
                to.written(0, len);
                Ok(())
            }
        }
    }

    /// Takes `len` words, all zero, that a kernel can leave a message in.
    ///
    /// # Errors
    /// When there is no such memory.
    pub fn mailbox(&self, len: usize) -> Result<Mailbox, DeviceError> {
        match &self.machine {
            Machine::Cuda(_) => Mailbox::cuda(len),
            Machine::Sim(sim) => Ok(Mailbox::sim(sim.zeroed(len * size_of::<u32>())?)),
        }
    }

    /// The simulator's checks; none where they are off, and on a GPU.
    pub fn checks(&self) -> Option<Checks> {
        match &self.machine {
            Machine::Cuda(_) => None,
            Machine::Sim(sim) => sim.checks(),
        }
    }

    /// How long what `work` queues takes, waiting for its end: on a GPU between two events around it, so without what
    /// was queued before and without the way back to the host; on the simulator in the host's time.
    ///
    /// # Errors
    /// When `work` fails, or a launch did.
    pub fn time(&self, work: impl FnOnce() -> Result<(), DeviceError>) -> Result<Duration, DeviceError> {
        match &self.machine {
            Machine::Cuda(gpu) => gpu.time(work),
            Machine::Sim(_) => {
                let start = Instant::now();
                work()?;
                Ok(start.elapsed())
            }
        }
    }

    /// Queues a kernel.
    ///
    /// # Errors
    /// When the launch is refused. A fault in the kernel is reported here by the simulator, and by a GPU at the next
    /// copy or [`synchronize`](Self::synchronize).
    ///
    /// # Safety
    /// The arguments must be what the kernel's documentation demands, and the buffers they point to must live until
    /// the device is synchronised.
    pub unsafe fn launch<K: KernelArgs + 'static>(
        &self,
        config: LaunchConfig,
        args: K,
    ) -> Result<(), DeviceError> {
        check_threads::<K>(threads_of(config.block))?;
        match &self.machine {
            // SAFETY: as the caller promises.
            Machine::Cuda(gpu) => unsafe { gpu.launch(config, &args) },
            // SAFETY: as the caller promises.
            Machine::Sim(sim) => unsafe { sim.launch(config, args) },
        }
    }

    /// How many blocks of a kernel the device holds at once, each with `threads` threads and `shared_bytes` of dynamic
    /// shared memory: at least one, and a grid of that size begins as a whole. Where the launch bounds ask for several
    /// blocks on a multiprocessor, the kernel was written for so many, and gets no more.
    ///
    /// # Errors
    /// When not even one block fits, or the driver does not say.
    pub fn resident_blocks<K: KernelArgs>(
        &self,
        threads: u32,
        shared_bytes: u32,
    ) -> Result<u32, DeviceError> {
        check_threads::<K>(threads.into())?;
        let fit = match &self.machine {
            Machine::Cuda(gpu) => gpu.resident_blocks(K::NAME, threads, shared_bytes)?,
            Machine::Sim(sim) => sim.resident_blocks(threads, shared_bytes),
        };
        let blocks = match K::LAUNCH_BOUNDS {
            // One is no wish: every kernel needs that.
            Some((_, wished)) if wished > 1 => fit.min(wished),
            _ => fit,
        };
        match blocks.saturating_mul(self.info.multiprocessors) {
            0 => Err(DeviceError::NotResident { kernel: K::NAME, threads, shared_bytes }),
            resident => Ok(resident),
        }
    }

    /// Waits for everything that was queued.
    ///
    /// # Errors
    /// When a launch failed.
    pub fn synchronize(&self) -> Result<(), DeviceError> {
        match &self.machine {
            Machine::Cuda(gpu) => gpu.synchronize(),
            Machine::Sim(_) => Ok(()),
        }
    }

    /// Keeps the launches that `launches` makes, in place of running them.
    ///
    /// # Errors
    /// When `launches` fails, or the recording does.
    pub fn record(
        &self,
        launches: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<Recording, DeviceError> {
        Ok(Recording(match &self.machine {
            Machine::Cuda(gpu) => Recorded::Cuda(gpu.record(launches)?),
            Machine::Sim(sim) => Recorded::Sim(sim.record(launches)?),
        }))
    }

    /// Queues recorded launches.
    ///
    /// # Errors
    /// As [`launch`](Self::launch).
    ///
    /// # Safety
    /// As for the launches that were recorded, on this device.
    pub unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError> {
        match (&self.machine, &recording.0) {
            // SAFETY: as the caller promises.
            (Machine::Cuda(gpu), Recorded::Cuda(graph)) => unsafe { gpu.replay(graph) },
            // SAFETY: as the caller promises.
            (Machine::Sim(sim), Recorded::Sim(launches)) => unsafe { sim.replay(launches) },
            _ => Err(DeviceError::OtherDevice),
        }
    }
}

/// The threads of a block, of which a caller may ask for more than can be counted.
fn threads_of(block: Dim3) -> u64 {
    block.as_array().into_iter().map(u64::from).fold(1, u64::saturating_mul)
}

/// Refuses blocks of more threads than a kernel was compiled for.
fn check_threads<K: KernelArgs>(asked: u64) -> Result<(), DeviceError> {
    match K::LAUNCH_BOUNDS {
        Some((limit, _)) if asked > u64::from(limit) => {
            Err(DeviceError::TooManyThreads { kernel: K::NAME, asked, limit })
        }
        _ => Ok(()),
    }
}
