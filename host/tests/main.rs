//! Integration tests of the host: one binary, one module per part.

mod cli;
mod gguf;
mod model;
mod quant;
mod raw_gguf;

use std::path::PathBuf;

/// A path below `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
mod golden;
mod machine;
