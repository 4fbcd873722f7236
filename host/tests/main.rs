//! Integration tests of the host: one binary, one module per part.

mod cli;
mod decoder;
mod device;
mod gguf;
mod golden;
mod kernels;
mod machine;
mod model;
mod quant;
mod raw_gguf;
mod reference;
mod tiny;

use std::path::PathBuf;

/// A path below `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
