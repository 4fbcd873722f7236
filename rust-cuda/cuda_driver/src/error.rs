//! What can go wrong between this process and the driver.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::ptr;

use cust::error::CudaError;
use cust::sys::CUresult;
use thiserror::Error;

use crate::loader::{self, Unavailable};
use crate::symbols;

/// A CUDA version, as drivers and toolkits count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverVersion {
    /// The first number, 12 in "12.4".
    pub major: u32,
    /// The second number, 4 in "12.4".
    pub minor: u32,
}

impl DriverVersion {
    /// CUDA 12.0: the first to take PTX 8.0, so all of `sm_90`.
    pub const CUDA_12_0: Self = Self::new(12, 0);

    /// The version `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// From the driver's own form, 1000 · major + 10 · minor.
    pub(crate) fn from_raw(raw: c_int) -> Self {
        let raw = u32::try_from(raw).unwrap_or(0);
        Self::new(raw / 1000, raw % 1000 / 10)
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why the driver could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The machine has no NVIDIA driver, or only CUDA's stub of one.
    #[error(
        "no NVIDIA driver was found ({tried}): install the driver of this machine's GPU, after which `nvidia-smi` must work"
    )]
    NoDriver {
        /// What was looked for, and why each was refused.
        tried: String,
    },
    /// The driver is older than the program needs.
    #[error(
        "the NVIDIA driver supports CUDA {found}, but CUDA {required} or newer is required: update the driver"
    )]
    TooOld {
        /// What the driver supports.
        found: DriverVersion,
        /// What the program needs.
        required: DriverVersion,
    },
    /// There is a driver, and no GPU that it shows to this process.
    #[error(
        "the NVIDIA driver shows no GPU to this process: look at `nvidia-smi`, CUDA_VISIBLE_DEVICES and the container's settings"
    )]
    NoDevice,
    /// The driver does not have a function that the call needs.
    #[error("the NVIDIA driver does not have `{symbol}`, which this needs: update the driver")]
    MissingSymbol {
        /// The function's name in the driver's library.
        symbol: &'static str,
    },
    /// The driver refused some GPU code.
    #[error("the NVIDIA driver could not load the GPU code: {name} ({code}), {text}; {log}")]
    Load {
        /// The driver's result code.
        code: i32,
        /// Its name, such as `CUDA_ERROR_INVALID_PTX`.
        name: String,
        /// The driver's sentence about it.
        text: String,
        /// What the driver's compiler wrote.
        log: String,
    },
    /// A module does not have the kernel that was asked of it.
    #[error("the GPU code has no kernel `{name}`: it was compiled without it, or under another name")]
    NoFunction {
        /// The kernel's name.
        name: String,
    },
    /// Any other failure of a call.
    #[error("{call} failed: {name} ({code}), {text}")]
    Call {
        /// The driver's function.
        call: &'static str,
        /// Its result code.
        code: i32,
        /// The code's name, such as `CUDA_ERROR_OUT_OF_MEMORY`.
        name: String,
        /// The driver's sentence about it.
        text: String,
    },
}

impl DriverError {
    /// A result code of the driver's function `call`, with the driver's words for it.
    pub fn from_code(call: &'static str, code: i32) -> Self {
        Self::Call { call, code, name: name(code), text: text(code) }
    }

    /// An error that `cust` reported while it did `call`.
    ///
    /// Without a driver every call of `cust` ends in [`CudaError::SharedObjectInitFailed`]; that becomes
    /// [`DriverError::NoDriver`] here.
    pub fn from_cust(call: &'static str, error: CudaError) -> Self {
        match (error, loader::failure()) {
            (CudaError::SharedObjectInitFailed, Some(tried)) => Self::NoDriver { tried: tried.to_owned() },
            (CudaError::NoDevice, _) => Self::NoDevice,
            (CudaError::InvalidMemoryAllocation | CudaError::OptixError, _) => {
                let text = "refused by cust before the driver was called".to_owned();
                Self::Call { call, code: error as i32, name: format!("{error:?}"), text }
            }
            _ => Self::from_code(call, error as i32),
        }
    }
}

/// What came of one call through the loader.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) call: &'static str,
    pub(crate) result: Result<c_int, Unavailable>,
}

impl Outcome {
    /// As the error of this crate's wrappers.
    pub(crate) fn check(self) -> Result<(), DriverError> {
        match self.result {
            Ok(0) => Ok(()),
            Ok(code) => Err(DriverError::from_code(self.call, code)),
            Err(Unavailable::Library) => {
                Err(DriverError::NoDriver { tried: loader::failure().unwrap_or_default().to_owned() })
            }
            Err(Unavailable::Symbol) => Err(DriverError::MissingSymbol { symbol: self.call }),
        }
    }

    /// As the result that `cust` expects.
    pub(crate) fn code(self) -> CUresult {
        match self.result {
            Ok(code) => known(code).unwrap_or(CUresult::CUDA_ERROR_UNKNOWN),
            Err(Unavailable::Library) => CUresult::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED,
            Err(Unavailable::Symbol) => CUresult::CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND,
        }
    }
}

