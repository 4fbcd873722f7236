//! `psionic generate`: a prompt, and what the model makes of it.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ArgGroup;
use psionic::decode::Decoder;
use psionic::medpsy::{self, Admission, DISCLAIMER, MedicalPolicy, Message};
use psionic::model::{Model, TextStream, Tokenizer};
use serde::Serialize;

use super::common::{
    DeviceArgs, ModelArgs, Opened, Provenance, check_tokens, count, decoder_label, model_label, token_id,
};
use super::failure::Failure;
use super::style::DIM;
use super::terminal::{note, one_line, print_json, print_text, rate, say};
use super::token_ids;

/// Continue a prompt, each token the likeliest
///
/// The text goes to standard output as it comes; the model, the device and the
/// speed go to standard error.
///
/// With a MedPsy model the medical policy holds: -p is a user's turn of a
/// conversation that its persona opens, what asks for a diagnosis, a
/// prescription or emergency care is refused, and a disclaimer is shown.
#[derive(Debug, clap::Args)]
#[command(override_usage = "\
psionic generate [OPTIONS] -m <FILE> -p <TEXT>
       psionic generate [OPTIONS] -m <FILE> --messages <FILE>
       psionic generate [OPTIONS] -m <FILE> --prompt-tokens <IDS>",
    group = ArgGroup::new("the prompt").required(true), after_help = "\
Examples:
  psionic generate -m qwen3-1.7b-q4_k_m.gguf -p 'The first emperor was'
  psionic generate -m model.gguf -p 'fn main() {' -n 32 --backend sim
  psionic generate -m model.gguf --prompt-tokens 785,1156 -n 8 --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// The prompt; special tokens written out in it count as themselves
    #[arg(short, long, value_name = "TEXT", group = "the prompt", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// A conversation in JSON, through the model's chat template:
    /// [{"role": "user", "content": ".."}]
    #[arg(long, value_name = "FILE", group = "the prompt")]
    messages: Option<PathBuf>,

    /// The prompt as token ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', group = "the prompt")]
    #[arg(value_parser = token_id, allow_negative_numbers = true)]
    prompt_tokens: Vec<u32>,

    /// Tokens to generate, at most
    #[arg(short = 'n', long, value_name = "N", default_value = "128", value_parser = count, allow_negative_numbers = true)]
    tokens: NonZeroUsize,

    /// Positions to make room for [default: the prompt and -n, as far as the
    /// model's context goes]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    context: Option<NonZeroUsize>,

    /// Go on after the tokens that end a text
    #[arg(long)]
    ignore_eos: bool,

    /// Run a MedPsy model in a quantisation that the medical policy blocks
    #[arg(long)]
    allow_blocked_quantization: bool,

    #[command(flatten)]
    device: DeviceArgs,

    /// Write one JSON object in place of the text
    #[arg(long)]
    json: bool,
}

/// What was asked for, checked against the model.
struct Plan {
    prompt: Vec<u32>,
    /// Tokens to generate, at most.
    count: usize,
    /// Why there will be no more than `count`.
    limit: Stop,
    context: usize,
    /// Tokens that end the text.
    stop: Vec<u32>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    /// All tokens that were asked for are there.
    Length,
    /// The model ended its text.
    Eos,
    /// The context is full.
    Context,
}

impl Plan {
    fn new(args: &Args, model: &Model<'_>, tokenizer: &Tokenizer, medical: bool) -> Result<Self, Failure> {
        let prompt = prompt(args, tokenizer, medical)?;
        if prompt.is_empty() {
            return Err(Failure::usage(
                "expected a prompt of at least one token, found an empty one; write some text",
            ));
        }
        check_tokens(&prompt, model.config.vocab)?;
        let wanted = prompt.len().saturating_add(args.tokens.get());
        let context = args.context.map_or(wanted.min(model.config.context_length), NonZeroUsize::get);
        if prompt.len() >= context {
            let most = model.config.context_length;
            let longer = if context < most {
                format!(" or ask for a `--context` of up to {most}")
            } else {
                String::new()
            };
            return Err(Failure::usage(format_args!(
                "expected a prompt of at most {} tokens in a context of {context}, found {}; shorten it{longer}",
                context - 1,
                prompt.len()
            )));
        }
        let room = context - prompt.len();
        let (count, limit) =
            if room < args.tokens.get() { (room, Stop::Context) } else { (args.tokens.get(), Stop::Length) };
        let stop = if args.ignore_eos { Vec::new() } else { tokenizer.stop_tokens().to_vec() };
        Ok(Self { prompt, count, limit, context, stop })
    }
}

/// The prompt's tokens. Whatever form it has, with a MedPsy model it has to pass the medical policy.
fn prompt(args: &Args, tokenizer: &Tokenizer, medical: bool) -> Result<Vec<u32>, Failure> {
    let conversation = match (&args.prompt, &args.messages) {
        (_, Some(path)) => messages(path)?,
        (Some(text), None) if medical => vec![Message::user(text)],
        (Some(text), None) => return Ok(tokenizer.encode(text)?),
        (None, None) => {
            if medical {
                medpsy::check_text(&tokenizer.decode(&args.prompt_tokens))?;
            }
            return Ok(args.prompt_tokens.clone());
        }
    };
    let render = if medical { medpsy::medical_prompt } else { medpsy::prompt };
    Ok(tokenizer.encode(&render(tokenizer, &conversation)?)?)
}

/// The conversation in a file.
fn messages(path: &Path) -> Result<Vec<Message>, Failure> {
    serde_json::from_str(&token_ids::text(path)?).map_err(|error| {
        Failure::usage(format_args!(
            "expected {} to hold a conversation, as [{{\"role\": \"user\", \"content\": \"..\"}}], found something else ({error}); correct the file",
            path.display()
        ))
    })
}

