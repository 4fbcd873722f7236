//! Why a command ended, and the exit code that says so.

use std::fmt::Display;
use std::io;
use std::path::Path;

use cuda_driver::DriverError;
use psionic::decode::DecodeError;
use psionic::device::DeviceError;
use psionic::gguf::GgufError;
use psionic::kernel::KernelError;
use psionic::lab::LabError;
use psionic::medpsy::MedPsyError;
use psionic::medpsy::matrix::MatrixError;
use psionic::model::{ModelError, SynthError, TokenizerError};
use psionic::project::ProjectError;

use super::style::{ERROR, HINT};
use super::terminal::{one_line, say};

/// What went wrong, in the terms of the exit code. `EXIT_CODES` explains each to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: whoever read standard output has read enough.
    ClosedPipe = 0,
    /// Something failed while running.
    Failed = 1,
    /// The command line, or the prompt or tokens that it gives, cannot be used.
    Usage = 2,
    /// The model file cannot be read or used.
    Model = 3,
    /// There is no device that can be used.
    Device = 4,
    /// The device has too little memory.
    Memory = 5,
}

/// The part of `--help` about exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed while running, as when a result could not be written or was wrong
  2  the command line, the prompt, the tokens or the PTX cannot be used
  3  the model file cannot be read, is damaged or not supported
  4  the GPU that was asked for cannot be used
  5  not enough memory on the device";

/// A failed command: one sentence, and perhaps what to do.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), hint: None }
    }

    /// One that lies in the command line.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what to do, where the sentence does not say it.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Standard output did not take what was written.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::ClosedPipe, ""),
            _ => Self::new(Kind::Failed, format_args!("standard output cannot be written: {error}")),
        }
    }

    /// A file could not be written.
    pub fn unwritable(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::new(
            Kind::Failed,
            match error.kind() {
                io::ErrorKind::AlreadyExists => format!("{path} is already there; choose another path"),
                _ => format!("{path} could not be written ({error}); check the folder and its free space"),
            },
        )
    }

    /// Says it on standard error and returns the exit code.
    pub fn report(&self) -> u8 {
        if self.kind != Kind::ClosedPipe {
            say(format_args!("psionic: {ERROR}error:{ERROR:#} {}", one_line(&self.message)));
            if let Some(hint) = &self.hint {
                say(format_args!("{HINT}hint:{HINT:#} {}", one_line(hint)));
            }
        }
        self.kind as u8
    }
}

