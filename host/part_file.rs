//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// The parts that are there now.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn parts() -> MutexGuard<'static, Vec<PathBuf>> {
    // A list of paths is whole after a panic too.
    PARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the part of every file that is not finished: for a program that is about to be ended from outside, where
/// nothing is dropped.
pub fn discard_all() {
    for part in parts().iter() {
        // Whatever fails here, nobody is left to be told.
        let _ = fs::remove_file(part);
    }
}

/// What to do about a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// The new one takes its place. What is no file, such as a pipe or a terminal, is written to.
    Replace,
}

/// A file that is written beside its place and moved there by [`finish`](Self::finish). Dropped before, nothing is left of
/// it.
#[derive(Debug)]
pub struct PartFile {
    place: PathBuf,
    existing: Existing,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Part(NamedTempFile),
    /// What has no place of its own to be replaced.
    Stream(File),
}

impl PartFile {
    /// Begins a file. A link that is replaced stays, with what it points to replaced.
    ///
    /// # Errors
    /// That of the operating system; `AlreadyExists` for a file that is not to be replaced, `IsADirectory` for a folder.
    pub fn create(path: &Path, existing: Existing) -> io::Result<Self> {
        let there = path.symlink_metadata().is_ok();
        if there && existing == Existing::Refuse {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // A link to nothing has no other name, and is replaced itself.
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let target = match place.metadata() {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Target::Stream(OpenOptions::new().write(true).open(&place)?),
            _ => Target::Part(part_beside(&place)?),
        };
        Ok(Self { place, existing, target })
    }

    /// Gives the file its place.
    ///
    /// # Errors
    /// That of the operating system; `AlreadyExists` where another came to be there meanwhile and is not to be replaced.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        let Self { place, existing, target } = self;
        let Target::Part(part) = target else { return Ok(()) };
        // Held all the while, so that nobody discards a part between its old name and its new one.
        let mut parts = parts();
        let name = part.path().to_owned();
        let moved = match existing {
            Existing::Refuse => part.persist_noclobber(place),
            Existing::Replace => part.persist(place),
        };
        parts.retain(|part| *part != name);
        moved.map(drop).map_err(|error| error.error)
    }

    /// Writes all of the file at once, and gives it its place.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(mut self, content: &str) -> io::Result<()> {
        self.write_all(content.as_bytes())?;
        self.finish()
    }

    /// The file as it is written.
    pub fn file(&mut self) -> &mut File {
        match &mut self.target {
            Target::Part(part) => part.as_file_mut(),
            Target::Stream(file) => file,
        }
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Seek for PartFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file().seek(position)
    }
}

/// A new part, on the list.
fn part_beside(place: &Path) -> io::Result<NamedTempFile> {
    let folder = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Asked first: that there is no such folder is the commonest mistake.
    fs::metadata(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".psionic-").suffix(".part");
    #[cfg(unix)]
    {
        // A temporary file is its owner's alone; this one becomes an ordinary file, as the user's mask allows.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut parts = parts();
    // Parts that were dropped are gone from the disk, and need no name here either.
    parts.retain(|part| part.exists());
    let part = builder.tempfile_in(folder).map_err(without_name)?;
    parts.push(part.path().to_owned());
    Ok(part)
}

/// Where the kind says it all, the error without the part's name, which says nothing to anybody.
fn without_name(error: io::Error) -> io::Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        kind @ (PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull) => kind.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_finished_and_leaves_nothing_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let mut file = PartFile::create(&path, Existing::Refuse).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
        let mut file = PartFile::create(&path, Existing::Refuse).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["result".into()], b"whole".to_vec())
        );
    }

    #[test]
    fn another_file_is_kept_or_replaced_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let file = PartFile::create(&path, Existing::Refuse).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let refused = PartFile::create(&path, Existing::Refuse).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["result".into()], b"mine".to_vec())
        );
        let mut file = PartFile::create(&path, Existing::Replace).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        file.finish().unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["result".into()], b"new".to_vec())
        );
    }

    #[test]
    fn a_folder_is_refused_and_an_absent_one_is_told_without_the_parts_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| PartFile::create(path, Existing::Replace).unwrap_err();
        assert_eq!(refused(folder.path()).kind(), io::ErrorKind::IsADirectory);
        let absent = refused(&folder.path().join("none/result"));
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        assert!(!absent.to_string().contains("psionic"), "{absent}");
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "at path .psionic-x.part");
        assert_eq!(without_name(denied).to_string(), "permission denied");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_a_pipe_is_written_to() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("result"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = PartFile::create(&link, Existing::Replace).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A pipe stands for the machine's devices, which no test may bring into danger.
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        let mut file = PartFile::create(&pipe, Existing::Replace).unwrap();
        file.write_all(b"through").unwrap();
        file.finish().unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());
    }

    #[test]
    fn parts_can_be_discarded_from_outside() {
        let folder = tempfile::tempdir().unwrap();
        let file = PartFile::create(&folder.path().join("result"), Existing::Refuse).unwrap();
        let Target::Part(part) = &file.target else { panic!("an ordinary file") };
        assert!(parts().contains(&part.path().to_owned()));
        file.finish().unwrap();
        assert!(!parts().iter().any(|part| part.starts_with(folder.path())));
    }
}
