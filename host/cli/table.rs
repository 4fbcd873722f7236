//! Tables for people: columns of text and numbers, without lines.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table with these titles.
pub fn table<const N: usize>(titles: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(titles);
    table
}

/// The table as text, with the columns of numbers on the right and nothing behind the last.
pub fn finish(mut table: Table, numbers: std::ops::Range<usize>) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}
