//! `psionic ptx`: every subcommand, on the built-in kernels and on files, with and without NVIDIA's tools.

use super::{arg, json, keys, psionic, refused, stdout, text};
use cuda_ptx::tool::Tool;
use psionic::device::KERNELS as PROGRAM;
use psionic::kernel::KERNELS;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The command without NVIDIA's tools: what names them names nothing.
fn bare<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = psionic(arguments);
    for name in ["PSIONIC_PTXAS", "PSIONIC_NVDISASM", "CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"]
    {
        command.env_remove(name);
    }
    command.env("PATH", "/nonexistent").env("HOME", "/nonexistent");
    command
}

/// Whether a tool is there that `bare` cannot hide, in a folder that is always looked at.
fn always_there() -> bool {
    let report = json(&mut bare(["doctor", "--json"]));
    let checks = report["checks"].as_array().unwrap();
    checks.iter().any(|check| check["name"] == "ptxas" && check["state"] == "ok")
}

/// Whether the program holds kernels; says so when it does not.
fn built_in() -> bool {
    if let Some(reason) = PROGRAM.missing {
        println!("skipped: {reason}");
    }
    PROGRAM.missing.is_none()
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-cuda/cuda_ptx/tests/corpus").join(name)
}

#[test]
fn the_built_in_kernels_are_listed_with_their_parameters() {
    if !built_in() {
        refused(&mut psionic(["ptx", "list"]), 2, "there are no built-in kernels in this program");
        return;
    }
    for (sm, _) in PROGRAM.ptx {
        let report = json(&mut psionic(["ptx", "list", "--arch", &format!("sm_{sm}"), "--json"]));
        assert_eq!(
            keys(&report),
            ["schema", "version", "commit", "source", "ptx_version", "target", "entries"]
        );
        assert_eq!(
            (&report["schema"], &report["target"]),
            (&"psionic.ptx.list.v1".into(), &format!("sm_{sm}").into())
        );
        let entries = report["entries"].as_array().unwrap();
        assert_eq!(entries.len(), KERNELS.len());
        for kernel in KERNELS {
            let entry = entries.iter().find(|entry| entry["name"] == kernel.name).unwrap();
            assert_eq!(
                entry["max_threads"],
                kernel.launch_bounds.map_or(Value::Null, |(threads, _)| threads.into())
            );
            assert!(!entry["params"].as_array().unwrap().is_empty());
        }
    }
    assert!(stdout(&mut psionic(["ptx", "list"])).contains("\nattention        256"));
    refused(&mut psionic(["ptx", "list", "--arch", "sm_1"]), 2, "sm_80, sm_90");
}

