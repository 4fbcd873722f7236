//! Records on standard output, each as soon as it is there where the form allows.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use super::terminal::{print, print_json, print_json_line};

/// The form of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table in Markdown
    #[default]
    Md,
    /// Comma-separated values, with a header
    Csv,
    /// An array of objects, at the end
    Json,
    /// An object in each line
    Jsonl,
}

/// A column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    /// Characters that its cells have, at least.
    width: usize,
    /// Numbers stand on the right.
    right: bool,
}

impl Column {
    /// Of text.
    pub fn text(title: &'static str) -> Self {
        Self { title, width: title.chars().count(), right: false }
    }

    /// Of numbers.
    pub fn number(title: &'static str) -> Self {
        Self { right: true, ..Self::text(title) }
    }

    /// As wide as this at least: rows are printed before later ones are known.
    pub fn wide(self, width: usize) -> Self {
        Self { width: self.width.max(width), ..self }
    }
}

/// The records of one command, in columns for the form that has them.
pub struct Sheet<R, const N: usize> {
    output: Output,
    columns: [Column; N],
    begun: bool,
    records: Vec<R>,
}

impl<R: Serialize, const N: usize> Sheet<R, N> {
    /// None yet.
    pub fn new(output: Output, columns: [Column; N]) -> Self {
        Self { output, columns, begun: false, records: Vec::new() }
    }

    /// One more, and its cells. A table is as wide as its first row at least.
    pub fn add(&mut self, record: R, cells: [String; N]) -> Result<(), Failure> {
        let first = !std::mem::replace(&mut self.begun, true);
        match self.output {
            Output::Md => {
                let mut text = String::new();
                if first {
                    for (column, cell) in self.columns.iter_mut().zip(&cells) {
                        *column = column.wide(cell.chars().count());
                    }
                    text += &self.head();
                }
                print(text + &self.row(cells.each_ref().map(String::as_str)))
            }
            Output::Csv => {
                let fields = csv_fields(&record);
                let mut text = String::new();
                if first {
                    text += &csv_line(fields.iter().map(|(name, _)| name.as_str()));
                }
                print(text + &csv_line(fields.iter().map(|(_, value)| value.as_str())))
            }
            Output::Json => {
                self.records.push(record);
                Ok(())
            }
            Output::Jsonl => print_json_line(&record),
        }
    }

    /// Prints what is printed at the end, and `below` a table.
    pub fn finish(self, below: &str) -> Result<(), Failure> {
        match self.output {
            Output::Md => print(format_args!("\n{below}\n")),
            Output::Json => print_json(&self.records),
            Output::Csv | Output::Jsonl => Ok(()),
        }
    }

    fn head(&self) -> String {
        let mut text = self.row(self.columns.map(|column| column.title));
        for Column { width, right, .. } in self.columns {
            let (dashes, end) = if right { (width + 1, ":") } else { (width + 2, "") };
            text += &format!("|{}{end}", "-".repeat(dashes));
        }
        text + "|\n"
    }

    fn row(&self, cells: [&str; N]) -> String {
        let mut text = String::new();
        for (cell, Column { width, right, .. }) in cells.into_iter().zip(self.columns) {
            // Writing to a string cannot fail.
            let _ = if right { write!(text, "| {cell:>width$} ") } else { write!(text, "| {cell:<width$} ") };
        }
        text + "|\n"
    }
}

/// The record's fields in order, without its lists.
fn csv_fields(record: &impl Serialize) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

/// Fields in quotes, as llama-bench writes them.
fn csv_line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = fields.map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
    quoted.join(",") + "\n"
}
