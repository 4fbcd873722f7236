//! The two programs: how each is run, and what it says.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Failure, Source};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// `psionic bench`: greedy decoding.
    Psionic,
    /// llama-bench: feeds tokens and chooses none.
    LlamaBench,
    /// llama.cpp's greedy decoding, the token chosen on the host.
    LlamaGreedyHost,
    /// The same, chosen on the device.
    LlamaGreedyDevice,
}

impl Series {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Psionic => "Psionic",
            Self::LlamaBench => "llama-bench",
            Self::LlamaGreedyHost => "llama.cpp, host chooses",
            Self::LlamaGreedyDevice => "llama.cpp, device chooses",
        }
    }
}

/// Where the programs are, and where they run.
#[derive(Debug)]
pub struct Programs {
    /// `psionic`.
    pub psionic: PathBuf,
    /// The folder with `llama-bench` and `llama-peer`.
    pub llama: PathBuf,
    /// The GPU's number, or none for the CPU.
    pub gpu: Option<u32>,
}

/// What `psionic model --json` says.
#[derive(Deserialize)]
pub struct Facts {
    /// The network's numbers.
    pub config: Config,
    /// Bytes of weights that a token reads.
    pub bytes_per_token: u64,
}

/// The part of it about the network.
#[derive(Deserialize)]
pub struct Config {
    /// Tokens in the vocabulary.
    pub vocab: NonZeroUsize,
    /// Positions that there are.
    pub context_length: usize,
}

/// What `psionic generate --json` says.
#[derive(Deserialize)]
pub struct Generation {
    /// What was built.
    pub commit: String,
    /// Where it ran.
    pub device: Value,
    /// What it chose.
    pub generated_tokens: Vec<u32>,
    /// How long it took.
    pub timings: Timings,
}

/// The part of it about time.
#[derive(Deserialize)]
pub struct Timings {
    /// Loading.
    pub load_seconds: f64,
}

/// What `llama-peer greedy` says.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    /// What it chose, the token that ended the text included.
    pub ids: Vec<u32>,
    /// Its best minus its second-best logit for each, where the host chose.
    #[serde(default)]
    pub margins: Vec<f64>,
    /// Whether every repetition chose the same.
    #[serde(default)]
    pub repeated: Option<bool>,
    /// The first run after loading.
    #[serde(default)]
    pub cold: Option<PeerRun>,
    /// The others.
    #[serde(default)]
    pub warm: Vec<PeerRun>,
    samples_ns: Vec<u64>,
    /// What else it said.
    #[serde(flatten)]
    pub rest: Value,
}

/// One of its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRun {
    /// Tokens that were chosen, the one that ended the text included.
    pub tokens: usize,
    /// Whether the text ended.
    pub stopped: bool,
    /// From an empty sequence until the first token was chosen and had gone through the model.
    pub first_ns: u64,
    /// Until the last one had.
    pub total_ns: u64,
}

/// What is asked of llama.cpp's greedy decoding.
#[derive(Debug, Clone, Copy)]
pub struct Greedy<'a> {
    /// Where a token is chosen: `host` or `device`.
    pub choose: &'a str,
    /// Tokens to choose, at most.
    pub count: usize,
    /// Timed repetitions, after the first run.
    pub repetitions: usize,
    /// The token that ends the text.
    pub stop: Option<u32>,
}

/// The repetitions of one workload, as any of the programs reports them.
#[derive(Debug)]
pub struct Timed {
    /// Tokens that were generated.
    pub n_gen: usize,
    /// Tokens before.
    pub n_depth: usize,
    /// Nanoseconds of each repetition.
    pub samples_ns: Vec<u64>,
    /// What else the program said.
    pub rest: Value,
}

/// What is asked of a benchmark.
pub struct Workload<'a> {
    /// Tokens to generate.
    pub tokens: usize,
    /// Tokens before.
    pub depths: &'a [usize],
    /// Timed repetitions.
    pub repetitions: usize,
}

impl Programs {
    /// What a model is.
    ///
    /// # Errors
    /// When the program fails or says something else.
    pub fn facts(&self, model: &Path) -> Result<Facts, Failure> {
        let mut command = Command::new(&self.psionic);
        parsed(command.args(["model", "--json", "-m"]).arg(model))
    }

