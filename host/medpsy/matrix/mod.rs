//! The comparator matrix: rows for several runtimes on one machine, measured or imported, and the decision they imply.

mod agreement;
mod decision;
mod error;
mod import;
mod measure;
mod record;
mod requirements;

use std::fs;
use std::path::{Path, PathBuf};

pub use agreement::judge;
pub use decision::{Compared, Decision, Parity, decide};
pub use error::MatrixError;
pub use import::{llama_bench, ollama};
pub(super) use measure::means;
pub use measure::{MatrixRequest, measure};
pub use record::{
    Agreement, Artifact, Basis, DivergenceAt, LogitsAgreement, MATRIX_SCHEMA, Matrix, Method, PromptContract,
    Row, Scenario, Status, Strength,
};
pub use requirements::{REQUIREMENTS, Requirement, missing};

impl Matrix {
    /// The file that a matrix of this day and host is retained in.
    pub fn path(folder: &Path, date: &str, host: &str) -> PathBuf {
        let day: String = date.chars().take_while(|c| *c != 'T').filter(char::is_ascii_digit).collect();
        folder.join(format!("medpsy_comparator_matrix_{day}_{host}.json"))
    }

    /// Writes it, where there is none yet; folders are made.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn retain(&self, path: &Path) -> Result<(), MatrixError> {
        let failed = |source| MatrixError::Io { path: path.to_owned(), source };
        if path.exists() {
            return Err(MatrixError::Exists { path: path.to_owned() });
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        fs::write(path, text + "\n").map_err(failed)
    }
}
