//! Kernels inside the program that launches them.
use std::{
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use crate::{CudaBuilder, CudaBuilderError, NvvmArch, builder::write_if_changed, compiler};

/// Set to anything but nothing, it leaves the kernels out: the host's side builds faster.
const SKIP: &str = "PSIONIC_SKIP_PTX";

impl CudaBuilder {
    /// Compiles the crate for every architecture, and writes `program.rs` for `cuda_device::program!()` to a build
    /// script's `OUT_DIR`.
    ///
    /// Without a compiler for kernels there still is a program, which runs on the simulator and says of a GPU why it
    /// cannot be used and what to do.
    pub fn embed(self, archs: &[NvvmArch]) -> Result<(), CudaBuilderError> {
        println!("cargo::rerun-if-env-changed={SKIP}");
        let out_dir = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(CudaBuilderError::NoBuildScript)?;
        let (built, missing) = if env::var_os(SKIP).is_some_and(|value| !value.is_empty()) {
            let why = format!("{SKIP} was set when this program was built; build it again without");
            (Vec::new(), Some(why))
        } else {
            match self.each(archs, &out_dir) {
                Ok(built) => (built, None),
                Err(CudaBuilderError::NoCompiler(error)) => {
                    println!("cargo::warning=the GPU cannot be used: {error}, then build again");
                    (Vec::new(), Some(format!("{error}, then build this program again")))
                }
                Err(error) => return Err(error),
            }
        };
        let compiler = if built.is_empty() { None } else { compiler::find().ok() };
        let compiler = compiler.map(|compiler| compiler.to_string());
        let path = out_dir.join("program.rs");
        write_if_changed(&path, &source(&built, compiler.as_deref(), missing.as_deref()))
            .map_err(|source| CudaBuilderError::Io { path, source })
    }

    fn each(&self, archs: &[NvvmArch], out_dir: &Path) -> Result<Vec<(NvvmArch, PathBuf)>, CudaBuilderError> {
        let built = archs.iter().map(|&arch| {
            let path = out_dir.join(format!("kernels_{arch}.ptx"));
            Ok((arch, self.clone().arch(arch).copy_to(path).build()?))
        });
        built.collect()
    }
}

/// A `cuda_device::Program` as an expression.
fn source(built: &[(NvvmArch, PathBuf)], compiler: Option<&str>, missing: Option<&str>) -> String {
    let mut ptx = String::new();
    let mut sorted: Vec<_> = built.iter().map(|(arch, path)| (arch.capability_value(), path)).collect();
    sorted.sort();
    for (capability, path) in sorted {
        // Writing to a string does not fail.
        let _ = writeln!(ptx, "        ({capability}, include_str!({path:?})),");
    }
    format!(
        "::cuda_device::Program {{
    name: concat!(env!(\"CARGO_PKG_NAME\"), \" \", env!(\"CARGO_PKG_VERSION\")),
    ptx: &[\n{ptx}    ],
    compiler: {compiler:?},
    missing: {missing:?},
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_architecture_comes_first() {
        let built = [(NvvmArch::Compute90, "/o/b.ptx".into()), (NvvmArch::Compute80, "/o/a.ptx".into())];
        let text = source(&built, Some("rustc"), None);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in {text}"));
        assert!(at("(80, include_str!(\"/o/a.ptx\"))") < at("(90, include_str!(\"/o/b.ptx\"))"));
        assert!(text.contains("compiler: Some(\"rustc\"),\n    missing: None,"));
        assert!(source(&[], None, Some("no \"rustc\"")).contains("missing: Some(\"no \\\"rustc\\\"\")"));
    }
}