    /// Greedy decoding after these ids.
    ///
    /// # Errors
    /// When the program fails or says something else.
    pub fn generate(&self, model: &Path, prompt: &[u32], count: usize) -> Result<Generation, Failure> {
        let ids: Vec<String> = prompt.iter().map(u32::to_string).collect();
        let mut command = self.psionic(&["generate", "--json", "--ignore-eos"], model);
        parsed(command.args(["--prompt-tokens", &ids.join(","), "-n", &count.to_string()]))
    }

    /// `psionic bench` or llama-bench at every depth; `environment` has `NAME=VALUE`s.
    ///
    /// # Errors
    /// When the program fails or says something else.
    pub fn bench(
        &self,
        series: Series,
        model: &Path,
        environment: &[String],
        asked: &Workload<'_>,
    ) -> Result<Vec<Timed>, Failure> {
        let mut command = match series {
            Series::Psionic => self.psionic(&["bench"], model),
            _ => self.llama("llama-bench", &[], model),
        };
        command.envs(environment.iter().filter_map(|one| one.split_once('=')));
        let depths: Vec<String> = asked.depths.iter().map(usize::to_string).collect();
        command.args(["-p", "0", "-n", &asked.tokens.to_string(), "-d", &depths.join(",")]);
        command.args(["-r", &asked.repetitions.to_string(), "-o", "json"]);
        bench_rows(&output(&mut command)?)
            .map_err(|Failure(why)| Failure(format!("{}: {why}", name(&command))))
    }

    /// llama.cpp's greedy decoding after the ids in a file.
    ///
    /// # Errors
    /// When the program fails or says something else.
    pub fn greedy(&self, model: &Path, ids: &Path, asked: &Greedy<'_>) -> Result<Chosen, Failure> {
        let mut command = self.llama("llama-peer", &["greedy"], model);
        command.arg("--token-ids").arg(ids);
        command.args(["--choose", asked.choose, "-n", &asked.count.to_string()]);
        command.args(["-r", &asked.repetitions.to_string()]);
        if let Some(stop) = asked.stop {
            command.args(["--stop", &stop.to_string()]);
        }
        parsed(&mut command)
    }

    /// Writes the logits after the ids in a file, or after the last of them only.
    ///
    /// # Errors
    /// When the program fails.
    pub fn logits(
        &self,
        source: Source,
        model: &Path,
        ids: &Path,
        last: bool,
        to: &Path,
    ) -> Result<(), Failure> {
        let mut command = match source {
            Source::Psionic => self.psionic(&["logits"], model),
            Source::PsionicFloat => self.psionic(&["logits", "--activations", "float"], model),
            Source::Llama => self.llama("llama-peer", &["logits"], model),
        };
        command.arg("--token-ids").arg(ids).arg("-o").arg(to);
        if last {
            command.args(["--last", "1"]);
        }
        output(&mut command).map(drop)
    }

    /// `psionic` with these arguments and a model, on the GPU or on the simulator.
    fn psionic(&self, arguments: &[&str], model: &Path) -> Command {
        let mut command = self.own(arguments);
        command.arg("-m").arg(model);
        command.args(["--backend", if self.gpu.is_some() { "cuda" } else { "sim" }]);
        command
    }

    /// `psionic` with these arguments, which sees one GPU only.
    pub fn own(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.psionic);
        command.args(arguments);
        self.on_one_gpu(command)
    }

    fn llama(&self, program: &str, arguments: &[&str], model: &Path) -> Command {
        let mut command = Command::new(self.llama.join(program));
        command.args(arguments).arg("-m").arg(model);
        command.args(["-fa", "1", "-ngl", if self.gpu.is_some() { "99" } else { "0" }]);
        self.on_one_gpu(command)
    }

    /// llama.cpp would spread a model over all GPUs. The order is `nvidia-smi`'s.
    fn on_one_gpu(&self, mut command: Command) -> Command {
        if let Some(index) = self.gpu {
            command.env("CUDA_DEVICE_ORDER", "PCI_BUS_ID").env("CUDA_VISIBLE_DEVICES", index.to_string());
        }
        command
    }
}

