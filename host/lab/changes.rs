//! Changes to several files that are made all or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::LabError;

/// Files to be made and files to be rewritten.
#[derive(Debug, Default)]
pub struct Changes {
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    path: PathBuf,
    text: String,
    /// What is there now; `None` of a file that is to be made.
    before: Option<String>,
}

impl Changes {
    /// A file to be made.
    pub fn create(&mut self, path: PathBuf, text: String) {
        self.changes.push(Change { path, text, before: None });
    }

    /// A file to be rewritten, which must still be what it was.
    pub fn rewrite(&mut self, path: PathBuf, before: String, text: String) {
        self.changes.push(Change { path, text, before: Some(before) });
    }

    /// The files to be made.
    pub fn created(&self) -> impl Iterator<Item = &Path> {
        self.changes.iter().filter(|change| change.before.is_none()).map(|change| change.path.as_path())
    }

    /// The files to be rewritten.
    pub fn rewritten(&self) -> impl Iterator<Item = &Path> {
        self.changes.iter().filter(|change| change.before.is_some()).map(|change| change.path.as_path())
    }

    /// Makes all changes. Everything is on the disk before the first file changes its name, and what was done before a
    /// failure is taken back.
    ///
    /// # Errors
    /// What failed. Nothing is changed then, except as [`LabError::HalfDone`] says.
    pub fn apply(&self) -> Result<(), LabError> {
        let staged = self.changes.iter().map(Change::stage).collect::<Result<Vec<_>, _>>()?;
        for (done, (change, staged)) in self.changes.iter().zip(staged).enumerate() {
            let Err(cause) = change.put(staged) else { continue };
            let undone = self.changes[..done].iter().rev().map(|change| (change, change.undo()));
            let left: Vec<PathBuf> =
                undone.filter(|(_, result)| result.is_err()).map(|(change, _)| change.path.clone()).collect();
            let half_done = !left.is_empty();
            return Err(if half_done { LabError::HalfDone { cause: cause.into(), left } } else { cause });
        }
        Ok(())
    }
}

impl Change {
    /// Writes the text beside where it goes.
    fn stage(&self) -> Result<NamedTempFile, LabError> {
        temporary(&self.path, &self.text).map_err(LabError::io(&self.path))
    }

    /// Gives the staged file its name.
    fn put(&self, staged: NamedTempFile) -> Result<(), LabError> {
        let persisted = match &self.before {
            None => staged.persist_noclobber(&self.path),
            Some(before) => {
                let now = fs::read_to_string(&self.path).map_err(LabError::io(&self.path))?;
                if now != *before {
                    let changed = std::io::Error::other("it was changed meanwhile");
                    return Err(LabError::io(&self.path)(changed));
                }
                staged.persist(&self.path)
            }
        };
        persisted.map(drop).map_err(|error| LabError::io(&self.path)(error.error))
    }

    fn undo(&self) -> std::io::Result<()> {
        match &self.before {
            None => fs::remove_file(&self.path),
            Some(before) => temporary(&self.path, before)?.persist(&self.path).map(drop).map_err(Into::into),
        }
    }
}

/// A file beside `path` with this text, and with the permissions that `path` has, or its folder's other files.
fn temporary(path: &Path, text: &str) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let neighbours = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let like = std::iter::once(path.to_owned())
        .chain(neighbours)
        .find(|other| other != file.path() && other.extension() == path.extension() && other.is_file());
    if let Some(like) = like {
        file.as_file().set_permissions(fs::metadata(like)?.permissions())?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a folder with their text.
    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| {
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    /// A folder with `old`, and changes that make `new` and rewrite `old`.
    fn changes() -> (tempfile::TempDir, Changes) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "1").unwrap();
        let mut changes = Changes::default();
        changes.create(folder.path().join("new"), "3".into());
        changes.rewrite(folder.path().join("old"), "1".into(), "2".into());
        (folder, changes)
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn all_changes_are_made() {
        let (folder, changes) = changes();
        changes.apply().unwrap();
        assert_eq!(files(folder.path()), named(&[("new", "3"), ("old", "2")]));
        assert_eq!((changes.created().count(), changes.rewritten().count()), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_files_around() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, changes) = changes();
        fs::set_permissions(folder.path().join("old"), fs::Permissions::from_mode(0o664)).unwrap();
        changes.apply().unwrap();
        for name in ["old", "new"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o664, "{name}");
        }
    }

    #[test]
    fn a_change_that_cannot_be_staged_changes_nothing() {
        let (folder, mut changes) = changes();
        changes.create(folder.path().join("absent/file"), String::new());
        assert!(matches!(changes.apply(), Err(LabError::Io { path, .. }) if path.ends_with("absent/file")));
        assert_eq!(files(folder.path()), named(&[("old", "1")]));
    }

    #[test]
    fn a_change_that_fails_takes_back_those_before() {
        let (folder, mut changes) = changes();
        // Something came to be there meanwhile.
        fs::create_dir(folder.path().join("last")).unwrap();
        changes.create(folder.path().join("last"), String::new());
        assert!(matches!(changes.apply(), Err(LabError::Io { path, .. }) if path.ends_with("last")));
        assert_eq!(files(folder.path()), named(&[("old", "1")]));
    }

    #[test]
    fn a_file_that_was_changed_meanwhile_is_left_alone() {
        let (folder, changes) = changes();
        fs::write(folder.path().join("old"), "mine").unwrap();
        assert!(changes.apply().unwrap_err().to_string().contains("changed meanwhile"));
        assert_eq!(files(folder.path()), named(&[("old", "mine")]));
    }
}
