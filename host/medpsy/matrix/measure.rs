//! Runs the rows, each in a program of its own, on a GPU that nobody else uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use psionic_peer::{
    Chosen, Failure, Gpu, GpuState, PeerRun, Programs, Row as Logits, Rows, Series, Source, Tally, Workload,
    divergence, token_ids,
};

use super::agreement::judge;
use super::decision::decide;
use super::error::MatrixError;
use super::record::{
    Artifact, LogitsAgreement, MATRIX_SCHEMA, Matrix, Method, PromptContract, Row, Scenario, Status,
};
use super::requirements::missing;
use crate::gguf::{GgufFile, GgufHeader};
use crate::medpsy::admission::{AdmissionRequest, admit};
use crate::medpsy::artifact::{PINNED, Provenance, sha256};
use crate::medpsy::error::MedPsyError;
use crate::medpsy::policy::MedicalPolicy;
use crate::medpsy::receipt::{BenchReport, ExecutionEngine, HowComputed, Means};
use crate::medpsy::size::ModelSize;
use crate::model::{Config, Tokenizer};

/// What is compared.
#[derive(Debug)]
pub struct MatrixRequest {
    /// The model.
    pub model: PathBuf,
    /// The size that it has, or none for any shape.
    pub size: Option<ModelSize>,
    /// This program and, if there is one, the folder with llama.cpp's; where both run.
    pub programs: Programs,
    /// Whether there is a llama.cpp.
    pub with_llama: bool,
    /// The GPU; none for a trial on the CPU, which backs no claim.
    pub gpu: Option<Gpu>,
    /// What to call the machine.
    pub host: String,
    /// The prompt.
    pub prompt: Vec<u32>,
    /// Tokens to generate, at most.
    pub max_new_tokens: usize,
    /// Runs of each row; the first is cold.
    pub repeats: usize,
    /// Turns of each row.
    pub turns: usize,
    /// Tokens after which the logits are compared.
    pub positions: usize,
    /// What those tokens are drawn from.
    pub seed: u64,
    /// Rows that were measured elsewhere.
    pub imported: Vec<Row>,
}

/// Measures a matrix. `say` is told what is being done.
///
/// # Errors
/// When the model is refused, or the GPU is not idle before the first row. What fails later is in the matrix.
pub fn measure(request: &MatrixRequest, say: &mut dyn FnMut(&str)) -> Result<Matrix, MatrixError> {
    say("admission and digest");
    let subject = Subject::new(request)?;
    let machine = request.gpu.as_ref().map(Gpu::idle).transpose()?;
    let created_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut rows = Vec::new();
    let mut plan = PLAN.to_vec();
    plan.retain(|(method, _)| request.with_llama || *method == Method::PsionicBench);
    for turn in 1..=request.turns {
        for &(method, scenario) in &plan {
            say(&format!("turn {turn}: {}, {}", method.title(), scenario.title()));
            rows.push(subject.row(method, scenario, turn));
        }
        // The other way round, so that who is first has no advantage.
        plan.reverse();
    }
    rows.extend(request.imported.iter().cloned());
    let logits = if request.with_llama {
        say("logits");
        // Without them nothing agrees strongly on random weights, and the decision says that.
        subject.logits().map_err(|failure| say(&format!("logits could not be compared: {failure}"))).ok()
    } else {
        None
    };
    say("agreement");
    subject.agree(&mut rows, logits.as_ref());
    let absent = missing(&subject.artifact, &rows);
    rows.extend(absent);
    let whole = rows.iter().all(|row| row.status == Status::Completed);
    Ok(Matrix {
        schema: MATRIX_SCHEMA.to_owned(),
        status: if whole { "complete" } else { "partial" }.to_owned(),
        created_at,
        host: request.host.clone(),
        decision: decide(&subject.artifact, &rows),
        artifact: subject.artifact,
        prompt_contract: PromptContract {
            kind: "token_ids".to_owned(),
            psionic_prompt_tokens: request.prompt.clone(),
            max_new_tokens: request.max_new_tokens,
            eos_token: subject.eos,
            claim_boundary: "runtime benchmark only; not clinical quality, HealthBench, or closed-ended medical benchmark \
                evidence"
                .to_owned(),
        },
        rows,
        logits,
        medical_policy: MedicalPolicy::current(),
        machine,
        how_computed: HowComputed::words(),
    })
}

/// Rows in the order of the first turn. Fixed lengths are timed in every way, so that the comparator's best is found.
const PLAN: [(Method, Scenario); 7] = [
    (Method::PsionicBench, Scenario::EosHonoured),
    (Method::LlamaPeerDevice, Scenario::EosHonoured),
    (Method::LlamaPeerHost, Scenario::EosHonoured),
    (Method::PsionicBench, Scenario::FixedLengthEosIgnored),
    (Method::LlamaPeerDevice, Scenario::FixedLengthEosIgnored),
    (Method::LlamaPeerHost, Scenario::FixedLengthEosIgnored),
    (Method::LlamaBench, Scenario::FixedLengthEosIgnored),
];

