//! Integration tests of the host: one binary, one module per part.

mod cli;
mod code;
mod decoder;
mod gguf;
mod golden;
mod kernels;
mod machine;
mod model;
mod persistent;
mod quant;
mod random;
mod raw_gguf;
mod reference;
mod stored;
mod tiny;

use std::path::PathBuf;

/// A path below `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
