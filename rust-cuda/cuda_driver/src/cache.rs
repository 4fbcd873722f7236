//! A folder of machine code, so that PTX is compiled once for a GPU and a driver, and not at every start.
//!
//! An entry is a file whose name is the hash of everything that decides its code. It is used only if it is, to the
//! byte, what was written for that hash; any other file of its name (cut short, changed, of an older form) counts as
//! missing and is replaced. Files are written aside and renamed, so that any number of processes may share a folder.
//! The folder must be one that only this user can write to, since what is in it runs on the GPU.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::cubin::Cubin;
use crate::error::{DriverError, DriverVersion};
use crate::module::Module;

/// Entries that are kept; beyond them the least recently used go.
pub const MOST_ENTRIES: usize = 16;

/// More than any kernels compile to: a longer file is not read.
const MOST_BYTES: u64 = 256 << 20;

/// After this long nobody is still writing a file aside.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// What files written aside begin and end with.
const ASIDE: (&str, &str) = (".cubin-", ".part");

/// Everything that decides machine code.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// What is compiled.
    pub ptx: &'a str,
    /// The driver that compiles it.
    pub driver: DriverVersion,
    /// The GPU's name.
    pub device: &'a str,
    /// The GPU's compute capability, as in 90.
    pub capability: u32,
    /// The program and its version.
    pub program: &'a str,
}

/// Where loaded code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the folder.
    Cache,
    /// From the driver's compiler.
    Compiled,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a folder cannot hold code.
#[derive(Debug, Error)]
pub enum CacheError {
    /// It is not there and cannot be made, or cannot be looked at.
    #[error("compiled GPU code cannot be kept in {}: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its code could be anybody's.
    #[error(
        "compiled GPU code is not kept in {}, which is another user's or can be written by others: expected a folder \
         that only this user can write to",
        folder.display()
    )]
    Shared {
        /// The folder.
        folder: PathBuf,
    },
}

impl CacheError {
    /// The folder.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Io { folder, .. } | Self::Shared { folder } => folder,
        }
    }
}

/// A folder of machine code.
#[derive(Clone, Debug)]
pub struct CodeCache {
    folder: PathBuf,
}

impl CodeCache {
    /// The cache in `folder`, which is made, for this user alone, if it is not there.
    ///
    /// # Errors
    /// When there is no such folder and none can be made, or others can write to it. One that this user can only read
    /// is no error: what is in it is used.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let folder = folder.into();
        let metadata = match make(&folder).and_then(|()| fs::metadata(&folder)) {
            Ok(metadata) => metadata,
            Err(source) => return Err(CacheError::Io { folder, source }),
        };
        if belongs_to_others(&metadata) { Err(CacheError::Shared { folder }) } else { Ok(Self { folder }) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether files can be added, which is tried.
    pub fn is_writable(&self) -> bool {
        self.aside().is_ok()
    }

    /// What it holds.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn usage(&self) -> io::Result<Usage> {
        let entries = self.entries()?;
        Ok(Usage { entries: entries.len(), bytes: entries.iter().map(|entry| entry.bytes).sum() })
    }

    /// Loads the code of `origin` into the current context, for whose GPU and driver it must be: from the folder if it
    /// is there and the driver takes it, otherwise compiled, and kept.
    ///
    /// # Errors
    /// When the driver cannot compile or load it. That it cannot be kept is no error: it is compiled again next time.
    pub fn load(&self, origin: &Origin<'_>) -> Result<(Module, Source), DriverError> {
        let key = Key::of(origin);
        if let Some(cubin) = self.find(&key)
            && let Ok(module) = cubin.load()
        {
            return Ok((module, Source::Cache));
        }
        let cubin = Cubin::compile(origin.ptx)?;
        let module = cubin.load()?;
        let _ = self.keep(&key, cubin.as_bytes());
        Ok((module, Source::Compiled))
    }

    /// The entry, if there is one and it is whole; marked as used now.
    fn find(&self, key: &Key) -> Option<Cubin> {
        let file = File::open(self.path(key)).ok()?;
        let mut bytes = Vec::new();
        (&file).take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let code = key.open(&bytes)?.to_vec();
        // Where this is not allowed, entries go in the order in which they were made.
        let _ = file.set_modified(SystemTime::now());
        // SAFETY: the checksum says that these are all the bytes that were sealed, which is done with cubins only, and
        // nobody but this user can have written the file.
        Some(unsafe { Cubin::from_bytes(code) })
    }

