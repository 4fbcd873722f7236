//! What `benches/gpu.sh` recorded, for people: rates side by side, each kernel's share of a token, and a chart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::Deserialize;

use crate::Failure;

/// A row of `psionic bench -o json` or of llama-bench's, as far as both have it.
#[derive(Deserialize)]
struct Row {
    n_gen: u32,
    n_depth: u32,
    avg_ts: f64,
    stddev_ts: f64,
}

/// Tokens per second of an engine in one turn: mean and standard deviation.
type Rate = (f64, f64);

/// One test of one model: every engine's turns.
struct Test {
    size: String,
    name: String,
    engines: BTreeMap<String, Vec<Rate>>,
}

impl Test {
    /// The better turn of an engine.
    fn best(&self, engine: &str) -> Option<Rate> {
        self.engines.get(engine)?.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Launches of a kernel with one grid: how many, their time in microseconds, the bytes they read from DRAM.
#[derive(Default)]
struct Launches {
    count: u32,
    microseconds: f64,
    bytes: f64,
}

/// Prints the report and writes `chart.svg` into the folder.
pub fn report(folder: &Path) -> Result<(), Failure> {
    print!("{}", read(&folder.join("machine.txt"))?);
    let tests = tests(folder)?;
    for test in &tests {
        for (engine, turns) in &test.engines {
            print!("\n{:6} {:16} {engine:8}", test.size, test.name);
            turns.iter().for_each(|(mean, sd)| print!("  {mean:8.1} ± {sd:.1}"));
        }
    }
    println!();
    for path in files(folder, "kernels-", ".csv")? {
        kernels(&path)?;
    }
    let path = folder.join("chart.svg");
    chart(&path, &tests).map_err(|error| Failure(format!("{} cannot be drawn: {error}", path.display())))
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

/// The rates of `psionic-SIZE-TURN.json` and `llama-SIZE-TURN.json`.
fn tests(folder: &Path) -> Result<Vec<Test>, Failure> {
    let mut tests: Vec<Test> = Vec::new();
    for engine in ["psionic", "llama"] {
        for path in files(folder, &format!("{engine}-"), ".json")? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut parts = name.split('-').skip(1);
            let size = parts.next().unwrap_or_default().to_owned();
            let rows: Vec<Row> = serde_json::from_str(&read(&path)?)
                .map_err(|error| Failure(format!("{} is no benchmark record: {error}", path.display())))?;
            for row in rows {
                let depth = if row.n_depth > 0 { format!(" @ d{}", row.n_depth) } else { String::new() };
                let name = format!("tg{}{depth}", row.n_gen);
                let index =
                    tests.iter().position(|t| t.size == size && t.name == name).unwrap_or_else(|| {
                        tests.push(Test { size: size.clone(), name, engines: BTreeMap::new() });
                        tests.len() - 1
                    });
                let turns = tests[index].engines.entry(engine.to_owned()).or_default();
                turns.push((row.avg_ts, row.stddev_ts));
            }
        }
    }
    Ok(tests)
}

/// Each kernel's share of the profiled launches.
fn kernels(path: &Path) -> Result<(), Failure> {
    let bad = |what: &str| Failure(format!("{} is no profile: {what}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(&error.to_string()))?;
    let mut table: BTreeMap<String, Launches> = BTreeMap::new();
    for row in reader.deserialize() {
        let row: BTreeMap<String, String> = row.map_err(|error| bad(&error.to_string()))?;
        let cell = |name: &str| {
            row.get(name).map(String::as_str).ok_or_else(|| bad(&format!("it has no column {name:?}")))
        };
        let entry = table.entry(format!("{} {}", cell("Kernel Name")?, cell("Grid Size")?)).or_default();
        let value: f64 =
            cell("Metric Value")?.replace(',', "").parse().map_err(|_| bad("a value is no number"))?;
        match cell("Metric Name")? {
            "gpu__time_duration.sum" => {
                entry.count += 1;
                entry.microseconds += value / 1e3;
            }
            "dram__bytes_read.sum" => entry.bytes += value,
            _ => {}
        }
    }
    let total: f64 = table.values().map(|l| l.microseconds).sum();
    let count: u32 = table.values().map(|l| l.count).sum();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    println!("\n{name}: {count} launches, {total:.0} µs, each alone");
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by(|a, b| b.1.microseconds.total_cmp(&a.1.microseconds));
    for (kernel, l) in rows {
        println!(
            "{kernel:32} {:4} x {:7.2} µs {:5.1} %  {:6.3} TB/s",
            l.count,
            l.microseconds / f64::from(l.count),
            100.0 * l.microseconds / total,
            l.bytes / l.microseconds / 1e6
        );
    }
    Ok(())
}

/// Bars of both engines' better turns.
fn chart(path: &Path, tests: &[Test]) -> Result<(), Box<dyn std::error::Error>> {
    const ENGINES: [(&str, &str, RGBColor); 2] =
        [("psionic", "Psionic", RGBColor(9, 105, 218)), ("llama", "llama.cpp", RGBColor(175, 184, 193))];
    let most = tests.iter().filter_map(|t| t.best("psionic")).map(|r| r.0).fold(1.0, f64::max);
    let root = SVGBackend::new(path, (760, 340)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Qwen3 Q4_K_M, tokens per second, one stream", ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..tests.len() as f64, 0.0..most * 1.12)?;
    let label = |x: &f64| {
        let test = tests.get(*x as usize).filter(|_| (x.fract() - 0.5).abs() < 1e-6);
        test.map_or_else(String::new, |t| format!("{} {}", t.size.to_uppercase(), t.name))
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(2 * tests.len() + 1)
        .x_label_formatter(&label)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (i, (engine, title, color)) in ENGINES.into_iter().enumerate() {
        let bars = tests.iter().enumerate().filter_map(|(k, test)| {
            let left = k as f64 + 0.14 + 0.36 * i as f64;
            Some((left, test.best(engine)?.0))
        });
        let bars: Vec<(f64, f64)> = bars.collect();
        chart
            .draw_series(
                bars.iter().map(|(x, y)| Rectangle::new([(*x, 0.0), (x + 0.34, *y)], color.filled())),
            )?
            .label(title)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
        chart
            .draw_series(bars.iter().map(|(x, y)| {
                Text::new(format!("{y:.0}"), (x + 0.06, y + most * 0.05), ("sans-serif", 13))
            }))?;
    }
    chart.configure_series_labels().border_style(TRANSPARENT).draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{report, tests};

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
    fn turns_of_an_engine_belong_together_and_the_better_counts() {
        let slower = RECORD.replace("10.0", "9.0");
        let folder = folder(&[
            ("psionic-0.6b-1.json", &slower),
            ("psionic-0.6b-2.json", RECORD),
            ("llama-0.6b-1.json", &slower),
        ]);
        let tests = tests(folder.path()).unwrap();
        let names: Vec<_> = tests.iter().map(|t| (t.size.as_str(), t.name.as_str())).collect();
        assert_eq!(names, [("0.6b", "tg64"), ("0.6b", "tg64 @ d8")]);
        assert_eq!(tests[0].best("psionic"), Some((10.0, 0.5)));
        assert_eq!(tests[0].best("llama"), Some((9.0, 0.5)));
        assert_eq!(tests[0].best("another"), None);
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
}
