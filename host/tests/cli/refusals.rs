//! Bad input, as users meet it: each an exit code and a sentence.

use super::{arg, psionic, refused, stdout, trained};
use std::path::PathBuf;
use tempfile::TempDir;

/// Runs every command that reads a model on a file with these bytes.
fn refused_file(bytes: &[u8], part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    refused_path(arg(&path), part);
}

fn refused_path(path: &str, part: &str) {
    for arguments in [
        &["generate", "-m", path, "-p", "fn"][..],
        &["perplexity", "-m", path, "--token-ids", arg(&super::golden())],
        &["bench", "-m", path],
        &["logits", "-m", path, "--prompt-tokens", "1", "-o", "/nonexistent/logits"],
        &["model", "-m", path],
    ] {
        refused(&mut psionic(arguments.iter().copied()), 3, part);
    }
}

/// The trained model with some bytes replaced, `offset` bytes after the end of `mark`.
fn patched(mark: &[u8], offset: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(trained()).unwrap();
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len() + offset;
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn a_missing_file_and_a_folder() {
    refused_path("/nonexistent/model.gguf", "could not be read");
    refused_path(env!("CARGO_MANIFEST_DIR"), "regular file");
}

#[test]
fn a_truncated_file() {
    let bytes = std::fs::read(trained()).unwrap();
    refused_file(&bytes[..bytes.len() / 2], "the file is cut short");
    refused_file(&bytes[..100], "the file is damaged");
    refused_file(b"", "expected a file");
}

#[test]
fn a_wrong_magic_and_version_1() {
    refused_file(b"GGML, not GGUF, for a long while", "starts with \"GGUF\"");
    refused_file(&patched(b"GGUF", 0, &1u32.to_le_bytes()), "found version 1");
}

#[test]
fn another_architecture() {
    // Behind the key are the type of its value and the value's length.
    refused_file(
        &patched(b"general.architecture", 12, b"llama"),
        "expected the architecture qwen3, found \"llama\"",
    );
}

#[test]
fn an_unsupported_quantisation() {
    // Behind the name are the count of dimensions, two of them and the type; 2 is Q4_0.
    refused_file(&patched(b"blk.0.attn_q.weight", 4 + 16, &2u32.to_le_bytes()), "found Q4_0");
    refused_file(&patched(b"blk.0.attn_q.weight", 4 + 16, &99u32.to_le_bytes()), "found id 99");
}

#[test]
fn weights_that_are_no_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut bytes = std::fs::read(trained()).unwrap();
    // The header is shorter; two of these bytes are no number in half precision.
    bytes[200_000..].fill(0x7e);
    std::fs::write(&path, bytes).unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "pub fn len").unwrap();
    for arguments in [&["generate", "-p", "pub fn"][..], &["perplexity", "-f", arg(&text)]] {
        let mut command = psionic(arguments.iter().copied());
        refused(command.args(["--backend", "sim", "-m", arg(&path)]), 3, "expected finite weights");
    }
}

#[cfg(unix)]
#[test]
fn a_text_that_never_ends() {
    let path = trained();
    refused(&mut psionic(["perplexity", "-m", arg(&path), "-f", "/dev/zero"]), 2, "it has more than");
}

#[test]
fn a_tensor_out_of_range() {
    let offset = u64::MAX - 31;
    refused_file(&patched(b"blk.0.attn_q.weight", 4 + 16 + 4, &offset.to_le_bytes()), "attn_q");
}

#[test]
fn a_prompt_longer_than_the_context() {
    let path = trained();
    let generate = |more: &[&str]| {
        let mut command = psionic(["generate", "--backend", "sim", "-m", arg(&path)]);
        command.args(more);
        command
    };
    let long = "x ".repeat(5000);
    refused(&mut generate(&["-p", &long]), 2, "found 5001; shorten it");
    refused(
        &mut generate(&["-p", "pub fn len", "--context", "2"]),
        2,
        "or ask for a `--context` of up to 2048",
    );
    refused(&mut generate(&["-p", "pub fn len", "--context", "2049"]), 2, "the model was trained for 2048");
}

#[test]
fn a_bench_or_chunk_longer_than_the_context() {
    let path = trained();
    let bench = ["bench", "--backend", "sim", "-m", arg(&path), "-p", "0", "-n", "1", "-d", "2047"];
    refused(&mut psionic(bench), 2, "the model was trained for 2048");
    let absurd = ["bench", "--backend", "sim", "-m", arg(&path), "-n", "18446744073709551615"];
    refused(&mut psionic(absurd), 2, "the model was trained for 2048");
}

#[test]
fn token_ids_beyond_the_vocabulary() {
    let path = trained();
    refused(
        &mut psionic(["generate", "-m", arg(&path), "--prompt-tokens", "1,4096"]),
        2,
        "token 4096 is beyond",
    );
    let folder = tempfile::tempdir().unwrap();
    let ids = folder.path().join("ids.json");
    std::fs::write(&ids, "[1, 2, 70000]").unwrap();
    refused(
        &mut psionic(["perplexity", "-m", arg(&path), "--token-ids", arg(&ids)]),
        2,
        "token 70000 is beyond",
    );
}

