//! Programs of NVIDIA's toolkit, which nothing needs to run.

use std::env;
use std::path::{Path, PathBuf};

/// A program on the path, or where NVIDIA's installer puts it.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.push(Path::new("/usr/local/cuda/bin").to_owned());
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    folders.into_iter().map(|folder| folder.join(&file)).find(|path| path.is_file())
}