/// The model, and what is asked of it.
struct Subject<'a> {
    request: &'a MatrixRequest,
    artifact: Artifact,
    eos: Option<u32>,
    vocab: usize,
    llama_version: String,
    /// For token ids and logits, which are large.
    files: tempfile::TempDir,
}

impl<'a> Subject<'a> {
    fn new(request: &'a MatrixRequest) -> Result<Self, MatrixError> {
        let header = GgufHeader::open(&request.model).map_err(MedPsyError::from)?;
        let admission = admit(&header, AdmissionRequest { claimed: request.size, allow_blocked: false })?;
        let file = header.into_file().map_err(MedPsyError::from)?;
        let config = Config::from_gguf(&file).map_err(MedPsyError::from)?;
        let eos = Tokenizer::from_gguf(&file).map_err(MedPsyError::from)?.eos();
        let needed = (request.prompt.len() + request.max_new_tokens).max(request.positions);
        if needed > config.context_length {
            return Err(MedPsyError::InvalidRequest {
                expected: "a prompt, new tokens and positions that fit the model's context",
                found: format!("{needed} tokens for a context of {}", config.context_length),
            }
            .into());
        }
        let sha256 = sha256(file.bytes());
        let provenance = Provenance::of(file.metadata(), &sha256);
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let artifact = Artifact {
            repo: (provenance == Provenance::Pinned).then(|| PINNED.repo.to_owned()),
            file: name(&request.model),
            sha256,
            source_path: "<local path>".to_owned(),
            tracked_in_repo: false,
            bytes: file.len(),
            model_name: config.name.clone(),
            provenance,
            provenance_note: note(provenance, &file),
            admission,
        };
        let llama_version = psionic_peer::build_info(&request.programs.llama);
        let files =
            tempfile::tempdir().map_err(|source| MatrixError::Io { path: std::env::temp_dir(), source })?;
        Ok(Self {
            request,
            artifact,
            eos,
            vocab: config.vocab,
            llama_version: llama_version
                .map_or_else(|| "unknown build".to_owned(), |text| text.trim().to_owned()),
            files,
        })
    }

    /// One row: with figures or, when its program or the check before it fails, with the reason.
    fn row(&self, method: Method, scenario: Scenario, turn: usize) -> Row {
        let on_gpu = self.request.programs.gpu.is_some();
        let ours = method == Method::PsionicBench;
        let engine = match (ours, on_gpu) {
            (true, true) => ExecutionEngine::Cuda.name(),
            (true, false) => ExecutionEngine::CpuSimulator.name(),
            (false, true) => "llama_cpp_cuda",
            (false, false) => "llama_cpp_cpu",
        };
        let row = Row {
            runtime: if ours { "psionic" } else { "llama.cpp" }.to_owned(),
            artifact_kind: Some("gguf".to_owned()),
            backend: Some(if on_gpu { "cuda" } else { "cpu" }.to_owned()),
            host: Some(self.request.host.clone()),
            execution_engine: Some(engine.to_owned()),
            method: Some(method),
            scenario: Some(scenario),
            turn: Some(turn),
            version: (!ours).then(|| self.llama_version.clone()),
            artifact_sha256: Some(self.artifact.sha256.clone()),
            max_new_tokens: Some(self.request.max_new_tokens),
            ..Row::default()
        };
        match self.measured(row.clone(), method, scenario) {
            Ok(row) => row,
            Err(failure) => Row { status: Status::Failed, reason: Some(failure.0), ..row },
        }
    }

    fn measured(&self, row: Row, method: Method, scenario: Scenario) -> Result<Row, Failure> {
        let idle = self.idle()?;
        let gpu = idle.as_ref().and_then(|state| state.get("name").cloned());
        let row = Row { status: Status::Completed, idle_check: idle, gpu, ..row };
        match method {
            Method::PsionicBench => self.psionic(row, scenario),
            Method::LlamaPeerDevice => self.llama(row, scenario, "device"),
            Method::LlamaPeerHost => self.llama(row, scenario, "host"),
            Method::LlamaBench => self.llama_bench(row),
            Method::OllamaApi => Err(Failure("Ollama's API is imported, not run".to_owned())),
        }
    }

