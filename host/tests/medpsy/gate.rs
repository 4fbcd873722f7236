//! The release gate: open with everything in place, closed by each thing that is not.

use psionic::medpsy::gate::{CAPABILITY_FILE, Evidence, POLICY_FILE, Rule, check};
use psionic::medpsy::matrix::{Artifact, Row, decide};
use psionic::medpsy::{PINNED, POLICY_ID};
use psionic::random::Random;
use serde_json::{Value, json};
use std::path::Path;

const SHA: &str = PINNED.sha256;

fn repository(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Figures of both scenarios: Psionic's, and a slower llama.cpp's that chose the same tokens.
fn rows() -> Value {
    let mut rows = Vec::new();
    for scenario in ["eos_honoured", "fixed_length_eos_ignored"] {
        let row = |runtime: &str, engine: &str, method: &str, warm: Value, report: Value| {
            json!({
                "runtime": runtime, "status": "completed", "gpu": "A GPU", "execution_engine": engine, "method": method,
                "scenario": scenario, "turn": 1, "version": "1", "artifact_sha256": SHA, "output_tokens": 3,
                "generated_tokens": [1, 2, 3], "stopped_on_eos": false, "repeats_identical": true, "warm": warm,
                "idle_check": {"name": "A GPU"}, "report": report,
            })
        };
        // Three tokens, the first after 10 ms: 20 ms for Psionic, 30 for the other.
        let warm = |total: f64| {
            json!({"runs": 1, "total_ms": total, "ttft_ms": 10.0, "end_to_end_tokens_per_second": 3.0 * 1e3 / total,
                "decode_only_tokens_per_second": 2.0 * 1e3 / (total - 10.0), "decode_only_std_dev": 0.0})
        };
        let policy = json!({"policy_id": POLICY_ID});
        let ours = json!({"schema": "psionic.medpsy.bench.v1", "medical_policy": policy, "warm": warm(20.0)});
        let theirs = json!({"warm": [
            {"tokens": 3, "stopped": false, "first_ns": 10_000_000, "total_ns": 30_000_000}]});
        rows.push(row("psionic", "psionic_qwen3_cuda", "psionic_bench", warm(20.0), ours));
        let mut other = row("llama.cpp", "llama_cpp_cuda", "llama_peer_device", warm(30.0), theirs);
        other["agreement"] = json!({"strength": "strong", "basis": "generated_tokens", "same_tokens": 3,
            "first_divergence": null});
        rows.push(other);
    }
    for requirement in ["psionic_rtx_4080", "ollama_rtx_4080", "qvac_sdk", "bf16_source_model"] {
        rows.push(json!({"runtime": "another", "status": "not_run", "reason": "it is not here", "requirement": requirement}));
    }
    json!(rows)
}

/// A matrix of these rows, with the decision that follows from them.
fn matrix(rows: &Value) -> Value {
    let artifact = json!({
        "repo": PINNED.repo, "file": PINNED.file, "sha256": SHA, "source_path": "<local path>", "tracked_in_repo": false,
        "bytes": 1, "model_name": "MedPsy", "provenance": "pinned", "provenance_note": "the published file",
        "admission": {"model_size": "1.7b", "tier": "Q4_K_M", "posture": "preferred", "three_bit": false,
            "overridden": false, "warnings": []},
    });
    let policy = repository(POLICY_FILE)["medical_policy"].clone();
    let words = json!({"decode_tokens_per_second": "", "means": "", "ttft_ms": "", "decode_only_tokens_per_second": "",
        "load_and_hash": "", "cold_and_warm": ""});
    let parsed: Vec<Row> = serde_json::from_value(rows.clone()).unwrap();
    let of: Artifact = serde_json::from_value(artifact.clone()).unwrap();
    json!({
        "schema": "psionic.medpsy.comparator_matrix.v1", "status": "partial", "created_at": "", "host": "a",
        "artifact": artifact, "rows": rows, "logits": null, "medical_policy": policy, "machine": {"name": "A GPU"},
        "prompt_contract": {"kind": "token_ids", "psionic_prompt_tokens": [151_644], "max_new_tokens": 2, "eos_token": null,
            "claim_boundary": ""},
        "decision": serde_json::to_value(decide(&of, &parsed)).unwrap(), "how_computed": words,
    })
}

/// Everything in place, and every claim that such a matrix backs made.
fn open() -> Evidence {
    let mut capability = repository(CAPABILITY_FILE);
    capability["release_gate"]["parity_claim_allowed"] = json!(true);
    capability["release_gate"]["competitive_claim_allowed"] = json!(true);
    for entry in capability["supported"].as_array_mut().unwrap() {
        if entry["execution_engine"] == "psionic_qwen3_cuda" {
            entry["posture"] = json!("measured_on_a_gpu");
        }
    }
    Evidence {
        policy: repository(POLICY_FILE),
        capability,
        matrices: vec![("one.json".to_owned(), matrix(&rows()))],
        dependencies: "psionic v0.1.0 (/a/path)\ncust v0.3.2\nsortable v1.0.0\n".to_owned(),
        absent: Vec::new(),
    }
}

/// Expects the gate to be closed by this rule, with this part in a message.
fn closed(evidence: &Evidence, rule: Rule, part: &str) {
    let found = check(evidence);
    assert!(found.iter().any(|f| f.rule == rule && f.message.contains(part)), "{rule:?} {part}: {found:?}");
}

/// The same with the rows changed and the decision computed again.
fn closed_by_rows(change: impl Fn(&mut Vec<Value>), rule: Rule, part: &str) {
    let mut rows = rows();
    change(rows.as_array_mut().unwrap());
    let evidence = Evidence { matrices: vec![("one.json".to_owned(), matrix(&rows))], ..open() };
    closed(&evidence, rule, part);
}

#[test]
fn it_is_open_when_everything_is_in_place() {
    assert_eq!(check(&open()), []);
}

#[test]
fn the_repository_s_own_evidence_is_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let evidence = Evidence::read(root, "psionic v0.1.0\n".to_owned()).unwrap();
    assert_eq!(check(&evidence), []);
}

