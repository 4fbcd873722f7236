//! `bench` on the simulator: the shape of its results, never a time.

use super::records::{ENVIRONMENT, RUN, cells, csv, number, numbers};
use super::{arg, keys, psionic, stdout, text, trained};
use serde_json::Value;

fn run(form: &[&str]) -> String {
    let path = trained();
    stdout(
        psionic([
            "bench",
            "-m",
            arg(&path),
            "--backend",
            "sim",
            "-p",
            "0,2",
            "-n",
            "1",
            "-d",
            "0-3+3",
            "-r",
            "2",
            "--warmup",
            "0",
        ])
        .args(form),
    )
}

const TESTS: [&str; 4] = ["pp2", "tg1", "pp2 @ d3", "tg1 @ d3"];

fn check(record: &Value, test: &str) {
    let own = [
        "n_prompt",
        "n_gen",
        "n_depth",
        "test_time",
        "avg_ns",
        "stddev_ns",
        "avg_ts",
        "stddev_ts",
        "samples_ns",
        "samples_ts",
    ];
    assert_eq!(keys(record), [&ENVIRONMENT[..], &RUN, &own].concat());
    assert_eq!(record["test"], test);
    assert_eq!(record["engine"], "graph");
    assert_eq!(record["model_type"], "qwen3 5.0M Q4_K_M");
    assert_eq!(record["model_n_params"], 4_984_064);
    let count = |name: &str| record[name].as_u64().unwrap();
    assert_eq!(count("n_depth"), if test.ends_with("d3") { 3 } else { 0 });
    let tokens = count("n_prompt") + count("n_gen");
    assert_eq!(tokens, if test.starts_with("pp") { 2 } else { 1 });
    let (times, rates) = (numbers(&record["samples_ns"]), numbers(&record["samples_ts"]));
    assert_eq!((times.len(), rates.len()), (2, 2));
    for (time, rate) in times.iter().zip(&rates) {
        assert!((rate * time / 1e9 / tokens as f64 - 1.0).abs() < 1e-9);
    }
    let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
    assert!(near(number(&record["avg_ts"]), (rates[0] + rates[1]) / 2.0));
    // Of two values, the sample standard deviation is their distance over the root of two.
    assert!(near(number(&record["stddev_ts"]), (rates[0] - rates[1]).abs() / 2f64.sqrt()));
}

#[test]
fn json_has_every_record() {
    for form in [&["-o", "json"][..], &["--json"]] {
        let records: Value = serde_json::from_str(&run(form)).unwrap();
        let records = records.as_array().unwrap();
        assert_eq!(records.len(), TESTS.len());
        records.iter().zip(TESTS).for_each(|(record, test)| check(record, test));
    }
}

#[test]
fn jsonl_has_a_record_in_each_line() {
    let text = run(&["-o", "jsonl"]);
    assert_eq!(text.lines().count(), TESTS.len());
    for (line, test) in text.lines().zip(TESTS) {
        check(&serde_json::from_str(line).unwrap(), test);
    }
}

#[test]
fn csv_has_a_header_and_a_line_for_each_record() {
    let text = run(&["-o", "csv"]);
    let rows = csv(&text);
    assert_eq!(rows.len(), 1 + TESTS.len());
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let column = rows[0].iter().position(|&name| name == "test").unwrap();
    let tests: Vec<&str> = rows[1..].iter().map(|row| row[column]).collect();
    assert_eq!(tests, TESTS);
    assert!(!rows[0].iter().any(|name| name.starts_with("samples")));
}

#[test]
fn markdown_is_a_table_of_even_lines_with_the_commit_below() {
    let text = run(&["-o", "md"]);
    let (table, rest) = text.split_once("\n\n").unwrap();
    assert!(rest.starts_with("build: "), "{rest}");
    let rows = cells(table);
    assert_eq!(rows.len(), TESTS.len());
    for (cells, test) in rows.iter().zip(TESTS) {
        assert_eq!(cells[6], test);
        let (mean, deviation) = cells[7].split_once(" ± ").unwrap();
        assert!(mean.parse::<f64>().unwrap() > 0.0 && deviation.parse::<f64>().unwrap() >= 0.0);
    }
}

#[test]
fn each_model_of_a_list_is_measured_and_the_simulator_mentioned_once() {
    let (first, second) = (trained(), crate::fixture("models").join("tiny-qwen3-q8_0.gguf"));
    let models = format!("{},{}", arg(&first), arg(&second));
    let arguments = ["bench", "-m", &models, "-p", "1", "-n", "0", "-r", "1", "-o", "json", "--warmup", "0"];
    let output = psionic(arguments).output().unwrap();
    let records: Value = serde_json::from_slice(&output.stdout).unwrap();
    let types: Vec<&str> =
        records.as_array().unwrap().iter().map(|record| record["model_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["qwen3 5.0M Q4_K_M", "qwen3 5.0M Q8_0"]);
    assert_eq!(text(&output.stderr).matches("running on the simulator").count(), 1);
}
