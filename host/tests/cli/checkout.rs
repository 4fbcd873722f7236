//! A copy of the files of this project that the kernel lab looks at.

use crate::machine;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folders that a kernel has files in.
pub const FOLDERS: [&str; 3] = ["kernels-rs/src", "host/kernel/cases", "host/tests/kernels"];

/// A checkout as far as the lab itself looks.
pub fn checkout() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in FOLDERS {
        copy_folder(&machine::root().join(folder), &copy.path().join(folder));
    }
    copy
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// All files below a folder with their text.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
            }
        }
    }
    files
}
