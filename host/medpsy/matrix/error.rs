//! Why there is no matrix. A row that fails is no reason: the matrix says so.

use std::path::PathBuf;

use crate::medpsy::MedPsyError;

/// Why no matrix was made, or a run not imported.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// The model was refused.
    #[error(transparent)]
    Model(#[from] MedPsyError),
    /// A program or the GPU's check failed before any row.
    #[error(transparent)]
    Program(#[from] psionic_peer::Failure),
    /// An import is not what it should be.
    #[error("expected {path} to hold {expected}, found {found}; correct the file")]
    Import {
        /// The file.
        path: PathBuf,
        /// What is needed.
        expected: &'static str,
        /// What there is.
        found: String,
    },
    /// A file could not be read or written.
    #[error("{path} could not be used ({source}); check the path and the folder")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A matrix is retained, never replaced.
    #[error(
        "expected no {path}, found one; a retained matrix is not replaced, choose another folder or host"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
}
