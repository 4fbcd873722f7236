//! What can be refused or fail with a MedPsy model. Each message is one sentence.

use std::path::PathBuf;

use crate::decode::DecodeError;
use crate::gguf::GgufError;
use crate::model::{ModelError, TokenizerError};

use super::policy::POLICY_ID;
use super::size::ModelSize;

/// Why a MedPsy model was not admitted, or what was asked of it not done.
#[derive(Debug, thiserror::Error)]
pub enum MedPsyError {
    /// The artifact could not be read.
    #[error(transparent)]
    Artifact(#[from] GgufError),
    /// The artifact is of a kind that does not run natively.
    #[error("expected a GGUF file, which is what runs natively, found {found}; use a GGUF file of the model")]
    ArtifactKind {
        /// What was asked for.
        found: &'static str,
    },
    /// The artifact is not the one that was expected.
    #[error(
        "expected an artifact with the SHA-256 {expected}, found {got}; download it again, or give the digest of this one"
    )]
    DigestMismatch {
        /// The expected digest.
        expected: String,
        /// The file's.
        got: String,
    },
    /// An expected digest is no SHA-256.
    #[error(
        "expected `pinned` or the 64 hexadecimal digits of a SHA-256, found {found:?}; correct the digest"
    )]
    Digest {
        /// What was given.
        found: String,
    },
    /// The request cannot be carried out with any model.
    #[error("expected {expected}, found {found}; correct the request")]
    InvalidRequest {
        /// What is needed.
        expected: &'static str,
        /// What was asked for.
        found: String,
    },
    /// The file has not the shape of the size that was named.
    #[error(
        "expected a file with the shape of MedPsy {claimed}, found {found}; name the file's size or use another file"
    )]
    SizeMismatch {
        /// What was named.
        claimed: ModelSize,
        /// What the file is.
        found: String,
    },
    /// The file's metadata and its tensors disagree about its quantisation.
    #[error(
        "expected tensors of the tier {told} that the metadata names, found most weights in {found}; use an unmodified file"
    )]
    TierMismatch {
        /// What the metadata says.
        told: String,
        /// The format of most weights.
        found: String,
    },
    /// The file's quantisation is of no known tier.
    #[error(
        "expected a file of a known quantisation tier, found {found}; use a Q4_K_M or Q8_0 file of the model"
    )]
    UnknownTier {
        /// What the file has.
        found: String,
    },
    /// The medical policy blocks this quantisation.
    #[error(
        "the medical policy {POLICY_ID} blocks {tier} of the {size} model, found {reason}; use Q4_K_M or finer, or override it explicitly"
    )]
    TierBlocked {
        /// The size, or what the shape is.
        size: String,
        /// The tier.
        tier: &'static str,
        /// Which rule blocks it.
        reason: String,
    },
    /// The medical policy refuses the text.
    #[error(
        "the medical policy {POLICY_ID} refuses this text, which asks for what only qualified care can give ({phrase:?}); \
         turn to a qualified health professional, in an emergency to the local emergency number"
    )]
    Refused {
        /// The phrase that was found.
        phrase: &'static str,
    },
    /// A turn holds text that would count as the conversation's structure.
    #[error(
        "expected a turn without the tokens that divide a conversation, found {found:?}; take it out of the text"
    )]
    ControlText {
        /// The token.
        found: String,
    },
    /// A conversation cannot be made into a prompt.
    #[error(
        "expected a conversation that the chat template can render, found one that it cannot ({reason}); correct it"
    )]
    Template {
        /// The template's reason.
        reason: String,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its tokenizer cannot be loaded, or a text not be split.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Decoding failed.
    #[error(transparent)]
    Generation(#[from] DecodeError),
    /// A report could not be written.
    #[error("{path} could not be written ({source}); check the folder and its free space")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Equal requests gave different tokens.
    #[error(
        "expected every repeat to choose the same tokens, found run {run} different from run 0; report this as a bug"
    )]
    NotRepeatable {
        /// The first run that differs.
        run: usize,
    },
}
