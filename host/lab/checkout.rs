//! A checkout of this project: its folder and the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::LabError;

/// The list of the kernels' modules, by which a checkout is known.
pub(super) const KERNELS_LIB: &str = "kernels-rs/src/lib.rs";

/// The sources of the kernels.
const SOURCES: &str = "kernels-rs/src";

/// The folder of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The one that `folder` is in.
    ///
    /// # Errors
    /// When it is in none.
    pub fn around(folder: &Path) -> Result<Self, LabError> {
        let root = folder.ancestors().find(|root| root.join(KERNELS_LIB).is_file());
        let root = root.ok_or_else(|| LabError::NoCheckout(folder.to_owned()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The crate of the kernels.
    pub fn kernel_crate(&self) -> PathBuf {
        self.root.join("kernels-rs")
    }

    /// The folder of the kernels' sources.
    pub fn sources(&self) -> PathBuf {
        self.root.join(SOURCES)
    }

    /// Refuses the name of a kernel that no source file declares.
    ///
    /// # Errors
    /// When none does, or one cannot be read.
    pub fn check_kernel(&self, kernel: &str) -> Result<(), LabError> {
        let mut folders = vec![self.sources()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(LabError::io(&folder))? {
                let path = entry.map_err(LabError::io(&folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).map_err(LabError::io(&path))?;
                    if declares(&text, kernel) {
                        return Ok(());
                    }
                }
            }
        }
        Err(LabError::UnknownKernel(kernel.to_owned()))
    }
}

/// Whether a source file has a kernel of this name.
fn declares(source: &str, kernel: &str) -> bool {
    let after = source.match_indices("\n#[kernel").map(|(at, _)| &source[at..]);
    let names = after.filter_map(|text| text.split_once(" fn ")?.1.split_once(['(', '<']));
    names.into_iter().any(|(name, _)| name == kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_found_from_anywhere_in_it_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("host/kernel");
        fs::create_dir_all(&inner).unwrap();
        assert!(matches!(Checkout::around(&inner), Err(LabError::NoCheckout(from)) if from == inner));
        fs::create_dir_all(folder.path().join(SOURCES)).unwrap();
        fs::write(folder.path().join(KERNELS_LIB), "pub mod a;\n").unwrap();
        let checkout = Checkout::around(&inner).unwrap();
        assert_eq!(checkout.root(), folder.path());
        fs::create_dir(checkout.sources().join("deep")).unwrap();
        fs::write(checkout.sources().join("deep/a.rs"), "//! A.\n\n#[kernel]\npub unsafe fn a() {}\n")
            .unwrap();
        assert!(checkout.check_kernel("a").is_ok());
        assert!(matches!(checkout.check_kernel("b"), Err(LabError::UnknownKernel(name)) if name == "b"));
    }

    #[test]
    fn a_kernel_is_declared_by_its_attribute() {
        let source = "\nfn helper() {}\n#[kernel(launch_bounds(256))]\npub unsafe fn scale(x: f32) {}\nfn after() {}\n";
        assert!(declares(source, "scale"));
        assert!(!declares(source, "helper") && !declares(source, "after") && !declares(source, "scal"));
    }
}
