//! What rustc and clippy say of a crate, from cargo's messages in JSON.

use serde::Deserialize;

/// All errors and warnings of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    pub errors: usize,
    pub warnings: usize,
    /// The first error in a line, or the first warning if there is none.
    pub first: Option<String>,
    /// Everything as cargo shows it, with colours.
    pub rendered: String,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    spans: Vec<Span>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: usize,
    is_primary: bool,
}

impl Diagnostics {
    /// Those in cargo's output with `--message-format=json-diagnostic-rendered-ansi`.
    pub fn of(output: &str) -> Self {
        let mut all = Self::default();
        let (mut error, mut warning) = (None, None);
        let messages = output.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
        for message in messages.filter(|message| message.reason == "compiler-message") {
            let Some(Diagnostic { level, message, spans, rendered }) = message.message else { continue };
            all.rendered += rendered.as_deref().unwrap_or_default();
            // Without a place it is a summary: "aborting due to 1 previous error".
            let Some(span) = spans.iter().find(|span| span.is_primary) else { continue };
            let line = || format!("{}:{}: {message}", span.file_name, span.line_start);
            match level.as_str() {
                "error" => {
                    all.errors += 1;
                    error.get_or_insert_with(line);
                }
                "warning" => {
                    all.warnings += 1;
                    warning.get_or_insert_with(line);
                }
                _ => {}
            }
        }
        all.first = error.or(warning);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &str, text: &str, place: Option<(&str, u32)>) -> String {
        let spans: Vec<_> = place
            .into_iter()
            .map(|(file, line)| serde_json::json!({ "file_name": file, "line_start": line, "is_primary": true }))
            .collect();
        let message = serde_json::json!({
            "level": level, "message": text, "spans": spans, "rendered": format!("{level}: {text}\n")
        });
        serde_json::json!({ "reason": "compiler-message", "message": message }).to_string() + "\n"
    }

    #[test]
    fn errors_are_told_before_warnings_and_summaries_do_not_count() {
        let output = line("warning", "unused", Some(("a.rs", 3)))
            + "{\"reason\":\"compiler-artifact\"}\nno json\n"
            + &line("error", "mismatched types", Some(("b.rs", 7)))
            + &line("error", "aborting due to 1 previous error", None);
        let all = Diagnostics::of(&output);
        assert_eq!((all.errors, all.warnings), (1, 1));
        assert_eq!(all.first.as_deref(), Some("b.rs:7: mismatched types"));
        assert_eq!(all.rendered.lines().count(), 3);
        assert_eq!(Diagnostics::of(""), Diagnostics::default());
    }
}
