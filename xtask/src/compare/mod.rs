//! Psionic and llama.cpp side by side on the same files: speed, greedy ids, logits.

mod args;
mod comparison;
pub mod record;
#[cfg(test)]
mod tests;

use std::fs;
use std::time::{Duration, SystemTime};

pub use args::Args;
use comparison::Comparison;
use psionic_peer::{Gpu, Programs, build_info};
use record::{Record, SCHEMA, Settings};

use crate::Failure;

/// The record's name in its folder.
pub const FILE: &str = "compare.json";

/// Compares and writes the record.
pub fn compare(args: &Args) -> Result<(), Failure> {
    let path = args.output.join(FILE);
    if path.exists() {
        return Err(Failure(format!("{} is already there; choose another folder", path.display())));
    }
    let variants = args.llama_env.iter().map(|text| variant(text)).collect::<Result<_, _>>()?;
    let gpu = Gpu {
        program: args.nvidia_smi.clone(),
        index: args.gpu,
        patience: Duration::from_secs(args.patience_seconds),
    };
    let comparison = Comparison {
        programs: Programs {
            psionic: args.psionic.clone(),
            llama: args.llama.clone(),
            gpu: (!args.cpu).then_some(args.gpu),
        },
        gpu: (!args.cpu).then_some(gpu),
        settings: Settings {
            tokens: args.tokens,
            depths: args.depths.clone(),
            repetitions: args.repetitions,
            turns: args.turns,
            positions: args.positions,
            seed: args.seed,
        },
        variants,
        files: tempfile::tempdir().map_err(|error| Failure(format!("no folder for the logits: {error}")))?,
    };
    let mut record = Record {
        schema: SCHEMA,
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        gpu: comparison.idle()?,
        settings: comparison.settings.clone(),
        llama_build: build_info(&args.llama),
        models: Vec::new(),
    };
    let written = |error| Failure(format!("{} cannot be written: {error}", path.display()));
    fs::create_dir_all(&args.output).map_err(written)?;
    for model in &args.model {
        record.models.push(comparison.model(model)?);
        // After each, so that what a later one spoils is not lost.
        let text = serde_json::to_string_pretty(&record).map_err(|error| Failure(error.to_string()))?;
        fs::write(&path, text + "\n").map_err(written)?;
    }
    Ok(())
}

/// `A=B,C=D` as environment variables.
fn variant(text: &str) -> Result<Vec<String>, Failure> {
    let all: Vec<String> = text.split(',').map(str::to_owned).collect();
    match all.iter().find(|one| one.find('=').is_none_or(|at| at == 0)) {
        Some(one) => Err(Failure(format!("expected NAME=VALUE after --llama-env, found {one:?}"))),
        None => Ok(all),
    }
}