/// The name of a result code: the driver's, else the one of the header that `cust` was made from.
pub(crate) fn name(code: c_int) -> String {
    driver_words(symbols::error_name, code)
        .or_else(|| known(code).map(|result| format!("{result:?}")))
        .unwrap_or_else(|| "unknown code".to_owned())
}

/// The driver's sentence about a result code.
pub(crate) fn text(code: c_int) -> String {
    driver_words(symbols::error_string, code).unwrap_or_else(|| "the driver has no words for it".to_owned())
}

fn driver_words(ask: unsafe fn(c_int, *mut *const c_char) -> Outcome, code: c_int) -> Option<String> {
    let mut words = ptr::null();
    // SAFETY: `words` is valid for the one write of a pointer that the driver does.
    let outcome = unsafe { ask(code, &mut words) };
    if outcome.result != Ok(0) || words.is_null() {
        return None;
    }
    // SAFETY: on success the driver gave the address of one of its constant, NUL-terminated strings.
    Some(unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
}

/// The code as the enum of `cust_raw`, unless a newer driver gave one that the enum does not have: such a
/// value must not be made, since Rust may assume that it never exists.
fn known(code: c_int) -> Option<CUresult> {
    KNOWN.iter().copied().find(|&result| result as c_int == code)
}

macro_rules! results {
    ($($name:ident),* $(,)?) => { &[$(CUresult::$name),*] };
}

/// Every value of `CUresult` in `cust_raw` 0.11.3.
const KNOWN: &[CUresult] = results! {
    CUDA_SUCCESS, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_NOT_INITIALIZED,
    CUDA_ERROR_DEINITIALIZED, CUDA_ERROR_PROFILER_DISABLED, CUDA_ERROR_PROFILER_NOT_INITIALIZED,
    CUDA_ERROR_PROFILER_ALREADY_STARTED, CUDA_ERROR_PROFILER_ALREADY_STOPPED, CUDA_ERROR_STUB_LIBRARY,
    CUDA_ERROR_NO_DEVICE, CUDA_ERROR_INVALID_DEVICE, CUDA_ERROR_DEVICE_NOT_LICENSED,
    CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_CONTEXT_ALREADY_CURRENT,
    CUDA_ERROR_MAP_FAILED, CUDA_ERROR_UNMAP_FAILED, CUDA_ERROR_ARRAY_IS_MAPPED, CUDA_ERROR_ALREADY_MAPPED,
    CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_ALREADY_ACQUIRED, CUDA_ERROR_NOT_MAPPED,
    CUDA_ERROR_NOT_MAPPED_AS_ARRAY, CUDA_ERROR_NOT_MAPPED_AS_POINTER, CUDA_ERROR_ECC_UNCORRECTABLE,
    CUDA_ERROR_UNSUPPORTED_LIMIT, CUDA_ERROR_CONTEXT_ALREADY_IN_USE, CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
    CUDA_ERROR_INVALID_PTX, CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, CUDA_ERROR_NVLINK_UNCORRECTABLE,
    CUDA_ERROR_JIT_COMPILER_NOT_FOUND, CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
    CUDA_ERROR_JIT_COMPILATION_DISABLED, CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, CUDA_ERROR_INVALID_SOURCE,
    CUDA_ERROR_FILE_NOT_FOUND, CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND,
    CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, CUDA_ERROR_OPERATING_SYSTEM, CUDA_ERROR_INVALID_HANDLE,
    CUDA_ERROR_ILLEGAL_STATE, CUDA_ERROR_NOT_FOUND, CUDA_ERROR_NOT_READY, CUDA_ERROR_ILLEGAL_ADDRESS,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, CUDA_ERROR_LAUNCH_TIMEOUT, CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING,
    CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED,
    CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, CUDA_ERROR_CONTEXT_IS_DESTROYED, CUDA_ERROR_ASSERT,
    CUDA_ERROR_TOO_MANY_PEERS, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
    CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, CUDA_ERROR_HARDWARE_STACK_ERROR, CUDA_ERROR_ILLEGAL_INSTRUCTION,
    CUDA_ERROR_MISALIGNED_ADDRESS, CUDA_ERROR_INVALID_ADDRESS_SPACE, CUDA_ERROR_INVALID_PC,
    CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, CUDA_ERROR_NOT_PERMITTED,
    CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_SYSTEM_NOT_READY, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
    CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, CUDA_ERROR_MPS_CONNECTION_FAILED, CUDA_ERROR_MPS_RPC_FAILURE,
    CUDA_ERROR_MPS_SERVER_NOT_READY, CUDA_ERROR_MPS_MAX_CLIENTS_REACHED,
    CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, CUDA_ERROR_STREAM_CAPTURE_MERGE,
    CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, CUDA_ERROR_CAPTURED_EVENT,
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, CUDA_ERROR_TIMEOUT, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE,
    CUDA_ERROR_EXTERNAL_DEVICE, CUDA_ERROR_UNKNOWN,
};
