//! The rows that the contract asks for, and why those are missing that could not be run.

use super::record::{Artifact, Row, Status};
use crate::medpsy::artifact::{PINNED, Provenance};

/// A row that a matrix has, with figures or with the reason why not.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// Its name in [`Row::requirement`].
    pub name: &'static str,
    runtime: &'static str,
    gpu: Option<&'static str>,
    reason: &'static str,
}

/// All of them.
pub const REQUIREMENTS: [Requirement; 6] = [
    Requirement {
        name: "llama_cpp_same_machine",
        runtime: "llama.cpp",
        gpu: None,
        reason: "no llama.cpp was given to this run: its programs are built by benches/llama.cpp/build.sh",
    },
    Requirement {
        name: "original_weights",
        runtime: "psionic",
        gpu: None,
        reason: "the published file was not on this machine; the rows ran another file of the same shape and formats, as \
            the artifact's record says",
    },
    Requirement {
        name: "psionic_rtx_4080",
        runtime: "psionic",
        gpu: Some("RTX 4080"),
        reason: "this machine has no NVIDIA GeForce RTX 4080, on which the earlier figures of other runtimes were measured",
    },
    Requirement {
        name: "ollama_rtx_4080",
        runtime: "ollama_llama_cpp_runner",
        gpu: Some("RTX 4080"),
        reason: "this machine has no NVIDIA GeForce RTX 4080 and no Ollama; a run of its API is imported with --import-ollama",
    },
    Requirement {
        name: "qvac_sdk",
        runtime: "QVAC SDK",
        gpu: None,
        reason: "there is no harness for the QVAC SDK, and it is not installed on this machine",
    },
    Requirement {
        name: "bf16_source_model",
        runtime: "vLLM_or_Transformers_BF16",
        gpu: None,
        reason: "the BF16 source model and vLLM or Transformers are not on this machine; any comparison with the source model \
            needs this row",
    },
];

impl Requirement {
    /// Whether rows with figures stand for it.
    pub fn is_met(&self, artifact: &Artifact, rows: &[Row]) -> bool {
        if self.name == "original_weights" && artifact.provenance != Provenance::Pinned {
            return false;
        }
        rows.iter().any(|row| {
            let of_runtime = row.status == Status::Completed && row.runtime == self.runtime;
            let on_gpu = self.gpu.is_none_or(|gpu| row.gpu.as_ref().is_some_and(|name| name.contains(gpu)));
            let of_file = row.artifact_sha256.as_ref() == Some(&artifact.sha256);
            of_runtime && on_gpu && of_file
        })
    }

    /// The row that says why there are no figures.
    pub fn not_run(&self) -> Row {
        let reason = match self.name {
            "original_weights" => {
                format!("{} ({} of {}, SHA-256 {})", self.reason, PINNED.file, PINNED.repo, PINNED.sha256)
            }
            _ => self.reason.to_owned(),
        };
        Row {
            runtime: self.runtime.to_owned(),
            status: Status::NotRun,
            reason: Some(reason),
            requirement: Some(self.name.to_owned()),
            gpu: self.gpu.map(|gpu| format!("NVIDIA GeForce {gpu}")),
            ..Row::default()
        }
    }
}

/// A row for each requirement that these rows do not meet.
pub fn missing(artifact: &Artifact, rows: &[Row]) -> Vec<Row> {
    let unmet = REQUIREMENTS.iter().filter(|requirement| !requirement.is_met(artifact, rows));
    unmet.map(Requirement::not_run).collect()
}