    fn psionic(&self, row: Row, scenario: Scenario) -> Result<Row, Failure> {
        let request = self.request;
        let ids: Vec<String> = request.prompt.iter().map(u32::to_string).collect();
        let mut command = request.programs.own(&["medpsy", "bench", "--json", "--model-path"]);
        command.arg(&request.model);
        command.args(["--backend", if request.programs.gpu.is_some() { "cuda" } else { "cpu" }]);
        command.args(["--prompt-token-ids", &ids.join(","), "--expected-sha256", &self.artifact.sha256]);
        command.args(["--max-new-tokens", &request.max_new_tokens.to_string()]);
        command.args(["--repeats", &request.repeats.to_string()]);
        match request.size {
            Some(size) => command.args(["--model-size", size.name()]),
            None => command.arg("--any-shape"),
        };
        if scenario == Scenario::FixedLengthEosIgnored {
            command.arg("--ignore-eos");
        }
        let mut report: BenchReport = psionic_peer::parsed(&mut command)?;
        report.model_path.clone_from(&self.artifact.file);
        let first = report.runs.first();
        let best =
            report.runs.iter().filter(|run| !run.cold).filter_map(|run| run.decode_only_tokens_per_second);
        Ok(Row {
            execution_engine: Some(report.execution_engine.name().to_owned()),
            version: Some(format!("{} ({})", report.machine.version, report.machine.commit)),
            repeats: Some(report.repeats),
            output_tokens: first.map(|run| run.output_tokens),
            generated_tokens: first.map(|run| run.generated_tokens.clone()),
            stopped_on_eos: first.map(|run| run.stopped_on_eos),
            // The benchmark refuses to report repeats that differ.
            repeats_identical: Some(true),
            mean_total_ms: Some(report.mean_total_ms),
            mean_decode_tokens_per_second: Some(report.mean_decode_tokens_per_second),
            best_warm_decode_tokens_per_second: best.max_by(f64::total_cmp),
            cold: report.cold,
            warm: report.warm,
            report: serde_json::to_value(without_tokens(report)).ok(),
            ..row
        })
    }

    fn llama(&self, row: Row, scenario: Scenario, choose: &str) -> Result<Row, Failure> {
        let request = self.request;
        let ids = self.write_ids("prompt.json", &request.prompt)?;
        let asked = psionic_peer::Greedy {
            choose,
            count: request.max_new_tokens,
            repetitions: request.repeats - 1,
            stop: self.eos.filter(|_| scenario == Scenario::EosHonoured),
        };
        let chosen = request.programs.greedy(&request.model, &ids, &asked)?;
        let Some(cold) = chosen.cold.clone() else {
            return Err(Failure(
                "expected a llama-peer that reports its cold run, found an older one; build it again with benches/llama.cpp/build.sh"
                    .to_owned(),
            ));
        };
        if let Some(id) = chosen.ids.iter().find(|id| **id as usize >= self.vocab) {
            return Err(Failure(format!("expected ids below {}, found {id}", self.vocab)));
        }
        let best = chosen.warm.iter().filter_map(|run| means(&[run])?.decode_only_tokens_per_second);
        let all: Vec<&PeerRun> = std::iter::once(&cold).chain(&chosen.warm).collect();
        let every = means(&all);
        Ok(Row {
            repeats: Some(all.len()),
            output_tokens: Some(chosen.ids.len()),
            stopped_on_eos: Some(cold.stopped),
            repeats_identical: chosen.repeated,
            mean_total_ms: every.map(|means| means.total_ms),
            mean_decode_tokens_per_second: every.and_then(|means| means.end_to_end_tokens_per_second),
            best_warm_decode_tokens_per_second: best.max_by(f64::total_cmp),
            cold: means(&[&cold]),
            warm: means(&chosen.warm.iter().collect::<Vec<_>>()),
            report: Some(report(&chosen, &cold)),
            generated_tokens: Some(chosen.ids),
            ..row
        })
    }

    fn llama_bench(&self, row: Row) -> Result<Row, Failure> {
        let request = self.request;
        let asked =
            Workload { tokens: request.max_new_tokens, depths: &[0], repetitions: request.repeats - 1 };
        let timed = request.programs.bench(Series::LlamaBench, &request.model, &[], &asked)?;
        let timed = timed.iter().find(|timed| timed.n_gen == request.max_new_tokens);
        timed.map(|timed| super::import::of_llama_bench(row, timed)).ok_or_else(|| {
            Failure(format!("expected llama-bench to time {} tokens, found nothing", request.max_new_tokens))
        })
    }

    /// Both engines' logits after the same tokens, whatever they would choose.
    fn logits(&self) -> Result<LogitsAgreement, Failure> {
        let (positions, seed) = (self.request.positions, self.request.seed);
        let ids = self.write_ids("forced.json", &token_ids(seed, positions, self.vocab))?;
        let open = |source| {
            self.idle()?;
            Rows::open(&self.logits_file(source, &ids, false)?, positions, self.vocab)
        };
        let (mut psionic, mut llama) = (open(Source::Psionic)?, open(Source::Llama)?);
        let mut tally = Tally::new(Source::Llama, Source::Psionic);
        for _ in 0..positions {
            tally.add(&llama.next()?, &psionic.next()?);
        }
        Ok(LogitsAgreement::new(seed, tally.finish()))
    }