#[test]
fn a_file_is_inspected_without_any_tool() {
    let file = corpus("async.ptx");
    let arguments = ["ptx", "inspect", "pipeline", "-f", arg(&file)];
    let report = json(&mut bare(arguments.into_iter().chain(["--json"])));
    let pipeline = &report["functions"][0];
    assert_eq!(pipeline["shared"], serde_json::json!({ "static_bytes": 16, "dynamic": true }));
    assert_eq!(pipeline["mix"]["classes"]["async_copy"], 9);
    assert!(pipeline["blocks"].as_array().unwrap().len() > 3);
    let output = bare(arguments).output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains("async copy") && shown.contains("nc.L1::no_allocate.L2::256B"), "{shown}");
    if !always_there() {
        assert_eq!((&report["machine"]["ptxas"], &pipeline["resources"]), (&Value::Null, &Value::Null));
        assert!(report["notes"][0].as_str().unwrap().contains("pip install nvidia-cuda-nvcc"), "{report}");
        assert!(text(&output.stderr).contains("no registers, spills and occupancy: ptxas was not found"));
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child =
        psionic(["ptx", "list", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(corpus("control.ptx")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).starts_with("standard input: PTX 7.0, sm_75, texmode_independent\n"));
}

#[test]
fn with_the_tools_registers_occupancy_and_machine_code_are_there() {
    if Tool::Ptxas.find().is_err() || Tool::Nvdisasm.find().is_err() || !built_in() {
        println!("skipped: needs ptxas, nvdisasm and built-in kernels");
        return;
    }
    let report = json(&mut psionic(["ptx", "inspect", "swiglu", "--gpu", "h100", "--sass", "--json"]));
    assert_eq!(report["machine"]["gpu"], "H100");
    let swiglu = &report["functions"][0];
    let registers = swiglu["resources"]["registers"].as_u64().unwrap();
    assert!((8..64).contains(&registers), "{registers}");
    assert_eq!(swiglu["occupancy"]["threads"], 256);
    assert!(
        swiglu["sass"].as_array().unwrap().iter().any(|line| line["text"].as_str().unwrap().contains("EXIT"))
    );
    let shown =
        stdout(&mut psionic(["ptx", "inspect", "swiglu", "--sass", "--gpu", "RTX 4080", "--threads", "128"]));
    assert!(shown.contains("assembled for sm_89 (RTX 4080, 76 multiprocessors) by ptxas "), "{shown}");
    assert!(
        shown.contains("blocks of 128 threads") && shown.contains("kernels-rs/src/swiglu.rs:"),
        "{shown}"
    );
}

#[test]
fn the_projects_kernels_keep_to_their_budget() {
    if !built_in() {
        return;
    }
    let budget = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-rs/budget.json");
    let report = json(&mut psionic(["ptx", "check", "--budget", arg(&budget), "--json"]));
    assert_eq!((&report["schema"], &report["ok"]), (&"psionic.ptx.check.v1".into(), &true.into()));
    assert!(report["checked"].as_u64().unwrap() > 100);
}

#[test]
fn the_projects_kernels_have_no_serious_findings() {
    for (sm, _) in PROGRAM.ptx {
        let arch = format!("sm_{sm}");
        let report =
            json(&mut psionic(["ptx", "lint", "--arch", &arch, "--deny", "serious,double", "--json"]));
        for finding in report["findings"].as_array().unwrap() {
            let source = finding["source"].as_str().unwrap();
            assert!(source.contains("kernels-rs/src/"), "{finding}");
            assert!(!finding["inlined"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn a_budget_is_written_kept_and_exceeded() {
    let folder = tempfile::tempdir().unwrap();
    let (budget, file) = (folder.path().join("budget.json"), folder.path().join("k.ptx"));
    let ptx = std::fs::read_to_string(corpus("control.ptx")).unwrap();
    std::fs::write(&file, &ptx).unwrap();
    let check = |more: &[&'static str]| {
        let mut command = bare(["ptx", "check", "--budget", arg(&budget), "-f", arg(&file)]);
        command.args(more);
        command
    };
    refused(&mut check(&[]), 2, "could not be read");
    stdout(&mut check(&["--write", "--slack", "0"]));
    assert!(stdout(&mut check(&[])).contains("limits kept"));
    std::fs::write(&file, ptx.replace("membar.gl;", "membar.gl; add.f64 %fd1, %fd1, %fd1; frob.b32 %r1;"))
        .unwrap();
    let output = check(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(
        ["double", "instructions", "unknown"].into_iter().all(|figure| shown.contains(figure)),
        "{shown}"
    );
    assert!(text(&output.stderr).starts_with("psionic: error: 3 limits of the budget are not kept\nhint: "));
    std::fs::write(&file, ptx.replace("switch(", "other(")).unwrap();
    let output = check(&["--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<&Value> =
        report["excesses"].as_array().unwrap().iter().map(|excess| &excess["kind"]).collect();
    assert_eq!((output.status.code(), kinds), (Some(1), vec![&"no_budget".into(), &"no_entry".into()]));
    if !always_there() {
        refused(&mut check(&["--require-ptxas"]), 2, "ptxas was not found");
    }
    std::fs::write(&budget, "{}").unwrap();
    refused(&mut check(&[]), 2, "expected a budget, found missing field");
}

#[test]
fn two_files_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("new.ptx");
    let ptx = std::fs::read_to_string(corpus("control.ptx")).unwrap();
    std::fs::write(&changed, ptx.replace("membar.gl;", "")).unwrap();
    let old = corpus("control.ptx");
    let report = json(&mut bare(["ptx", "diff", arg(&old), arg(&changed), "--json"]));
    assert_eq!(
        (&report["schema"], &report["entries"][0]["state"]),
        (&"psionic.ptx.diff.v1".into(), &"changed".into())
    );
    let changes = report["entries"][0]["changes"].as_array().unwrap();
    assert!(
        changes.contains(&serde_json::json!({ "figure": "fence", "before": 1, "after": 0 })),
        "{changes:?}"
    );
    let output = bare(["ptx", "diff", arg(&old), arg(&old)]).output().unwrap();
    let (shown, notes) = (text(&output.stdout), text(&output.stderr));
    // What both sides lack is said once.
    assert!(always_there() || notes.matches("ptxas was not found").count() == 1, "{notes}");
    assert!(shown.contains("1 of 1 entries are the same"), "{shown}");
    refused(&mut psionic(["ptx", "diff", arg(&old), "no-such-revision"]), 2, "a revision in git");
}

#[test]
fn lints_are_denied_and_allowed_by_name() {
    let file = corpus("functions.ptx");
    let lint = |more: &[&'static str]| {
        let mut command = psionic(["ptx", "lint", "-f", arg(&file)]);
        command.args(more);
        command
    };
    let shown = stdout(&mut lint(&[]));
    assert!(shown.contains("unscoped-atomic: ") && shown.ends_with("3 findings\n"), "{shown}");
    assert!(
        stdout(&mut lint(&["--allow", "double,generic-access,serious"])).ends_with("nothing was found\n")
    );
    for (denied, code) in [("serious", 1), ("double", 1), ("panic", 0)] {
        assert_eq!(lint(&["--deny", denied]).output().unwrap().status.code(), Some(code), "{denied}");
    }
    refused(&mut lint(&["--deny", "typos"]), 2, "divergent-barrier");
}

#[test]
fn the_report_is_one_page_that_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let file = corpus("lines.ptx");
    let arguments = ["ptx", "report", "-f", arg(&file), "-o", arg(&page)];
    let report = json(psionic(arguments).arg("--json"));
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!((&report["functions"], &report["bytes"]), (&1.into(), &html.len().into()));
    assert!(html.starts_with("<!doctype html>") && html.contains("saxpy"));
    for outside in ["http://", "https://", " src=", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    refused(&mut psionic(arguments), 1, "is already there");
    stdout(psionic(arguments).arg("--force"));
}

#[test]
fn what_is_no_ptx_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.ptx");
    let list = || psionic(["ptx", "list", "-f", arg(&file)]);
    refused(&mut list(), 2, "could not be read");
    std::fs::write(&file, [0x7f, b'E', b'L', b'F', 0xff]).unwrap();
    refused(&mut list(), 2, "is no text");
    std::fs::write(&file, ".version 8.0\n.target sm_90\n.entry k() { add.u32 %r1, [; }\n").unwrap();
    refused(&mut list(), 2, "line 3, column 28: expected an operand or `]`, found `;`");
    let known = corpus("control.ptx");
    refused(&mut psionic(["ptx", "inspect", "kernel", "-f", arg(&known)]), 2, "(switch), found \"kernel\"");
    refused(&mut psionic(["ptx", "inspect", "--gpu", "Voodoo 2"]), 2, "RTX 4080");
    refused(
        psionic(["ptx", "inspect", "-f", arg(&known)]).env("PSIONIC_PTXAS", "/nonexistent"),
        2,
        "PSIONIC_PTXAS names",
    );
}
