//! Where compiled GPU code is kept between runs.

use std::env;
use std::path::Path;

use cuda_driver::cache::{CacheError, CodeCache};
use etcetera::BaseStrategy;
use serde::Serialize;

/// Names the folder, or switches the cache off.
const VARIABLE: &str = "PSIONIC_CACHE";

/// The word that switches it off.
const OFF: &str = "off";

/// Where loaded GPU code came from, and how long that took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Code {
    /// Whether it had been compiled before.
    pub source: CodeSource,
    /// Milliseconds until the driver had loaded it.
    pub ms: f64,
}

/// Where code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CodeSource {
    /// This program's cache.
    Cache,
    /// The driver, which compiled it, or had it in a cache of its own.
    Compiled,
}

/// Why compiled code is not kept. Nothing fails for that: it is compiled at every start.
#[derive(Debug, thiserror::Error)]
pub enum NoCodeCache {
    /// The environment says so.
    #[error("switched off by {VARIABLE}={OFF}")]
    Off,
    /// There is no usual place.
    #[error("no home folder was found to keep compiled GPU code in")]
    NoHome,
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] CacheError),
}

impl NoCodeCache {
    /// The folder that cannot be used.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Off | Self::NoHome => None,
            Self::Folder(error) => Some(error.folder()),
        }
    }
}

/// The cache of compiled GPU code: in the folder that the environment names, otherwise in this user's folder for
/// caches.
///
/// # Errors
/// When it is switched off, or there is no folder that can be used.
pub fn code_cache() -> Result<CodeCache, NoCodeCache> {
    let folder = match env::var_os(VARIABLE) {
        Some(value) if value == OFF => return Err(NoCodeCache::Off),
        Some(value) if !value.is_empty() => value.into(),
        _ => {
            let caches = etcetera::base_strategy::choose_native_strategy().map(|usual| usual.cache_dir());
            let caches = caches.ok().filter(|caches| caches.is_absolute());
            caches.ok_or(NoCodeCache::NoHome)?.join("psionic")
        }
    };
    Ok(CodeCache::open(folder)?)
}
