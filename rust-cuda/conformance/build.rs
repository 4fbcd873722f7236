//! Compiles the conformance kernels to PTX, which the tests carry inside them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use cuda_builder::{CudaBuilder, CudaBuilderError, NvvmArch};

/// The architectures that the intrinsics have forms for.
const TARGETS: [NvvmArch; 2] = [NvvmArch::Compute80, NvvmArch::Compute90];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo has to run this program")?);
    let (built, missing) = match compile(&out) {
        Ok(built) => (built, None),
        Err(CudaBuilderError::NoCompiler(error)) => (Vec::new(), Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut source =
        String::from("/// The kernels as PTX, by compute capability.\npub const PTX: &[(u32, &str)] = &[\n");
    for (arch, path) in built {
        writeln!(source, "    ({}, include_str!({path:?})),", arch.capability_value())?;
    }
    writeln!(source, "];\nconst PTX_MISSING: Option<&str> = {missing:?};")?;
    fs::write(out.join("ptx.rs"), source)?;
    Ok(())
}

fn compile(out: &std::path::Path) -> Result<Vec<(NvvmArch, PathBuf)>, CudaBuilderError> {
    let built = TARGETS.into_iter().map(|arch| {
        let path = out.join(format!("conformance_{arch}.ptx"));
        Ok((arch, CudaBuilder::new("kernels").arch(arch).copy_to(path).build()?))
    });
    built.collect()
}
