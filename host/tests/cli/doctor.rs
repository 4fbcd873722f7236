//! `doctor`, `completions` and `--help`: what works with nothing installed.

use super::{arg, json, keys, psionic, stdout, text};
use serde_json::Value;

#[test]
fn doctor_works_with_nothing_installed() {
    let mut command = psionic(["doctor", "--json"]);
    let report = json(command.env("PATH", "").env("PSIONIC_RUSTC", "/nonexistent/rustc"));
    assert_eq!(keys(&report), ["version", "commit", "simulator", "gpu", "cache", "checks"]);
    assert_eq!((&report["simulator"], &report["gpu"]), (&true.into(), &false.into()));
    let checks = report["checks"].as_array().unwrap();
    let find = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(find("simulator")["state"], "ok");
    assert_ne!(find("kernel compiler")["state"], "ok");
    assert!(find("kernel compiler")["fix"].as_str().unwrap().contains("PSIONIC_RUSTC"));
    assert_eq!(find("NVIDIA driver")["state"], "missing");
    assert!(find("NVIDIA driver")["fix"].as_str().unwrap().contains("nvidia-smi"));
    assert_eq!(find("GPU")["state"], "unknown");
}

#[test]
fn every_missing_requirement_comes_with_its_fix() {
    let report = json(psionic(["doctor", "--json"]).env("PATH", ""));
    for check in report["checks"].as_array().unwrap() {
        assert!(check["state"] != "missing" || check["fix"].is_string(), "{check}");
    }
    let shown = stdout(psionic(["doctor"]).env("PATH", ""));
    assert!(shown.contains("✓ simulator") && shown.contains("✗ NVIDIA driver") && shown.contains("fix: "));
    assert!(shown.ends_with("The simulator is ready; the GPU cannot be used.\n"), "{shown}");
}

#[test]
fn doctor_fails_without_a_gpu_only_when_one_is_required() {
    stdout(&mut psionic(["doctor"]));
    let output = psionic(["doctor", "--require-gpu"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).contains("✗ NVIDIA driver"));
    assert!(text(&output.stderr).starts_with("psionic: error: the GPU cannot be used"));
}

/// The cache as `doctor` sees it with these variables: the object and the check of it.
fn cache(variables: &[(&str, &str)]) -> (Value, Value) {
    let mut command = psionic(["doctor", "--json"]);
    command.env_remove("PSIONIC_CACHE").envs(variables.iter().copied());
    let report = json(&mut command);
    let checks = report["checks"].as_array().unwrap();
    (report["cache"].clone(), checks.iter().find(|check| check["name"] == "code cache").unwrap().clone())
}

#[test]
fn the_cache_is_where_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let usual = [("HOME", arg(&home)), ("XDG_CACHE_HOME", "")];
    let named = folder.path().join("named");
    let expected = [
        (vec![("PSIONIC_CACHE", arg(&named))], named.clone()),
        (vec![("PSIONIC_CACHE", "")], home.join(".cache/psionic")),
        (vec![], home.join(".cache/psionic")),
        (vec![("XDG_CACHE_HOME", arg(folder.path()))], folder.path().join("psionic")),
        (vec![("XDG_CACHE_HOME", "relative")], home.join(".cache/psionic")),
    ];
    for (variables, path) in expected {
        let (cache, check) = cache(&[&usual[..], &variables].concat());
        assert_eq!(keys(&cache), ["path", "writable", "entries", "bytes"]);
        assert_eq!((&cache["path"], &cache["writable"]), (&arg(&path).into(), &true.into()), "{variables:?}");
        assert_eq!((&cache["entries"], &check["state"]), (&0.into(), &"ok".into()));
    }
    std::fs::write(named.join(format!("{}.cubin", "0".repeat(64))), "12345").unwrap();
    let (cache, check) = cache(&[("PSIONIC_CACHE", arg(&named))]);
    assert_eq!((&cache["entries"], &cache["bytes"]), (&1.into(), &5.into()));
    assert!(check["detail"].as_str().unwrap().ends_with("named, 1 entry, 5 B"), "{check}");
}

#[test]
fn a_cache_that_cannot_be_used_is_nothing_to_fail_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("cache");
    let (found, check) = cache(&[("PSIONIC_CACHE", arg(&below))]);
    assert_eq!((&found["path"], &found["writable"]), (&arg(&below).into(), &false.into()));
    assert_eq!(check["state"], "absent");
    assert!(check["fix"].as_str().unwrap().contains("PSIONIC_CACHE"));

    let (found, check) = cache(&[("PSIONIC_CACHE", "off")]);
    assert_eq!((&found["path"], &check["state"]), (&Value::Null, &"absent".into()));
    assert_eq!(check["detail"], "switched off by PSIONIC_CACHE=off");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&mut psionic(["completions", shell]));
        for word in ["generate", "perplexity", "synth", "prompt-tokens"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = stdout(&mut psionic(["--help"]));
    for code in 0..=5 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    assert!(stdout(&mut psionic(["bench", "--help"])).contains("Examples:"));
    assert!(stdout(&mut psionic(["--version"])).starts_with("psionic "));
    let output = psionic([]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(text(&output.stderr).contains("Commands:"));
}