/// The rows' figures are compared with those in their reports to the last bit, so reading must not change one.
#[test]
fn a_figure_that_is_read_is_the_one_that_was_written() {
    let mut random = Random::new(17);
    for _ in 0..10_000 {
        let figure = f64::from(random.below(1 << 24) as u32) * 1.1e-3
            + f64::from(random.below(1 << 24) as u32) * 1.7e-11;
        let read: Value = serde_json::from_str(&serde_json::to_string(&figure).unwrap()).unwrap();
        assert_eq!(read.as_f64(), Some(figure));
    }
}

#[test]
fn a_policy_file_that_says_other_than_the_program_closes_it() {
    for (at, value) in [
        ("/medical_policy/direct_diagnosis_allowed", json!(true)),
        ("/medical_policy/refused_phrases", json!(["prescribe"])),
        ("/quantization_admission/preferred", json!(["Q4_K_M"])),
        ("/quantization_admission/blocked_by_default", json!([])),
        ("/pinned_artifacts/0/sha256", json!("0")),
        ("/prompt_template/persona", json!("You are a doctor.")),
        ("/runtime_boundary/target_runtime", json!("llama_cpp_service")),
    ] {
        let mut evidence = open();
        *evidence.policy.pointer_mut(at).unwrap() = value;
        let part = at.split('/').nth(1).unwrap();
        closed(&evidence, Rule::PolicyFile, part);
    }
}

#[test]
fn a_claim_without_a_row_closes_it() {
    let without = |claims: &[&str]| {
        let mut evidence = open();
        evidence.matrices.clear();
        for (name, claim) in evidence.capability["release_gate"].as_object_mut().unwrap() {
            if claim.is_boolean() {
                *claim = json!(claims.contains(&name.as_str()));
            }
        }
        evidence
    };
    for claim in ["parity_claim_allowed", "competitive_claim_allowed", "clinical_claim_allowed"] {
        closed(&without(&[claim]), Rule::ClaimWithoutRow, claim);
    }
    closed(&without(&[]), Rule::ClaimWithoutRow, "is said to be measured on psionic_qwen3_cuda");
    // Nothing backs a clinical claim, whatever was measured.
    let mut clinical = open();
    clinical.capability["release_gate"]["clinical_claim_allowed"] = json!(true);
    closed(&clinical, Rule::ClaimWithoutRow, "clinical_claim_allowed");
    let mut silent = open();
    silent.capability["release_gate"]["competitive_claim_allowed"] = Value::Null;
    closed(&silent, Rule::ClaimWithoutRow, "does not say whether competitive_claim_allowed");
}

#[test]
fn rows_that_do_not_back_a_claim_close_it() {
    let claim = "no retained matrix backs it";
    let rule = Rule::ClaimWithoutRow;
    // Slower, in either figure.
    for figure in ["decode_only_tokens_per_second", "end_to_end_tokens_per_second"] {
        closed_by_rows(|rows| rows[0]["warm"][figure] = json!(99.0), rule, claim);
    }
    // Other tokens; a comparator without tokens; another GPU; another file; no comparator at all.
    closed_by_rows(|rows| rows[1]["agreement"]["strength"] = json!("mismatched"), rule, claim);
    closed_by_rows(|rows| rows[1]["agreement"]["strength"] = json!("weak_length_matched_only"), rule, claim);
    closed_by_rows(|rows| rows[1]["gpu"] = json!("Another GPU"), rule, claim);
    closed_by_rows(|rows| rows[1]["artifact_sha256"] = json!("0"), rule, claim);
    closed_by_rows(|rows| drop(rows.remove(1)), rule, claim);
    // Psionic elsewhere than on the GPU.
    closed_by_rows(|rows| rows[0]["execution_engine"] = json!("psionic_qwen3_cpu_simulator"), rule, claim);
}

