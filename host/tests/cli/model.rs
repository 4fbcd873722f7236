//! `model` and `model synth`.

use super::{arg, json, psionic, refused, stdout, trained};
use crate::raw_gguf::string;
use std::path::Path;

#[test]
fn a_file_is_described() {
    let path = trained();
    let text = stdout(&mut psionic(["model", "-m", arg(&path)]));
    for part in ["layers        4\n", "Q4_K         24", "59.5 %", "per token     3,220,690 bytes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("token_embd"));
    let text = stdout(&mut psionic(["model", "-m", arg(&path), "--tensors"]));
    assert!(text.contains("token_embd.weight") && text.contains("256 × 4096"), "{text}");
    let report = json(&mut psionic(["model", "-m", arg(&path), "--json"]));
    assert_eq!((&report["config"]["layers"], &report["tied"]), (&4.into(), &true.into()));
    assert_eq!(report["tensors"].as_array().unwrap().len(), 46);
    let shares: f64 =
        report["formats"].as_array().unwrap().iter().map(|format| format["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn a_name_cannot_control_the_terminal() {
    let mut bytes = std::fs::read(trained()).unwrap();
    let name = string("tiny-qwen3-rust");
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at + 8..at + 13].copy_from_slice(b"\x1b[2J\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    let text = stdout(&mut psionic(["model", "-m", arg(&path)]));
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
}

fn synth(path: &Path, seed: &str) -> std::process::Command {
    psionic([
        "model",
        "synth",
        "--size",
        "tiny",
        "--layers",
        "1",
        "--vocab",
        "1000",
        "-o",
        arg(path),
        "--seed",
        seed,
    ])
}

#[test]
fn a_synthetic_model_is_written_once_and_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let report = json(synth(&path, "1").arg("--json"));
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(report["bytes"], bytes.len());
    assert!(stdout(&mut psionic(["model", "-m", arg(&path)])).contains("synthetic qwen3 tiny seed 1"));
    refused(&mut synth(&path, "2"), 1, "is already there");
    assert!(std::fs::read(&path).unwrap() == bytes);
    stdout(synth(&path, "2").arg("--force"));
    assert!(std::fs::read(&path).unwrap() != bytes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_synthetic_model_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/model.gguf");
    refused(&mut synth(&path, "1"), 1, "check the folder");
    refused(synth(folder.path(), "1").arg("--force"), 1, "check the folder");
    refused(&mut psionic(["model", "synth", "--size", "2b", "-o", arg(&path)]), 2, "invalid value '2b'");
    refused(synth(&path, "1").args(["--context", "0"]), 2, "expected a context");
}