    /// Judges every comparator by Psionic's row of the same scenario.
    fn agree(&self, rows: &mut [Row], logits: Option<&LogitsAgreement>) {
        let random = self.artifact.provenance.has_random_weights();
        let ours: Vec<Row> = rows.iter().filter(|row| row.is_psionic()).cloned().collect();
        let mut known: Vec<(Vec<u32>, Option<[f64; 2]>)> = Vec::new();
        for row in rows.iter_mut().filter(|row| row.is_comparator()) {
            let Some(psionic) = ours.iter().find(|ours| ours.scenario == row.scenario) else { continue };
            let mut agreement = judge(psionic, row, random, logits);
            let measured_here = row.imported_from.is_none();
            let parted = agreement.first_divergence.as_mut();
            if let (Some(at), Some(tokens)) = (parted, &psionic.generated_tokens)
                && measured_here
                && let (Some(ours), Some(theirs)) = (at.psionic_id, at.other_id)
            {
                let so_far = [&self.request.prompt[..], &tokens[..at.index]].concat();
                let key = [&so_far[..], &[ours, theirs]].concat();
                let margins = match known.iter().find(|(found, _)| *found == key) {
                    Some((_, margins)) => *margins,
                    None => {
                        let margins = self.margins(&so_far, ours, theirs).ok();
                        known.push((key, margins));
                        margins
                    }
                };
                (at.psionic_margin, at.other_margin) = (margins.map(|m| m[0]), margins.map(|m| m[1]));
            }
            row.agreement = Some(agreement);
        }
    }

    /// How sure each engine was of its own choice, against the other's, after these tokens.
    fn margins(&self, so_far: &[u32], ours: u32, theirs: u32) -> Result<[f64; 2], Failure> {
        let ids = self.write_ids("so-far.json", so_far)?;
        let row = |source| -> Result<Logits, Failure> {
            Rows::open(&self.logits_file(source, &ids, true)?, 1, self.vocab)?.next()
        };
        let at = divergence((ours, &row(Source::Psionic)?), (theirs, &row(Source::Llama)?));
        Ok([at.psionic_margin, at.llama_margin])
    }

    /// A file with the logits after some ids. It stays until the next of the same source.
    fn logits_file(&self, source: Source, ids: &Path, last: bool) -> Result<PathBuf, Failure> {
        let path = self.files.path().join(format!("{source:?}.f32"));
        if path.exists() {
            fs::remove_file(&path)
                .map_err(|error| Failure(format!("{} cannot be removed: {error}", path.display())))?;
        }
        self.request.programs.logits(source, &self.request.model, ids, last, &path)?;
        Ok(path)
    }

    fn write_ids(&self, name: &str, ids: &[u32]) -> Result<PathBuf, Failure> {
        let path = self.files.path().join(name);
        let written = serde_json::to_vec(ids).map_err(Into::into).and_then(|text| fs::write(&path, text));
        written.map_err(|error| Failure(format!("{} cannot be written: {error}", path.display())))?;
        Ok(path)
    }

    fn idle(&self) -> Result<Option<GpuState>, Failure> {
        self.request.gpu.as_ref().map(Gpu::idle).transpose()
    }
}

/// Where a file comes from, in words.
fn note(provenance: Provenance, file: &GgufFile) -> String {
    let name = file.metadata().string("general.name").ok().flatten().unwrap_or("no name");
    match provenance {
        Provenance::Pinned => "the published file, by its digest".to_owned(),
        Provenance::Unpinned => format!("calls itself {name:?}; its digest is not a published one"),
        Provenance::SyntheticRandomWeights => {
            format!(
                "random weights in the published shape and formats, {name:?}, written by `psionic model synth`"
            )
        }
        Provenance::Other => format!("another Qwen3 model, {name:?}"),
    }
}

/// A report whose runs do not say the tokens again that the row says.
fn without_tokens(mut report: BenchReport) -> BenchReport {
    for run in &mut report.runs {
        run.generated_tokens.clear();
    }
    report
}

/// The means of llama-peer's runs.
pub fn means(runs: &[&PeerRun]) -> Option<Means> {
    let times = |run: &&PeerRun| (run.total_ns as f64 / 1e6, run.first_ns as f64 / 1e6, run.tokens);
    Means::of(&runs.iter().map(times).collect::<Vec<_>>())
}

/// What llama-peer said, but for the tokens.
fn report(chosen: &Chosen, cold: &PeerRun) -> serde_json::Value {
    serde_json::json!({ "cold": cold, "warm": chosen.warm, "more": chosen.rest })
}
