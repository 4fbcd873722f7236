//! Why a kernel cannot be measured.

use super::expected::Mismatch;
use crate::device::DeviceError;

/// Why there is no figure for a kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no kernel of that name.
    #[error("expected `all` or one of the kernels {known}, found {found:?}")]
    UnknownKernel {
        /// The name.
        found: String,
        /// The names that there are.
        known: String,
    },
    /// The kernel has no case of that name.
    #[error("expected one of {kernel}'s cases {known}, found {found:?}")]
    UnknownCase {
        /// The kernel.
        kernel: &'static str,
        /// The name.
        found: String,
        /// The names that there are.
        known: String,
    },
    /// The kernel is not measured alone.
    #[error("expected a kernel that can be launched alone, found {kernel}, which `{command}` measures")]
    NoCases {
        /// The kernel.
        kernel: &'static str,
        /// What measures it.
        command: &'static str,
    },
    /// The kernel's result is wrong: a figure would mean nothing.
    #[error("{case} is wrong {when} timing, in copy {copy} of its inputs: {mismatch}")]
    Wrong {
        /// Kernel and case.
        case: String,
        /// Before or after.
        when: When,
        /// Which copy.
        copy: usize,
        /// What is wrong.
        mismatch: Mismatch,
    },
    /// A rate that the memory cannot have: the data came from a cache, or the time is wrong.
    #[error(
        "{case} was measured to move {:.1} GB/s, {:.1} % of the most that the memory can do ({:.1} GB/s): its data \
         came from a cache, so the measurement is wrong", rate / 1e9, 100.0 * rate / limit, limit / 1e9
    )]
    Impossible {
        /// Kernel and case.
        case: String,
        /// Bytes per second.
        rate: f64,
        /// The most that can be, in bytes per second.
        limit: f64,
    },
}

/// When a result was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before timing.
    Before,
    /// After it.
    After,
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}
