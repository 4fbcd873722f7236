//! `logits` on the simulator, against the golden logits.

use super::generate::PROVENANCE;
use super::{arg, golden_value, json, keys, psionic, refused, stdout, trained};
use std::path::Path;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn join(ids: &serde_json::Value) -> String {
    ids.as_array().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn every_token_has_a_row_and_the_last_is_the_golden_one() {
    let (path, golden, folder) = (trained(), golden_value(), tempfile::tempdir().unwrap());
    let case = &golden["cases"][0];
    let ids = join(&case["prompt_token_ids"]);
    let all = folder.path().join("all.f32");
    let logits = ["logits", "--backend", "sim", "--activations", "float", "-m", arg(&path)];
    let run = |more: &[&str]| json(psionic(logits).args(["--json"]).args(more));
    let report = run(&["--prompt-tokens", &ids, "-o", arg(&all)]);
    let own = ["token_ids", "output", "positions", "vocab", "seconds"];
    assert_eq!(keys(&report), [&PROVENANCE[..], &own].concat());
    assert_eq!(report["token_ids"], case["prompt_token_ids"]);
    assert_eq!((&report["positions"], &report["vocab"]), (&8.into(), &4096.into()));
    let rows = floats(&all);
    assert_eq!(rows.len(), 8 * 4096);
    for expected in case["last_prompt_top5"].as_array().unwrap() {
        let (id, expected) = (expected[0].as_u64().unwrap() as usize, expected[1].as_f64().unwrap());
        let found = f64::from(rows[7 * 4096 + id]);
        assert!((found - expected).abs() < 0.01, "token {id}: {found}, expected {expected}");
    }

    let (last, file) = (folder.path().join("last.f32"), folder.path().join("ids.json"));
    std::fs::write(&file, format!("[{ids}]")).unwrap();
    let report = run(&["--token-ids", arg(&file), "--last", "2", "-o", arg(&last)]);
    assert_eq!(report["positions"], 2);
    assert_eq!(floats(&last), rows[6 * 4096..]);
}

#[test]
fn a_file_is_written_whole_and_never_over_another() {
    let (path, folder) = (trained(), tempfile::tempdir().unwrap());
    let output = folder.path().join("logits.f32");
    let run = |output: &Path, ids: &str| {
        psionic(["logits", "--backend", "sim", "-m", arg(&path), "-o", arg(output), "--prompt-tokens", ids])
    };
    let line = stdout(&mut run(&output, "557"));
    assert!(line.ends_with("logits.f32: 1 × 4096 logits\n"), "{line}");
    let before = floats(&output);
    refused(&mut run(&output, "385"), 1, "is already there");
    assert_eq!(floats(&output), before);
    refused(&mut run(&folder.path().join("absent/logits.f32"), "1"), 1, "check the folder");
    refused(&mut run(&folder.path().join("other"), "1,4096"), 2, "token 4096 is beyond");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}