#[test]
fn no_tokens_to_begin_with_or_to_generate() {
    let path = trained();
    let generate = ["generate", "-m", arg(&path)];
    let with = |more: &[&'static str]| psionic(generate.into_iter().chain(more.iter().copied()));
    refused(&mut with(&["-p", ""]), 2, "found an empty one");
    refused(&mut with(&["--prompt-tokens", ""]), 2, "expected token ids like 785,1156, found \"\"");
    refused(&mut with(&["--prompt-tokens", "-1"]), 2, "expected token ids");
    refused(
        &mut with(&["-p", "fn", "-n", "0"]),
        2,
        "'0' for '--tokens <N>': expected a whole number above 0",
    );
    refused(
        &mut with(&["-p", "fn", "-n", "-1"]),
        2,
        "'-1' for '--tokens <N>': expected a whole number above 0",
    );
    refused(&mut with(&["-p", "fn", "-n", "99999999999999999999"]), 2, "expected a number up to");
    refused(
        &mut psionic(["bench", "-m", arg(&path), "-p", "0", "-n", "0"]),
        2,
        "expected something to measure",
    );
}

#[test]
fn flags_that_do_not_go_together() {
    let path = trained();
    let model = arg(&path);
    for (arguments, part) in [
        (&["generate", "-m", model, "-p", "a", "--prompt-tokens", "1"][..], "cannot be used with"),
        (&["generate", "-m", model], "required arguments were not provided"),
        (&["generate", "-p", "a"], "required arguments were not provided"),
        (&["perplexity", "-m", model, "-f", "a", "--token-ids", "b"], "cannot be used with"),
        (&["perplexity", "-m", model, "-f", "a", "--per-token"], "required arguments were not provided"),
        (&["generate", "-m", model, "-p", "a", "--backend", "vulkan"], "invalid value 'vulkan'"),
        (&["bench", "-m", model, "-p", "4-1"], "ends before it begins"),
        (&["bench", "-m", model, "-r", "0"], "invalid value '0'"),
        (&["model"], "required arguments were not provided"),
        (&["kernel", "bench"], "required arguments were not provided"),
        (&["kernel", "bench", "all", "-b", "0"], "invalid value '0'"),
        (&["kernel", "bench", "all", "--size", "2b"], "invalid value '2b'"),
        (&["kernel", "bench", "all", "--json", "-o", "csv"], "cannot be used with"),
        (&["genrate"], "unrecognized subcommand 'genrate'"),
    ] {
        refused(&mut psionic(arguments.iter().copied()), 2, part);
    }
}

#[test]
fn texts_and_token_files_that_cannot_be_used() {
    let path = trained();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    let perplexity = |flag, bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        psionic(["perplexity", "-m", arg(&path), flag, arg(&file)])
    };
    refused(&mut perplexity("-f", b"\xff\xfe"), 2, "UTF-8");
    refused(&mut perplexity("-f", b""), 2, "expected a text of at least two tokens, found 0");
    refused(&mut perplexity("--token-ids", b"[1]"), 2, "expected a text of at least two tokens, found 1");
    refused(&mut perplexity("--token-ids", b"[1, 2"), 2, "found no JSON");
    refused(&mut perplexity("--token-ids", b"{\"ids\": [1, 2]}"), 2, "found something else");
    let absent = ["perplexity", "-m", arg(&path), "-f", "/nonexistent/text"];
    refused(&mut psionic(absent), 2, "could not be read");
}

#[test]
fn more_than_fits_the_device() {
    let (_folder, path) = model_with_context("16777216");
    let generate =
        ["generate", "--backend", "sim", "-m", arg(&path), "--prompt-tokens", "1", "--context", "16777216"];
    refused(&mut psionic(generate), 5, "shorten the context");
    let bench = ["bench", "--backend", "sim", "-m", arg(&path), "-p", "0", "-d", "16000000"];
    refused(&mut psionic(bench), 5, "shorten the context");
}

/// A small synthetic model that announces this context.
fn model_with_context(context: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let spec = ["--size", "tiny", "--layers", "1", "--vocab", "1000", "--context", context];
    stdout(psionic(["model", "synth", "-o", arg(&path)]).args(spec));
    (folder, path)
}

#[test]
fn an_engine_that_cannot_run_what_is_asked_for() {
    let path = trained();
    let arguments =
        ["generate", "-m", arg(&path), "--prompt-tokens", "1", "--backend", "sim", "--engine", "persistent"];
    let part = "the persistent engine needs 8-bit activations, and others were asked for";
    refused(psionic(arguments).args(["--activations", "float"]), 2, part);
}
