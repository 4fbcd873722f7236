//! `psionic logits`: what a model computes for given tokens, in a file, to be compared.

use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgGroup;
use psionic::decode::Decoder;
use psionic::model::Model;
use psionic::part_file::{Existing, PartFile};
use serde::Serialize;

use super::common::{
    DeviceArgs, ModelArgs, Provenance, check_tokens, count, decoder_label, model_label, open_model, token_id,
};
use super::failure::Failure;
use super::interrupt;
use super::terminal::{Progress, one_line, print, print_json, say};
use super::token_ids;

/// Write the logits after given tokens to a file
///
/// The tokens are fed one at a time, whatever the logits say. The file has a
/// row for each token: the logits of the whole vocabulary after it, as 32-bit
/// floats in little-endian order and nothing else.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
psionic logits [OPTIONS] -m <FILE> -o <FILE> --prompt-tokens <IDS>
       psionic logits [OPTIONS] -m <FILE> -o <FILE> --token-ids <FILE>",
    group = ArgGroup::new("the tokens").required(true), after_help = "\
Examples:
  psionic logits -m model.gguf --prompt-tokens 785,1156 -o logits.f32
  psionic logits -m model.gguf --token-ids ids.json --last 1 -o logits.f32 --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Token ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', group = "the tokens")]
    #[arg(value_parser = token_id, allow_negative_numbers = true)]
    prompt_tokens: Vec<u32>,

    /// Token ids in JSON: an array, or {"token_ids": [..]}, or that as "nll"
    #[arg(long, value_name = "FILE", group = "the tokens")]
    token_ids: Option<PathBuf>,

    /// Where to write them
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write those after the last N tokens only
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    last: Option<NonZeroUsize>,

    #[command(flatten)]
    device: DeviceArgs,

    /// Write one JSON object about them to standard output
    #[arg(long)]
    json: bool,
}

/// What was asked for, checked against the model.
struct Plan {
    tokens: Vec<u32>,
    /// Tokens whose logits are not written.
    skipped: usize,
}

impl Plan {
    fn new(args: &Args, model: &Model<'_>) -> Result<Self, Failure> {
        let tokens = match &args.token_ids {
            Some(path) => token_ids::read(path)?,
            None => args.prompt_tokens.clone(),
        };
        if tokens.is_empty() {
            return Err(Failure::usage("expected at least one token, found none; give the file some"));
        }
        check_tokens(&tokens, model.config.vocab)?;
        let skipped = args.last.map_or(0, |last| tokens.len().saturating_sub(last.get()));
        Ok(Self { tokens, skipped })
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let file = open_model(&args.model.model)?;
    let model = Model::from_gguf(&file)?;
    let plan = Plan::new(&args, &model)?;
    let output = &args.output;
    let unwritable = |error| Failure::unwritable(output, &error);
    interrupt::discard_parts();
    // Found out before anything runs.
    let mut rows = PartFile::create(output, Existing::Refuse).map_err(unwritable)?;
    let mut decoder = args.device.load(&model, plan.tokens.len())?;
    let start = Instant::now();
    write(&mut decoder, &plan, output, BufWriter::new(&mut rows))?;
    rows.finish().map_err(unwritable)?;
    let (positions, vocab) = (plan.tokens.len() - plan.skipped, decoder.config().vocab);
    if args.json {
        return print_json(&Report {
            provenance: Provenance::new(file.path(), &decoder, args.device),
            token_ids: &plan.tokens,
            output: output.display().to_string(),
            positions,
            vocab,
            seconds: start.elapsed().as_secs_f64(),
        });
    }
    print(one_line(&format!("{}: {positions} × {vocab} logits", output.display())) + "\n")?;
    let model = model_label(&file, &model.config);
    say(one_line(&format!("{model} on {}", decoder_label(&decoder))));
    Ok(())
}

/// Feeds every token and writes the logits after those that are asked for.
fn write(decoder: &mut Decoder, plan: &Plan, path: &Path, mut rows: impl Write) -> Result<(), Failure> {
    let (before, asked) = plan.tokens.split_at(plan.skipped);
    decoder.feed(before)?;
    let mut progress = Progress::steps("computing", asked.len() as u64);
    for token in asked {
        decoder.feed(&[*token])?;
        let bytes: Vec<u8> = decoder.logits()?.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        rows.write_all(&bytes).map_err(|error| Failure::unwritable(path, &error))?;
        progress.step();
    }
    rows.flush().map_err(|error| Failure::unwritable(path, &error))
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    provenance: Provenance,
    token_ids: &'a [u32],
    output: String,
    /// Rows of the file.
    positions: usize,
    /// Logits in a row.
    vocab: usize,
    seconds: f64,
}
