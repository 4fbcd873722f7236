//! Which PTX a command looks at.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cuda_ptx::{FunctionAnalysis, Module};
use psionic::device::{COMMIT, KERNELS};
use serde::Serialize;

use crate::cli::failure::Failure;

/// Which text.
#[derive(Debug, clap::Args)]
pub struct InputArgs {
    /// A file of PTX, or - for standard input, in place of the built-in
    /// kernels
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Which of the built-in kernels' architectures, as in sm_80; by default
    /// the newest, or the newest that the GPU runs
    #[arg(long, value_name = "SM", conflicts_with = "file")]
    pub arch: Option<String>,
}

/// A text of PTX.
#[derive(Debug)]
pub struct Text {
    /// What it is, for people.
    pub name: String,
    /// The text.
    pub text: Cow<'static, str>,
}

impl InputArgs {
    /// The text.
    pub fn text(&self) -> Result<Text, Failure> {
        self.text_for(None)
    }

    /// The text, of the built-in kernels that which a GPU of this compute capability runs.
    pub fn text_for(&self, capability: Option<u32>) -> Result<Text, Failure> {
        match (&self.file, &self.arch, capability) {
            (Some(path), ..) => Text::of_file(path),
            (None, None, Some(capability)) => Text::built_in_for(capability),
            (None, arch, _) => Text::built_in(arch.as_deref()),
        }
    }

    /// Every text: of the built-in kernels that of each architecture, unless one was asked for.
    pub fn texts(&self) -> Result<Vec<Text>, Failure> {
        if self.file.is_some() || self.arch.is_some() || KERNELS.ptx.is_empty() {
            return Ok(vec![self.text()?]);
        }
        KERNELS.ptx.iter().map(|(sm, _)| Text::built_in(Some(&format!("sm_{sm}")))).collect()
    }
}

impl Text {
    /// Of a file.
    pub fn of_file(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: &io::Error| {
            Failure::usage(format!("{} could not be read ({error}); name a file of PTX", path.display()))
        };
        let (name, bytes) = if path == Path::new("-") {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
            ("standard input".to_owned(), bytes)
        } else {
            (path.display().to_string(), fs::read(path).map_err(|error| unreadable(&error))?)
        };
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage(format!("{name} is no text; expected PTX, which machine code is not"))
        })?;
        Ok(Self { name, text: text.into() })
    }

    /// Of the built-in kernels, the newest that a GPU runs; of one that runs none, the oldest.
    fn built_in_for(capability: u32) -> Result<Self, Failure> {
        let runs = KERNELS.ptx.iter().rev().find(|(sm, _)| *sm <= capability).or(KERNELS.ptx.first());
        Self::built_in(runs.map(|(sm, _)| format!("sm_{sm}")).as_deref())
    }

    /// Of the built-in kernels.
    pub fn built_in(arch: Option<&str>) -> Result<Self, Failure> {
        if let Some(reason) = KERNELS.missing {
            return Err(Failure::usage(format!("there are no built-in kernels in this program: {reason}"))
                .hint("`-f FILE` looks at a file"));
        }
        let found = match arch {
            None => KERNELS.ptx.last(),
            Some(arch) => KERNELS.ptx.iter().find(|(sm, _)| format!("sm_{sm}") == arch),
        };
        let Some((sm, text)) = found else {
            let known: Vec<String> = KERNELS.ptx.iter().map(|(sm, _)| format!("sm_{sm}")).collect();
            let arch = arch.unwrap_or_default();
            return Err(Failure::usage(format!(
                "expected an architecture of the built-in kernels ({}), found {arch:?}",
                known.join(", ")
            )));
        };
        Ok(Self { name: format!("built-in kernels, sm_{sm}"), text: (*text).into() })
    }

    /// It, read.
    pub fn parse(&self) -> Result<Module<'_>, Failure> {
        cuda_ptx::parse(&self.text)
            .map_err(|error| Failure::usage(format!("{} is not PTX that can be read: {error}", self.name)))
    }
}

/// The functions of these names, or all.
pub fn named(functions: Vec<FunctionAnalysis>, names: &[String]) -> Result<Vec<FunctionAnalysis>, Failure> {
    let known = |name: &String| functions.iter().any(|function| function.name == *name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let entries: Vec<&str> = functions
            .iter()
            .filter(|function| function.entry)
            .map(|function| function.name.as_str())
            .collect();
        return Err(Failure::usage(format!(
            "expected an entry of the PTX ({}), found {name:?}",
            if entries.is_empty() { "there is none".to_owned() } else { entries.join(", ") }
        )));
    }
    let wanted = |function: &FunctionAnalysis| names.is_empty() || names.contains(&function.name);
    Ok(functions.into_iter().filter(wanted).collect())
}

/// What every report begins with.
#[derive(Serialize)]
pub struct Head {
    pub schema: &'static str,
    pub version: &'static str,
    pub commit: &'static str,
    /// What was looked at.
    pub source: String,
    pub ptx_version: String,
    pub target: String,
}

impl Head {
    /// Of a text.
    pub fn new(schema: &'static str, text: &Text, module: &Module<'_>) -> Self {
        Self {
            schema,
            version: env!("CARGO_PKG_VERSION"),
            commit: COMMIT,
            source: text.name.clone(),
            ptx_version: format!("{}.{}", module.version.0, module.version.1),
            target: module.targets.join(", "),
        }
    }

    /// As a line.
    pub fn line(&self) -> String {
        format!("{}: PTX {}, {}\n", self.source, self.ptx_version, self.target)
    }
}

/// A place in the source as people read it: without the folder that they are in.
pub fn shown(place: &str) -> &str {
    let here = std::env::current_dir().ok();
    let below = here.as_deref().and_then(Path::to_str).and_then(|here| place.strip_prefix(here));
    below.and_then(|rest| rest.strip_prefix('/')).unwrap_or(place)
}

/// The source files of a module that are on this machine. A path of another machine is looked for in the folder that
/// the command runs in, by what it ends with.
pub fn sources(module: &Module<'_>) -> BTreeMap<String, String> {
    let used: BTreeSet<u32> =
        module.places.iter().flat_map(|place| &place.0).map(|location| location.file).collect();
    let names = module.files.iter().filter(|(number, _)| used.contains(number)).map(|(_, name)| *name);
    names.filter_map(|name| Some((name.to_owned(), fs::read_to_string(find(name)?).ok()?))).collect()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.is_file() {
        return Some(path.to_owned());
    }
    let parts: Vec<_> = path.components().collect();
    // A name alone says too little.
    (1..parts.len().saturating_sub(1))
        .map(|skipped| parts[skipped..].iter().collect::<PathBuf>())
        .find(|ending| ending.is_file())
}
