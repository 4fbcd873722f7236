//! Colours, as `clap` uses them. They reach a terminal only, and none with `NO_COLOR`.

use clap::builder::styling::{AnsiColor, Style};

/// The word `error`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `hint`.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// The word `note`.
pub const NOTE: Style = AnsiColor::Yellow.on_default().bold();
/// What is fine.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What stands back.
pub const DIM: Style = Style::new().dimmed();
