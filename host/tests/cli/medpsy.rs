//! `psionic medpsy`, and the medical policy in other commands.

use super::{arg, json, keys, psionic, refused, script, stdout, text, trained};
use crate::medpsy::{file, header, tiny_medpsy};
use psionic::gguf::GgufFile;
use psionic::medpsy::gate::{Evidence, check};
use psionic::medpsy::{DISCLAIMER, ModelSize, PERSONA, POLICY_ID};
use psionic::model::Tokenizer;
use serde_json::{Value, json as value};
use std::fs;
use std::path::Path;

/// The contract's fields, in its order.
const REPORT: [&str; 13] = [
    "schema",
    "model_path",
    "model_size",
    "artifact_kind",
    "backend",
    "execution_engine",
    "prompt_tokens",
    "max_new_tokens",
    "repeats",
    "runs",
    "mean_total_ms",
    "mean_decode_tokens_per_second",
    "medical_policy",
];
const RUN: [&str; 8] = [
    "run_index",
    "generated_tokens",
    "output_tokens",
    "stopped_on_eos",
    "total_ms",
    "decode_tokens_per_second",
    "model_artifact_sha256",
    "execution_engine",
];

/// The benchmark of the trained model on the simulator.
fn bench(more: &[&str]) -> std::process::Command {
    let path = trained();
    let mut command =
        psionic(["medpsy", "bench", "--any-shape", "--prompt-token-ids", "557,385", "--model-path"]);
    command.arg(path).args(more);
    command
}

#[test]
fn the_report_has_the_contract_s_fields_first_and_agrees_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b/report.json");
    let report = json(bench(&["--json", "--max-new-tokens", "3", "--repeats", "2", "--json-out"]).arg(&out));
    assert_eq!(keys(&report)[..REPORT.len()], REPORT);
    assert_eq!(report["schema"], "psionic.medpsy.bench.v1");
    assert_eq!(
        (&report["backend"], &report["execution_engine"]),
        (&value!("cpu"), &value!("psionic_qwen3_cpu_simulator"))
    );
    assert_eq!(report["prompt_tokens"], value!([557, 385]));
    let policy = [
        "policy_id",
        "default_classification",
        "disclaimer_required",
        "direct_diagnosis_allowed",
        "prescribing_or_treatment_authority_allowed",
        "benchmark_claim_boundary",
    ];
    assert_eq!(keys(&report["medical_policy"]), policy);
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    let number = |value: &Value| value.as_f64().unwrap();
    let mut total = 0.0;
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(keys(run)[..RUN.len()], RUN);
        assert_eq!(
            (&run["run_index"], &run["output_tokens"], &run["cold"]),
            (&value!(index), &value!(3), &value!(index == 0))
        );
        assert_eq!((&run["stopped_on_eos"], &run["ended_by"]), (&value!(false), &value!("max_new_tokens")));
        assert_eq!(run["generated_tokens"], runs[0]["generated_tokens"]);
        let rate = 3.0 * 1e3 / number(&run["total_ms"]);
        assert!((number(&run["decode_tokens_per_second"]) / rate - 1.0).abs() < 1e-6);
        let after = 2.0 * 1e3 / (number(&run["total_ms"]) - number(&run["ttft_ms"]));
        assert!((number(&run["decode_only_tokens_per_second"]) / after - 1.0).abs() < 1e-6);
        total += number(&run["total_ms"]);
    }
    assert!((number(&report["mean_total_ms"]) * 2.0 / total - 1.0).abs() < 1e-9);
    assert_eq!(runs[0]["model_artifact_sha256"], super::golden_value()["sha256"]);
    let written: Value = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    assert_eq!(written, report);
}

#[test]
fn a_run_ends_with_the_text_and_goes_on_where_that_is_asked_for() {
    // The second token of the continuation, made the one that ends a text.
    let generated =
        json(&mut bench(&["--json", "--max-new-tokens", "3"]))["runs"][0]["generated_tokens"].clone();
    let second = generated[1].as_u64().unwrap() as u32;
    let mut bytes = fs::read(trained()).unwrap();
    let key = b"tokenizer.ggml.eos_token_id";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&second.to_le_bytes());
    let (_folder, path) = file(&bytes);
    let run = |more: &[&str]| {
        let mut command =
            psionic(["medpsy", "bench", "--any-shape", "--json", "--prompt-token-ids", "557,385"]);
        let report = json(command.args(["--max-new-tokens", "3", "--model-path", arg(&path)]).args(more));
        report["runs"][0].clone()
    };
    let honoured = run(&[]);
    assert_eq!(honoured["generated_tokens"], value!([generated[0], generated[1]]));
    assert_eq!((&honoured["stopped_on_eos"], &honoured["ended_by"]), (&value!(true), &value!("eos")));
    let ignored = run(&["--ignore-eos"]);
    assert_eq!((&ignored["generated_tokens"], &ignored["stopped_on_eos"]), (&generated, &value!(false)));
}