impl From<GgufError> for Failure {
    fn from(error: GgufError) -> Self {
        Self::new(Kind::Model, error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(Kind::Model, error)
    }
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Self {
        let kind = match error {
            TokenizerError::Encode { .. } => Kind::Usage,
            _ => Kind::Model,
        };
        Self::new(kind, error)
    }
}

impl From<SynthError> for Failure {
    fn from(error: SynthError) -> Self {
        let kind = match error {
            SynthError::Io { .. } => Kind::Failed,
            _ => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        /// `CUDA_ERROR_OUT_OF_MEMORY`.
        const OUT_OF_MEMORY: i32 = 2;
        let kind = match &error {
            DeviceError::OutOfMemory { .. } | DeviceError::TooLarge => Kind::Memory,
            DeviceError::NoPtx { .. }
            | DeviceError::TooOld { .. }
            | DeviceError::UnknownPtx { .. }
            | DeviceError::OldCode { .. } => Kind::Device,
            DeviceError::Driver(DriverError::Call { code: OUT_OF_MEMORY, .. }) => Kind::Memory,
            DeviceError::Driver(DriverError::Call { .. }) => Kind::Failed,
            DeviceError::Driver(_) => Kind::Device,
            _ => Kind::Failed,
        };
        let failure = Self::new(kind, error);
        match kind {
            Kind::Device => failure
                .hint("`--backend sim` runs the same kernels on the CPU; `psionic doctor` checks the rest"),
            _ => failure,
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let kind = match error {
            DecodeError::Device(error) => return error.into(),
            DecodeError::Model(error) => return error.into(),
            DecodeError::DoesNotFit { .. } => Kind::Memory,
            DecodeError::Stuck { .. } => Kind::Failed,
            DecodeError::Unsupported(_)
            | DecodeError::ContextTooLong { .. }
            | DecodeError::ContextFull { .. }
            | DecodeError::UnknownToken { .. }
            | DecodeError::NoTokens => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

impl From<MedPsyError> for Failure {
    fn from(error: MedPsyError) -> Self {
        let kind = match error {
            MedPsyError::Artifact(error) => return error.into(),
            MedPsyError::Model(error) => return error.into(),
            MedPsyError::Tokenizer(error) => return error.into(),
            MedPsyError::Generation(error) => {
                let failure = Self::from(error);
                return match failure.kind {
                    Kind::Device => failure.hint(
                        "`--backend cpu` runs the same kernels on the CPU; `psionic doctor` checks the rest",
                    ),
                    _ => failure,
                };
            }
            MedPsyError::DigestMismatch { .. }
            | MedPsyError::TierMismatch { .. }
            | MedPsyError::UnknownTier { .. } => Kind::Model,
            MedPsyError::TierBlocked { .. } => {
                return Self::new(Kind::Model, error).hint(
                    "`--allow-blocked-quantization` of `psionic generate` and `psionic medpsy bench` overrides it",
                );
            }
            MedPsyError::ArtifactKind { .. }
            | MedPsyError::Digest { .. }
            | MedPsyError::InvalidRequest { .. }
            | MedPsyError::SizeMismatch { .. }
            | MedPsyError::Refused { .. }
            | MedPsyError::ControlText { .. }
            | MedPsyError::Template { .. } => Kind::Usage,
            MedPsyError::Unwritable { .. } | MedPsyError::NotRepeatable { .. } => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<MatrixError> for Failure {
    fn from(error: MatrixError) -> Self {
        let kind = match error {
            MatrixError::Model(error) => return error.into(),
            MatrixError::Import { .. } => Kind::Usage,
            MatrixError::Program(_) | MatrixError::Io { .. } | MatrixError::Exists { .. } => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Device(error) => error.into(),
            KernelError::UnknownKernel { .. } | KernelError::UnknownCase { .. } => Self::usage(error).hint(
                "`psionic kernel list` shows the kernels and their cases; a project of your own \
                 tests its kernels with `cargo test`",
            ),
            KernelError::NoCases { .. } => Self::usage(error),
            KernelError::Wrong { .. } => Self::new(Kind::Failed, error)
                .hint("nothing was reported for it; the kernels' tests, on the same device, say more"),
            KernelError::Impossible { .. } => Self::new(Kind::Failed, error),
        }
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let kind = match error {
            LabError::Io { .. }
            | LabError::HalfDone { .. }
            | LabError::Unexpected { .. }
            | LabError::Watch(_)
            | LabError::Program { .. } => Kind::Failed,
            LabError::NoCheckout(_)
            | LabError::Name { .. }
            | LabError::Taken { .. }
            | LabError::UnknownKernel(_) => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let kind = match error {
            ProjectError::Exists(_) | ProjectError::Io { .. } => Kind::Failed,
            ProjectError::Name(_) | ProjectError::NoPsionic(_) | ProjectError::Path(_) => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
        assert_eq!(Failure::output(&io::ErrorKind::BrokenPipe.into()).kind, Kind::ClosedPipe);
        assert_eq!(Failure::output(&io::ErrorKind::StorageFull.into()).kind, Kind::Failed);
    }

    #[test]
    fn every_exit_code_is_explained() {
        use Kind::{ClosedPipe, Device, Failed, Memory, Model, Usage};
        for kind in [ClosedPipe, Failed, Usage, Model, Device, Memory] {
            let line = format!("\n  {}  ", kind as u8);
            assert!(EXIT_CODES.contains(&line), "{kind:?}");
        }
    }
}
