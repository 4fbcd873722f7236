//! `kernel list`, `kernel bench` and `kernel check` on the simulator: what is listed, the shape of results, never a time.

use super::records::{ENVIRONMENT, cells, csv, number};
use super::{json, keys, psionic, refused, stdout, text};
use psionic::kernel::KERNELS;
use serde_json::Value;

fn bench(more: &[&'static str]) -> std::process::Command {
    psionic(["kernel", "bench", "--backend", "sim", "-b", "3"].into_iter().chain(more.iter().copied()))
}

/// The fields of a record behind its environment.
const FIELDS: [&str; 17] = [
    "test_time",
    "kernel",
    "case",
    "size",
    "shape",
    "bytes",
    "copies",
    "launches",
    "median_ns",
    "min_ns",
    "p10_ns",
    "p90_ns",
    "gb_per_s",
    "copy_gb_per_s",
    "percent_of_copy",
    "limit_gb_per_s",
    "samples_ns",
];

#[test]
fn every_kernel_is_listed_with_its_parameters_bounds_and_cases() {
    let listed = json(&mut psionic(["kernel", "list", "--json"]));
    let listed = listed.as_array().unwrap();
    let names: Vec<&str> = listed.iter().map(|kernel| kernel["name"].as_str().unwrap()).collect();
    assert_eq!(names, KERNELS.iter().map(|kernel| kernel.name).collect::<Vec<_>>());
    for kernel in listed {
        assert_eq!(keys(kernel), ["name", "summary", "launch_bounds", "params", "measured_by", "cases"]);
        assert!(kernel["cases"].as_array().unwrap().iter().all(|case| case["bytes"].as_u64().unwrap() > 0));
    }
    let gate_up = listed.iter().find(|kernel| kernel["name"] == "gate_up").unwrap();
    assert_eq!(gate_up["launch_bounds"], serde_json::json!({ "threads": 256, "blocks": 2 }));
    assert_eq!(gate_up["params"][0], serde_json::json!({ "name": "x", "type": "*const f32" }));
    assert_eq!(gate_up["cases"][0]["shape"], "(6144 Q4_K + 6144 Q4_K) x 2048");
    let shown = stdout(&mut psionic(["kernel", "list", "--size", "0.6b"]));
    for kernel in KERNELS {
        assert!(shown.contains(&format!("{}: {}", kernel.name, kernel.summary)), "{shown}");
    }
    assert!(shown.contains("no case of its own: measured by `psionic bench --profile`"), "{shown}");
    assert!(shown.contains("project/head") && shown.contains("(151936 Q6_K) x 1024"), "{shown}");
}

#[test]
fn every_case_is_verified_and_timed_without_a_rate_that_the_simulator_cannot_have() {
    let records = json(&mut bench(&["all", "--json"]));
    let records = records.as_array().unwrap();
    assert!(records.len() > KERNELS.len());
    for kernel in KERNELS.iter().filter(|kernel| kernel.measured_by.is_none()) {
        assert!(records.iter().any(|record| record["kernel"] == kernel.name), "{}", kernel.name);
    }
    for record in records {
        assert_eq!(keys(record), [&ENVIRONMENT[..], &FIELDS].concat());
        assert_eq!((&record["backend"], &record["size"]), (&"sim".into(), &"tiny".into()));
        for rate in ["gb_per_s", "copy_gb_per_s", "percent_of_copy", "limit_gb_per_s"] {
            assert_eq!(record[rate], Value::Null);
        }
        let ns = |name: &str| number(&record[name]);
        assert!(ns("min_ns") <= ns("p10_ns") && ns("p10_ns") <= ns("median_ns"), "{record}");
        assert!(ns("median_ns") <= ns("p90_ns") && ns("min_ns") > 0.0, "{record}");
        assert_eq!(record["samples_ns"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_table_is_even_and_says_that_it_is_the_simulators() {
    let shown = stdout(&mut bench(&["swiglu", "project/o", "swiglu/ffn"]));
    let (table, below) = shown.split_once("\n\n").unwrap();
    // The kernel that is named twice is measured once.
    let names: Vec<&str> = cells(table).iter().map(|cells| cells[0]).collect();
    assert_eq!(names, ["swiglu/ffn", "project/o"]);
    assert!(
        below.starts_with("simulator: times are the host's and say nothing of a GPU\nsize: tiny"),
        "{shown}"
    );
}

/// The fields of a test behind its environment.
const TEST_FIELDS: [&str; 12] = [
    "test_time",
    "kernel",
    "case",
    "size",
    "shape",
    "passed",
    "failure",
    "compared",
    "largest_error",
    "bound",
    "percent_of_bound",
    "test_ns",
];

fn test(more: &[&'static str]) -> std::process::Command {
    psionic(["kernel", "test"].into_iter().chain(more.iter().copied()))
}

#[test]
fn every_case_is_tested_on_the_simulator_with_an_error_within_its_bound() {
    let output = test(&["all", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("testing on the simulator only: no NVIDIA driver"));
    let records: Value = serde_json::from_slice(&output.stdout).unwrap();
    let records = records.as_array().unwrap();
    for kernel in KERNELS.iter().filter(|kernel| kernel.measured_by.is_none()) {
        assert!(records.iter().any(|record| record["kernel"] == kernel.name), "{}", kernel.name);
    }
    for record in records {
        assert_eq!(keys(record), [&ENVIRONMENT[..], &TEST_FIELDS].concat());
        assert_eq!((&record["passed"], &record["failure"]), (&true.into(), &Value::Null), "{record}");
        assert_eq!((&record["backend"], &record["size"]), (&"sim".into(), &"tiny".into()));
        assert!(record["compared"].as_u64().unwrap() > 0 && record["test_ns"].as_u64().unwrap() > 0);
        // The choice of a token is exact.
        if record["largest_error"] != Value::Null {
            assert!(number(&record["largest_error"]) <= number(&record["bound"]), "{record}");
            assert!(number(&record["percent_of_bound"]) <= 100.0, "{record}");
        }
    }
}

#[test]
fn a_test_is_a_row_and_names_are_those_of_bench() {
    let shown = stdout(&mut test(&["swiglu", "argmax", "project/o", "swiglu/ffn", "--backend", "sim"]));
    let (table, below) = shown.split_once("\n\n").unwrap();
    let rows: Vec<[&str; 3]> = cells(table).iter().map(|cells| [cells[0], cells[1], cells[2]]).collect();
    let passed = |name| [name, "sim", "pass"];
    assert_eq!(rows, ["swiglu/ffn", "argmax/vocab", "project/o"].map(passed));
    assert!(cells(table)[1].contains(&"exact"), "{shown}");
    assert!(below.starts_with("size: tiny; device: simulated GPU (sim)"), "{shown}");
    refused(&mut test(&["gemm"]), 2, "found \"gemm\"");
    refused(&mut test(&["decode"]), 2, "`psionic bench --profile` measures");
    refused(&mut test(&["all", "--backend", "cuda"]), 4, "no NVIDIA driver was found");
    // A position of a GPU's shapes is none of the simulator's, but may be asked for.
    refused(&mut test(&["swiglu", "attention/p512"]), 2, "p0, p5, p40, p100");
}

#[test]
fn other_forms_have_the_same_fields() {
    let text = stdout(&mut bench(&["argmax", "-o", "csv"]));
    assert_eq!(csv(&text)[0], [&ENVIRONMENT[..], &FIELDS[..FIELDS.len() - 1]].concat());
    let jsonl = stdout(&mut bench(&["advance", "rms_norm", "-o", "jsonl"]));
    let kernels: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&kernels[0]["kernel"], &kernels[1]["kernel"]), (&"advance".into(), &"rms_norm".into()));
}

#[test]
fn a_name_that_is_none_is_refused_with_those_that_are() {
    let known = "embed, project, attention, gate_up, rms_norm, project_f32, swiglu, argmax, advance, decode, \
                 products";
    refused(&mut psionic(["kernel", "bench", "gemm"]), 2, known);
    refused(&mut psionic(["kernel", "bench", "all", "gemm"]), 2, "found \"gemm\"");
    refused(&mut psionic(["kernel", "bench", "decode"]), 2, "`psionic bench --profile` measures");
    refused(&mut psionic(["kernel", "bench", "project/up"]), 2, "qkv, qkv-q6_k, o, down, down-q6_k, head");
    // A position of the simulator's shapes is none of the others'.
    refused(&mut bench(&["attention/p40", "--size", "1.7b"]), 2, "p0, p512, p4096, p32768");
}

#[test]
fn without_a_gpu_the_gpu_is_refused_and_the_simulator_mentioned() {
    refused(&mut psionic(["kernel", "bench", "all", "--backend", "cuda"]), 4, "no NVIDIA driver was found");
    let output = psionic(["kernel", "bench", "embed", "-b", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("running on the simulator"));
    assert!(text(&output.stdout).contains("| embed/row "));
}

#[test]
fn every_kernel_with_cases_is_checked_and_clean() {
    let records = json(&mut psionic(["kernel", "check", "all", "--seed", "5", "--json"]));
    let records = records.as_array().unwrap();
    for kernel in KERNELS.iter().filter(|kernel| kernel.measured_by.is_none()) {
        assert!(records.iter().any(|record| record["kernel"] == kernel.name), "{}", kernel.name);
    }
    for record in records {
        let fields = ["kernel", "case", "shape", "clean", "trouble", "findings", "shared", "global"];
        assert_eq!(keys(record), fields);
        assert_eq!((&record["clean"], &record["trouble"]), (&true.into(), &Value::Null));
        assert_eq!(record["findings"].as_array().unwrap().len(), 0);
        for line in record["global"].as_array().unwrap() {
            assert!(line["line"].as_str().unwrap().starts_with("kernels-rs/src/"), "{line}");
            assert!(number(&line["needed"]) <= number(&line["sectors"]), "{line}");
            assert!((0.0..=100.0).contains(&number(&line["percent_used"])), "{line}");
        }
        for line in record["shared"].as_array().unwrap() {
            assert!(number(&line["ways"]) >= 1.0 && number(&line["worst_ways"]) >= 1.0, "{line}");
        }
    }
}

#[test]
fn a_check_shows_the_lines_that_use_memory() {
    let shown = stdout(&mut psionic(["kernel", "check", "rms_norm", "swiglu"]));
    assert!(shown.contains("rms_norm/hidden (256): clean\n"), "{shown}");
    assert!(shown.contains("shared memory ") && shown.contains("kernels-rs/src/reduce.rs:"), "{shown}");
    assert!(shown.contains("global memory ") && shown.contains("kernels-rs/src/swiglu.rs:"), "{shown}");
}

#[test]
fn a_check_of_what_is_not_there_is_refused() {
    refused(&mut psionic(["kernel", "check", "gate"]), 2, "\"gate\"");
    refused(&mut psionic(["kernel", "check", "decode"]), 2, "decode");
    refused(&mut psionic(["kernel", "check"]), 2, "NAME");
}