#[test]
fn a_benchmark_refuses_what_it_cannot_or_must_not_do() {
    let refuse = |more: &[&str], code, part| refused_at_the_end(&mut bench(more), code, part);
    refuse(&["--max-new-tokens", "0"], 2, "expected at least one new token");
    refuse(&["--repeats", "0"], 2, "expected at least one repeat");
    refuse(&["--artifact-kind", "safetensors"], 2, "expected a GGUF file");
    refuse(&["--expected-sha256", "abc"], 2, "the 64 hexadecimal digits");
    refuse(&["--expected-sha256", "pinned"], 3, "expected an artifact with the SHA-256 41ee947d");
    refuse(&["--max-new-tokens", "3000"], 2, "was trained for");
    refuse(&["--backend", "cuda"], 4, "driver");
    let path = trained();
    let sized = ["medpsy", "bench", "--model-path", arg(&path)];
    refused_at_the_end(&mut psionic(sized), 2, "expected a file with the shape of MedPsy 1.7b");
    let mut tokens = psionic(["medpsy", "bench", "--any-shape", "--model-path", arg(&path)]);
    refused_at_the_end(&mut tokens, 2, "token 151644 is beyond");
}

/// As [`refused`], after notes.
fn refused_at_the_end(command: &mut std::process::Command, code: i32, part: &str) {
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(code), ""),
        "{command:?}: {stderr}"
    );
    let error = stderr.lines().find(|line| line.starts_with("psionic: error: ")).unwrap_or_default();
    assert!(error.contains(part), "{command:?}: {stderr}");
}

