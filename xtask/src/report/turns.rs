//! `psionic-SIZE-TURN.json` and `llama-SIZE-TURN.json`: the records from before `compare.json`, one file a turn.

use std::path::Path;

use serde::Deserialize;

use super::{Sheet, Test, files, read};
use crate::Failure;
use crate::compare::record::Series;

/// A row of `psionic bench -o json` or of llama-bench's, as far as both have it.
#[derive(Deserialize)]
struct Row {
    n_gen: usize,
    n_depth: usize,
    avg_ts: f64,
    stddev_ts: f64,
}

/// What a folder of such records has.
pub fn sheet(folder: &Path) -> Result<Sheet, Failure> {
    let mut tests: Vec<Test> = Vec::new();
    for (engine, series) in [("psionic", Series::Psionic), ("llama", Series::LlamaBench)] {
        for path in files(folder, &format!("{engine}-"), ".json")? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let model = name.split('-').nth(1).unwrap_or_default().to_uppercase();
            let rows: Vec<Row> = serde_json::from_str(&read(&path)?)
                .map_err(|error| Failure(format!("{} is no benchmark record: {error}", path.display())))?;
            for row in rows {
                Test::of(&mut tests, &model, row.n_gen, row.n_depth).add(
                    series,
                    &[],
                    (row.avg_ts, row.stddev_ts),
                );
            }
        }
    }
    let head = read(&folder.join("machine.txt"))?;
    Ok(Sheet { head, caption: "Qwen3 Q4_K_M".to_owned(), tests, foot: String::new() })
}
