//! The standard library of a Rust GPU kernel, with the names of Rust-CUDA's `cuda_std`.
//!
//! ```
//! use cuda_std::prelude::*;
//!
//! /// `y[i] = factor * x[i]`
//! #[kernel]
//! pub unsafe fn scale(x: &[f32], factor: f32, y: *mut f32) {
//!     let i = thread::index_1d() as usize;
//!     if i < x.len() {
//!         // SAFETY: the launch promises that y is as long as x, and no other thread writes this element.
//!         unsafe { global::store(y.add(i), factor * x[i]) };
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Everything here has two implementations: an instruction for `nvptx64-nvidia-cuda`, and a call of `cuda_sim` for the
//! host. A kernel that uses only this crate and its own arguments runs on both, unchanged.
//!
//! Operations that must stay convergent (barriers, shuffles, votes) are LLVM intrinsics rather than inline assembly:
//! LLVM knows that it may not move or copy those into divergent code.

#![no_std]
#![cfg_attr(
    target_arch = "nvptx64",
    allow(internal_features),
    feature(abi_unadjusted, asm_experimental_arch, link_llvm_intrinsics)
)]

extern crate alloc;
#[cfg(not(target_arch = "nvptx64"))]
extern crate std;

pub mod atomic;
pub mod copy_async;
pub mod dot;
pub mod float;
pub mod global;
pub mod grid;
pub mod half;
pub mod io;
#[cfg(not(target_arch = "nvptx64"))]
pub mod launch;
pub mod mem;
pub mod misc;
pub mod mma;
mod plain;
pub mod ptr;
pub mod shared;
pub mod thread;
mod vector;
pub mod warp;

#[cfg(target_arch = "nvptx64")]
mod nvptx;

pub use crate::float::GpuFloat;
pub use crate::half::{bf16, f16};
#[cfg(not(target_arch = "nvptx64"))]
pub use core::{assert_eq, assert_ne};
pub use cuda_std_macros::{address_space, externally_visible, gpu_only, kernel, shared_array};
pub use plain::{F32x2, F32x4, Plain, U32x2, U32x4};
#[cfg(not(target_arch = "nvptx64"))]
pub use std::{print, println};
pub use vector::{UVec2, UVec3};

/// What a kernel usually imports.
pub mod prelude {
    pub use crate::float::GpuFloat;
    pub use crate::global::{Cached, L2, ReadOnly, Streaming};
    pub use crate::half::{bf16, f16};
    pub use crate::{F32x2, F32x4, Plain, U32x2, U32x4};
    // Not `assert_eq!` and `assert_ne!`: where `core`'s prelude has these, two globs of one name are an error.
    pub use crate::{atomic, copy_async, dot, float, global, grid, half, misc, mma, shared, thread, warp};
    pub use crate::{kernel, shared_array};
    pub use crate::{print, println};
    pub use alloc::{
        borrow::ToOwned,
        boxed::Box,
        format,
        rc::Rc,
        string::{String, ToString},
        vec::Vec,
    };
}
