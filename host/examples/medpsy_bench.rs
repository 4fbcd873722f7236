//! `medpsy_bench`: greedy decoding of a MedPsy model by token ids, with the documented flags and report. What goes beyond
//! them is in `psionic medpsy bench`.
//!
//! ```text
//! cargo run --release --example medpsy_bench -- --model-path medpsy-1.7b-q4_k_m-imat.gguf --backend cuda \
//!     --max-new-tokens 512 --repeats 3 --json
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use psionic::medpsy::{self, BenchFlags, MedPsyError};

/// Measure greedy decoding of a MedPsy model by token ids
#[derive(Parser)]
#[command(name = "medpsy_bench")]
struct Cli {
    #[command(flatten)]
    flags: BenchFlags,
}

fn main() -> ExitCode {
    match bench(&Cli::parse().flags) {
        // Who has read enough closes standard output: no failure of the benchmark.
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("medpsy_bench: error: standard output cannot be written: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        Err(error) => {
            eprintln!("medpsy_bench: error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is printed.
fn bench(flags: &BenchFlags) -> Result<String, MedPsyError> {
    let mut warn = |warning: &str| eprintln!("medpsy_bench: warning: {warning}");
    let file = flags.report_file()?;
    let report = medpsy::run(&flags.request(), &mut warn, &mut |_, _| {})?;
    if let Some(file) = file {
        report.write(file)?;
    }
    if flags.json { report.to_json() } else { Ok(report.to_string()) }
}
