//! Kernels as one writes them for upstream Rust-CUDA: its names, its attributes, its manners, nothing that only this
//! repository has. They are the counterparts of upstream's examples, written afresh. There is no `#![no_std]`, as
//! upstream demands none.
// Each kernel writes a thread's own elements of buffers that the tests make long enough; only the tiles are shared, and
// barriers part their writes from their reads. Upstream's examples say no more in their blocks.
#![allow(clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]

mod gemm;
mod hash;
mod heap;
mod integers;
mod statics;
mod text;
mod vectors;

pub use gemm::*;
pub use hash::*;
pub use heap::*;
pub use integers::*;
pub use statics::*;
pub use text::*;
pub use vectors::*;
