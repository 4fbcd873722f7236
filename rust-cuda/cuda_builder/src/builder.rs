//! What a build script uses.
use std::{
    collections::BTreeSet,
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    BarrierError, NoCompiler, NvvmArch, PtxError, barriers,
    cargo::{Compilation, Failure, lock_file},
    compiler::{self, Compiler},
    ptx, runtime, version,
};

/// Why there is no PTX.
///
/// `{:?}` is the sentence too: it is what a build script whose `main` returns the error shows, or one that unwraps it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CudaBuilderError {
    /// There is no crate where one should be.
    #[error("there is no kernel crate at {}: a folder with a Cargo.toml was expected", .0.display())]
    CratePathDoesntExist(PathBuf),
    /// Kernels can be embedded only while cargo builds the program.
    #[error("OUT_DIR is not set: call `embed` in a build script, which cargo runs")]
    NoBuildScript,
    /// This machine has no compiler for kernels.
    #[error(transparent)]
    NoCompiler(#[from] NoCompiler),
    /// The crate does not compile; the compiler has said why on standard error.
    #[error("the kernel crate does not compile for {0}; the compiler's messages are above")]
    BuildFailed(NvvmArch),
    /// The PTX cannot be written to where `copy_to` says.
    #[error("the PTX cannot be written: {0}")]
    FailedToCopyPtxFile(#[source] io::Error),
    /// A program or file that the build needs cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The program or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The PTX cannot be used as it is.
    #[error(transparent)]
    Ptx(#[from] PtxError),
    /// The compiler multiplied a barrier.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

impl fmt::Debug for CudaBuilderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Compiles a kernel crate to PTX from a build script.
#[derive(Debug, Clone)]
#[must_use]
pub struct CudaBuilder {
    path_to_crate: PathBuf,
    /// Whether to leave out overflow checks and debug assertions. `true` by default. Optimised it is in either case.
    pub release: bool,
    /// An optional path to write the PTX to, too.
    pub ptx_file_copy_path: Option<PathBuf>,
    /// Whether the PTX says which source line an instruction comes from, and in a comment what that was inlined
    /// through ([`cuda_ptx::lines`]); it has no effect on code. `true` by default.
    pub generate_line_info: bool,
    /// The architecture to compile for: the oldest GPU that the PTX can run on. [`NvvmArch::Compute80`] by default.
    pub arch: NvvmArch,
    /// The least PTX version, 80 for 8.0: drivers refuse PTX newer than they are. By default the oldest that `arch` and
    /// the kernels' instructions allow.
    pub ptx_version: Option<u32>,
    /// More arguments for cargo.
    pub build_args: Vec<String>,
    target_dir: Option<PathBuf>,
    allowed_duplicates: Vec<String>,
}

impl CudaBuilder {
    /// A builder for the crate in a folder.
    pub fn new(path_to_crate_root: impl AsRef<Path>) -> Self {
        CudaBuilder {
            path_to_crate: path_to_crate_root.as_ref().to_owned(),
            release: true,
            ptx_file_copy_path: None,
            generate_line_info: true,
            arch: NvvmArch::default(),
            ptx_version: None,
            build_args: Vec::new(),
            target_dir: None,
            allowed_duplicates: Vec::new(),
        }
    }

    /// Sets [`arch`](Self::arch).
    pub fn arch(mut self, arch: NvvmArch) -> Self {
        self.arch = arch;
        self
    }

    /// Sets [`ptx_file_copy_path`](Self::ptx_file_copy_path). The file is not touched when it has the same content already.
    pub fn copy_to(mut self, path: impl AsRef<Path>) -> Self {
        self.ptx_file_copy_path = Some(path.as_ref().to_owned());
        self
    }

    /// Sets [`release`](Self::release).
    pub fn release(mut self, release: bool) -> Self {
        self.release = release;
        self
    }

    /// Sets [`generate_line_info`](Self::generate_line_info).
    pub fn generate_line_info(mut self, generate_line_info: bool) -> Self {
        self.generate_line_info = generate_line_info;
        self
    }

    /// Sets [`ptx_version`](Self::ptx_version).
    pub fn ptx_version(mut self, version: u32) -> Self {
        self.ptx_version = Some(version);
        self
    }

    /// Adds to [`build_args`](Self::build_args).
    pub fn build_args(mut self, args: &[impl AsRef<str>]) -> Self {
        self.build_args.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Accepts copies of barriers on alternative paths in the entry or function of this name: all threads of a block are
    /// known to take the same path.
    pub fn allow_duplicated_barrier(mut self, function: impl Into<String>) -> Self {
        self.allowed_duplicates.push(function.into());
        self
    }

    /// Where cargo keeps what it compiled. In a build script that is a folder in the outer target directory, so `cargo
    /// clean` removes it; elsewhere one in the system's temporary directory.
    pub fn target_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.target_dir = Some(path.as_ref().to_owned());
        self
    }

    /// Compiles the crate, checks the PTX, and returns its path: that of [`copy_to`](Self::copy_to) where it was given.
    ///
    /// In a build script this also tells cargo when to run it again.
    pub fn build(self) -> Result<PathBuf, CudaBuilderError> {
        let out_dir = env::var_os("OUT_DIR").map(PathBuf::from);
        let in_script = out_dir.is_some();
        if in_script {
            for name in ["PSIONIC_RUSTC", "PSIONIC_CARGO", "RUSTUP_HOME"] {
                println!("cargo::rerun-if-env-changed={name}");
            }
        }
        let missing = || CudaBuilderError::CratePathDoesntExist(self.path_to_crate.clone());
        let crate_path = self.path_to_crate.canonicalize().map_err(|_| missing())?;
        if !crate_path.join("Cargo.toml").is_file() {
            return Err(missing());
        }
        let compiler = compiler::find().inspect_err(|error| {
            if in_script {
                watch(&error.watch);
            }
        })?;
        let target_dir = self.target_dir.clone().unwrap_or_else(|| match &out_dir {
            Some(out_dir) => outer_target_dir(out_dir).join("cuda_builder"),
            None => env::temp_dir().join("cuda_builder"),
        });
        let out_dir = out_dir.unwrap_or_else(|| target_dir.clone());
        fs::create_dir_all(&out_dir)
            .map_err(|source| CudaBuilderError::Io { path: out_dir.clone(), source })?;
        let (text, sources) = self.compile(&compiler, &crate_path, &target_dir, &out_dir, in_script)?;
        if in_script {
            watch(&inputs(&crate_path, &compiler, sources));
        }
        let path = match &self.ptx_file_copy_path {
            Some(path) => path.clone(),
            None => out_dir.join(self.file_name(&crate_path, "ptx")),
        };
        write_if_changed(&path, &text).map_err(CudaBuilderError::FailedToCopyPtxFile)?;
        Ok(path)
    }

    fn compile(
        &self,
        compiler: &Compiler,
        crate_path: &Path,
        target_dir: &Path,
        out_dir: &Path,
        quiet: bool,
    ) -> Result<(String, Vec<PathBuf>), CudaBuilderError> {
        let asm = out_dir.join(self.file_name(crate_path, "s"));
        let ir = out_dir.join(self.file_name(crate_path, "ll"));
        let compilation = Compilation {
            compiler,
            crate_path,
            arch: self.arch,
            ptx_version: self.ptx_version,
            release: self.release,
            comments: self.generate_line_info,
            build_args: &self.build_args,
            target_dir,
            asm: &asm,
            ir: &ir,
            quiet,
        };
        let sources = compilation.run().map_err(|failure| match failure {
            Failure::Build => CudaBuilderError::BuildFailed(self.arch),
            Failure::Start(source) => CudaBuilderError::Io { path: compiler.cargo.clone(), source },
        })?;
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| CudaBuilderError::Io { path: path.to_owned(), source })
        };
        let text = self.finish(read(&asm)?, &read(&ir)?)?;
        Ok((text, sources))
    }

    /// Checks what LLVM wrote and completes it.
    fn finish(&self, ptx: String, ir: &str) -> Result<String, CudaBuilderError> {
        let ptx = ptx::put_meant(&runtime::define(ptx));
        let ptx = match self.generate_line_info {
            true => cuda_ptx::lines::compact(&ptx),
            false => ptx::strip_line_info(&ptx),
        };
        let module = cuda_ptx::parse(&ptx).map_err(PtxError::Syntax)?;
        ptx::check_externs(&module)?;
        barriers::check(ir, &module, &self.allowed_duplicates)?;
        Ok(version::raise(ptx::apply_launch_bounds(&ptx)?))
    }

    fn file_name(&self, crate_path: &Path, extension: &str) -> String {
        let name = crate_path.file_name().map_or_else(|| "kernels".into(), |name| name.to_string_lossy());
        format!("{name}_{}.{extension}", self.arch)
    }
}

/// The target directory of the cargo that runs a build script: cargo marks it for backup programs.
fn outer_target_dir(out_dir: &Path) -> &Path {
    out_dir.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(out_dir)
}

/// Everything that the PTX is made from.
fn inputs(crate_path: &Path, compiler: &Compiler, sources: Vec<PathBuf>) -> BTreeSet<PathBuf> {
    let mut inputs: BTreeSet<PathBuf> = sources.into_iter().collect();
    let manifests: Vec<PathBuf> = inputs
        .iter()
        .filter_map(|source| {
            source.ancestors().map(|folder| folder.join("Cargo.toml")).find(|path| path.is_file())
        })
        .collect();
    inputs.extend(manifests);
    inputs.insert(crate_path.join("Cargo.toml"));
    if let Some(lock) = lock_file(crate_path) {
        // Beside it is the workspace's manifest, from which members inherit.
        inputs.insert(lock.with_file_name("Cargo.toml"));
        inputs.insert(lock);
    }
    inputs.insert(compiler.rustc.clone());
    // Cargo takes a file that does not exist for one that changed.
    inputs.retain(|path| path.exists());
    inputs
}

/// Has cargo run the build script again when one of the files changes.
fn watch<'a>(files: impl IntoIterator<Item = &'a PathBuf>) {
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
}

pub(crate) fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
