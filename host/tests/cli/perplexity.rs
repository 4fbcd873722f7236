//! `perplexity` on the simulator, against the golden likelihoods.

use super::generate::PROVENANCE;
use super::records::numbers;
use super::{arg, golden, golden_value, json, keys, psionic, stdout, trained};

#[test]
fn likelihoods_are_the_golden_ones() {
    let (path, ids) = (trained(), golden());
    let report = json(&mut psionic([
        "perplexity",
        "--json",
        "--per-token",
        "--backend",
        "sim",
        "--activations",
        "float",
        "-m",
        arg(&path),
        "--token-ids",
        arg(&ids),
        "--tokens",
        "17",
    ]));
    let own = [
        "chunk",
        "input_tokens",
        "tokens",
        "mean_nll",
        "perplexity",
        "seconds",
        "tokens_per_second",
        "per_token_nll",
    ];
    assert_eq!(keys(&report), [&PROVENANCE[..], &own].concat());
    assert_eq!(
        (&report["input_tokens"], &report["tokens"], &report["chunk"]),
        (&17.into(), &16.into(), &17.into())
    );
    let expected = &numbers(&golden_value()["nll"]["per_token_nll_first64"])[..16];
    let found = numbers(&report["per_token_nll"]);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 0.02, "token {at}: {found}, expected {expected}");
    }
    let mean = found.iter().sum::<f64>() / 16.0;
    assert!((report["mean_nll"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((report["perplexity"].as_f64().unwrap() / mean.exp() - 1.0).abs() < 1e-12);
    let golden_mean = expected.iter().sum::<f64>() / 16.0;
    assert!((mean / golden_mean - 1.0).abs() < 0.005, "{mean}, expected {golden_mean}");
}

#[test]
fn a_chunk_begins_anew() {
    let path = trained();
    let folder = tempfile::tempdir().unwrap();
    let run = |ids: &str, chunk: &str| {
        let file = folder.path().join("ids.json");
        std::fs::write(&file, ids).unwrap();
        let report = json(&mut psionic([
            "perplexity",
            "--json",
            "--per-token",
            "--backend",
            "sim",
            "-m",
            arg(&path),
            "--token-ids",
            arg(&file),
            "--chunk",
            chunk,
        ]));
        numbers(&report["per_token_nll"])
    };
    let twice = run("[557, 385, 997, 557, 385, 997, 9]", "3");
    assert_eq!(twice.len(), 4, "the first of each chunk is not predicted, and a chunk of one has no other");
    assert_eq!(twice[..2], twice[2..]);
    assert_eq!(run(r#"{"token_ids": [557, 385, 997]}"#, "3"), twice[..2]);
}

#[test]
fn a_text_is_measured_through_the_models_tokenizer() {
    let path = trained();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.txt");
    std::fs::write(&file, "pub fn len(&self) -> ").unwrap();
    let line = stdout(&mut psionic(["perplexity", "-m", arg(&path), "-f", arg(&file), "--backend", "sim"]));
    assert!(line.starts_with("perplexity ") && line.ends_with(" over 7 predicted tokens\n"), "{line}");
}
