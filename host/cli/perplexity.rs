//! `psionic perplexity`: how well a model foresees a text.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::ArgGroup;
use psionic::decode::Decoder;
use psionic::gguf::GgufFile;
use psionic::model::{Model, Tokenizer};
use serde::Serialize;

use super::common::{
    DeviceArgs, ModelArgs, Provenance, check_tokens, count, decoder_label, model_label, open_model,
};
use super::failure::{Failure, Kind};
use super::terminal::{Progress, one_line, print, print_json, rate, say};
use super::token_ids;

/// Measure how well a model predicts a text
///
/// Every token but the first of a chunk is predicted from those before it in
/// the chunk. The result is the mean of the negative natural logarithms of
/// their probabilities, in double precision, and its exponential, the
/// perplexity. Tokens are fed as they are: none is added.
#[derive(Debug, clap::Args)]
#[command(override_usage = "psionic perplexity [OPTIONS] -m <FILE> <-f <FILE>|--token-ids <FILE>>",
    group = ArgGroup::new("the text").required(true), after_help = "\
Examples:
  psionic perplexity -m model.gguf -f text.txt
  psionic perplexity -m model.gguf -f text.txt --tokens 4096 --chunk 512
  psionic perplexity -m model.gguf --token-ids golden.json --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// A text in UTF-8
    #[arg(short, long, value_name = "FILE", group = "the text")]
    file: Option<PathBuf>,

    /// Token ids in JSON: an array, or {"token_ids": [..]}, or that as "nll"
    #[arg(long, value_name = "FILE", group = "the text")]
    token_ids: Option<PathBuf>,

    /// Use the first N tokens only
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    tokens: Option<NonZeroUsize>,

    /// Begin anew after every N tokens [default: the model's context]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    chunk: Option<NonZeroUsize>,

    #[command(flatten)]
    device: DeviceArgs,

    /// Write one JSON object
    #[arg(long)]
    json: bool,

    /// Also give each token's value
    #[arg(long, requires = "json")]
    per_token: bool,
}

/// What was asked for, checked against the model.
struct Plan {
    tokens: Vec<u32>,
    chunk: usize,
}

impl Plan {
    fn new(args: &Args, file: &GgufFile, model: &Model<'_>) -> Result<Self, Failure> {
        let mut tokens = match (&args.file, &args.token_ids) {
            (Some(path), _) => Tokenizer::from_gguf(file)?.encode(&token_ids::text(path)?)?,
            (None, Some(path)) => token_ids::read(path)?,
            (None, None) => Vec::new(),
        };
        tokens.truncate(args.tokens.map_or(usize::MAX, NonZeroUsize::get));
        check_tokens(&tokens, model.config.vocab)?;
        if tokens.len() < 2 {
            return Err(Failure::usage(format_args!(
                "expected a text of at least two tokens, found {}; the first one is never predicted",
                tokens.len()
            )));
        }
        let chunk = args.chunk.map_or(model.config.context_length, NonZeroUsize::get).min(tokens.len());
        if chunk < 2 {
            return Err(Failure::usage(format_args!(
                "expected at least two tokens in a chunk, found {chunk}; the first one is never predicted"
            )));
        }
        Ok(Self { tokens, chunk })
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let file = open_model(&args.model.model)?;
    let model = Model::from_gguf(&file)?;
    let plan = Plan::new(&args, &file, &model)?;
    let mut decoder = args.device.load(&model, plan.chunk)?;
    let start = Instant::now();
    let values = losses(&mut decoder, &plan)?;
    let time = start.elapsed();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if args.json {
        return print_json(&Report {
            provenance: Provenance::new(file.path(), &decoder, args.device),
            chunk: plan.chunk,
            input_tokens: plan.tokens.len(),
            tokens: values.len(),
            mean_nll: mean,
            perplexity: mean.exp(),
            seconds: time.as_secs_f64(),
            tokens_per_second: plan.tokens.len() as f64 / time.as_secs_f64().max(1e-9),
            per_token_nll: args.per_token.then_some(values),
        });
    }
    print(format_args!(
        "perplexity {:.4}, mean negative log likelihood {mean:.5} over {} predicted tokens\n",
        mean.exp(),
        values.len()
    ))?;
    let model = model_label(&file, &model.config);
    let device = decoder_label(&decoder);
    say(one_line(&format!("{model} on {device}, {}", rate(plan.tokens.len(), time))));
    Ok(())
}

/// The negative log likelihood of every token but the first of each chunk.
fn losses(decoder: &mut Decoder, plan: &Plan) -> Result<Vec<f64>, Failure> {
    let mut progress = Progress::steps("measuring", plan.tokens.len() as u64);
    let mut values = Vec::with_capacity(plan.tokens.len());
    for chunk in plan.tokens.chunks(plan.chunk) {
        decoder.reset();
        for pair in chunk.windows(2) {
            decoder.feed(&pair[..1])?;
            values.push(negative_log_likelihood(&decoder.logits()?, pair[1] as usize));
            progress.step();
        }
        progress.step();
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let message = format!(
            "expected finite logits, found others at the predicted token {at}; the model's weights are damaged"
        );
        return Err(Failure::new(Kind::Model, message));
    }
    Ok(values)
}

/// -ln softmax(logits)[token], in double precision.
fn negative_log_likelihood(logits: &[f32], token: usize) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    sum.ln() + largest - f64::from(logits[token])
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    provenance: Provenance,
    chunk: usize,
    /// Tokens of the text.
    input_tokens: usize,
    /// Tokens that were predicted.
    tokens: usize,
    mean_nll: f64,
    perplexity: f64,
    seconds: f64,
    tokens_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_token_nll: Option<Vec<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_that_of_the_formula_and_does_not_overflow() {
        let two = negative_log_likelihood(&[0.0, 0.0], 1);
        assert!((two - 2f64.ln()).abs() < 1e-15);
        let far = negative_log_likelihood(&[1000.0, 0.0, -1000.0], 1);
        assert!((far - 1000.0).abs() < 1e-9);
        assert!(negative_log_likelihood(&[f32::NAN, 0.0], 1).is_nan());
    }
}
