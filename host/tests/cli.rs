//! The `psionic` command as its users run it: what it prints where, and its exit codes.

mod bench;
mod checkout;
mod doctor;
mod driver;
mod generate;
mod kernel;
mod kernel_new;
#[cfg(unix)]
mod kernel_watch;
mod logits;
mod medpsy;
mod model;
mod new;
#[cfg(unix)]
mod outputs;
mod perplexity;
mod profile;
mod ptx;
mod records;
mod refusals;

use crate::fixture;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The command, on a machine without a driver, with no cache, and with its usual environment otherwise.
fn psionic<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_psionic"));
    command
        .args(arguments)
        .env("PSIONIC_LIBCUDA", "/nonexistent/libcuda.so.1")
        .env("PSIONIC_CACHE", "off")
        .stdin(Stdio::null());
    command
}

/// A script that can be run. Written by another program: what this one has open for writing is also open in what other tests
/// start meanwhile, and such a file cannot be run.
fn script(path: &Path, text: &str) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod 755 \"$0\""]).arg(path).arg(text);
    assert!(command.status().unwrap().success());
}

/// Runs it and expects success; returns what it printed on standard output.
fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

/// Expects a refusal in the form that all have: this exit code, nothing on standard output, one sentence that contains
/// `part` and at most one hint on standard error.
fn refused(command: &mut Command, code: i32, part: &str) {
    let output = command.output().unwrap();
    refusal(&output, code, part, &format!("{command:?}"));
}

fn refusal(output: &Output, code: i32, part: &str, context: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{context}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{context}");
    let lines: Vec<&str> = stderr.lines().collect();
    let sentence = lines[0].strip_prefix("psionic: error: ").unwrap_or_else(|| panic!("{context}: {stderr}"));
    assert!(sentence.contains(part), "{context}: {sentence}");
    assert!(!sentence.ends_with('.') && !sentence.contains(". "), "{context}: {sentence}");
    match lines.len() {
        1 => {}
        2 => assert!(lines[1].starts_with("hint: "), "{context}: {stderr}"),
        _ => panic!("{context}: {stderr}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The trained model.
fn trained() -> PathBuf {
    fixture("models").join("tiny-qwen3-q4_k_m.gguf")
}

fn golden() -> PathBuf {
    fixture("models").join("tiny-qwen3-q4_k_m.golden.json")
}

fn golden_value() -> Value {
    serde_json::from_slice(&std::fs::read(golden()).unwrap()).unwrap()
}

/// A path as an argument.
fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The fields of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