    /// Adds or replaces an entry, and removes those beyond the limit.
    fn keep(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        let mut file = self.aside()?;
        file.write_all(&key.seal(code))?;
        file.write_all(code)?;
        file.as_file().set_modified(SystemTime::now())?;
        file.persist(self.path(key))?;
        self.prune()
    }

    /// A new file under a name of its own, removed unless it is renamed.
    fn aside(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(ASIDE.0).suffix(ASIDE.1).tempfile_in(&self.folder)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file_name())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let of_name = |name: &str| Key::is_file_name(name);
        Ok(files(&self.folder)?.filter(|entry| entry.name().is_some_and(of_name)).collect())
    }

    /// Removes the least recently used entries, and what a killed process left. Another process may be faster: what is
    /// gone already is no error.
    fn prune(&self) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let aside = |name: &str| name.starts_with(ASIDE.0) && name.ends_with(ASIDE.1);
        let left = files(&self.folder)?
            .filter(|entry| entry.name().is_some_and(aside))
            .filter(|entry| entry.used.elapsed().is_ok_and(|age| age > ABANDONED));
        for entry in entries.into_iter().skip(MOST_ENTRIES).chain(left) {
            let _ = fs::remove_file(entry.path);
        }
        Ok(())
    }
}

/// A file in the folder.
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Entry {
    fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }
}

/// The plain files of a folder; those that vanish meanwhile are left out.
fn files(folder: &Path) -> io::Result<impl Iterator<Item = Entry>> {
    Ok(fs::read_dir(folder)?.flatten().filter_map(|file| {
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Entry { path: file.path(), bytes: metadata.len(), used: metadata.modified().ok()? })
    }))
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether someone who is neither this user nor the administrator may have put files there.
#[cfg(unix)]
fn belongs_to_others(folder: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
    let owner = folder.uid();
    folder.mode() & GROUP_OR_OTHERS_WRITE != 0
        || !(owner == 0 || owner == rustix::process::geteuid().as_raw())
}

/// A user's folder for caches is the user's own where there are no such modes.
#[cfg(not(unix))]
fn belongs_to_others(_: &fs::Metadata) -> bool {
    false
}

/// The hash of an [`Origin`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key([u8; HASH]);

const HASH: usize = 32;

/// What an entry begins with; the last byte is the form's version.
const MAGIC: [u8; 8] = *b"cubin\r\n\x01";

/// An entry's head: magic, key, length and hash of the code, which follows.
const HEAD: usize = MAGIC.len() + HASH + size_of::<u64>() + HASH;