impl Chosen {
    /// Its times as a benchmark has them.
    pub fn timed(&self, n_depth: usize) -> Timed {
        let (n_gen, samples_ns) = (self.ids.len(), self.samples_ns.clone());
        Timed { n_gen, n_depth, samples_ns, rest: self.rest.clone() }
    }
}

/// The rows of `psionic bench -o json` and of llama-bench's.
///
/// # Errors
/// When the text is something else.
pub fn bench_rows(text: &str) -> Result<Vec<Timed>, Failure> {
    #[derive(Deserialize)]
    struct Row {
        n_gen: usize,
        n_depth: usize,
        samples_ns: Vec<u64>,
        #[serde(flatten)]
        rest: Value,
    }
    let rows: Vec<Row> = serde_json::from_str(text).map_err(|error| {
        Failure(format!("expected benchmark records in JSON, found something else ({error})"))
    })?;
    let timed = rows.into_iter().map(|row| {
        let mut rest = row.rest;
        if let Some(rest) = rest.as_object_mut() {
            // What is computed from the samples is computed here for all alike. The path is the machine's.
            for field in ["avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ts", "model_filename"] {
                rest.shift_remove(field);
            }
        }
        Timed { n_gen: row.n_gen, n_depth: row.n_depth, samples_ns: row.samples_ns, rest }
    });
    Ok(timed.collect())
}

/// Runs a program that prints JSON.
///
/// # Errors
/// When it fails or prints something else.
pub fn parsed<T: DeserializeOwned>(command: &mut Command) -> Result<T, Failure> {
    let text = output(command)?;
    serde_json::from_str(&text).map_err(|error| {
        Failure(format!(
            "expected JSON of a known form from {}, found something else ({error})",
            name(command)
        ))
    })
}

/// Runs a program and returns what it prints; fails with its last words when it does.
///
/// # Errors
/// When it cannot be run, fails or prints no text.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let done =
        command.output().map_err(|error| Failure(format!("{} cannot be run: {error}", name(command))))?;
    if !done.status.success() {
        let words = String::from_utf8_lossy(&done.stderr);
        // A hint stands behind the reason.
        let reason = |line: &&str| !line.trim().is_empty() && !line.starts_with("hint:");
        let last = words.lines().rev().find(reason).unwrap_or("it said nothing");
        return Err(Failure(format!("{} failed with {}: {}", name(command), done.status, last.trim())));
    }
    String::from_utf8(done.stdout)
        .map_err(|_| Failure(format!("expected text from {}, found something else", name(command))))
}

/// The program and, where it has one, the subcommand.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let word = command.get_args().next().unwrap_or_default().to_string_lossy();
    if word.is_empty() || word.starts_with('-') { program.into_owned() } else { format!("{program} {word}") }
}

/// What a build of llama.cpp left about itself, in its folder or above it.
pub fn build_info(folder: &Path) -> Option<String> {
    let above = folder.join("..");
    [folder, &above].iter().find_map(|folder| fs::read_to_string(folder.join("BUILD-INFO.txt")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_llama_bench_are_read_and_the_machines_path_is_left_out() {
        let text = r#"[{"build_commit": "abc", "model_filename": "/home/me/model.gguf", "n_threads": 16, "n_prompt": 0,
            "n_gen": 512, "n_depth": 2048, "avg_ts": 713.6, "samples_ns": [ 718821094, 717381821 ],
            "samples_ts": [ 712.277, 713.706 ]}]"#;
        let rows = bench_rows(text).unwrap();
        assert_eq!((rows[0].n_gen, rows[0].n_depth), (512, 2048));
        assert_eq!(rows[0].samples_ns, [718_821_094, 717_381_821]);
        let rest = serde_json::json!({"build_commit": "abc", "n_threads": 16, "n_prompt": 0});
        assert_eq!(rows[0].rest, rest);
    }

    #[test]
    fn other_output_is_refused() {
        for text in ["", "{}", r#"[{"n_gen": 1}]"#, "warming up\n[]"] {
            assert!(bench_rows(text).unwrap_err().0.contains("expected benchmark records"), "{text}");
        }
    }
}