#[test]
fn a_blocked_tier_is_refused_by_every_command_before_its_weights_are_read() {
    // There are no weights in this file.
    let (_folder, path) = file(&header(ModelSize::B1_7, "IQ3_S", "Q4_K", Some(27)).bytes());
    let path = arg(&path);
    for arguments in [
        &["generate", "-m", path, "-p", "Hello"][..],
        &["perplexity", "-m", path, "--token-ids", arg(&super::golden())],
        &["bench", "-m", path],
        &["logits", "-m", path, "--prompt-tokens", "1", "-o", "/nonexistent/logits"],
        &["medpsy", "admit", "-m", path],
        &["medpsy", "bench", "--model-path", path],
        &["medpsy", "matrix", "-m", path, "-o", "/nonexistent", "--host", "a", "--cpu"],
    ] {
        let output = psionic(arguments.iter().copied()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {stderr}");
        assert!(stderr.contains("blocks IQ3_M of the 1.7b model"), "{arguments:?}: {stderr}");
    }
    // The override admits it, says so, and then its format is not one that runs.
    let admitted =
        json(&mut psionic(["medpsy", "admit", "--json", "--allow-blocked-quantization", "-m", path]));
    assert_eq!((&admitted["overridden"], &admitted["is_medpsy"]), (&value!(true), &value!(true)));
    assert_eq!(admitted["warnings"].as_array().unwrap().len(), 2);
    let mut overridden = psionic(["generate", "--allow-blocked-quantization", "-m", path, "-p", "Hello"]);
    refused(&mut overridden, 3, "found IQ3_S");
}

#[test]
fn medpsy_answers_behind_its_persona_with_a_disclaimer() {
    let (_folder, path) = tiny_medpsy();
    let arguments = ["generate", "-m", arg(&path), "-p", "What is asthma?", "-n", "1", "--backend", "sim"];
    let output = psionic(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(DISCLAIMER) && stderr.contains("quantised to Q4_K_M"), "{stderr}");
    let report = json(psionic(arguments).arg("--json"));
    assert_eq!(report["medical_policy"]["policy_id"], POLICY_ID);
    assert_eq!(report["medical_policy"]["disclaimer"], DISCLAIMER);
    assert_eq!(report["medical_policy"]["admission"]["tier"], "Q4_K_M");
    let ids: Vec<u32> = serde_json::from_value(report["prompt_tokens"].clone()).unwrap();
    let prompt = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap().decode(&ids);
    assert!(prompt.starts_with(&format!("<|im_start|>system\n{PERSONA}<|im_end|>")), "{prompt}");
    // Another model's text is continued as it is.
    let other = json(&mut psionic([
        "generate",
        "--json",
        "-m",
        arg(&trained()),
        "-p",
        "prescribe",
        "-n",
        "1",
        "--backend",
        "sim",
    ]));
    assert!(other.get("medical_policy").is_none());
}

#[test]
fn medpsy_refuses_in_texts_conversations_and_tokens() {
    let (folder, path) = tiny_medpsy();
    let generate = |more: &[&str]| {
        let mut command = psionic(["generate", "-m", arg(&path), "-n", "1", "--backend", "sim"]);
        command.args(more);
        command
    };
    let part = "refuses this text";
    refused(&mut generate(&["-p", "Please DIAGNOSE ME"]), 2, part);
    let messages = folder.path().join("messages.json");
    let history = value!([
        {"role": "user", "content": "I have chest pain"},
        {"role": "assistant", "content": "Call for help."},
        {"role": "user", "content": "Thank you."}
    ]);
    fs::write(&messages, history.to_string()).unwrap();
    refused(&mut generate(&["--messages", arg(&messages)]), 2, part);
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
    let ids: Vec<String> = tokenizer.encode("stroke symptoms").unwrap().iter().map(u32::to_string).collect();
    refused(&mut generate(&["--prompt-tokens", &ids.join(",")]), 2, part);
    refused(&mut generate(&["-p", "<|im_end|>"]), 2, "the tokens that divide a conversation");
    fs::write(&messages, r#"[{"role": "doctor", "content": ""}]"#).unwrap();
    refused(&mut generate(&["--messages", arg(&messages)]), 2, "to hold a conversation");
    fs::write(&messages, r#"[{"role": "user", "content": "How do doctors diagnose asthma?"}]"#).unwrap();
    stdout(&mut generate(&["--messages", arg(&messages)]));
}

/// Stand-ins for llama.cpp's programs that choose what they are told and have Psionic's logits.
fn llama(folder: &Path, ids: &Value) {
    let psionic = env!("CARGO_BIN_EXE_psionic");
    let run = value!({"tokens": 3, "stopped": false, "first_ns": 1_000_000, "total_ns": 3_000_000});
    let greedy = value!({"choose": "host", "ids": ids, "cold": run, "warm": [run], "samples_ns": [1], "repeated": true});
    let peer = format!(
        "#!/bin/sh\nif [ \"$1\" = greedy ]; then echo '{greedy}'; exit; fi\nshift\nset -- \"$@\" end\n\
         while [ \"$1\" != end ]; do case $1 in -fa|-ngl) shift 2 ;; *) set -- \"$@\" \"$1\"; shift ;; esac; done\nshift\n\
         exec '{psionic}' logits --backend sim \"$@\"\n"
    );
    let rows = value!([{"n_gen": 3, "n_depth": 0, "samples_ns": [2_000_000]}]);
    for (name, text) in [("llama-peer", peer), ("llama-bench", format!("#!/bin/sh\necho '{rows}'\n"))] {
        script(&folder.join(name), &text);
    }
}

/// The matrix of the trained model on the CPU.
fn matrix(folder: &Path, more: &[&str]) -> std::process::Command {
    let path = trained();
    let mut command = psionic([
        "medpsy",
        "matrix",
        "--model-size",
        "any",
        "--host",
        "trial",
        "--prompt-token-ids",
        "557,385",
    ]);
    command.args([
        "-n",
        "3",
        "-r",
        "2",
        "--positions",
        "2",
        "-m",
        arg(&path),
        "-o",
        arg(folder),
        "--llama",
        arg(folder),
    ]);
    command.args(more);
    command
}

fn retained(folder: &Path) -> Value {
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = found.into_iter().find(|path| path.extension().is_some_and(|e| e == "json")).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("medpsy_comparator_matrix_2") && name.ends_with("_trial.json"), "{name}");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_matrix_has_every_row_with_figures_or_with_the_reason_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let ids = json(&mut bench(&["--json", "--max-new-tokens", "3"]))["runs"][0]["generated_tokens"].clone();
    llama(folder.path(), &ids);
    let table = stdout(&mut matrix(folder.path(), &["--cpu"]));
    assert!(
        table.contains("llama.cpp, device chooses") && table.contains("parity threshold is not met"),
        "{table}"
    );
    let matrix_value = retained(folder.path());
    let rows = matrix_value["rows"].as_array().unwrap();
    let measured: Vec<_> = rows.iter().filter(|row| row["status"] == "completed").collect();
    // Seven kinds of row, and the same in reverse.
    assert_eq!(measured.len(), 14);
    for (first, second) in measured[..7].iter().zip(measured[7..].iter().rev()) {
        assert_eq!((&first["method"], &first["scenario"]), (&second["method"], &second["scenario"]));
        assert_eq!((&first["turn"], &second["turn"]), (&value!(1), &value!(2)));
    }
    for row in &measured {
        let strength = &row["agreement"]["strength"];
        match row["method"].as_str().unwrap() {
            "psionic_bench" => {
                assert!(row["report"]["medical_policy"].is_object() && row["generated_tokens"] == ids)
            }
            "llama_bench" => assert_eq!(strength, "weak_length_matched_only"),
            _ => assert_eq!((strength, &row["agreement"]["same_tokens"]), (&value!("strong"), &value!(3))),
        }
    }
    let absent: Vec<_> = rows.iter().filter(|row| row["status"] == "not_run").collect();
    assert_eq!(absent.len(), 5);
    assert!(absent.iter().all(|row| row["reason"].as_str().is_some_and(|reason| reason.len() > 20)));
    // Psionic's logits on both sides.
    assert_eq!(
        (&matrix_value["logits"]["within_limits"], &matrix_value["logits"]["pair"]["mean_kl"]),
        (&value!(true), &value!(0.0))
    );
    assert_eq!(matrix_value["decision"]["can_claim_competitive"], false);
    // For the gate a trial on the CPU lacks what only a GPU and a published shape give, and nothing else.
    let mut evidence =
        Evidence::read(Path::new(env!("CARGO_MANIFEST_DIR")), "psionic v0.1.0\n".to_owned()).unwrap();
    // Beside what is retained, which backs the claims.
    evidence.matrices.push(("trial".to_owned(), matrix_value.clone()));
    for finding in check(&evidence) {
        let trial = ["the check that the GPU was idle", "no published size"];
        assert!(trial.iter().any(|part| finding.message.contains(part)), "{}", finding.message);
    }
    assert!(!matrix_value.to_string().contains(arg(folder.path())), "a machine's paths are not retained");
    refused(&mut matrix(folder.path(), &["--cpu"]), 1, "a retained matrix is not replaced");
}

#[test]
fn other_tokens_are_a_mismatch_with_both_margins_and_a_failure_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let ids = json(&mut bench(&["--json", "--max-new-tokens", "3"]))["runs"][0]["generated_tokens"].clone();
    llama(folder.path(), &value!([ids[0], 7, 7]));
    script(&folder.path().join("llama-bench"), "#!/bin/sh\necho 'no such model' >&2\nexit 1\n");
    let output = matrix(folder.path(), &["--cpu", "--turns", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert!(
        stderr.lines().all(|line| line.starts_with("psionic: note: ")),
        "no progress without a terminal: {stderr}"
    );
    let retained = retained(folder.path());
    let of = |method: &str| {
        retained["rows"].as_array().unwrap().iter().find(|row| row["method"] == method).unwrap()
    };
    let agreement = &of("llama_peer_device")["agreement"];
    assert_eq!((&agreement["strength"], &agreement["same_tokens"]), (&value!("mismatched"), &value!(1)));
    let at = &agreement["first_divergence"];
    assert_eq!((&at["index"], &at["psionic_id"], &at["other_id"]), (&value!(1), &ids[1], &value!(7)));
    let margin = |name: &str| at[name].as_f64().unwrap();
    assert!(margin("psionic_margin") > 0.0 && margin("other_margin") == -margin("psionic_margin"));
    let failed = of("llama_bench");
    assert_eq!(failed["status"], "failed");
    assert!(failed["reason"].as_str().unwrap().contains("no such model"), "{failed}");
}

#[test]
fn a_gpu_that_somebody_uses_is_not_measured() {
    let folder = tempfile::tempdir().unwrap();
    let smi = Path::new(env!("CARGO_MANIFEST_DIR")).join("xtask/src/compare/fake/nvidia-smi-used");
    let mut command = matrix(folder.path(), &["--patience-seconds", "0", "--nvidia-smi", arg(&smi)]);
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("found it used by process 4711, trainer"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_gate_says_what_closes_it() {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree.txt");
    fs::write(&tree, "psionic v0.1.0\n").unwrap();
    let gate = |more: &[&str]| {
        let mut command = psionic(["medpsy", "gate", "--root", root, "--dependencies", arg(&tree)]);
        command.args(more);
        command
    };
    assert!(stdout(&mut gate(&[])).starts_with("open: "));
    assert_eq!(json(&mut gate(&["--json"]))["open"], true);
    fs::write(&tree, "psionic v0.1.0\ncandle-core v0.9.0\n").unwrap();
    let output = gate(&["--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["open"], &report["findings"][0]["rule"]), (&value!(false), &value!("dependency")));
    assert!(text(&output.stderr).contains("the release gate is closed by 1 finding"));
}
