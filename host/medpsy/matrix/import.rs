//! Rows that were measured elsewhere or by other means: a run of Ollama's API, records of llama-bench.

use std::fs;
use std::path::Path;

use psionic_peer::GpuState;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::MatrixError;
use super::record::{Method, Row, Scenario, Status};
use crate::bench::Stats;
use crate::medpsy::receipt::Means;

/// What both imports have.
#[derive(Deserialize)]
struct Evidence {
    /// The digest of the file that ran.
    artifact_sha256: String,
    /// The program's build.
    version: String,
    /// The GPU before, when nobody used it, under `nvidia-smi`'s names.
    idle_check: GpuState,
    /// What the machine is called.
    host: Option<String>,
}

impl Evidence {
    fn row(&self, runtime: &str, method: Method, scenario: Scenario, from: &str) -> Row {
        Row {
            runtime: runtime.to_owned(),
            status: Status::Completed,
            artifact_kind: Some("gguf".to_owned()),
            backend: Some("cuda".to_owned()),
            host: self.host.clone(),
            gpu: self.idle_check.get("name").cloned(),
            execution_engine: Some("llama_cpp_cuda".to_owned()),
            method: Some(method),
            scenario: Some(scenario),
            version: Some(self.version.clone()),
            artifact_sha256: Some(self.artifact_sha256.clone()),
            idle_check: Some(self.idle_check.clone()),
            imported_from: Some(from.to_owned()),
            ..Row::default()
        }
    }
}

#[derive(Deserialize)]
struct OllamaRun {
    #[serde(flatten)]
    evidence: Evidence,
    request: OllamaRequest,
    responses: Vec<OllamaResponse>,
}

#[derive(Deserialize)]
struct OllamaRequest {
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    options: OllamaOptions,
}

#[derive(Default, Deserialize)]
struct OllamaOptions {
    temperature: Option<f64>,
    top_k: Option<u32>,
    repeat_penalty: Option<f64>,
    num_predict: Option<usize>,
}

#[derive(Deserialize)]
struct OllamaResponse {
    done_reason: Option<String>,
    /// Prompt and answer as token ids, where the version says them.
    #[serde(default)]
    context: Vec<u32>,
    #[serde(default)]
    prompt_eval_count: usize,
    eval_count: usize,
    eval_duration: u64,
    total_duration: u64,
    #[serde(default)]
    load_duration: u64,
}

const OLLAMA: &str =
    "a run of Ollama's /api/generate: artifact_sha256, version, idle_check, request, responses";
const GREEDY: &str =
    "a raw request with the greedy options temperature 0, top_k 1, repeat_penalty 1 and a num_predict";
const LLAMA_BENCH: &str = "records of llama-bench: artifact_sha256, version, idle_check, rows";

/// A row of Ollama's API: the first response is cold.
///
/// # Errors
/// When the file is of another form, lacks its evidence, or its request is not explicitly greedy.
pub fn ollama(path: &Path) -> Result<Row, MatrixError> {
    let run: OllamaRun = read(path, OLLAMA)?;
    let refuse =
        |expected, found: String| Err(MatrixError::Import { path: path.to_owned(), expected, found });
    let options = &run.request.options;
    // Ollama's defaults sample, and punish repetition: both change what is chosen.
    let is_greedy =
        options.temperature == Some(0.0) && options.top_k == Some(1) && options.repeat_penalty == Some(1.0);
    let (true, true, Some(limit)) = (run.request.raw, is_greedy, options.num_predict) else {
        return refuse(
            GREEDY,
            format!(
                "raw {}, temperature {:?}, top_k {:?}, repeat_penalty {:?}, num_predict {:?}",
                run.request.raw,
                options.temperature,
                options.top_k,
                options.repeat_penalty,
                options.num_predict
            ),
        );
    };
    let Some((cold, warm)) = run.responses.split_first().filter(|(_, warm)| !warm.is_empty()) else {
        return refuse("a cold response and a warm one", format!("{} responses", run.responses.len()));
    };
    let tokens: Vec<Option<Vec<u32>>> = run.responses.iter().map(OllamaResponse::generated).collect();
    let rates: Vec<f64> = run.responses.iter().map(OllamaResponse::end_to_end).collect();
    let totals: Vec<f64> = run.responses.iter().map(OllamaResponse::total_ms).collect();
    let best = warm.iter().map(OllamaResponse::decode_only).max_by(f64::total_cmp);
    let row =
        run.evidence.row("ollama_llama_cpp_runner", Method::OllamaApi, Scenario::EosHonoured, &name(path));
    Ok(Row {
        max_new_tokens: Some(limit),
        repeats: Some(run.responses.len()),
        output_tokens: Some(cold.eval_count),
        repeats_identical: tokens[0].is_some().then(|| tokens.iter().all(|other| *other == tokens[0])),
        generated_tokens: tokens[0].clone(),
        stopped_on_eos: Some(cold.done_reason.as_deref() == Some("stop")),
        mean_total_ms: Some(Stats::of(&totals).mean),
        mean_decode_tokens_per_second: Some(Stats::of(&rates).mean),
        best_warm_decode_tokens_per_second: best,
        cold: Some(means(std::slice::from_ref(cold))),
        warm: Some(means(warm)),
        ..row
    })
}

