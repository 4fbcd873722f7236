//! The whole comparison, with programs that stand in for both and for `nvidia-smi`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::record::{Record, Series, Source};
use super::{Args, FILE, compare};
use crate::report::report;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn fake(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compare/fake").join(name)
}

/// A folder for the record and a model that says what is to happen.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.gguf"), model).unwrap();
        Self { folder }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("record")
    }

    /// The result with these arguments more, on a GPU that nobody uses unless they say otherwise.
    fn run(&self, more: &[&str]) -> Result<(), String> {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut line: Vec<String> = vec!["compare".into()];
        let mut add = |name: &str, value: String| line.extend([name.to_owned(), value]);
        add("--psionic", path(fake("psionic")));
        if !more.contains(&"--llama") {
            add("--llama", path(fake("")));
        }
        add("-m", path(self.folder.path().join("model.gguf")));
        add("-o", path(self.output()));
        add("-n", "4".into());
        add("--patience-seconds", "0".into());
        if !more.contains(&"--nvidia-smi") {
            add("--nvidia-smi", path(fake("nvidia-smi-idle")));
        }
        if !more.contains(&"-d") {
            add("-d", "0,8".into());
        }
        add("--positions", "3".into());
        line.extend(more.iter().map(|one| (*one).to_owned()));
        compare(&Line::parse_from(line).args).map_err(|failure| failure.0)
    }

    fn record(&self) -> Record {
        serde_json::from_str(&fs::read_to_string(self.output().join(FILE)).unwrap()).unwrap()
    }

    fn refused(&self, more: &[&str], part: &str) {
        let reason = self.run(more).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn programs_take_turns_and_every_sample_is_kept() {
    let bench = Bench::new("");
    bench.run(&["--llama-env", "GGML_VARIANT=1", "--gpu", "3"]).unwrap();
    let record = bench.record();
    assert_eq!(record.gpu.unwrap()["name"], "A GPU");
    let speed = &record.models[0].speed;
    let order: Vec<_> =
        speed.iter().filter(|s| s.n_depth == 8).map(|s| (s.turn, s.series, s.environment.len())).collect();
    use Series::{LlamaBench, LlamaGreedyDevice, LlamaGreedyHost, Psionic};
    let first =
        [(Psionic, 0), (LlamaBench, 0), (LlamaBench, 1), (LlamaGreedyHost, 0), (LlamaGreedyDevice, 0)];
    let second = first.iter().rev().map(|(series, more)| (2, *series, *more));
    let expected: Vec<_> = first.iter().map(|(series, more)| (1, *series, *more)).chain(second).collect();
    assert_eq!(order, expected);
    assert_eq!(speed.len(), 20);
    let ours = &speed[0];
    assert_eq!((ours.n_gen, ours.n_depth, &ours.samples_ns[..]), (4, 0, &[1_000_000_000, 2_000_000_000][..]));
    assert_eq!((&ours.samples_ts[..], ours.avg_ts, ours.stddev_ts), (&[4.0, 2.0][..], 3.0, 2f64.sqrt()));
    assert!(ours.gpu.is_some() && ours.program.get("model_filename").is_none());
    let told = |at: usize| (speed[at].program["visible"].as_str(), speed[at].program["variant"].as_str());
    assert_eq!((told(2), told(4)), ((Some("3"), Some("")), (Some("3"), Some("1"))));
    let model = &record.models[0];
    assert_eq!(
        (&*model.file, &*model.model_type, &*model.psionic_commit),
        ("model.gguf", "qwen3 1.7B Q4_K_M", "abc")
    );
}

#[test]
fn ids_are_compared_to_the_first_that_differs_and_logits_to_each_other() {
    let bench = Bench::new("");
    bench.run(&[]).unwrap();
    let model = bench.record().models.remove(0);
    for (greedy, depth) in model.greedy.iter().zip([0, 8]) {
        assert_eq!((greedy.n_depth, greedy.same), (depth, 2));
        let at = greedy.divergence.as_ref().unwrap();
        assert_eq!((at.psionic_id, at.psionic_margin, at.llama_id, at.llama_margin), (2, 1.0, 3, 2.0));
    }
    let pair = |reference, other| {
        model.numerics.pairs.iter().find(|pair| (pair.reference, pair.other) == (reference, other)).unwrap()
    };
    let same = pair(Source::PsionicFloat, Source::Psionic);
    assert_eq!((same.mean_kl, same.relative_rms, same.same_best, same.kl.len()), (0.0, 0.0, 3, 3));
    let apart = pair(Source::Llama, Source::Psionic);
    assert_eq!((apart.same_best, apart.widest_lost_margin), (0, Some(2.0)));
    let (p, q) = ([0f64, 1.0, 2.0, 4.0], [0f64, 1.0, 3.0, 2.0]);
    let log_sum = |logits: [f64; 4]| logits.iter().map(|l| l.exp()).sum::<f64>().ln();
    let kl: f64 =
        p.iter().zip(q).map(|(p_, q_)| (p_ - log_sum(p)).exp() * (p_ - q_ - log_sum(p) + log_sum(q))).sum();
    assert!((apart.mean_kl - kl).abs() < 1e-12 && kl > 0.1);

    let bench = Bench::new("they agree");
    bench.run(&[]).unwrap();
    let greedy = &bench.record().models[0].greedy[0];
    assert!(greedy.same == 4 && greedy.divergence.is_none());
}

#[test]
fn a_record_is_reported_and_drawn_and_never_replaced() {
    let bench = Bench::new("");
    bench.run(&[]).unwrap();
    report(&bench.output()).unwrap();
    let chart = fs::read_to_string(bench.output().join("chart.svg")).unwrap();
    for part in ["A GPU, Q4_K_M, tokens per second", "1.7B tg4 @ d8", "llama.cpp, greedy"] {
        assert!(chart.contains(part), "{part}: {chart}");
    }
    bench.refused(&[], "compare.json is already there");
}

#[test]
fn a_gpu_that_is_not_idle_or_cannot_be_asked_is_refused() {
    let bench = Bench::new("");
    let smi = |name: &str| fake(name).to_str().unwrap().to_owned();
    bench.refused(&["--nvidia-smi", &smi("nvidia-smi-used")], "found it used by process 4711, trainer");
    bench.refused(&["--nvidia-smi", &smi("nvidia-smi-working")], "found it 97 % busy");
    bench.refused(&["--nvidia-smi", "/nonexistent/nvidia-smi"], "the GPU cannot be checked");
    bench.refused(&["--nvidia-smi", "false"], "the GPU cannot be checked, because false failed");
    bench.refused(&["--nvidia-smi", "true"], "expected 12 values from nvidia-smi");
    assert!(!bench.output().exists());
}

#[test]
fn the_cpu_needs_no_gpu() {
    let bench = Bench::new("");
    bench.run(&["--cpu", "--nvidia-smi", "/nonexistent/nvidia-smi"]).unwrap();
    assert!(bench.record().gpu.is_none());
}

#[test]
fn a_program_that_fails_is_named_with_its_reason() {
    Bench::new("Psionic fails")
        .refused(&[], "psionic model failed with exit status: 3: psionic: error: the file is damaged");
    Bench::new("llama.cpp fails").refused(
        &[],
        "llama-peer greedy failed with exit status: 1: llama-peer: llama.cpp could not load it",
    );
    Bench::new("").refused(&["--llama", "/nonexistent"], "llama-bench cannot be run");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let bench = Bench::new("");
    bench.refused(&["-d", "60"], "expected model.gguf to have a context of at least 65, found 64");
    bench.refused(&["--llama-env", "A"], "expected NAME=VALUE");
}
