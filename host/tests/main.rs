//! Integration tests of the host: one binary, one module per part.

mod cli;
mod code;
mod decoder;
mod device;
mod gguf;
mod golden;
mod kernels;
mod machine;
mod medpsy;
mod model;
mod persistent;
mod quant;
mod raw_gguf;
mod reference;
mod tiny;
mod watchdog;

use std::path::PathBuf;

/// A path below `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    machine::root().join("fixtures").join(name)
}
