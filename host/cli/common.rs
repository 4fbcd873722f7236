//! What several subcommands share: the model's file, the device, and how activations are stored.

use std::num::{IntErrorKind, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Once;

use clap::{Args, ValueEnum};
use psionic::decode::{self, DecodeError, Decoder, DecoderOptions, EngineKind};
use psionic::device::{self, COMMIT, Device, DeviceInfo};
use psionic::gguf::{GgufFile, GgufHeader};
use psionic::medpsy::{self, Admission, AdmissionRequest};
use psionic::model::{Config, Model};
use serde::Serialize;

use super::failure::Failure;
use super::terminal::{Progress, note};

/// Which model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model, a GGUF file
    #[arg(short, long, value_name = "FILE")]
    pub model: PathBuf,
}

/// Where and how it runs.
#[derive(Debug, Clone, Copy, Args)]
pub struct DeviceArgs {
    /// Where the kernels run
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    pub backend: Backend,

    /// How activations are multiplied with quantised weights
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub activations: Activations,

    /// What runs the tokens
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub engine: Engine,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The persistent one where the GPU and the model allow it, otherwise the graph
    #[default]
    Auto,
    /// A graph of launches: any model, any device
    Graph,
    /// One launch for many tokens: GPUs of compute capability 9.0 or newer
    Persistent,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The GPU, or the simulator where there is no GPU
    #[default]
    Auto,
    /// The GPU
    Cuda,
    /// The simulator, on the CPU
    Sim,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Activations {
    /// As 8-bit codes, 32 to a scale: fast, as llama.cpp does
    #[default]
    Int8,
    /// As they are: exact
    Float,
}

impl From<Engine> for decode::EngineChoice {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => Self::Auto,
            Engine::Graph => Self::Graph,
            Engine::Persistent => Self::Persistent,
        }
    }
}

impl From<Activations> for decode::Activations {
    fn from(activations: Activations) -> Self {
        match activations {
            Activations::Int8 => Self::Int8,
            Activations::Float => Self::Float,
        }
    }
}

impl Backend {
    /// Opens the device, and says so where it is not the one that was hoped for.
    pub fn open(self) -> Result<Device, Failure> {
        let device = device::open(match self {
            Self::Auto => device::BackendChoice::Auto,
            Self::Cuda => device::BackendChoice::Cuda,
            Self::Sim => device::BackendChoice::Sim,
        })?;
        if let Some(reason) = &device.info().why_not_cuda {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| note(format_args!("running on the simulator, which is slow: {reason}")));
        }
        Ok(device)
    }
}

impl DeviceArgs {
    /// Opens the device and loads a model.
    pub fn load(self, model: &Model<'_>, context: usize) -> Result<Decoder, Failure> {
        let device = self.backend.open()?;
        let (activations, engine) = (self.activations.into(), self.engine.into());
        let options = DecoderOptions { context: Some(context), activations, engine };
        let mut progress = Progress::new("loading");
        let decoder = Decoder::load(device, model, &options, &mut |done, total| progress.set(done, total))?;
        drop(progress);
        if let Some(reason) = decoder.why_not_persistent() {
            note(format_args!("running on the graph engine, which is slower: {reason}"));
        }
        Ok(decoder)
    }

    /// How activations are stored, as it is typed and reported.
    pub fn activations(self) -> &'static str {
        match self.activations {
            Activations::Int8 => "int8",
            Activations::Float => "float",
        }
    }
}

/// What every report in JSON begins with.
#[derive(Debug, Serialize)]
pub struct Provenance {
    version: &'static str,
    commit: &'static str,
    model: String,
    model_name: Option<String>,
    device: DeviceInfo,
    activations: &'static str,
    engine: EngineKind,
    why_not_persistent: Option<String>,
    context: usize,
}

impl Provenance {
    pub fn new(path: &Path, decoder: &Decoder, device: DeviceArgs) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: COMMIT,
            model: path.display().to_string(),
            model_name: decoder.config().name.clone(),
            device: decoder.device().clone(),
            activations: device.activations(),
            engine: decoder.engine(),
            why_not_persistent: decoder.why_not_persistent().map(ToString::to_string),
            context: decoder.context(),
        }
    }
}

/// A model's file and, when it is one of MedPsy, why it may run.
pub struct Opened {
    pub file: GgufFile,
    pub medical: Option<Admission>,
}

impl Opened {
    /// Opens a file. One of MedPsy is admitted by the medical policy, or refused, before any weights are read.
    pub fn new(path: &Path, allow_blocked: bool) -> Result<Self, Failure> {
        let header = GgufHeader::open(path)?;
        let request = AdmissionRequest { claimed: None, allow_blocked };
        let is_medpsy = medpsy::is_medpsy(header.metadata());
        let medical = is_medpsy.then(|| medpsy::admit(&header, request)).transpose()?;
        Ok(Self { file: header.into_file()?, medical })
    }

    /// Says what the policy has to say of it.
    pub fn warn(&self) {
        self.medical.iter().flat_map(|admission| &admission.warnings).for_each(note);
    }
}

/// Opens a model's file and says what the medical policy has to say of it, if anything.
pub fn open_model(path: &Path) -> Result<GgufFile, Failure> {
    let opened = Opened::new(path, false)?;
    opened.warn();
    Ok(opened.file)
}

/// A model in a line: its name, or its file's.
pub fn model_label(file: &GgufFile, config: &Config) -> String {
    config.name.clone().unwrap_or_else(|| file.path().display().to_string())
}

/// A device in a line.
pub fn device_label(info: &DeviceInfo) -> String {
    match &info.driver {
        Some(driver) => format!("{} ({}, CUDA {driver})", info.name, info.backend),
        None => format!("{} ({})", info.name, info.backend),
    }
}

/// What a model runs on, in a line: the device and the engine.
pub fn decoder_label(decoder: &Decoder) -> String {
    format!("{}, {} engine", device_label(decoder.device()), decoder.engine())
}

/// A number of things of which there must be one at least, as typed.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.trim().parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => format!("expected a number up to {}", usize::MAX),
        _ => "expected a whole number above 0".to_owned(),
    })
}

/// A token id, as typed.
pub fn token_id(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| format!("expected token ids like 785,1156, found {text:?}"))
}

/// Refuses token ids that the model does not have, before it is loaded.
pub fn check_tokens(tokens: &[u32], vocab: usize) -> Result<(), Failure> {
    match tokens.iter().find(|&&token| token as usize >= vocab) {
        Some(&token) => Err(DecodeError::UnknownToken { token, vocab }.into()),
        None => Ok(()),
    }
}
