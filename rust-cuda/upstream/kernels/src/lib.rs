//! Kernels written as for upstream Rust-CUDA: its names, its attributes, its style, nothing that only this repository
//! has. They are counterparts of upstream's examples, written from scratch. There is no `#![no_std]`, because upstream
//! does not require it.
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
