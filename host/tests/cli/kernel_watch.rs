//! `kernel watch`: its rounds, with a cargo that does nothing but what is told here, and real tests of a real kernel.

use super::checkout::checkout;
use super::{psionic, refusal, refused, script, text};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Answers as cargo would in a checkout that is built. What clippy says is in a file.
const CARGO: &str = r#"#!/bin/sh
echo "$@" >> "$TEST/log"
case "$*" in
  "clippy --version") ;;
  clippy*) cat "$TEST/clippy"; exit "$(cat "$TEST/clippy-status")" ;;
  *xtask*ptx*) while [ "$1" != --output ]; do shift; done; cp "$TEST/ptx" "$2" ;;
  build*) ;;
  *"kernel test"*) while [ "$1" != kernel ]; do shift; done; exec "$PSIONIC" "$@" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#;

const PTXAS: &str = r#"#!/bin/sh
echo "ptxas info    : Compiling entry function 'swiglu' for 'sm_90'"
echo "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
echo "ptxas info    : Used $(cat "$TEST/registers") registers, used 0 barriers"
"#;

const PTX: &str = ".version 7.8\n.target sm_90\n.address_size 64\n.visible .entry swiglu(\n)\n{\n\tmov.u32 %r1, %tid.x;\n\tret;\n}\n";

/// A checkout and programs in the place of cargo and ptxas.
struct Scene {
    checkout: TempDir,
    tools: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { checkout: checkout(), tools: tempfile::tempdir().unwrap() };
        for (name, text) in [("cargo", CARGO), ("ptxas", PTXAS)] {
            script(&scene.tool(name), text);
        }
        for (name, text) in [("ptx", PTX), ("registers", "24"), ("clippy", ""), ("clippy-status", "0")] {
            scene.tell(name, text);
        }
        fs::create_dir_all(scene.checkout.path().join("target/lab/debug")).unwrap();
        scene
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.tools.path().join(name)
    }

    /// What a program shall say.
    fn tell(&self, name: &str, text: &str) {
        fs::write(self.tool(name), text).unwrap();
    }

    fn command(&self, kernel: &str) -> Command {
        let mut command = psionic(["kernel", "watch"]);
        let path = format!("{}:/usr/bin:/bin", self.tools.path().display());
        command.arg(kernel).current_dir(self.checkout.path()).env("PATH", path);
        command.env("CARGO", self.tool("cargo")).env("TEST", self.tools.path());
        command.env("PSIONIC", env!("CARGO_BIN_EXE_psionic")).env_remove("CARGO_TARGET_DIR");
        // Where a real ptxas would be found.
        for name in ["PSIONIC_PTXAS", "CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"] {
            command.env_remove(name);
        }
        command
    }

    fn once(&self, kernel: &str) -> Output {
        self.command(kernel).arg("--once").output().unwrap()
    }
}

/// The lines of a view without the times.
fn steps(view: &str) -> Vec<String> {
    let without_time = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let time = |pair: &[&str]| pair[1] == "s" && pair[0].parse::<f64>().is_ok();
        let at = words.windows(2).position(time);
        let words = words.iter().enumerate().filter(|(i, _)| at.is_none_or(|at| *i != at && *i != at + 1));
        words.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
    };
    view.lines().filter(|line| !line.is_empty()).map(without_time).collect()
}

#[test]
fn a_round_is_a_block_and_the_next_one_tells_what_has_changed() {
    let scene = Scene::new();
    let output = scene.once("swiglu");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let view = steps(&text(&output.stdout));
    assert_eq!(view.len(), 8, "{view:#?}");
    assert_eq!(
        view[..5],
        [
            "swiglu, first round",
            "✓ check nothing to complain about",
            "✓ ptx compiled for sm_90",
            "✓ registers 24 registers, 0 bytes spilled, 2 PTX instructions",
            "✓ build the program that tests and measures",
        ]
    );
    assert!(view[5].starts_with("✓ test 1 right, with at most an error of "), "{view:#?}");
    assert!(view[5].ends_with("% of its bound; simulated GPU"), "{view:#?}");
    assert_eq!(view[6..], ["– bench there is no GPU here", "good after"]);
    scene.tell("registers", "22");
    let view = steps(&text(&scene.once("swiglu").stdout));
    assert_eq!(view[3], "✓ registers 22 registers (-2), 0 bytes spilled, 2 PTX instructions");
    // Without a GPU nothing is compiled for one, but by the step that is there for it.
    let log = fs::read_to_string(scene.tool("log")).unwrap();
    assert!(log.contains("kernel test swiglu --json --backend sim"), "{log}");
}

