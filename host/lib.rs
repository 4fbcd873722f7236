//! Psionic decodes Qwen3 GGUF models with GPU kernels written in Rust.

pub mod bench;
pub mod decode;
pub mod device;
pub mod environment;
pub mod gguf;
pub mod kernel;
mod keywords;
pub mod lab;
pub mod medpsy;
pub mod model;
pub mod part_file;
pub mod project;
pub mod quant;
pub mod random;
