//! `doctor`, `completions` and `--help`: what works with nothing installed.

use super::{json, keys, psionic, stdout, text};

#[test]
fn doctor_works_with_nothing_installed() {
    let mut command = psionic(["doctor", "--json"]);
    let report = json(command.env("PATH", "").env("PSIONIC_RUSTC", "/nonexistent/rustc"));
    assert_eq!(keys(&report), ["version", "commit", "simulator", "gpu", "checks"]);
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
