//! `new`: a project that builds, passes its test and runs as it is, or nothing at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{arg, psionic, refused, stdout, text};

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_project_is_formatted_builds_passes_its_test_and_runs() {
    // Only where cargo runs the tests is there a cargo, and what the project is made from.
    let Some(cargo) = std::env::var_os("CARGO") else {
        println!("skipped: cargo does not run this test");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let said = stdout(psionic(["new", "my-kernels"]).current_dir(folder.path()));
    assert_eq!(said, "my-kernels is there; in it, `cargo test` and `cargo run`\n");
    assert_eq!(names(folder.path()), ["my-kernels"]);
    // What this build has compiled need not be compiled again.
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(arguments).current_dir(folder.path().join("my-kernels"));
        command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
        command.env("PSIONIC_LIBCUDA", "/nonexistent/libcuda.so.1").env_remove("PSIONIC_TEST_BACKEND");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&["fmt", "--all", "--check"]);
    let tested = run(&["test", "--workspace"]);
    assert!(tested.contains("saxpy_is_right_for_every_length ... ok"), "{tested}");
    assert_eq!(run(&["run", "--quiet"]), "on the simulated GPU: y[999] is 1999\n");
    let files = names(&folder.path().join("my-kernels"));
    assert!(files.contains(&"Cargo.lock".to_owned()) && !files.contains(&"target".to_owned()), "{files:?}");
}

#[test]
fn what_is_there_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["folder", "file"] {
        let path = folder.path().join(name);
        if name == "folder" {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "text").unwrap()
        };
        refused(&mut psionic(["new", arg(&path)]), 1, "is already there; choose another name");
    }
    assert_eq!(names(folder.path()), ["file", "folder"]);
    assert!(names(&folder.path().join("folder")).is_empty());
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "text");
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str| {
        let mut command = psionic(["new"]);
        command.arg(folder.path().join(name));
        command
    };
    for name in ["1st", "a b", "fn", "kernels", "cuda-std", "grün", "..", "-x"] {
        refused(&mut new(name), 2, "a project's name is letters");
    }
    refused(new("mine").args(["--psionic", arg(folder.path())]), 2, "expected to be a checkout of Psionic");
    refused(&mut new("missing/mine"), 1, "missing cannot be used");
    assert!(names(folder.path()).is_empty());
}
