//! Compiles a crate of Rust kernels to PTX from a build script, with an ordinary rustc.
//!
//! ```no_run
//! use cuda_builder::{CudaBuilder, NvvmArch};
//!
//! CudaBuilder::new("../kernels").arch(NvvmArch::Compute90).copy_to("kernels.ptx").build().unwrap();
//! ```
//!
//! The names are those of Rust-CUDA's crate, but the compiler is not: there is no separate codegen backend, no libnvvm and
//! no CUDA toolkit. [`compiler::find`] looks for a rustc that can compile for `nvptx64-nvidia-cuda`, which compiles the
//! crate with LLVM's NVPTX backend. The result is then checked for errors that this backend introduces silently; see
//! [`CudaBuilderError`].
#![warn(missing_docs)]

mod arch;
mod barriers;
mod builder;
mod cargo;
pub mod compiler;
mod embed;
mod ir;
mod ptx;
mod runtime;
mod version;

pub use arch::NvvmArch;
pub use barriers::BarrierError;
pub use builder::{CudaBuilder, CudaBuilderError};
pub use compiler::NoCompiler;
pub use ptx::PtxError;
