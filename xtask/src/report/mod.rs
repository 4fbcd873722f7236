//! A readable report of a folder of benchmark records: rates side by side, the other comparisons, each kernel's share
//! of a token, and a chart.

mod kernels;
mod side_by_side;
mod turns;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::chart::{self, Group};
use crate::compare;
use crate::compare::record::Series;

/// Tokens per second of a series in one turn: mean and standard deviation.
type Rate = (f64, f64);

/// What a folder has, whatever the form of its records.
struct Sheet {
    /// The machine, the programs, the date.
    head: String,
    /// What the chart is of.
    caption: String,
    tests: Vec<Test>,
    /// What else was found.
    foot: String,
}

/// One test of one model: the turns of every series.
struct Test {
    model: String,
    name: String,
    /// By series and what its environment had.
    turns: BTreeMap<(Series, String), Vec<Rate>>,
}

impl Test {
    /// The test of this model and workload, a new one if there is none yet.
    fn of<'a>(tests: &'a mut Vec<Self>, model: &str, n_gen: usize, n_depth: usize) -> &'a mut Self {
        let depth = if n_depth > 0 { format!(" @ d{n_depth}") } else { String::new() };
        let name = format!("tg{n_gen}{depth}");
        let found = tests.iter().position(|test| test.model == model && test.name == name);
        let index = found.unwrap_or_else(|| {
            tests.push(Self { model: model.to_owned(), name, turns: BTreeMap::new() });
            tests.len() - 1
        });
        &mut tests[index]
    }

    fn label(&self) -> String {
        format!("{} {}", self.model, self.name)
    }

    fn add(&mut self, series: Series, environment: &[String], rate: Rate) {
        self.turns.entry((series, environment.join(" "))).or_default().push(rate);
    }

    /// The best turn of some series.
    fn best(&self, series: &[Series]) -> Option<Rate> {
        let turns = self.turns.iter().filter(|((of, _), _)| series.contains(of)).flat_map(|(_, turns)| turns);
        turns.copied().max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// A bar of each test: its title and what it is the best of.
const BARS: [(&str, &[Series]); 3] = [
    ("Psionic, greedy", &[Series::Psionic]),
    ("llama.cpp, greedy", &[Series::LlamaGreedyHost, Series::LlamaGreedyDevice]),
    ("llama-bench, no token chosen", &[Series::LlamaBench]),
];

/// Everything of llama.cpp's.
const LLAMA: [Series; 3] = [Series::LlamaBench, Series::LlamaGreedyHost, Series::LlamaGreedyDevice];

/// Prints the report and writes `chart.svg` into the folder.
pub fn report(folder: &Path) -> Result<(), Failure> {
    let compared = folder.join(compare::FILE).exists();
    let sheet = if compared { side_by_side::sheet(folder)? } else { turns::sheet(folder)? };
    print!("{}", sheet.head);
    for test in &sheet.tests {
        println!();
        let label = test.label();
        for ((series, environment), turns) in &test.turns {
            print!("{label:24} {:28}", series.title());
            turns.iter().for_each(|(mean, deviation)| print!("  {mean:8.1} ± {deviation:.1}"));
            let with = if environment.is_empty() { "" } else { "  " };
            println!("{with}{environment}");
        }
        if let (Some(ours), Some(theirs)) = (test.best(&[Series::Psionic]), test.best(&LLAMA)) {
            println!("{label:24} Psionic over the best of llama.cpp: {:.2}", ours.0 / theirs.0);
        }
    }
    print!("{}", sheet.foot);
    for path in files(folder, "kernels-", ".csv")? {
        kernels::print(&path)?;
    }
    let used: Vec<_> = BARS
        .iter()
        .filter(|(_, series)| sheet.tests.iter().any(|test| test.best(series).is_some()))
        .collect();
    let titles: Vec<&str> = used.iter().map(|(title, _)| *title).collect();
    let groups = sheet.tests.iter().map(|test| Group {
        label: test.label(),
        rates: used.iter().map(|(_, series)| test.best(series).map(|rate| rate.0)).collect(),
    });
    let caption = format!("{}, tokens per second, one stream", sheet.caption);
    chart::draw(&folder.join("chart.svg"), &caption, &titles, &groups.collect::<Vec<_>>())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure(format!("{} cannot be read: {error}", path.display())))
}

/// The folder's files of a kind, in order.
fn files(folder: &Path, start: &str, end: &str) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> =
        listed.map_err(|error| Failure(format!("{} cannot be listed: {error}", folder.display())))?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    });
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Series, report, turns};

    const RECORD: &str = r#"[{"n_gen": 64, "n_depth": 0, "avg_ts": 10.0, "stddev_ts": 0.5, "more": 1},
        {"n_gen": 64, "n_depth": 8, "avg_ts": 5.0, "stddev_ts": 0.25}]"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn turns_of_a_program_belong_together_and_the_better_counts() {
        let slower = RECORD.replace("10.0", "9.0");
        let folder = folder(&[
            ("machine.txt", "a machine\n"),
            ("psionic-0.6b-1.json", &slower),
            ("psionic-0.6b-2.json", RECORD),
            ("llama-0.6b-1.json", &slower),
        ]);
        let tests = turns::sheet(folder.path()).unwrap().tests;
        let names: Vec<_> = tests.iter().map(|t| (t.model.as_str(), t.name.as_str())).collect();
        assert_eq!(names, [("0.6B", "tg64"), ("0.6B", "tg64 @ d8")]);
        assert_eq!(tests[0].best(&[Series::Psionic]), Some((10.0, 0.5)));
        assert_eq!(tests[0].best(&[Series::LlamaGreedyHost, Series::LlamaBench]), Some((9.0, 0.5)));
        assert_eq!(tests[0].best(&[Series::LlamaGreedyHost]), None);
    }

    #[test]
    fn a_report_draws_a_chart_and_names_a_file_that_is_damaged() {
        let profile = "\"ID\",\"Kernel Name\",\"Grid Size\",\"Metric Name\",\"Metric Value\"\n\
            \"0\",\"project\",\"(1, 1, 1)\",\"gpu__time_duration.sum\",\"1,500\"\n";
        let files =
            [("machine.txt", "a machine\n"), ("psionic-0.6b-1.json", RECORD), ("kernels-0.6b.csv", profile)];
        let whole = folder(&files);
        report(whole.path()).unwrap();
        let chart = fs::read_to_string(whole.path().join("chart.svg")).unwrap();
        assert!(chart.contains("0.6B tg64 @ d8") && chart.contains("</svg>"), "{chart}");

        let damaged = folder(&files);
        fs::write(damaged.path().join("kernels-0.6b.csv"), profile.replace("1,500", "soon")).unwrap();
        let failure = report(damaged.path()).unwrap_err().to_string();
        assert!(failure.contains("kernels-0.6b.csv is no profile"), "{failure}");
    }

    #[test]
    fn a_comparison_of_another_form_is_refused() {
        let later = r#"{"schema": 2, "date": "", "gpu": null, "llama_build": null, "models": [], "settings":
            {"tokens": 1, "depths": [0], "repetitions": 1, "turns": 1, "positions": 1, "seed": 1}}"#;
        for (text, part) in [("{}", "is no comparison: missing field"), (later, "expected schema 1, found 2")]
        {
            let folder = folder(&[("compare.json", text)]);
            let failure = report(folder.path()).unwrap_err().to_string();
            assert!(failure.contains(part), "{failure}");
        }
    }
}
