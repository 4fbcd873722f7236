//! `kernels-SIZE.csv`: what Nsight Compute recorded of each launch.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Failure;

/// Launches of a kernel with one grid: how many, their time in microseconds, the bytes they read from DRAM.
#[derive(Default)]
struct Launches {
    count: u32,
    microseconds: f64,
    bytes: f64,
}

/// Each kernel's share of the profiled launches.
pub fn print(path: &Path) -> Result<(), Failure> {
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
