//! The GPU kernels of Qwen3 decode, in the Rust-CUDA style: one file each, beside its plain reference.
#![no_std]
