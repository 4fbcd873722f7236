//! A GGUF file: its memory map, its header, and checks that make everything read from it safe to use.
//!
//! Nothing here knows what the metadata and tensors mean.

mod error;
mod header;
mod metadata;
mod scan;
mod tensor;
mod write;

pub use error::{GgufError, MetadataError};
pub use header::{GgufHeader, TensorHeader};
pub use metadata::{Array, Metadata, Value};
pub use tensor::TensorInfo;
pub(crate) use write::HeaderWriter;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The alignment of a file that names none.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;

/// An open GGUF file, mapped into memory, with every tensor inside it.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    map: memmap2::Mmap,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
}

impl GgufFile {
    /// Opens and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, is damaged or has tensors in formats that are not supported.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        GgufHeader::open(path)?.into_file()
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a file that opens is never empty")]
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors, in the order of the header.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).map(|&at| &self.tensors[at])
    }

    /// The bytes of one of this file's tensors.
    ///
    /// # Panics
    /// When the tensor belongs to another, longer file.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[tensor.range()]
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::Unsigned(value))
            if value >= 8 && value.is_power_of_two() && value <= u64::from(u32::MAX) =>
        {
            Ok(value)
        }
        Some(Value::Unsigned(value)) => Err(GgufError::Alignment { found: value.to_string() }),
        Some(_) => Err(GgufError::Alignment { found: "a value of another type".to_owned() }),
    }
}
