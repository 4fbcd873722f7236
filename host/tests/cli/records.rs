//! What the records of `bench`, `bench --profile` and `kernel bench` have in common: fields and forms.

use serde_json::Value;

/// What a measurement was made with: every record begins so.
pub const ENVIRONMENT: [&str; 6] = ["build_commit", "version", "backend", "device", "driver", "ptx"];

/// What was run, where it is a model.
pub const RUN: [&str; 7] =
    ["model_filename", "model_type", "model_size", "model_n_params", "activations", "engine", "test"];

/// A number, or a failure that shows what is none.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// The cells of a table's rows, whose lines must be even; without its head.
pub fn cells(table: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = table.lines().collect();
    let width = lines[0].chars().count();
    assert!(lines.iter().all(|line| line.chars().count() == width && line.starts_with('|')), "{table}");
    lines[2..].iter().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The fields of comma-separated values, each in quotes: the header's first.
pub fn csv(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.trim_matches('"').split("\",\"").collect()).collect()
}
