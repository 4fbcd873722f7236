//! Drivers and GPUs that will not do, played by a stand-in for the driver's library.

use super::{arg, json, psionic, refusal, refused, text, trained};
use psionic::device::KERNELS;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The stand-in, compiled once.
static FAKE: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("host/tests/cli/fake_gpu.rs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join("libfake_gpu.so");
    // Moved into place when whole, since another run of these tests may be using the file.
    let fresh = folder.join(format!("libfake_gpu_{}.so", std::process::id()));
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(compiler)
        .args(["--crate-type", "cdylib", "--crate-name", "fake_gpu", "--edition", "2024", "-o"])
        .args([&fresh, &source])
        .status()
        .unwrap();
    assert!(status.success(), "the stand-in compiles");
    std::fs::rename(&fresh, &library).unwrap();
    library
});

fn generate(backend: &str) -> Command {
    let path = trained();
    psionic(["generate", "-m", arg(&path), "-p", "fn", "-n", "1", "--backend", backend])
}

fn with_driver(mut command: Command, version: &str, devices: &str) -> Command {
    command
        .env("PSIONIC_LIBCUDA", &*FAKE)
        .env("FAKE_VERSION", version)
        .env("FAKE_DEVICES", devices)
        .env("FAKE_CAPABILITY", "70");
    command
}

/// What `doctor` says of a requirement on a machine with this driver.
fn diagnosis(name: &str, version: &str, devices: &str) -> serde_json::Value {
    let report = json(&mut with_driver(psionic(["doctor", "--json"]), version, devices));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["state"] != "missing" || check["fix"].is_string()), "{report}");
    checks.iter().find(|check| check["name"] == name).unwrap().clone()
}

#[test]
fn no_driver() {
    refused(&mut generate("cuda"), 4, "no NVIDIA driver was found");
}

#[test]
fn a_driver_that_is_too_old_is_refused_and_not_replaced_by_the_simulator() {
    for backend in ["cuda", "auto"] {
        let part = "supports CUDA 11.4, but CUDA 12.0 or newer is required";
        refused(&mut with_driver(generate(backend), "11040", "1"), 4, part);
    }
    let check = diagnosis("NVIDIA driver", "11040", "1");
    assert_eq!((&check["state"], &check["fix"]), (&"missing".into(), &"update the driver".into()));
    assert_eq!(check["detail"], "CUDA 11.4, too old (at least 12.0)");
}

#[test]
fn a_driver_without_a_gpu() {
    refused(&mut with_driver(generate("cuda"), "12040", "0"), 4, "shows no GPU");
    assert_eq!(diagnosis("NVIDIA driver", "12040", "0")["state"], "ok");
    assert_eq!(diagnosis("GPU", "12040", "0")["state"], "missing");
    let output = with_driver(generate("auto"), "12040", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stderr)
            .contains("note: running on the simulator, which is slow: the NVIDIA driver shows no GPU")
    );
}

#[test]
fn a_gpu_that_cannot_be_used_is_refused_and_not_replaced_by_the_simulator() {
    for backend in ["cuda", "auto"] {
        let output = with_driver(generate(backend), "12040", "1").output().unwrap();
        match KERNELS.missing {
            Some(reason) => refusal(&output, 4, reason, backend),
            None => refusal(&output, 4, "compute capability 7.0, the kernels need 8.0", backend),
        }
        assert!(text(&output.stderr).contains("--backend sim"));
    }
    assert_ne!(diagnosis("GPU", "12040", "1")["state"], "ok");
}

#[test]
fn a_hint_names_what_the_command_takes() {
    let path = trained();
    let bench = ["medpsy", "bench", "--any-shape", "--prompt-token-ids", "1", "--backend", "cuda"];
    let output = psionic(bench).args(["--model-path", arg(&path)]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("hint: `--backend cpu`"));
}
