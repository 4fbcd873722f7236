//! Runs Rust GPU kernels on the CPU.
