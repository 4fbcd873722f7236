//! A new kernel project: everything needed to write, test and run kernels.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::keywords::is_keyword;

/// The files of a project, and where they go.
const FILES: [(&str, &str); 12] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("README.md", include_str!("template/README.md.in")),
    ("build.rs", include_str!("template/build.rs")),
    ("rustfmt.toml", include_str!("template/rustfmt.toml")),
    (".gitignore", include_str!("template/gitignore")),
    (".cargo/config.toml", include_str!("template/cargo/config.toml")),
    (".github/workflows/ci.yml", include_str!("template/github/ci.yml")),
    ("kernels/Cargo.toml", include_str!("template/kernels/Cargo.toml.in")),
    ("kernels/src/lib.rs", include_str!("template/kernels/src/lib.rs")),
    ("src/lib.rs", include_str!("template/src/lib.rs")),
    ("src/main.rs", include_str!("template/src/main.rs")),
    ("tests/kernels.rs", include_str!("template/tests/kernels.rs")),
];

/// A file that a checkout of Psionic has, and that a project depends on.
const WITNESS: &str = "rust-cuda/cuda_device/Cargo.toml";

/// The names that a project cannot have: those of its other crates, and of the crates that it uses.
const TAKEN: [&str; 9] =
    ["kernels", "host", "cuda_std", "cuda_device", "cuda_builder", "core", "alloc", "std", "test"];

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is something already.
    #[error("{} is already there; choose another name", .0.display())]
    Exists(PathBuf),
    /// Cargo would not take the name.
    #[error(
        "a project's name is letters, digits, `-` and `_`, begins with a letter, and is neither a word of Rust nor the name of another \
         crate in it; `{0}` is not"
    )]
    Name(String),
    /// The named folder is no checkout of Psionic.
    #[error("{} was expected to be a checkout of Psionic, and has no {WITNESS}; name one with `--psionic`", .0.display())]
    NoPsionic(PathBuf),
    /// The folder's name cannot stand in a manifest.
    #[error("the path of Psionic cannot be written into a Cargo.toml, because it has a quote or is not Unicode: {}", .0.display())]
    Path(PathBuf),
    /// A file cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Makes a project in a new folder, whose name it takes. `psionic` is a checkout of Psionic, whose crates the project uses;
/// without it that which this program was built from.
///
/// The folder appears when all is written, so a failure leaves nothing.
///
/// # Errors
/// When there is such a folder, the name cannot be used, there is no checkout, or a file cannot be written.
pub fn create(folder: &Path, psionic: Option<&Path>) -> Result<(), ProjectError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if !is_name(&name) {
        return Err(ProjectError::Name(name.into_owned()));
    }
    if folder.symlink_metadata().is_ok() {
        return Err(ProjectError::Exists(folder.to_owned()));
    }
    let psionic = checkout(psionic.unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR"))))?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ProjectError::Io { path, source }
    };
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let draft = tempfile::Builder::new().prefix(".psionic-new").tempdir_in(parent).map_err(io(parent))?;
    for (file, text) in FILES {
        let path = draft.path().join(file);
        let text = text.replace("{{name}}", &name).replace("{{psionic}}", &psionic);
        fs::create_dir_all(path.parent().unwrap_or(parent)).map_err(io(&path))?;
        fs::write(&path, text).map_err(io(&path))?;
    }
    // The versions that Psionic itself is tested with. Cargo removes those that are not used.
    let lock = Path::new(&psionic).join("Cargo.lock");
    if lock.is_file() {
        fs::copy(&lock, draft.path().join("Cargo.lock")).map_err(io(&lock))?;
    }
    readable(draft.path()).map_err(io(draft.path()))?;
    fs::rename(draft.path(), folder).map_err(io(folder))?;
    // It is there no longer, under this name.
    let _ = draft.keep();
    Ok(())
}

/// Lets others read the folder, as any that was made in the ordinary way: a temporary one is private.
fn readable(folder: &Path) -> io::Result<()> {
    let ordinary = folder.join("src").metadata()?.permissions();
    fs::set_permissions(folder, ordinary)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && !is_keyword(name)
        && !TAKEN.contains(&name.replace('-', "_").as_str())
}

/// The whole path of a checkout, as text for a manifest.
fn checkout(folder: &Path) -> Result<String, ProjectError> {
    if !folder.join(WITNESS).is_file() {
        return Err(ProjectError::NoPsionic(folder.to_owned()));
    }
    let whole =
        folder.canonicalize().map_err(|source| ProjectError::Io { path: folder.to_owned(), source })?;
    match whole.to_str() {
        Some(text) if !text.contains(['\'', '\n']) => Ok(text.to_owned()),
        _ => Err(ProjectError::Path(whole)),
    }
}
