//! Tables for people.

use comfy_table::{CellAlignment, Table, presets};

/// A table with these titles; those that begin with `>` are of numbers.
pub fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(titles.iter().map(|title| title.trim_start_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (column, title) in table.column_iter_mut().zip(titles) {
        column.set_padding((0, 2));
        if title.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// A number, or nothing where there is none or it is 0.
pub fn count(value: u64) -> String {
    if value == 0 { String::new() } else { value.to_string() }
}
