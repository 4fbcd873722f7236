//! `compare.json`: what `cargo xtask compare` recorded.

use std::fmt::Write as _;
use std::path::Path;

use super::{Sheet, Test, read};
use crate::Failure;
use crate::compare::FILE;
use crate::compare::record::{ModelRecord, Record, SCHEMA, Source};

/// What such a record has.
pub fn sheet(folder: &Path) -> Result<Sheet, Failure> {
    let path = folder.join(FILE);
    let bad = |why: String| Failure(format!("{} is no comparison: {why}", path.display()));
    let record: Record = serde_json::from_str(&read(&path)?).map_err(|error| bad(error.to_string()))?;
    if record.schema != SCHEMA {
        return Err(bad(format!("expected schema {SCHEMA}, found {}", record.schema)));
    }
    let mut tests = Vec::new();
    for model in &record.models {
        for speed in &model.speed {
            Test::of(&mut tests, size(model), speed.n_gen, speed.n_depth).add(
                speed.series,
                &speed.environment,
                (speed.avg_ts, speed.stddev_ts),
            );
        }
    }
    let mut formats: Vec<&str> =
        record.models.iter().filter_map(|m| m.model_type.split(' ').next_back()).collect();
    formats.dedup();
    let caption = format!("{}, {}", device(&record), formats.join(", "));
    let foot = record.models.iter().map(findings).collect();
    Ok(Sheet { head: head(&record), caption, tests, foot })
}

/// The size in `qwen3 1.7B Q4_K_M`.
fn size(model: &ModelRecord) -> &str {
    model.model_type.split(' ').nth(1).unwrap_or(&model.file)
}

fn device(record: &Record) -> &str {
    record.gpu.as_ref().and_then(|gpu| gpu.get("name")).map_or("CPU, for trial only", String::as_str)
}

fn head(record: &Record) -> String {
    let mut text = format!("{}\n{}\n", record.date, device(record));
    for (name, value) in record.gpu.iter().flatten() {
        let _ = writeln!(text, "  {name}: {value}");
    }
    if let Some(model) = record.models.first() {
        let _ = writeln!(text, "Psionic {}", model.psionic_commit);
    }
    text + record.llama_build.as_deref().unwrap_or_default()
}

/// Greedy ids and logits of a model.
fn findings(model: &ModelRecord) -> String {
    let mut text = format!("\n{}, loaded in {:.2} s\n", size(model), model.load_seconds);
    for greedy in &model.greedy {
        let _ = write!(text, "greedy ids behind {}: ", greedy.n_depth);
        let _ = match &greedy.divergence {
            None => writeln!(text, "all {} the same", greedy.same),
            Some(at) => writeln!(
                text,
                "the same for {} of {}, then {} by {:.4} against {} by {:.4}; logits {:.2} % apart there",
                greedy.same,
                greedy.psionic_ids.len(),
                at.psionic_id,
                at.psionic_margin,
                at.llama_id,
                at.llama_margin,
                100.0 * at.relative_rms
            ),
        };
    }
    for pair in &model.numerics.pairs {
        let _ = write!(
            text,
            "KL({} ‖ {}) {:.3e}, at most {:.3e}; rms {:.2} %; best token {}/{}",
            name(pair.reference),
            name(pair.other),
            pair.mean_kl,
            pair.max_kl,
            100.0 * pair.relative_rms,
            pair.same_best,
            pair.kl.len()
        );
        if let Some(margin) = pair.widest_lost_margin {
            let _ = write!(text, ", lost by margins up to {margin:.4}");
        }
        text += "\n";
    }
    text
}

fn name(source: Source) -> &'static str {
    match source {
        Source::Psionic => "Psionic",
        Source::PsionicFloat => "Psionic with float activations",
        Source::Llama => "llama.cpp",
    }
}
