//! NVIDIA's assembler and disassembler, where they are installed.
mod nvdisasm;
mod ptxas;

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use nvdisasm::{SassFunction, SassLine, disassemble};
pub use ptxas::{Assembled, Resources, assemble, assemble_entry};

/// A program of the CUDA toolkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The assembler.
    Ptxas,
    /// The disassembler.
    Nvdisasm,
}

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ptxas => "ptxas",
            Self::Nvdisasm => "nvdisasm",
        }
    }

    /// The variable that names it, and is then the only place that is looked at.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Ptxas => "PSIONIC_PTXAS",
            Self::Nvdisasm => "PSIONIC_NVDISASM",
        }
    }

    /// How it is got, as an imperative without a full stop.
    pub fn advice(self) -> String {
        let package = match self {
            Self::Ptxas => "nvidia-cuda-nvcc",
            Self::Nvdisasm => "nvidia-cuda-nvdisasm",
        };
        format!(
            "install NVIDIA's CUDA toolkit, or only {self} with `pip install {package}`, and name it with {} where \
             it is not found",
            self.variable()
        )
    }

    /// Where it is: what its variable names, else on PATH, in the toolkit of `CUDA_HOME` or `CUDA_PATH`, in
    /// `/usr/local/cuda`, or in NVIDIA's wheels of the active Python environment.
    pub fn find(self) -> Result<PathBuf, ToolError> {
        if let Some(named) = env::var_os(self.variable()).filter(|named| !named.is_empty()) {
            let path = PathBuf::from(named);
            return if path.is_file() { Ok(path) } else { Err(ToolError::Named { tool: self, path }) };
        }
        let file = format!("{}{}", self.name(), env::consts::EXE_SUFFIX);
        let found = folders().into_iter().map(|folder| folder.join(&file)).find(|path| path.is_file());
        found.ok_or(ToolError::Missing(self))
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a tool gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not there.
    #[error("{0} was not found; {advice}", advice = .0.advice())]
    Missing(Tool),
    /// The variable names something else.
    #[error("{} names {}, which is no file; correct it or unset it", tool.variable(), path.display())]
    Named {
        /// Which.
        tool: Tool,
        /// What the variable holds.
        path: PathBuf,
    },
    /// It cannot be run, or a file for it cannot be written.
    #[error("{tool} cannot be run: {source}")]
    Io {
        /// Which.
        tool: Tool,
        /// What the system says.
        source: io::Error,
    },
    /// It refuses what it was given.
    #[error("{tool} refuses the code: {said}")]
    Refused {
        /// Which.
        tool: Tool,
        /// What it says, on one line.
        said: String,
    },
}

/// The version that a tool tells: `13.5.37`.
pub fn version(path: &Path) -> Option<String> {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = text.split([',', ' ', '\n']).rfind(|word| word.starts_with('V'))?;
    Some(word[1..].to_owned())
}

fn folders() -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let mut folders: Vec<PathBuf> = env::split_paths(&variable("PATH").unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .collect();
    folders.extend(
        ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).map(|home| Path::new(&home).join("bin")),
    );
    folders.push(PathBuf::from("/usr/local/cuda/bin"));
    // An environment that is active, or whose interpreter is the first on PATH.
    let environments: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(variable)
        .map(PathBuf::from)
        .chain(
            folders
                .iter()
                .find(|folder| folder.join("python3").exists() || folder.join("python.exe").exists())
                .and_then(|folder| folder.parent())
                .map(Path::to_owned),
        )
        .chain(variable("HOME").map(|home| Path::new(&home).join(".local")))
        // Where pip installs for all users on Debian, whose interpreter is elsewhere.
        .chain([PathBuf::from("/usr/local")])
        .collect();
    for environment in environments {
        folders.extend(site_packages(&environment).iter().flat_map(|site| wheels(site)));
    }
    folders
}

/// The folders of an environment's packages: `lib/python3.12/site-packages`, on Windows `Lib/site-packages`.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["lib", "lib64", "Lib"]
        .into_iter()
        .flat_map(|lib| {
            let lib = environment.join(lib);
            let versions = fs::read_dir(&lib).into_iter().flatten().flatten();
            let python = versions.map(|entry| entry.path()).filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"))
            });
            python
                .flat_map(|path| [path.join("site-packages"), path.join("dist-packages")])
                .chain([lib.join("site-packages")])
                .collect::<Vec<_>>()
        })
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// Where NVIDIA's wheels put programs: `nvidia/cu13/bin`, before that `nvidia/cuda_nvcc/bin`..
fn wheels(site: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.join("nvidia")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path().join("bin")).filter(|path| path.is_dir()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.to_string_lossy().into_owned()));
    found
}

/// Runs a tool; its standard output and error.
fn run(tool: Tool, command: &mut Command) -> Result<(String, String), ToolError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| ToolError::Io { tool, source })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok((printed, said));
    }
    let wrong: Vec<&str> =
        said.lines().chain(printed.lines()).map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    Err(ToolError::Refused { tool, said: wrong.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_of_every_layout_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("lib/python3.12/site-packages");
        for package in ["cu13", "cuda_nvcc"] {
            fs::create_dir_all(site.join("nvidia").join(package).join("bin")).unwrap();
        }
        fs::create_dir_all(site.join("nvidia/other")).unwrap();
        assert_eq!(site_packages(folder.path()), std::slice::from_ref(&site));
        assert_eq!(wheels(&site), [site.join("nvidia/cuda_nvcc/bin"), site.join("nvidia/cu13/bin")]);
        assert!(wheels(Path::new("/nonexistent")).is_empty());
    }
}
