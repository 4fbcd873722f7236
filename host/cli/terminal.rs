//! What is written where: results on standard output, the rest on standard error.

use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::{Failure, Kind};
use super::style::NOTE;

/// Writes text, flushed at once, so that who reads it sees it come.
pub fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes a model's text as it is; to a terminal without the characters that would control it.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    let shown = if out.is_terminal() { printable(text).to_string() } else { text.to_owned() };
    out.write_all(shown.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes one JSON value, indented, and a line end.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    write_json(serde_json::to_string_pretty(value))
}

/// Writes one JSON value in a line.
pub fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    write_json(serde_json::to_string(value))
}

fn write_json(text: serde_json::Result<String>) -> Result<(), Failure> {
    let text = text.map_err(|error| Failure::new(Kind::Failed, error))?;
    // Past `anstream`, which takes what looks like a colour out of text.
    let mut out = io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes a line on standard error. If nobody can read it, nobody can be told.
pub fn say(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Says on standard error what is being done, when that is a terminal.
pub fn doing(what: impl Display) {
    if io::stderr().is_terminal() {
        say(what);
    }
}

/// Says on standard error what is no error.
pub fn note(text: impl Display) {
    say(format_args!("psionic: {NOTE}note:{NOTE:#} {}", one_line(&text.to_string())));
}

/// Text of a file or a model, harmless to a terminal: line ends and tabs stay, other control characters, and those
/// that change the direction or hide, are escaped.
pub fn printable(text: &str) -> impl Display {
    Escaped { text, keep: &['\n', '\t'] }
}

/// Text on one line, with every control character escaped and line ends as spaces.
pub fn one_line(text: &str) -> String {
    let joined = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    Escaped { text: &joined, keep: &[] }.to_string()
}

struct Escaped<'a> {
    text: &'a str,
    keep: &'a [char],
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            // The joiner of emoji and of several scripts is a part of words.
            let joiner = matches!(c, '\u{200c}' | '\u{200d}');
            if (c.is_control() && !self.keep.contains(&c)) || (invisible && !joiner) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// A bar on standard error that fills with bytes, when that is a terminal; otherwise nothing.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for what is being done: `loading`.
    pub fn new(doing: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{prefix} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(doing);
        Self(bar)
    }

    /// Bytes that are done, and all there are.
    pub fn set(&mut self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Does something with the bar out of the way.
    pub fn hidden<T>(&self, action: impl FnOnce() -> T) -> T {
        self.0.suspend(action)
    }

    /// One more step.
    pub fn step(&mut self) {
        self.0.inc(1);
    }

    /// A bar that counts steps in place of bytes.
    pub fn steps(doing: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(doing);
        Self(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Bytes as people read them: `1.03 GiB`.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Tokens per second, with as many digits as say something.
pub fn rate(tokens: usize, time: Duration) -> String {
    let rate = tokens as f64 / time.as_secs_f64();
    match rate {
        _ if !rate.is_finite() => "-".to_owned(),
        10.0.. => format!("{rate:.1} tok/s"),
        _ => format!("{rate:.2} tok/s"),
    }
}

/// Nanoseconds with a unit and digits that say something.
pub fn time(ns: f64) -> String {
    match ns {
        ..1e6 => format!("{:.2} µs", ns / 1e3),
        ..1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_control_the_terminal() {
        assert_eq!(printable("a\tb\n\u{1b}[31mé🦀").to_string(), "a\tb\n\\u{1b}[31mé🦀");
        assert_eq!(printable("x\u{202e}y\u{200b}").to_string(), "x\\u{202e}y\\u{200b}");
        assert_eq!(printable("👩\u{200d}🔬\r").to_string(), "👩\u{200d}🔬\\r");
        assert_eq!(one_line("first\n  second\u{7}\n\nthird"), "first second\\u{7} third");
    }

    #[test]
    fn rates_keep_three_digits() {
        assert_eq!(rate(64, Duration::from_millis(500)), "128.0 tok/s");
        assert_eq!(rate(3, Duration::from_secs(2)), "1.50 tok/s");
        assert_eq!(rate(3, Duration::ZERO), "-");
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        assert_eq!([999.0, 66_500.0, 2e6, 3.21e9].map(time), ["1.00 µs", "66.50 µs", "2.00 ms", "3.21 s"]);
    }
}