#[test]
fn other_weights_back_parity_and_no_competitive_claim() {
    let mut evidence = open();
    let value = &mut evidence.matrices[0].1;
    value["artifact"]["provenance"] = json!("synthetic_random_weights");
    value["artifact"]["repo"] = Value::Null;
    let rows = value["rows"].as_array_mut().unwrap();
    rows.push(json!({"runtime": "psionic", "status": "not_run", "reason": "not here", "requirement": "original_weights"}));
    let artifact: Artifact = serde_json::from_value(value["artifact"].clone()).unwrap();
    let parsed: Vec<Row> = serde_json::from_value(value["rows"].clone()).unwrap();
    let decision = decide(&artifact, &parsed);
    assert!(decision.parity.met && !decision.can_claim_competitive && !decision.can_claim_competitive_medpsy);
    value["decision"] = serde_json::to_value(decision).unwrap();
    closed(&evidence, Rule::ClaimWithoutRow, "competitive_claim_allowed");
    assert_eq!(check(&evidence).len(), 1);
}

#[test]
fn a_row_without_its_evidence_closes_it() {
    for (field, part) in [
        ("version", "the program's version"),
        ("artifact_sha256", "the digest"),
        ("idle_check", "the check that the GPU was idle"),
        ("warm", "warm runs"),
        ("stopped_on_eos", "the limit or the end of the text"),
        ("report", "the program's report"),
        ("scenario", "how it was measured"),
        ("generated_tokens", "its tokens"),
    ] {
        closed_by_rows(|rows| drop(rows[0].as_object_mut().unwrap().remove(field)), Rule::RowEvidence, part);
    }
    let agreement = "an agreement that follows from its tokens";
    let unjudged = |rows: &mut Vec<Value>| drop(rows[1].as_object_mut().unwrap().remove("agreement"));
    closed_by_rows(unjudged, Rule::RowEvidence, agreement);
    closed_by_rows(|rows| rows[1]["generated_tokens"] = json!([1, 9, 3]), Rule::RowEvidence, agreement);
    for row in [0, 1] {
        let figure =
            |rows: &mut Vec<Value>| rows[row]["warm"]["decode_only_tokens_per_second"] = json!(101.0);
        closed_by_rows(figure, Rule::RowEvidence, "figures that follow from its report");
    }
    closed_by_rows(|rows| rows[0]["repeats_identical"] = json!(false), Rule::RowEvidence, "the same tokens");
    closed_by_rows(|rows| rows[0]["report"] = json!({}), Rule::RowEvidence, "the claim boundary");
    closed_by_rows(|rows| rows[4]["reason"] = json!(" "), Rule::RowEvidence, "the reason");
}

#[test]
fn a_matrix_that_is_incomplete_or_forged_closes_it() {
    closed_by_rows(|rows| drop(rows.remove(4)), Rule::Matrix, "no row for psionic_rtx_4080");
    let changed = |at: &str, value: Value, part: &str| {
        let mut evidence = open();
        *evidence.matrices[0].1.pointer_mut(at).unwrap() = value;
        closed(&evidence, Rule::Matrix, part);
    };
    changed("/decision/can_claim_competitive", json!(false), "the decision does not follow");
    changed("/rows/0/warm/decode_only_tokens_per_second", json!(300.0), "the decision does not follow");
    changed("/schema", json!("another"), "the schema");
    changed("/medical_policy/disclaimer_required", json!(false), "the medical policy");
    changed("/artifact/admission/model_size", json!("other"), "no published size");
    changed("/rows", json!(1), "is no comparator matrix");
}

#[test]
fn another_engine_below_psionic_closes_it() {
    for name in ["llama-cpp-sys-2", "candle-core", "ort", "tch", "pyo3", "ggml-sys", "mistralrs", "cxx"] {
        let mut evidence = open();
        evidence.dependencies += &format!("{name} v0.1.0\n");
        closed(&evidence, Rule::Dependency, name);
    }
    let none = Evidence { dependencies: String::new(), ..open() };
    closed(&none, Rule::Dependency, "has no package psionic");
}

#[test]
fn a_reference_to_nothing_closes_it() {
    let evidence = Evidence { absent: vec!["docs/NOT_THERE.md".to_owned()], ..open() };
    closed(&evidence, Rule::Reference, "docs/NOT_THERE.md");
}