impl OllamaResponse {
    /// The answer's tokens, where the context has them behind the prompt's.
    fn generated(&self) -> Option<Vec<u32>> {
        let enough =
            !self.context.is_empty() && self.context.len() >= self.prompt_eval_count + self.eval_count;
        enough.then(|| self.context[self.context.len() - self.eval_count..].to_vec())
    }

    fn total_ms(&self) -> f64 {
        self.total_duration.saturating_sub(self.load_duration) as f64 / 1e6
    }

    fn end_to_end(&self) -> f64 {
        self.eval_count as f64 * 1e3 / self.total_ms().max(1e-6)
    }

    /// As Ollama computes it.
    fn decode_only(&self) -> f64 {
        self.eval_count as f64 * 1e9 / self.eval_duration.max(1) as f64
    }
}

fn means(responses: &[OllamaResponse]) -> Means {
    let stats =
        |value: fn(&OllamaResponse) -> f64| Stats::of(&responses.iter().map(value).collect::<Vec<_>>());
    let decode = stats(OllamaResponse::decode_only);
    Means {
        runs: responses.len(),
        total_ms: stats(OllamaResponse::total_ms).mean,
        ttft_ms: None,
        end_to_end_tokens_per_second: Some(stats(OllamaResponse::end_to_end).mean),
        decode_only_tokens_per_second: Some(decode.mean),
        decode_only_std_dev: Some(decode.std_dev),
    }
}

#[derive(Deserialize)]
struct LlamaBenchRun {
    #[serde(flatten)]
    evidence: Evidence,
    rows: Value,
}

/// A row of each generation from an empty sequence in records of llama-bench.
///
/// # Errors
/// When the file is of another form, lacks its evidence, or has no such generation.
pub fn llama_bench(path: &Path) -> Result<Vec<Row>, MatrixError> {
    let run: LlamaBenchRun = read(path, LLAMA_BENCH)?;
    let refuse = |found: String| MatrixError::Import { path: path.to_owned(), expected: LLAMA_BENCH, found };
    let timed = psionic_peer::bench_rows(&run.rows.to_string()).map_err(|failure| refuse(failure.0))?;
    let rows: Vec<Row> = timed
        .iter()
        .filter(|timed| timed.n_gen > 0 && timed.n_depth == 0 && !timed.samples_ns.is_empty())
        .map(|timed| {
            let row = run.evidence.row(
                "llama.cpp",
                Method::LlamaBench,
                Scenario::FixedLengthEosIgnored,
                &name(path),
            );
            of_llama_bench(row, timed)
        })
        .collect();
    if rows.is_empty() {
        return Err(refuse("no generation from an empty sequence".to_owned()));
    }
    Ok(rows)
}

/// A row with the figures of llama-bench, whose own first run it does not count.
pub fn of_llama_bench(row: Row, timed: &psionic_peer::Timed) -> Row {
    let rate = |ns: &u64| timed.n_gen as f64 * 1e9 / (*ns).max(1) as f64;
    let rates: Vec<f64> = timed.samples_ns.iter().map(rate).collect();
    let times: Vec<f64> = timed.samples_ns.iter().map(|ns| *ns as f64 / 1e6).collect();
    let (rate, time) = (Stats::of(&rates), Stats::of(&times));
    Row {
        max_new_tokens: Some(timed.n_gen),
        repeats: Some(rates.len()),
        output_tokens: Some(timed.n_gen),
        stopped_on_eos: Some(false),
        best_warm_decode_tokens_per_second: rates.iter().copied().max_by(f64::total_cmp),
        warm: Some(Means {
            runs: rates.len(),
            total_ms: time.mean,
            ttft_ms: None,
            end_to_end_tokens_per_second: None,
            decode_only_tokens_per_second: Some(rate.mean),
            decode_only_std_dev: Some(rate.std_dev),
        }),
        report: Some(timed.rest.clone()),
        ..row
    }
}

