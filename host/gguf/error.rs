//! What can be wrong with a GGUF file.

use std::path::PathBuf;

/// Why a file was refused. Each message is one sentence: what was expected, what was found, what to do.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file could not be opened, inspected or mapped.
    #[error("{path} could not be read ({source}); check the path and its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The path is a directory, a device or a pipe.
    #[error("expected {path} to be a regular file, found something else; give the path of a .gguf file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The first four bytes are not `GGUF`.
    #[error("expected a file that starts with \"GGUF\", found \"{}\"; give a GGUF model", found.escape_ascii())]
    Magic {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The version field only makes sense with its bytes reversed.
    #[error(
        "expected a little-endian GGUF file, found a big-endian one; convert it for little-endian machines"
    )]
    BigEndian,
    /// A version that Psionic does not read.
    #[error(
        "expected GGUF version 2 or 3, found version {found}; convert the model again with a current converter"
    )]
    Version {
        /// The file's version.
        found: u32,
    },
    /// The header ends early.
    #[error(
        "expected {needed} more bytes for {what} at byte {at}, found {left}; the file is cut short, download or convert it again"
    )]
    Truncated {
        /// The field being read.
        what: &'static str,
        /// Where it starts.
        at: u64,
        /// The bytes it needs.
        needed: u64,
        /// The bytes there are.
        left: u64,
    },
    /// A count in the header is larger than what Psionic reads or than what the file can hold.
    #[error(
        "expected at most {limit} {what}, found a count of {count}; the file is damaged, download or convert it again"
    )]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number in the file.
        count: u64,
        /// The most there can be.
        limit: u64,
    },
    /// A string is not UTF-8.
    #[error(
        "expected UTF-8 in {what} at byte {at}, found other bytes; the file is damaged, download or convert it again"
    )]
    NotUtf8 {
        /// The kind of string.
        what: &'static str,
        /// Where it starts.
        at: u64,
    },
    /// A metadata value has a type id that the format does not define, or arrays are nested.
    #[error("expected a GGUF value type for the key {key:?}, found {found}; convert the model again")]
    ValueType {
        /// The key, shortened.
        key: String,
        /// What was found.
        found: String,
    },
    /// A metadata key occurs twice.
    #[error("expected each metadata key once, found {key:?} twice; convert the model again")]
    DuplicateKey {
        /// The key, shortened.
        key: String,
    },
    /// `general.alignment` is not a power of two from 8 up.
    #[error(
        "expected general.alignment to be a u32 and a power of two from 8 up, found {found}; convert the model again"
    )]
    Alignment {
        /// The value in the file.
        found: String,
    },
    /// A tensor's format is known and not supported.
    #[error(
        "expected tensors in F32, F16, Q8_0, Q4_K or Q6_K, found {kind} in {tensor:?}; use a Q4_K_M or Q8_0 file of the model"
    )]
    UnsupportedType {
        /// The tensor, shortened.
        tensor: String,
        /// The format's name.
        kind: &'static str,
    },
    /// A tensor's format id is not in any GGUF version known here.
    #[error(
        "expected a known tensor type, found id {id} in {tensor:?}; use a Q4_K_M or Q8_0 file of the model"
    )]
    UnknownType {
        /// The tensor, shortened.
        tensor: String,
        /// The id in the file.
        id: u32,
    },
    /// A tensor has no dimensions, too many, an empty one, or more weights than can be counted.
    #[error("expected 1 to 4 dimensions above zero for {tensor:?}, found {found}; convert the model again")]
    Dimensions {
        /// The tensor, shortened.
        tensor: String,
        /// What is wrong.
        found: String,
    },
    /// A row is not whole blocks.
    #[error(
        "expected rows of a multiple of {block} weights for {kind} in {tensor:?}, found {cols}; convert the model again"
    )]
    Blocks {
        /// The tensor, shortened.
        tensor: String,
        /// Its format.
        kind: crate::quant::QuantType,
        /// Weights in a block.
        block: u64,
        /// Weights in a row.
        cols: u64,
    },
    /// A tensor's name occurs twice.
    #[error("expected each tensor once, found {tensor:?} twice; convert the model again")]
    DuplicateTensor {
        /// The tensor, shortened.
        tensor: String,
    },
    /// A tensor does not start on the file's alignment.
    #[error(
        "expected {tensor:?} to start at a multiple of {alignment}, found offset {offset}; convert the model again"
    )]
    Misaligned {
        /// The tensor, shortened.
        tensor: String,
        /// Its offset in the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor reaches beyond the end of the file.
    #[error(
        "expected a file of at least {needed} bytes for {tensor:?}, found {len}; the file is cut short, download or convert it again"
    )]
    OutOfRange {
        /// The tensor, shortened.
        tensor: String,
        /// Where the tensor ends in the file.
        needed: u64,
        /// The file's size.
        len: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "expected tensors that do not overlap, found {first:?} and {second:?} sharing bytes; convert the model again"
    )]
    Overlap {
        /// The tensor that starts first.
        first: String,
        /// The one that starts before its end.
        second: String,
    },
    /// The header passed every check here and the parser still refused it.
    #[error(
        "expected a well-formed GGUF header, found one that cannot be parsed; download or convert the file again"
    )]
    Malformed,
}

/// A metadata value is not of the type that its reader needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {key} to be {expected}, found {found}; convert the model again")]
pub struct MetadataError {
    /// The key.
    pub key: String,
    /// The type that was asked for.
    pub expected: &'static str,
    /// The type in the file.
    pub found: &'static str,
}

/// A name from a file, short enough for a message.
pub(crate) fn shown(name: &str) -> String {
    const LIMIT: usize = 80;
    match name.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
