//! Compiles a crate of Rust kernels to PTX from a build script.
