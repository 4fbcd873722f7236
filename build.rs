//! Compiles the kernels to PTX.
fn main() {}
