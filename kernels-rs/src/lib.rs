//! The GPU kernels of Qwen3 decode, in the Rust-CUDA style: one file each, beside its plain float64 reference.
//! A kernel that fuses others, or does another's work in another way, is held against theirs; [`embed`](mod@embed) against
//! the file format's own definition.
//!
//! One token goes through [`embed`](mod@embed), then through each layer as [`project`](mod@project) (q, k, v),
//! [`attention`](mod@attention), [`project`](mod@project) (output, added to the residual), [`gate_up`](mod@gate_up),
//! [`project`](mod@project) (down, added), and at last through [`project`](mod@project) (logits),
//! [`argmax`](mod@argmax) and [`advance`](mod@advance). Everything between launches is `f32` in global memory.

#![no_std]
// Loops over small arrays go by index: an array that is iterated by value goes through local memory on a GPU.
#![allow(clippy::needless_range_loop)]

#[cfg(not(target_arch = "nvptx64"))]
extern crate std;

pub mod advance;
pub mod argmax;
pub mod attention;
pub mod embed;
pub mod gate_up;
pub mod persistent;
pub mod project;
pub mod project_f32;
pub mod rms_norm;
pub mod swiglu;

pub mod activation;
pub mod layout;
mod reduce;
mod rows;
mod weights;
