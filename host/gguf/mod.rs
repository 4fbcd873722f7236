//! A GGUF file: its memory map, its header, and checks that make everything read from it safe to use.
//!
//! Nothing here knows what the metadata and tensors mean.

mod error;
mod metadata;
mod scan;
mod tensor;
mod write;

pub use error::{GgufError, MetadataError};
pub use metadata::{Array, Metadata, Value};
pub use tensor::TensorInfo;
pub(crate) use write::HeaderWriter;

use std::collections::HashMap;
use std::fs::File;
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
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let io = |source| GgufError::Io { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(GgufError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is private to this value and read-only. A file that another process shortens while it is
        // mapped ends this process with SIGBUS, as in every program that maps its models.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        let (metadata, tensors) = read(&map)?;
        let index = tensors.iter().enumerate().map(|(at, tensor)| (tensor.name().to_owned(), at)).collect();
        Ok(Self { path: path.to_owned(), map, metadata, tensors, index })
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

fn read(bytes: &[u8]) -> Result<(Metadata, Vec<TensorInfo>), GgufError> {
    let header_len = scan::header_len(bytes)?;
    let parsed = ::gguf::GGUFFile::read(&bytes[..header_len]);
    let Ok(Some(::gguf::GGUFFile { header, tensors })) = parsed else { return Err(GgufError::Malformed) };
    let metadata = Metadata::new(header.metadata)?;
    let alignment = alignment(&metadata)?;
    let data_start = (header_len as u64).next_multiple_of(alignment);
    let tensors = tensor::place(tensors, alignment, data_start, bytes.len() as u64)?;
    Ok((metadata, tensors))
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
