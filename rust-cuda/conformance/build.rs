//! Compiles the conformance kernels to PTX, which the tests carry inside them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use cuda_builder::{CudaBuilder, CudaBuilderError, NvvmArch};

/// Bulk copies need PTX 8.0, loads that leave L1 alone 7.4.
const TARGETS: [(NvvmArch, u32); 2] = [(NvvmArch::Compute80, 74), (NvvmArch::Compute90, 80)];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo has to run this program")?);
    let (built, missing) = match compile(&out) {
        Ok(built) => (built, None),
        Err(CudaBuilderError::NoCompiler(error)) => (Vec::new(), Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut source = String::from("const PTX: &[(u32, &str)] = &[\n");
    for (arch, path) in built {
        writeln!(source, "    ({}, include_str!({path:?})),", arch.capability_value())?;
    }
    writeln!(source, "];\nconst PTX_MISSING: Option<&str> = {missing:?};")?;
    fs::write(out.join("ptx.rs"), source)?;
    Ok(())
}

fn compile(out: &std::path::Path) -> Result<Vec<(NvvmArch, PathBuf)>, CudaBuilderError> {
    let built = TARGETS.into_iter().map(|(arch, version)| {
        let path = out.join(format!("conformance_{arch}.ptx"));
        let builder = CudaBuilder::new("kernels").arch(arch).ptx_version(version).copy_to(path);
        Ok((arch, builder.build()?))
    });
    built.collect()
}
