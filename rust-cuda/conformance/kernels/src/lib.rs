//! Small kernels that the conformance tests launch, one for each function of `cuda_std`.
//!
//! Every kernel writes its result to one element per thread, unless documented otherwise.
#![no_std]
// A launch promises what its test sets up beside it: buffers of one element per thread.
#![allow(clippy::missing_safety_doc)]

pub mod atomic;
#[cfg(not(target_arch = "nvptx64"))]
pub mod checks;
pub mod copy_async;
pub mod dot;
// Compilers for GPUs refuse some of these mistakes.
#[cfg(not(target_arch = "nvptx64"))]
pub mod faults;
pub mod float;
pub mod global;
pub mod grid;
pub mod half;
pub mod misc;
pub mod mma;
pub mod shared;
pub mod speed;
pub mod thread;
pub mod warp;

/// Writes a thread's result.
///
/// # Safety
/// The launch must have passed a buffer with an element for every thread of its one-dimensional grid.
#[inline(always)]
unsafe fn put<T>(out: *mut T, value: T) {
    // SAFETY: as the caller promises.
    unsafe { out.add(cuda_std::thread::index_1d() as usize).write(value) };
}

/// Reads a thread's input.
///
/// # Safety
/// As for [`put`].
#[inline(always)]
unsafe fn take<T: Copy>(from: *const T) -> T {
    // SAFETY: as the caller promises.
    unsafe { from.add(cuda_std::thread::index_1d() as usize).read() }
}
