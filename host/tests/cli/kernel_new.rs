//! `kernel new` in a copy of the files that it changes.

use super::checkout::{FOLDERS, checkout, copy_folder, files};
use super::{json, psionic, refused, stdout, text};
use crate::machine;
use std::fs;
use std::path::Path;
use std::process::Command;

fn new(folder: &Path, name: &str) -> Command {
    let mut command = psionic(["kernel", "new"]);
    command.arg(name).current_dir(folder);
    command
}

#[test]
fn a_kernel_is_added_with_its_test_and_its_cases_and_nothing_else_changes() {
    let copy = checkout();
    let before = files(copy.path());
    let report = json(new(&copy.path().join("host/kernel"), "softcap").arg("--json"));
    let created = FOLDERS.map(|folder| format!("{folder}/softcap.rs"));
    let changed = ["kernels-rs/src/lib.rs", "host/kernel/cases/mod.rs", "host/tests/kernels/mod.rs"];
    assert_eq!(report["name"], "softcap");
    assert_eq!(report["created"], serde_json::json!(created));
    assert_eq!(report["changed"], serde_json::json!(changed));
    let after = files(copy.path());
    assert_eq!(after.len(), before.len() + created.len());
    for (path, text) in &after {
        match before.get(path) {
            None => {
                assert!(created.iter().any(|created| Path::new(created) == path), "{path:?}");
                assert!(text.contains("softcap") || path.starts_with("kernels-rs"), "{path:?}: {text}");
                assert!(!text.contains("new_kernel"), "{path:?}: {text}");
            }
            Some(old) if changed.iter().any(|changed| Path::new(changed) == path) => {
                // Only lines are added, and each has the name.
                let added = text.lines().filter(|line| !old.lines().any(|old| old == *line));
                let added: Vec<&str> = added.collect();
                assert_eq!(text.lines().count(), old.lines().count() + added.len(), "{path:?}");
                assert!(!added.is_empty() && added.iter().all(|line| line.contains("softcap")), "{added:?}");
            }
            Some(old) => assert_eq!(text, old, "{path:?}"),
        }
    }
    let lines = |path: &str| after[Path::new(path)].clone();
    assert!(lines(&created[0]).contains("pub unsafe fn softcap(x: &[f32]"));
    assert!(lines(changed[0]).contains("\npub mod rms_norm;\npub mod softcap;\npub mod swiglu;\n"));
    assert!(lines(changed[1]).contains("    softcap::KERNEL,\n];\n"));
    let shown = stdout(&mut new(copy.path(), "another"));
    assert!(shown.starts_with("made     kernels-rs/src/another.rs\n"), "{shown}");
}

/// Names of any length give lines that rustfmt leaves alone.
#[test]
fn what_is_written_is_formatted() {
    if Command::new("rustfmt").arg("--version").output().is_err() {
        println!("skipped: rustfmt is not installed");
        return;
    }
    let copy = checkout();
    fs::copy(machine::root().join("rustfmt.toml"), copy.path().join("rustfmt.toml")).unwrap();
    for name in ["a", "softcap2", "project_2", &"z".repeat(32)] {
        stdout(&mut new(copy.path(), name));
        for folder in FOLDERS {
            let module = if folder.ends_with("src") { "lib.rs" } else { "mod.rs" };
            let mut rustfmt = Command::new("rustfmt");
            rustfmt.args(["--check", "--edition", "2024"]).arg(copy.path().join(folder).join(module));
            let output = rustfmt.output().unwrap();
            assert!(output.status.success(), "{name}: {}", text(&output.stdout));
        }
    }
}

#[test]
fn a_name_that_is_taken_or_none_is_refused_and_nothing_changes() {
    let copy = checkout();
    fs::create_dir(copy.path().join("host/tests/kernels/folder")).unwrap();
    let before = files(copy.path());
    for (name, part) in [
        ("swiglu", "kernels-rs/src/swiglu.rs already"),
        ("layout", "kernels-rs/src/layout.rs already"),
        ("persistent", "kernels-rs/src/persistent already"),
        ("decode", "host/kernel/cases/decode.rs already"),
        ("pack", "host/tests/kernels/pack.rs already"),
        ("folder", "host/tests/kernels/folder already"),
        ("Soft", "small letters"),
        ("../x", "small letters"),
        ("", "small letters"),
        ("match", "means nothing else"),
    ] {
        refused(&mut new(copy.path(), name), 2, part);
    }
    let list = copy.path().join("host/kernel/cases/mod.rs");
    fs::write(&list, "mod argmax;\n").unwrap();
    refused(&mut new(copy.path(), "softcap"), 1, "expected the list of kernels");
    fs::write(&list, &before[Path::new("host/kernel/cases/mod.rs")]).unwrap();
    assert_eq!(files(copy.path()), before);
}

#[test]
fn outside_a_checkout_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    refused(&mut new(folder.path(), "softcap"), 2, "expected a folder of a checkout of Psionic, found ");
    assert!(files(folder.path()).is_empty());
}

/// The kernel that is made passes its own tests, compiled for both machines. Compiles the project: minutes at first.
#[test]
#[ignore = "compiles the project; run with `--ignored`"]
fn the_new_kernel_passes_its_tests() {
    let (root, copy) = (machine::root(), tempfile::tempdir().unwrap());
    for folder in [".cargo", "benches", "examples", "fixtures", "host", "kernels-rs", "rust-cuda", "xtask"] {
        copy_folder(&root.join(folder), &copy.path().join(folder));
    }
    for file in ["Cargo.toml", "Cargo.lock", "build.rs"] {
        fs::copy(root.join(file), copy.path().join(file)).unwrap();
    }
    stdout(&mut new(copy.path(), "softcap"));
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-kernel");
        command.args(arguments).current_dir(copy.path()).env("CARGO_TARGET_DIR", target);
        command.env_remove("CARGO_MANIFEST_DIR");
        stdout(&mut command)
    };
    let tests = cargo(&["test", "-p", "psionic", "--test", "host", "kernels::"]);
    assert!(tests.contains("kernels::softcap::any_length ... ok"), "{tests}");
    let listed = cargo(&["run", "-q", "-p", "psionic", "--", "kernel", "list"]);
    assert!(listed.contains("softcap: a vector times a number"), "{listed}");
    let tested =
        cargo(&["run", "-q", "-p", "psionic", "--", "kernel", "test", "softcap", "--backend", "sim"]);
    assert!(tested.contains("| softcap/hidden | sim  | pass "), "{tested}");
    cargo(&["clippy", "-q", "-p", "psionic", "-p", "psionic-kernels", "--tests", "--", "-D", "warnings"]);
}
