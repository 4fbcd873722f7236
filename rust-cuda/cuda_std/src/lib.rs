//! The standard library of a Rust GPU kernel.
