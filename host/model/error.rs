//! Why a model, its tokenizer or a synthetic file was refused. Each message is one sentence: what was expected, what was
//! found, what to do.

use crate::gguf::MetadataError;
use crate::quant::QuantType;
use std::path::PathBuf;

/// Why a GGUF file is not a model that Psionic can run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A key holds a value of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The model is of another architecture.
    #[error("expected the architecture qwen3, found {found:?}; use a GGUF file of a dense Qwen3 model")]
    Architecture {
        /// The file's architecture.
        found: String,
    },
    /// A required key is absent.
    #[error("expected the metadata key {key}, found none; convert the model again with a current converter")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A number is outside what the model or Psionic allows.
    #[error("expected {key} to be {expected}, found {found}; convert the model again or use another one")]
    Value {
        /// The key.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The file asks for something that Psionic does not do, and whose absence would change the results.
    #[error("expected no {feature}, found {found}; use a file of the model without it")]
    Unsupported {
        /// What is not supported.
        feature: &'static str,
        /// What the file says.
        found: String,
    },
    /// A tensor is absent.
    #[error("expected the tensor {tensor}, found none; download or convert the model again")]
    MissingTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor is not one of a Qwen3 model's, so ignoring it would change the results.
    #[error("expected only the tensors of a dense Qwen3 model, found {tensor:?} too; use an unmodified file")]
    UnexpectedTensor {
        /// The tensor.
        tensor: String,
    },
    /// A tensor's dimensions do not fit the configuration.
    #[error("expected {tensor} to be {expected:?}, found {found:?}; download or convert the model again")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The dimensions that the configuration asks for, the length of a row first.
        expected: Vec<u64>,
        /// The dimensions in the file.
        found: Vec<u64>,
    },
    /// A weight is not a number: the file is damaged.
    #[error(
        "expected finite weights in {tensor}, found others in row {row}: the file is damaged; download or convert the \
         model again"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The first row with such a weight, counted from 0.
        row: usize,
    },
    /// A norm is quantised.
    #[error("expected {tensor} in F32 or F16, found {found}; download or convert the model again")]
    NormType {
        /// The tensor.
        tensor: String,
        /// Its format.
        found: QuantType,
    },
}

/// Why a file's tokenizer, a text or a token was refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A key holds a value of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A required key is absent.
    #[error("expected the metadata key {key}, found none; convert the model again with a current converter")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// The tokenizer is of another kind.
    #[error("expected {key} to be {expected:?}, found {found:?}; use a file of a Qwen3 model")]
    Kind {
        /// The key.
        key: &'static str,
        /// The kind that Psionic reads.
        expected: &'static str,
        /// The kind in the file.
        found: String,
    },
    /// The vocabulary, the merges or the special ids do not fit together.
    #[error("expected {expected}, found {found}; download or convert the model again")]
    Inconsistent {
        /// What holds in a good file.
        expected: &'static str,
        /// What is in this one.
        found: String,
    },
    /// The tokenizer library gave up on a text.
    #[error(
        "expected a text that can be split into tokens, found one of {len} bytes that cannot; shorten it"
    )]
    Encode {
        /// The text's length.
        len: usize,
    },
}

/// Why no synthetic model was written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The size has no known shape.
    #[error("expected one of {expected} as the size, found {found:?}; choose one of them")]
    Size {
        /// The known sizes.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A number is outside what a model can have.
    #[error("expected {what} from {least} to {most}, found {found}; choose another number")]
    Range {
        /// The number's name.
        what: &'static str,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
        /// What was asked for.
        found: usize,
    },
    /// The file could not be written; nothing is left of it.
    #[error(
        "expected to write {bytes} bytes to {path}, found an error ({source}); check the folder and its free space"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The operating system's reason.
        source: std::io::Error,
    },
}
