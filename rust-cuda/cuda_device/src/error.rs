//! What keeps a device from being opened or used.

use std::fmt;

use cuda_driver::DriverError;
use cuda_sim::{Fault, OutOfMemory};

/// Why a device cannot be used.
///
/// `{:?}` is the sentence too: it is what a `main` that returns the error shows, an `unwrap` and an `expect`.
#[derive(thiserror::Error)]
pub enum DeviceError {
    /// The driver is missing, too old, or refused something.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The program was built without a compiler for GPU code.
    #[error("this program holds no GPU code: {reason}")]
    NoPtx {
        /// Why, and the command that changes it.
        reason: &'static str,
    },
    /// The environment names GPU code that is not there or that the GPU does not run.
    #[error(
        "{variable} is {asked:?}, and this GPU can run the program's code for {known:?}: name one of those, or none"
    )]
    UnknownPtx {
        /// The variable.
        variable: &'static str,
        /// What it says.
        asked: String,
        /// What can be named.
        known: Vec<u32>,
    },
    /// The GPU is too old.
    #[error("{name} has compute capability {}.{}, the kernels need {}.{} or newer: use another GPU or the simulator",
        found / 10, found % 10, required / 10, required % 10)]
    TooOld {
        /// The GPU.
        name: String,
        /// Its capability, as in 75.
        found: u32,
        /// The least that the kernels need.
        required: u32,
    },
    /// A kernel that needs newer code than the device runs.
    #[error(
        "{kernel} needs code for sm_{required} or newer, and the device runs that for sm_{found}: use a newer GPU, \
         newer code on this one, or the simulator"
    )]
    OldCode {
        /// The kernel.
        kernel: &'static str,
        /// The code that the device runs, as in 80.
        found: u32,
        /// The oldest code that the kernel works in.
        required: u32,
    },
    /// The device has too little memory.
    #[error(
        "the device has {free} bytes of memory left and {asked} were asked for: free some, or ask for less"
    )]
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes left.
        free: u64,
    },
    /// A size beyond any memory.
    #[error("a buffer of that many elements is larger than any memory: ask for less")]
    TooLarge,
    /// A copy beyond the end of a buffer.
    #[error("a copy of {len} elements from element {start} on does not fit a buffer of {buffer}")]
    OutOfRange {
        /// The first element.
        start: usize,
        /// Elements to copy.
        len: usize,
        /// Elements that there are.
        buffer: usize,
    },
    /// A block of more threads than the kernel was compiled for.
    #[error(
        "{kernel} was launched with {asked} threads a block and is compiled for at most {limit}: launch fewer"
    )]
    TooManyThreads {
        /// The kernel.
        kernel: &'static str,
        /// Threads asked for; `u64::MAX` where they are more.
        asked: u64,
        /// Its launch bound.
        limit: u32,
    },
    /// A block that needs more than a multiprocessor has.
    #[error(
        "no multiprocessor of the device holds a block of {kernel} with {threads} threads and {shared_bytes} bytes of \
         shared memory: ask for less, which for a model is one with shorter rows, or use a GPU with more"
    )]
    NotResident {
        /// The kernel.
        kernel: &'static str,
        /// Threads of the block.
        threads: u32,
        /// Its dynamic shared memory.
        shared_bytes: u32,
    },
    /// A kernel did on the simulator what it must not do.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
    /// A recording of one device was replayed on another.
    #[error("the launches were recorded on another device: record them on this one")]
    OtherDevice,
}

impl DeviceError {
    /// Whether there simply is no GPU, rather than one that cannot be used.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Driver(DriverError::NoDriver { .. } | DriverError::NoDevice))
    }
}

impl fmt::Debug for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<OutOfMemory> for DeviceError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory { asked: error.asked as u64, free: error.free as u64 }
    }
}
