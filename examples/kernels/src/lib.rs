//! The kernels of the examples: one file each, starting with the simplest. The documentation of each says how it may be
//! launched; the programs in `../src/bin` launch them.
#![no_std]

#[path = "01_vector_add.rs"]
pub mod vector_add;

#[path = "02_saxpy.rs"]
pub mod saxpy;

#[path = "03_reduction.rs"]
pub mod reduction;

#[path = "04_transpose.rs"]
pub mod transpose;

#[path = "05_tiled_gemm.rs"]
pub mod tiled_gemm;

#[path = "06_histogram.rs"]
pub mod histogram;

#[path = "07_async_copies.rs"]
pub mod async_copies;

#[path = "08_mma_gemm.rs"]
pub mod mma_gemm;

#[path = "09_grid_barrier.rs"]
pub mod grid_barrier;

#[path = "10_int8_matvec.rs"]
pub mod int8_matvec;

#[path = "11_q4k_matvec.rs"]
pub mod q4k_matvec;

// A compiler for GPUs refuses some of these.
#[cfg(not(target_arch = "nvptx64"))]
pub mod traps;