#[test]
fn an_error_is_told_in_a_line_and_in_the_compilers_words() {
    let scene = Scene::new();
    let span =
        serde_json::json!({ "file_name": "kernels-rs/src/swiglu.rs", "line_start": 21, "is_primary": true });
    let message = serde_json::json!({
        "level": "error", "message": "mismatched types", "spans": [span],
        "rendered": "\u{1b}[31merror\u{1b}[0m: mismatched types\n --> somewhere\n",
    });
    let message = serde_json::json!({ "reason": "compiler-message", "message": message });
    scene.tell("clippy", &format!("{message}\n"));
    scene.tell("clippy-status", "101");
    let output = scene.once("swiglu");
    assert_eq!(output.status.code(), Some(1));
    let view = steps(&text(&output.stdout));
    let line = "✗ check 1 error: kernels-rs/src/swiglu.rs:21: mismatched types";
    assert_eq!(view, ["swiglu, first round", line, "not good: check, after"]);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("error: mismatched types\n --> somewhere\n"), "{stderr}");
    assert!(stderr.ends_with("psionic: error: swiglu is not good: see `check`\n"), "{stderr}");
}

#[test]
fn a_kernel_that_cannot_be_launched_alone_is_checked_as_far_as_it_can_be() {
    let scene = Scene::new();
    scene.tell("ptx", &PTX.replace("swiglu", "decode"));
    fs::remove_file(scene.tool("ptxas")).unwrap();
    let view = text(&scene.once("decode").stdout);
    let view = steps(&view);
    assert_eq!(view[5], "– test it cannot be launched alone: `psionic bench --profile` measures it");
    assert_eq!(view.last().unwrap(), "good after");
}

#[test]
fn a_failing_step_is_told_with_what_it_says() {
    let scene = Scene::new();
    scene.tell("ptx", &PTX.replace("swiglu", "another"));
    let view = steps(&text(&scene.once("swiglu").stdout));
    assert_eq!(view[3..], ["✗ registers the PTX has no entry called swiglu", "not good: registers, after"]);
}

/// What the view shows next, up to the line that begins like this.
fn until(lines: &mut impl Iterator<Item = String>, begin: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines {
        let line: String = line;
        let words = line.trim_start().to_owned();
        seen.push(line);
        if words.starts_with(begin) {
            return seen;
        }
        // A round that has ended otherwise is followed by nothing.
        assert!(!words.contains(" after "), "expected {begin:?} in {seen:#?}");
    }
    panic!("expected {begin:?} in {seen:#?}");
}

#[test]
fn a_save_begins_a_round_and_an_interrupt_ends_it_all() {
    let scene = Scene::new();
    let mut child = scene.command("swiglu").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    until(&mut lines, "good after");
    let source = scene.checkout.path().join("kernels-rs/src/swiglu.rs");
    let before = fs::read_to_string(&source).unwrap();
    fs::write(&source, format!("{before}// Changed.\n")).unwrap();
    let block = until(&mut lines, "good after");
    assert!(block.iter().any(|line| line == "swiglu, kernels-rs/src/swiglu.rs saved"), "{block:#?}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), 0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_interrupt_ends_a_step_that_would_go_on() {
    let scene = Scene::new();
    scene.tell("cargo", &CARGO.replace("build*) ;;", "build*) sleep 600 ;;"));
    let mut child =
        scene.command("swiglu").arg("--once").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    until(&mut lines, "✓ registers");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(until(&mut lines, "ended after").len(), 1);
    let output = child.wait_with_output().unwrap();
    refusal(&output, 1, "the round was interrupted", "an interrupted round");
}

#[test]
fn a_kernel_or_a_checkout_that_is_not_there_is_refused() {
    let scene = Scene::new();
    refused(
        &mut scene.command("softcap"),
        2,
        "expected the name of a kernel in kernels-rs/src, found \"softcap\"",
    );
    let nowhere = tempfile::tempdir().unwrap();
    refused(scene.command("swiglu").current_dir(nowhere.path()), 2, "expected a folder of a checkout");
    assert!(!Path::new(&scene.tool("log")).exists());
}
