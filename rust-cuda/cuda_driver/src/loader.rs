//! Finds the driver's library once, and its symbols one by one.

use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::Library;

/// Names a file to load instead of the system's driver; tests put a stand-in here.
const OVERRIDE: &str = "PSIONIC_LIBCUDA";

/// Where the driver is looked for, in order.
#[cfg(not(windows))]
const CANDIDATES: &[&str] = &["libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"];
#[cfg(windows)]
const CANDIDATES: &[&str] = &["nvcuda.dll"];

/// Why a call could not reach the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// There is no driver.
    Library,
    /// There is one, but it does not have this function.
    Symbol,
}

/// The driver's library, or the reason that each candidate was refused.
///
/// It is never unloaded: addresses into it are kept for the life of the process.
fn library() -> Result<&'static Library, &'static str> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(open).as_ref().map_err(String::as_str)
}

fn open() -> Result<Library, String> {
    let chosen = std::env::var_os(OVERRIDE);
    let candidates: Vec<_> = match &chosen {
        Some(path) => vec![path.as_os_str()],
        None => CANDIDATES.iter().map(AsRef::as_ref).collect(),
    };
    let mut refusals = Vec::new();
    for name in candidates {
        // SAFETY: loading a library runs its initialisers. The names stand for the NVIDIA driver, whose
        // initialisers may run at any time; whoever sets the override vouches for that file.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => refusals.push(reason(&name.to_string_lossy(), &error)),
        }
    }
    Err(refusals.join("; "))
}

/// The file's name and why it was refused: briefly where there is no such file, else in the dynamic linker's words.
fn reason(name: &str, error: &libloading::Error) -> String {
    use std::error::Error as _;
    let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    // Any other file that is missing is one that the driver needs, and is named by the words.
    if words.starts_with(name) && words.ends_with("No such file or directory") {
        format!("{name}: not found")
    } else if words.contains(name) {
        words
    } else {
        format!("{name}: {words}")
    }
}

/// What was tried and why it failed, where there is no driver.
pub(crate) fn failure() -> Option<&'static str> {
    library().err()
}

/// One function of the driver, looked up when it is first called.
///
/// A driver that lacks some newer function thus fails only the call that needs it.
pub(crate) struct Symbol {
    name: &'static str,
    address: AtomicPtr<c_void>,
}

impl Symbol {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The function's address, never null.
    pub(crate) fn resolve(&self) -> Result<*mut c_void, Unavailable> {
        let known = self.address.load(Ordering::Acquire);
        if known.is_null() { self.look_up() } else { Ok(known) }
    }

    #[cold]
    fn look_up(&self) -> Result<*mut c_void, Unavailable> {
        let library = library().map_err(|_| Unavailable::Library)?;
        // SAFETY: the symbol is read as an untyped address; whoever calls through it gives it its type.
        let found = unsafe { library.get::<*mut c_void>(self.name.as_bytes()) };
        let address = *found.map_err(|_| Unavailable::Symbol)?;
        if address.is_null() {
            return Err(Unavailable::Symbol);
        }
        self.address.store(address, Ordering::Release);
        Ok(address)
    }
}