/// What came of it.
struct Outcome {
    generated: Vec<u32>,
    text: String,
    stop: Stop,
    prompt_time: Duration,
    generation_time: Duration,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let opened = Opened::new(&args.model.model, args.allow_blocked_quantization)?;
    let (file, medical) = (&opened.file, opened.medical.is_some());
    let model = Model::from_gguf(file)?;
    let tokenizer = Tokenizer::from_gguf(file)?;
    let plan = Plan::new(&args, &model, &tokenizer, medical)?;
    opened.warn();
    if medical {
        note(DISCLAIMER);
    }
    let start = Instant::now();
    let mut decoder = args.device.load(&model, plan.context)?;
    let load_time = start.elapsed();
    if args.json {
        let outcome = generate(&mut decoder, &plan, &tokenizer, &mut |_| Ok(()))?;
        return print_json(&Report {
            provenance: Provenance::new(file.path(), &decoder, args.device),
            prompt_tokens: &plan.prompt,
            generated_tokens: &outcome.generated,
            text: &outcome.text,
            stop: outcome.stop,
            timings: Timings::new(&plan, &outcome, load_time),
            medical_policy: opened.medical.as_ref().map(Medical::new),
        });
    }
    let outcome = generate(&mut decoder, &plan, &tokenizer, &mut print_text)?;
    if !outcome.text.ends_with('\n') {
        print_text("\n")?;
    }
    summarize(&model_label(file, &model.config), &decoder, &plan, &outcome);
    Ok(())
}

/// Feeds the prompt and generates; `on_text` is given the text as it comes.
fn generate(
    decoder: &mut Decoder,
    plan: &Plan,
    tokenizer: &Tokenizer,
    on_text: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    decoder.feed(&plan.prompt)?;
    let prompt_time = start.elapsed();

    let mut text = Text { stream: tokenizer.stream(), whole: String::new(), on_text, failure: None };
    let start = Instant::now();
    let generated = decoder.generate(plan.count, &plan.stop, &mut |tokens| {
        text.push(tokens.iter().filter(|token| !plan.stop.contains(token)))
    })?;
    let generation_time = start.elapsed();
    let whole = text.finish()?;
    let ended = generated.last().is_some_and(|token| plan.stop.contains(token));
    let stop = if ended { Stop::Eos } else { plan.limit };
    Ok(Outcome { generated, text: whole, stop, prompt_time, generation_time })
}

/// The text so far, passed on in whole characters.
struct Text<'a> {
    stream: TextStream<'a>,
    whole: String,
    on_text: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
    failure: Option<Failure>,
}

impl Text<'_> {
    fn push<'t>(&mut self, tokens: impl Iterator<Item = &'t u32>) -> ControlFlow<()> {
        let text: String = tokens.map(|&token| self.stream.push(token)).collect();
        self.pass_on(&text)
    }

    fn pass_on(&mut self, text: &str) -> ControlFlow<()> {
        self.whole.push_str(text);
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        match (self.on_text)(text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.failure = Some(failure);
                ControlFlow::Break(())
            }
        }
    }

    fn finish(mut self) -> Result<String, Failure> {
        if self.failure.is_none() {
            let rest = self.stream.clone().finish();
            let _ = self.pass_on(&rest);
        }
        self.failure.map_or(Ok(self.whole), Err)
    }
}

fn summarize(model: &str, decoder: &Decoder, plan: &Plan, outcome: &Outcome) {
    let line = |what: &str, value: &str| say(format_args!("{DIM}{what:<10}{DIM:#} {}", one_line(value)));
    let speed = |tokens: usize, time| {
        let s = if tokens == 1 { "" } else { "s" };
        format!("{tokens} token{s}, {}", rate(tokens, time))
    };
    let stop = match outcome.stop {
        Stop::Length => "",
        Stop::Eos => ", the model ended the text",
        Stop::Context => ", the context is full",
    };
    say("");
    line("model", model);
    line("device", &decoder_label(decoder));
    line("prompt", &speed(plan.prompt.len(), outcome.prompt_time));
    line("generation", &(speed(outcome.generated.len(), outcome.generation_time) + stop));
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    provenance: Provenance,
    prompt_tokens: &'a [u32],
    generated_tokens: &'a [u32],
    text: &'a str,
    stop: Stop,
    timings: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    medical_policy: Option<Medical<'a>>,
}

/// What a MedPsy model's answer comes with.
#[derive(Serialize)]
struct Medical<'a> {
    #[serde(flatten)]
    policy: MedicalPolicy,
    disclaimer: &'static str,
    admission: &'a Admission,
}

impl<'a> Medical<'a> {
    fn new(admission: &'a Admission) -> Self {
        Self { policy: MedicalPolicy::current(), disclaimer: DISCLAIMER, admission }
    }
}

#[derive(Serialize)]
struct Timings {
    load_seconds: f64,
    prompt_seconds: f64,
    prompt_tokens_per_second: f64,
    generation_seconds: f64,
    generation_tokens_per_second: f64,
}

impl Timings {
    fn new(plan: &Plan, outcome: &Outcome, load_time: Duration) -> Self {
        let rate = |tokens: usize, time: Duration| tokens as f64 / time.as_secs_f64().max(1e-9);
        Self {
            load_seconds: load_time.as_secs_f64(),
            prompt_seconds: outcome.prompt_time.as_secs_f64(),
            prompt_tokens_per_second: rate(plan.prompt.len(), outcome.prompt_time),
            generation_seconds: outcome.generation_time.as_secs_f64(),
            generation_tokens_per_second: rate(outcome.generated.len(), outcome.generation_time),
        }
    }
}
