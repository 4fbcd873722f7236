//! The GPU kernels of Qwen3 decode.
