//! Files that commands write: whole or not there, and nothing else in their place.

use super::{arg, golden, psionic, refused, stdout, trained};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn pipe(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Runs it until it has begun a file in the folder, then presses Ctrl-C; nothing may be left.
fn interrupted(command: &mut Command, folder: &Path) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while files(folder) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "{command:?} ended before it wrote anything");
        assert!(start.elapsed() < Duration::from_secs(60), "{command:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    // As a program that does nothing about it.
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{command:?}: {status}");
    assert_eq!(files(folder), 0, "{command:?}");
}

#[test]
fn ctrl_c_leaves_nothing_of_a_model_or_of_logits() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    interrupted(&mut psionic(["model", "synth", "--size", "4b", "-o", arg(&output)]), folder.path());
    let path = trained();
    let logits = ["logits", "--backend", "sim", "-m", arg(&path), "--token-ids", arg(&golden()), "-o"]
        .map(str::to_owned);
    interrupted(psionic(logits.iter().map(String::as_str)).arg(&output), folder.path());
}

#[test]
fn a_pipe_is_no_model_and_stays_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    let synth = ["model", "synth", "--size", "tiny", "-o", arg(&pipe)];
    refused(&mut psionic(synth), 1, "is already there");
    refused(psionic(synth).arg("--force"), 1, "no regular file");
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn a_report_goes_into_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = pipe(folder.path());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    let path = trained();
    stdout(&mut psionic([
        "medpsy",
        "bench",
        "--model-path",
        arg(&path),
        "--any-shape",
        "--prompt-token-ids",
        "1",
        "--json-out",
        arg(&pipe),
    ]));
    let report: serde_json::Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
    assert_eq!(report["schema"], "psionic.medpsy.bench.v1");
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (trained(), folder.path().join("file"));
    std::fs::write(&file, "").unwrap();
    let absent = |name: &str| arg(&folder.path().join("absent").join(name)).to_owned();
    // Tokens that would take the simulator hours: a command that measured first would not come back.
    let bench = ["medpsy", "bench", "--any-shape", "--prompt-token-ids", "1", "--repeats", "1000"];
    refused(
        psionic(bench).args(["--model-path", arg(&path), "--json-out"]).arg(file.join("r.json")),
        1,
        "written",
    );
    let profile = ["bench", "--profile", "--engine", "persistent", "-r", "1000", "-m", arg(&path)];
    refused(psionic(profile).args(["--timeline", &absent("t.svg")]), 1, "check the folder");
    let matrix =
        ["medpsy", "matrix", "--model-size", "any", "--host", "trial", "--cpu", "-m", arg(&path), "-o"];
    refused(psionic(matrix).arg(file.join("matrices")), 1, "check the path and the folder");
    let logits = ["logits", "--backend", "sim", "-m", arg(&path), "--token-ids"];
    refused(psionic(logits).arg(golden()).args(["-o", &absent("l")]), 1, "check the folder");
}
