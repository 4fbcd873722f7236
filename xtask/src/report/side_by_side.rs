//! `compare.json`: what `cargo xtask compare` recorded.

use std::collections::BTreeSet;
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
    let names = names(&record.models);
    let mut tests = Vec::new();
    for (model, name) in record.models.iter().zip(&names) {
        for speed in &model.speed {
            Test::of(&mut tests, name, speed.n_gen, speed.n_depth).add(
                speed.series,
                &speed.environment,
                (speed.avg_ts, speed.stddev_ts),
            );
        }
    }
    let formats: BTreeSet<&str> =
        record.models.iter().filter_map(|m| m.model_type.split(' ').next_back()).collect();
    let formats: Vec<&str> = formats.into_iter().collect();
    let caption = format!("{}, {}", device(&record), formats.join(", "));
    let foot = record.models.iter().zip(&names).map(|(model, name)| findings(model, name)).collect();
    Ok(Sheet { head: head(&record), caption, tests, foot })
}

/// What to call the models: by the size in `qwen3 1.7B Q4_K_M`, where two have the same with the format, and by their
/// files where nothing else tells them apart.
fn names(models: &[ModelRecord]) -> Vec<String> {
    let size = |m: &ModelRecord| m.model_type.split(' ').nth(1).unwrap_or(&m.file).to_owned();
    let whole = |m: &ModelRecord| m.model_type.split_once(' ').map_or(&*m.file, |parts| parts.1).to_owned();
    let distinct = |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let by = |name: &dyn Fn(&ModelRecord) -> String| Some(models.iter().map(name).collect()).filter(distinct);
    by(&size).or_else(|| by(&whole)).unwrap_or_else(|| models.iter().map(|m| m.file.clone()).collect())
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
fn findings(model: &ModelRecord, title: &str) -> String {
    let mut text = format!("\n{title}, loaded in {:.2} s\n", model.load_seconds);
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
            whose(pair.reference),
            whose(pair.other),
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

fn whose(source: Source) -> &'static str {
    match source {
        Source::Psionic => "Psionic",
        Source::PsionicFloat => "Psionic with float activations",
        Source::Llama => "llama.cpp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::record::Numerics;

    fn named(models: &[(&str, &str)]) -> Vec<String> {
        let model = |&(file, model_type): &(&str, &str)| ModelRecord {
            file: file.into(),
            sha256: None,
            model_type: model_type.into(),
            vocab: 1,
            bytes_per_token: 1,
            psionic_commit: String::new(),
            device: serde_json::Value::Null,
            load_seconds: 0.0,
            speed: Vec::new(),
            greedy: Vec::new(),
            numerics: Numerics { token_ids: Vec::new(), pairs: Vec::new() },
        };
        names(&models.iter().map(model).collect::<Vec<_>>())
    }

    #[test]
    fn models_have_the_shortest_names_that_tell_them_apart() {
        let (small, large) = (("a.gguf", "qwen3 0.6B Q4_K_M"), ("b.gguf", "qwen3 8B Q4_K_M"));
        assert_eq!(named(&[small, large]), ["0.6B", "8B"]);
        assert_eq!(named(&[small, ("c.gguf", "qwen3 0.6B Q8_0")]), ["0.6B Q4_K_M", "0.6B Q8_0"]);
        assert_eq!(named(&[small, ("c.gguf", small.1)]), ["a.gguf", "c.gguf"]);
    }
}
