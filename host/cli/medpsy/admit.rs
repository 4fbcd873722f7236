//! `psionic medpsy admit`: whether the medical policy lets a file run.

use psionic::gguf::GgufHeader;
use psionic::medpsy::{self, Admission, AdmissionRequest, POLICY_ID};
use serde::Serialize;

use crate::cli::common::ModelArgs;
use crate::cli::failure::Failure;
use crate::cli::terminal::{note, one_line, print, print_json};

/// Say whether the medical policy lets a file run
///
/// Size and quantisation are read from the file's header and tensors; none of
/// its weights are read. A file that is refused ends with exit code 3.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  psionic medpsy admit -m medpsy-1.7b-q4_k_m-imat.gguf
  psionic medpsy admit -m model.gguf --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Admit a quantisation that the policy blocks, which the record says
    #[arg(long)]
    allow_blocked_quantization: bool,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let header = GgufHeader::open(&args.model.model)?;
    let request = AdmissionRequest { claimed: None, allow_blocked: args.allow_blocked_quantization };
    let admission = medpsy::admit(&header, request)?;
    let is_medpsy = medpsy::is_medpsy(header.metadata());
    if args.json {
        let path = header.path().display().to_string();
        return print_json(&Report { path, policy_id: POLICY_ID, is_medpsy, admission });
    }
    let posture = serde_json::to_value(admission.posture)
        .ok()
        .and_then(|posture| posture.as_str().map(str::to_owned))
        .unwrap_or_default();
    let whose = if is_medpsy { "MedPsy" } else { "not MedPsy by its metadata" };
    let text = format!(
        "{}: {whose}, {} {}, {posture}",
        header.path().display(),
        admission.model_size,
        admission.tier
    );
    admission.warnings.iter().for_each(note);
    print(one_line(&text) + "\n")
}

#[derive(Serialize)]
struct Report {
    path: String,
    policy_id: &'static str,
    is_medpsy: bool,
    #[serde(flatten)]
    admission: Admission,
}
