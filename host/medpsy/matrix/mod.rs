//! The comparator matrix: rows for several runtimes on one machine, measured or imported, and the decision they imply.

mod agreement;
mod decision;
mod error;
mod import;
mod measure;
mod record;
mod requirements;

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::part_file::{Existing, PartFile};

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

    /// Writes it to the file that was begun for it.
    ///
    /// # Errors
    /// When it cannot be written, or another matrix has come to be there.
    pub fn retain(&self, file: MatrixFile) -> Result<(), MatrixError> {
        let MatrixFile { path, file } = file;
        let written = serde_json::to_string_pretty(self)
            .map_err(io::Error::from)
            .and_then(|text| file.finish_with(&(text + "\n")));
        written.map_err(|source| unwritable(path, source))
    }
}

/// Where a matrix goes: begun before anything is measured, so that no hours of measuring are lost to a folder that cannot
/// be written.
#[derive(Debug)]
pub struct MatrixFile {
    path: PathBuf,
    file: PartFile,
}

impl MatrixFile {
    /// Begins it, where there is none yet; folders are made.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, MatrixError> {
        let failed = |source| unwritable(path.to_owned(), source);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = PartFile::create(path, Existing::Refuse).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }
}

fn unwritable(path: PathBuf, source: io::Error) -> MatrixError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => MatrixError::Exists { path },
        _ => MatrixError::Io { path, source },
    }
}
