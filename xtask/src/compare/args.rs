//! What a comparison is asked for.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each program has its turn, the order reversed in every second one, and only while nobody else uses the GPU. \
Token ids are drawn from the seed: a prompt of one token behind each depth for speed and greedy ids, and a sequence \
that both are given whatever they would choose, for the logits. What is written: compare.json (every sample, both \
programs' ids, statistics of the logits) after each model, and chart.svg. benches/llama.cpp/build.sh makes the \
programs of llama.cpp.")]
pub struct Args {
    /// The program, built with --release
    #[arg(long, value_name = "FILE")]
    pub psionic: PathBuf,

    /// The folder with llama-bench and llama-peer
    #[arg(long, value_name = "FOLDER")]
    pub llama: PathBuf,

    /// Models, GGUF files
    #[arg(short, long, value_name = "FILE", num_args = 1.., required = true)]
    pub model: Vec<PathBuf>,

    /// Where to write the records, as fixtures/bench/2026-01-31-h100
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,

    /// Tokens in the sequence before
    #[arg(short, long, value_name = "N", value_delimiter = ',', default_value = "0,2048")]
    pub depths: Vec<usize>,

    /// Tokens to generate
    #[arg(short = 'n', long, value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    pub tokens: usize,

    /// Timed repetitions in a turn
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub repetitions: usize,

    /// Turns of each program
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub turns: usize,

    /// Tokens after which the logits are compared
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub positions: usize,

    /// What the token ids are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Also run llama-bench with these in its environment, separated by commas; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub llama_env: Vec<String>,

    /// The GPU, by nvidia-smi's number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub gpu: u32,

    /// Run both on the CPU, Psionic on its simulator: to try the command, not to compare speeds
    #[arg(long)]
    pub cpu: bool,

    /// Stands in for nvidia-smi
    #[arg(long, value_name = "FILE", default_value = "nvidia-smi", hide = true)]
    pub nvidia_smi: PathBuf,

    /// How long to wait for an idle GPU
    #[arg(long, value_name = "N", default_value_t = 30, hide = true)]
    pub patience_seconds: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("expected a number of at least 1, found {text:?}"))
}
