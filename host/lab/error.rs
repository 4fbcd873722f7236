//! Why the lab cannot do what it is asked for.

use std::io;
use std::path::{Path, PathBuf};

/// What keeps the lab from working on a checkout.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The folder is in no checkout.
    #[error(
        "expected a folder of a checkout of Psionic, found {}, which has no kernels-rs/src/lib.rs in it or above; \
         change to one first", .0.display()
    )]
    NoCheckout(PathBuf),
    /// The name is not one that a kernel can have.
    #[error("expected {expected}, found {found:?}; choose another name")]
    Name {
        /// What a name must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// There is such a file.
    #[error("expected a name that is not taken, found {name:?}, of which there is {} already", path.display())]
    Taken {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A source file is not as it was when the lab was built.
    #[error("expected {expected} in {}, found none; add the kernel by hand, as docs/architecture.md says", path.display())]
    Unexpected {
        /// What there should be.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// No source file declares the kernel.
    #[error(
        "expected the name of a kernel in kernels-rs/src, found {0:?}; `psionic kernel new {0}` makes one"
    )]
    UnknownKernel(String),
    /// The system cannot say when files are saved.
    #[error("saves cannot be watched ({0}); `--once` does a single round")]
    Watch(String),
    /// A program could not be started.
    #[error("{program} cannot be run: {source}")]
    Program {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be read or written, and nothing has changed.
    #[error("{} cannot be used ({source}); nothing was changed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A change failed, and what was done before could not be taken back.
    #[error("{cause}, except that {} could not be put back: compare it with its last version", paths(left))]
    HalfDone {
        /// Why it failed.
        cause: Box<LabError>,
        /// What could not be put back.
        left: Vec<PathBuf>,
    },
}

impl LabError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