impl Key {
    fn of(origin: &Origin<'_>) -> Self {
        let Origin { ptx, driver, device, capability, program } = origin;
        let mut hash = Sha256::new();
        for number in [driver.major, driver.minor, *capability] {
            hash.update(number.to_le_bytes());
        }
        for text in [program, device, ptx] {
            // With its length, so that no text can pass for parts of two.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }

    fn file_name(&self) -> String {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        hex + ".cubin"
    }

    /// Whether a file has a name that [`file_name`](Self::file_name) gives: others are not ours to remove.
    fn is_file_name(name: &str) -> bool {
        name.strip_suffix(".cubin").is_some_and(|hex| {
            hex.len() == 2 * HASH && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    /// The head of an entry with this code.
    fn seal(&self, code: &[u8]) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let mut rest = &mut head[..];
        for part in [&MAGIC[..], &self.0, &(code.len() as u64).to_le_bytes(), &Sha256::digest(code)] {
            let (to, after) = rest.split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = after;
        }
        head
    }

    /// The code of an entry, if it is this key's, whole and unchanged.
    fn open<'a>(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        let (head, code) = entry.split_at_checked(HEAD)?;
        (head == self.seal(code)).then_some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin {
        ptx: "some text",
        driver: DriverVersion::CUDA_12_0,
        device: "A GPU",
        capability: 90,
        program: "a program 1.0",
    };

    fn cache() -> (tempfile::TempDir, CodeCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(folder.path().join("a/b")).unwrap();
        (folder, cache)
    }

    fn key(ptx: &str) -> Key {
        Key::of(&Origin { ptx, ..ORIGIN })
    }

    #[test]
    fn everything_that_decides_the_code_is_in_the_key() {
        let others = [
            Origin { ptx: "other text", ..ORIGIN },
            Origin { driver: DriverVersion::new(12, 1), ..ORIGIN },
            Origin { driver: DriverVersion::new(13, 0), ..ORIGIN },
            Origin { device: "Another GPU", ..ORIGIN },
            Origin { capability: 80, ..ORIGIN },
            Origin { program: "a program 1.1", ..ORIGIN },
            // The same letters, cut elsewhere.
            Origin { program: "a program 1.0A", device: " GPU", ..ORIGIN },
        ];
        let keys: Vec<String> = [ORIGIN].iter().chain(&others).map(|o| Key::of(o).file_name()).collect();
        for (i, key) in keys.iter().enumerate() {
            assert!(Key::is_file_name(key), "{key}");
            assert!(!keys[..i].contains(key), "{:?}", others[i - 1]);
        }
        assert_eq!(keys[0], Key::of(&ORIGIN).file_name());
    }

    #[test]
    fn only_the_bytes_that_were_written_are_an_entry() {
        let (key, other, code) = (key("a"), key("b"), b"code\0with zeros\0".as_slice());
        let entry = [&key.seal(code), code].concat();
        assert_eq!(key.open(&entry), Some(code));
        assert_eq!(other.open(&entry), None, "another key's");
        for len in 0..entry.len() {
            assert_eq!(key.open(&entry[..len]), None, "{len} bytes");
        }
        for at in 0..entry.len() {
            let mut changed = entry.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&changed), None, "byte {at}");
        }
        assert_eq!(key.open(&[&entry[..], b"\0"].concat()), None, "longer");
    }

    #[test]
    fn an_entry_is_found_again_and_replaced() {
        let (_folder, cache) = cache();
        let found = |ptx| cache.find(&key(ptx)).map(|cubin| cubin.as_bytes().to_vec());
        assert_eq!(found("a"), None);
        cache.keep(&key("a"), b"first").unwrap();
        cache.keep(&key("a"), b"second").unwrap();
        assert_eq!((found("a"), found("b")), (Some(b"second".to_vec()), None));
        assert_eq!(cache.usage().unwrap(), Usage { entries: 1, bytes: (HEAD + 6) as u64 });
        fs::rename(cache.path(&key("a")), cache.path(&key("b"))).unwrap();
        assert_eq!(found("b"), None, "another entry under this one's name");
        fs::remove_file(cache.path(&key("b"))).unwrap();
        fs::create_dir(cache.path(&key("b"))).unwrap();
        assert_eq!(found("b"), None, "a folder");
        assert_eq!(cache.usage().unwrap(), Usage::default());
    }

    #[test]
    fn the_least_recently_used_go_and_what_is_not_ours_stays() {
        let (_folder, cache) = cache();
        let own = cache.folder().join("mine.cubin");
        fs::write(&own, "not an entry").unwrap();
        let left = cache.folder().join(".cubin-left.part");
        let old = SystemTime::now() - 2 * ABANDONED;
        File::create(&left).unwrap().set_modified(old).unwrap();
        let being_written = cache.aside().unwrap();
        let names: Vec<String> = (0..MOST_ENTRIES + 3).map(|i| i.to_string()).collect();
        for name in &names {
            cache.keep(&key(name), name.as_bytes()).unwrap();
            assert!(cache.find(&key("0")).is_some(), "used all the time");
        }
        assert_eq!(cache.usage().unwrap().entries, MOST_ENTRIES);
        let kept = |name: &String| cache.path(&key(name)).exists();
        assert_eq!(names.iter().map(kept).collect::<Vec<_>>(), {
            let mut expected = vec![true; MOST_ENTRIES + 3];
            expected[1..4].fill(false);
            expected
        });
        assert!(own.exists() && being_written.path().exists() && !left.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_this_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (outer, cache) = cache();
        for folder in [cache.folder(), &outer.path().join("a")] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        cache.keep(&key("a"), b"code").unwrap();
        assert_eq!(fs::metadata(cache.path(&key("a"))).unwrap().permissions().mode() & 0o777, 0o600);
        for (mode, shared) in [(0o755, false), (0o775, true), (0o702, true), (0o1777, true)] {
            fs::set_permissions(cache.folder(), fs::Permissions::from_mode(mode)).unwrap();
            let opened = CodeCache::open(cache.folder());
            assert_eq!(matches!(opened, Err(CacheError::Shared { .. })), shared, "{mode:o}: {opened:?}");
        }
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = NamedTempFile::new().unwrap();
        for folder in [file.path().to_owned(), file.path().join("below")] {
            let error = CodeCache::open(&folder).unwrap_err();
            assert!(matches!(&error, CacheError::Io { .. }), "{error}");
            assert_eq!(error.folder(), folder);
        }
    }
}
