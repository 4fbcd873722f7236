//! The header of a GGUF file: its metadata and its tensors of any format, none of whose weights are read.

use super::error::GgufError;
use super::metadata::Metadata;
use super::{GgufFile, scan, tensor};
use crate::quant::QuantType;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file whose header is known to be well formed. [`into_file`](Self::into_file) checks the rest.
#[derive(Debug)]
pub struct GgufHeader {
    path: PathBuf,
    map: memmap2::Mmap,
    metadata: Metadata,
    tensors: Vec<TensorHeader>,
    len: usize,
}

/// What a header says of a tensor, in whatever format, supported or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHeader {
    pub(super) name: String,
    pub(super) dimensions: Vec<u64>,
    pub(super) type_id: u32,
    pub(super) offset: u64,
}

impl TensorHeader {
    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions in GGUF's order: the length of a row first.
    pub fn dimensions(&self) -> &[u64] {
        &self.dimensions
    }

    /// Its weights; as many as can be counted.
    pub fn weights(&self) -> u64 {
        self.dimensions.iter().fold(1, |weights, &dimension| weights.saturating_mul(dimension))
    }

    /// The name of its format, if GGUF defines it.
    pub fn format(&self) -> Option<&'static str> {
        QuantType::from_gguf_id(self.type_id)
            .map(QuantType::name)
            .or_else(|| tensor::unsupported_name(self.type_id))
    }
}

impl GgufHeader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When the file cannot be read or its header is damaged. Whether its tensors are in the file, and in formats that
    /// can be read, is not looked at.
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
        let scan::Header { pairs_end, end, tensors } = scan::header(&map)?;
        let metadata = metadata(&map[..pairs_end])?;
        Ok(Self { path: path.to_owned(), map, metadata, tensors, len: end })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors, in the order of the header.
    pub fn tensors(&self) -> &[TensorHeader] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorHeader> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Checks that every tensor is of a format that can be read, and in the file.
    ///
    /// # Errors
    /// When one is not.
    pub fn into_file(self) -> Result<GgufFile, GgufError> {
        let alignment = super::alignment(&self.metadata)?;
        let data_start = (self.len as u64).next_multiple_of(alignment);
        let tensors = tensor::place(self.tensors, alignment, data_start, self.map.len() as u64)?;
        let index = tensors.iter().enumerate().map(|(at, tensor)| (tensor.name().to_owned(), at)).collect();
        Ok(GgufFile { path: self.path, map: self.map, metadata: self.metadata, tensors, index })
    }
}

/// Parses the pairs, given everything up to their end.
fn metadata(bytes: &[u8]) -> Result<Metadata, GgufError> {
    // Without its tensors, which the scan has read: the parser knows no format newer than `I32`.
    const TENSOR_COUNT: std::ops::Range<usize> = 8..16;
    let mut pairs = bytes.to_vec();
    pairs[TENSOR_COUNT].fill(0);
    match ::gguf::GGUFFile::read(&pairs) {
        Ok(Some(parsed)) => Metadata::new(parsed.header.metadata),
        _ => Err(GgufError::Malformed),
    }
}
