//! Kernels that are compiled to be compared: of a folder, or of a revision in git.

use std::path::Path;
use std::process::{Command, Stdio};

use cuda_builder::{CudaBuilder, NvvmArch};
use tempfile::TempDir;

use super::input::Text;
use crate::cli::failure::{Failure, Kind};

/// Compiles the kernel crate in a folder.
pub fn of_folder(folder: &Path, arch: NvvmArch) -> Result<Text, Failure> {
    compile(folder, arch, format!("{}, {arch}", folder.display()))
}

/// Compiles a crate of the repository that the command runs in, as it was in a revision.
pub fn of_revision(revision: &str, crate_path: &Path, arch: NvvmArch) -> Result<Text, Failure> {
    let commit = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")], None)
        .map_err(|_| {
            Failure::usage(format!(
                "expected a file of PTX, a folder with a kernel crate, built-in or a revision in git, found {revision:?}"
            ))
        })?;
    let folder = TempDir::new().map_err(|error| Failure::new(Kind::Failed, error))?;
    // An index of its own leaves that of the user as it is.
    let index = folder.path().join("index");
    let tree = folder.path().join("tree");
    let prefix = format!("--prefix={}/", tree.display());
    let failed =
        |said: String| Failure::new(Kind::Failed, format!("{revision} cannot be checked out: {said}"));
    git(&["read-tree", &commit], Some(&index)).map_err(failed)?;
    git(&["checkout-index", "--all", &prefix], Some(&index)).map_err(failed)?;
    let below = git(&["rev-parse", "--show-prefix"], None).unwrap_or_default();
    let short: String = commit.chars().take(12).collect();
    compile(&tree.join(below).join(crate_path), arch, format!("{revision} ({short}), {arch}"))
}

fn compile(folder: &Path, arch: NvvmArch, name: String) -> Result<Text, Failure> {
    let output = TempDir::new().map_err(|error| Failure::new(Kind::Failed, error))?;
    let built = CudaBuilder::new(folder).arch(arch).copy_to(output.path().join("kernels.ptx")).build();
    let path = built.map_err(|error| Failure::new(Kind::Failed, format!("{name}: {error}")))?;
    Ok(Text { name, ..Text::of_file(&path)? })
}

/// What git says, without the end of its line; or why it fails.
fn git(arguments: &[&str], index: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new("git");
    command.args(arguments).stdin(Stdio::null());
    if arguments.first() == Some(&"checkout-index") || arguments.first() == Some(&"read-tree") {
        // Paths are those of the whole tree.
        let top = git(&["rev-parse", "--show-toplevel"], None)?;
        command.current_dir(top);
    }
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let output = command.output().map_err(|error| format!("git cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
