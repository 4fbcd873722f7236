//! The two programs: how each is run, and what it says.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::record::{Series, Source};
use crate::Failure;

/// Where the programs are, and where they run.
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
    pub config: Config,
    pub bytes_per_token: u64,
}

/// The part of it about the network.
#[derive(Deserialize)]
pub struct Config {
    pub vocab: NonZeroUsize,
    pub context_length: usize,
}

/// What `psionic generate --json` says.
#[derive(Deserialize)]
pub struct Generation {
    pub commit: String,
    pub device: Value,
    pub generated_tokens: Vec<u32>,
    pub timings: Timings,
}

/// The part of it about time.
#[derive(Deserialize)]
pub struct Timings {
    pub load_seconds: f64,
}

/// What `llama-peer greedy` says.
#[derive(Deserialize)]
pub struct Chosen {
    pub ids: Vec<u32>,
    #[serde(default)]
    pub margins: Vec<f64>,
    samples_ns: Vec<u64>,
    #[serde(flatten)]
    rest: Value,
}

/// The repetitions of one workload, as any of the programs reports them.
#[derive(Debug)]
pub struct Timed {
    pub n_gen: usize,
    pub n_depth: usize,
    pub samples_ns: Vec<u64>,
    /// What else the program said.
    pub rest: Value,
}

/// What is asked of a benchmark.
pub struct Workload<'a> {
    pub tokens: usize,
    pub depths: &'a [usize],
    pub repetitions: usize,
}

impl Programs {
    pub fn facts(&self, model: &Path) -> Result<Facts, Failure> {
        let mut command = Command::new(&self.psionic);
        parsed(command.args(["model", "--json", "-m"]).arg(model))
    }

    /// Greedy decoding after these ids.
    pub fn generate(&self, model: &Path, prompt: &[u32], count: usize) -> Result<Generation, Failure> {
        let ids: Vec<String> = prompt.iter().map(u32::to_string).collect();
        let mut command = self.psionic(&["generate", "--json", "--ignore-eos"], model);
        parsed(command.args(["--prompt-tokens", &ids.join(","), "-n", &count.to_string()]))
    }

    /// `psionic bench` or llama-bench at every depth; `environment` has `NAME=VALUE`s.
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
        rows(&output(&mut command)?).map_err(|Failure(why)| Failure(format!("{}: {why}", name(&command))))
    }

    /// llama.cpp's greedy decoding after the ids in a file, chosen on the `host` or on the `device`.
    pub fn greedy(
        &self,
        model: &Path,
        ids: &Path,
        choose: &str,
        count: usize,
        repetitions: usize,
    ) -> Result<Chosen, Failure> {
        let mut command = self.llama("llama-peer", &["greedy"], model);
        command.arg("--token-ids").arg(ids);
        command.args(["--choose", choose, "-n", &count.to_string(), "-r", &repetitions.to_string()]);
        parsed(&mut command)
    }

    /// Writes the logits after the ids in a file, or after the last of them only.
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

    fn psionic(&self, arguments: &[&str], model: &Path) -> Command {
        let mut command = Command::new(&self.psionic);
        command.args(arguments).arg("-m").arg(model);
        command.args(["--backend", if self.gpu.is_some() { "cuda" } else { "sim" }]);
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
fn rows(text: &str) -> Result<Vec<Timed>, Failure> {
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
fn parsed<T: DeserializeOwned>(command: &mut Command) -> Result<T, Failure> {
    let text = output(command)?;
    serde_json::from_str(&text).map_err(|error| {
        Failure(format!(
            "expected JSON of a known form from {}, found something else ({error})",
            name(command)
        ))
    })
}

/// Runs a program and returns what it prints; fails with its last words when it does.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_llama_bench_are_read_and_the_machines_path_is_left_out() {
        let text = r#"[{"build_commit": "abc", "model_filename": "/home/me/model.gguf", "n_threads": 16, "n_prompt": 0,
            "n_gen": 512, "n_depth": 2048, "avg_ts": 713.6, "samples_ns": [ 718821094, 717381821 ],
            "samples_ts": [ 712.277, 713.706 ]}]"#;
        let rows = rows(text).unwrap();
        assert_eq!((rows[0].n_gen, rows[0].n_depth), (512, 2048));
        assert_eq!(rows[0].samples_ns, [718_821_094, 717_381_821]);
        let rest = serde_json::json!({"build_commit": "abc", "n_threads": 16, "n_prompt": 0});
        assert_eq!(rows[0].rest, rest);
    }

    #[test]
    fn other_output_is_refused() {
        for text in ["", "{}", r#"[{"n_gen": 1}]"#, "warming up\n[]"] {
            assert!(rows(text).unwrap_err().0.contains("expected benchmark records"), "{text}");
        }
    }
}
