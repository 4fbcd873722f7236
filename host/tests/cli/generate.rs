//! `generate` on the simulator, against the golden tokens.

use super::{arg, golden_value, json, keys, psionic, text, trained};
use std::process::Stdio;

/// What every report names of where it comes from.
pub const PROVENANCE: [&str; 9] = [
    "version",
    "commit",
    "model",
    "model_name",
    "device",
    "activations",
    "engine",
    "why_not_persistent",
    "context",
];

#[test]
fn token_ids_may_have_spaces_between_them() {
    let path = trained();
    let generate = ["generate", "--json", "--backend", "sim", "-n", "1", "-m", arg(&path), "--prompt-tokens"];
    let report = json(psionic(generate).arg("557, 385"));
    assert_eq!(report["prompt_tokens"], serde_json::json!([557, 385]));
}

#[test]
fn tokens_are_the_golden_ones_up_to_the_first_narrow_margin() {
    let path = trained();
    for activations in ["int8", "float"] {
        for case in &golden_value()["cases"].as_array().unwrap()[..4] {
            let margins = case["greedy_margin"].as_array().unwrap();
            let sure =
                margins.iter().position(|margin| margin.as_f64().unwrap() < 0.5).unwrap_or(margins.len());
            let prompt = case["text"].as_str().unwrap();
            let report = json(
                psionic([
                    "generate",
                    "--json",
                    "--backend",
                    "sim",
                    "-n",
                    "4",
                    "-m",
                    arg(&path),
                    "-p",
                    prompt,
                ])
                .args(["--activations", activations]),
            );
            assert_eq!(report["prompt_tokens"], case["prompt_token_ids"]);
            let sure = sure.min(4);
            let expected = &case["greedy_token_ids"].as_array().unwrap()[..sure];
            assert_eq!(
                &report["generated_tokens"].as_array().unwrap()[..sure],
                expected,
                "{prompt:?} {activations}"
            );
        }
    }
}

#[test]
fn text_is_streamed_to_standard_output_and_the_rest_to_standard_error() {
    let path = trained();
    let case = &golden_value()["cases"][0];
    let prompt = case["text"].as_str().unwrap();
    let output = psionic(["generate", "-m", arg(&path), "-p", prompt, "-n", "3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let written = text(&output.stdout);
    let line = written.strip_suffix('\n').unwrap();
    assert!(!line.is_empty() && case["greedy_text"].as_str().unwrap().starts_with(line), "{line:?}");
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].starts_with("psionic: note: running on the simulator, which is slow: no NVIDIA driver"));
    assert_eq!(stderr.matches("simulator, which is slow").count(), 1);
    for part in
        ["model      tiny-qwen3-rust", "device     ", "prompt     8 tokens, ", "generation 3 tokens, "]
    {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part}: {stderr}");
    }
    assert!(stderr.contains(" tok/s") && !stderr.contains('\u{1b}'));
}

#[test]
fn the_report_has_its_fields_and_agrees_with_itself() {
    let path = trained();
    let report = json(&mut psionic([
        "generate",
        "--json",
        "--backend",
        "sim",
        "-n",
        "3",
        "-m",
        arg(&path),
        "--prompt-tokens",
        "557,385",
    ]));
    let own = ["prompt_tokens", "generated_tokens", "text", "stop", "timings"];
    assert_eq!(keys(&report), [&PROVENANCE[..], &own].concat());
    assert_eq!(report["prompt_tokens"], serde_json::json!([557, 385]));
    assert_eq!(report["device"]["backend"], "sim");
    assert_eq!((&report["stop"], &report["context"]), (&"length".into(), &5.into()));
    let timings = &report["timings"];
    let number = |name: &str| timings[name].as_f64().unwrap();
    assert!(number("load_seconds") > 0.0);
    for (phase, tokens) in [("prompt", 2.0), ("generation", 3.0)] {
        let rate = tokens / number(&format!("{phase}_seconds"));
        assert!((number(&format!("{phase}_tokens_per_second")) / rate - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_generation_ends_with_its_context() {
    let path = trained();
    let run = |context| {
        json(&mut psionic([
            "generate",
            "--json",
            "--backend",
            "sim",
            "-m",
            arg(&path),
            "--prompt-tokens",
            "1,2",
            "--context",
            context,
            "--ignore-eos",
            "-n",
            "2",
        ]))
    };
    let cut = run("3");
    assert_eq!((cut["generated_tokens"].as_array().unwrap().len(), &cut["stop"]), (1, &"context".into()));
    let whole = run("9");
    assert_eq!((whole["generated_tokens"].as_array().unwrap().len(), &whole["stop"]), (2, &"length".into()));
    assert_eq!(whole["generated_tokens"][0], cut["generated_tokens"][0]);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let path = trained();
    for arguments in [
        &["generate", "-m", arg(&path), "-p", "fn", "-n", "50", "--backend", "sim"][..],
        &["model", "-m", arg(&path), "--tensors"],
        &["model", "-m", arg(&path), "--json"],
        &["doctor"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let mut child =
            psionic(arguments.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}