fn read<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, MatrixError> {
    let text =
        fs::read_to_string(path).map_err(|source| MatrixError::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| MatrixError::Import {
        path: path.to_owned(),
        expected,
        found: format!("something else ({error})"),
    })
}

/// A file's name: where it lay is the machine's own.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evidence() -> Value {
        json!({"artifact_sha256": "ab", "version": "0.17.5", "idle_check": {"name": "A GPU"}})
    }

    fn with(mut value: Value, more: Value) -> Value {
        for (key, field) in more.as_object().unwrap() {
            value[key] = field.clone();
        }
        value
    }

    fn file(value: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), value.to_string()).unwrap();
        file
    }

    fn ollama_run(options: Value) -> Value {
        let response = |eval_ns: u64, ids: [u32; 2]| {
            json!({"done_reason": "length", "context": [151_644, ids[0], ids[1]], "prompt_eval_count": 1, "eval_count": 2,
                "eval_duration": eval_ns, "total_duration": eval_ns + 3_000_000, "load_duration": 1_000_000})
        };
        let responses = [response(20_000_000, [5, 6]), response(10_000_000, [5, 6])];
        with(evidence(), json!({"request": {"raw": true, "options": options}, "responses": responses}))
    }

    #[test]
    fn a_greedy_run_of_ollama_is_a_row_with_its_tokens() {
        let options = json!({"temperature": 0, "top_k": 1, "repeat_penalty": 1.0, "num_predict": 2});
        let row = ollama(file(&ollama_run(options)).path()).unwrap();
        assert_eq!(row.generated_tokens, Some(vec![5, 6]));
        assert_eq!(
            (row.status, row.repeats_identical, row.stopped_on_eos),
            (Status::Completed, Some(true), Some(false))
        );
        assert_eq!(row.gpu.as_deref(), Some("A GPU"));
        let (cold, warm) = (row.cold.unwrap(), row.warm.unwrap());
        assert_eq!(
            (cold.decode_only_tokens_per_second, warm.decode_only_tokens_per_second),
            (Some(100.0), Some(200.0))
        );
        // Loading does not count, the prompt does.
        assert_eq!(warm.total_ms, 12.0);
    }

    #[test]
    fn options_that_are_not_explicitly_greedy_are_refused() {
        for options in [
            json!({}),
            json!({"temperature": 0, "top_k": 1, "num_predict": 2}),
            json!({"temperature": 0.6, "top_k": 1, "repeat_penalty": 1.0, "num_predict": 2}),
            json!({"temperature": 0, "top_k": 20, "repeat_penalty": 1.0, "num_predict": 2}),
            json!({"temperature": 0, "top_k": 1, "repeat_penalty": 1.1, "num_predict": 2}),
        ] {
            let error = ollama(file(&ollama_run(options.clone())).path()).unwrap_err();
            assert!(error.to_string().contains("greedy options"), "{options}: {error}");
        }
    }

    #[test]
    fn evidence_is_not_optional() {
        for missing in ["artifact_sha256", "version", "idle_check"] {
            let options = json!({"temperature": 0, "top_k": 1, "repeat_penalty": 1.0, "num_predict": 2});
            let mut run = ollama_run(options);
            run.as_object_mut().unwrap().remove(missing);
            let error = ollama(file(&run).path()).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn llama_bench_gives_rows_without_tokens() {
        let rows = json!([
            {"n_prompt": 512, "n_gen": 0, "n_depth": 0, "samples_ns": [1]},
            {"n_prompt": 0, "n_gen": 4, "n_depth": 0, "samples_ns": [1_000_000_000, 2_000_000_000], "model_filename": "/a/b"}
        ]);
        let rows = llama_bench(file(&with(evidence(), json!({"rows": rows}))).path()).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].output_tokens, &rows[0].generated_tokens), (Some(4), &None));
        assert_eq!(rows[0].warm.unwrap().decode_only_tokens_per_second, Some(3.0));
        assert!(!rows[0].report.as_ref().unwrap().to_string().contains("/a/b"));
        let none = llama_bench(file(&with(evidence(), json!({"rows": []}))).path()).unwrap_err();
        assert!(none.to_string().contains("no generation"), "{none}");
    }
}
