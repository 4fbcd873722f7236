//! Psionic decodes Qwen3 GGUF models through GPU kernels written in Rust.
