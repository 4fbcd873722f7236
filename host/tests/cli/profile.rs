//! `bench --profile` on the simulator: the parts of a token, their sums and the pictures, never a time.

use super::records::{ENVIRONMENT, RUN, cells, number, numbers};
use super::{arg, json, keys, psionic, refused, stdout, trained};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// One profile of each depth of the trained model.
fn profile(more: &[&str]) -> Command {
    let path = trained();
    let mut command = psionic(["bench", "--profile", "-m", arg(&path), "--backend", "sim", "--warmup", "0"]);
    command.args(["--engine", "persistent"]).args(more);
    command
}

const PHASES: [&str; 7] = ["heads", "attention", "output", "gate and up", "down", "logits", "choice"];

const LAYERS: u64 = 4;

fn check(record: &Value, depth: u64, samples: usize) {
    let own = [
        "n_depth",
        "position",
        "blocks",
        "test_time",
        "token_ns",
        "bytes",
        "gb_per_s",
        "limit_gb_per_s",
        "percent_of_limit",
        "samples_ns",
        "phases",
    ];
    assert_eq!(keys(record), [&ENVIRONMENT[..], &RUN, &own].concat());
    assert_eq!((&record["engine"], &record["blocks"]), (&"persistent".into(), &4.into()));
    // One token behind the depth, and the last of 32 others.
    assert_eq!((&record["n_depth"], &record["position"]), (&depth.into(), &(depth + 32).into()));
    let mut times = numbers(&record["samples_ns"]);
    times.sort_by(f64::total_cmp);
    assert_eq!((times.len(), times[(samples - 1) / 2]), (samples, number(&record["token_ns"])));

    let phases = record["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(names, PHASES);
    let sum = |field: &str| phases.iter().map(|phase| number(&phase[field])).sum::<f64>();
    assert!((sum("token_ns") / number(&record["token_ns"]) - 1.0).abs() < 1e-9, "{record}");
    assert!((sum("percent_of_token") - 100.0).abs() < 1e-9, "{record}");
    assert_eq!(sum("bytes"), number(&record["bytes"]));
    for (phase, name) in phases.iter().zip(PHASES) {
        assert_eq!(phase["steps"], if matches!(name, "logits" | "choice") { 1 } else { LAYERS }, "{name}");
        let steps = number(&phase["steps"]) * (number(&phase["work_ns"]) + number(&phase["waiting_ns"]));
        assert!((steps - number(&phase["token_ns"])).abs() <= 1e-9 * steps, "{name}");
        assert_eq!(phase["bytes"] == 0, name == "choice", "{name}");
        // The simulator's time is the host's.
        for rate in ["gb_per_s", "working_gb_per_s", "percent_of_limit"] {
            assert_eq!((&phase[rate], &record["limit_gb_per_s"]), (&Value::Null, &Value::Null), "{name}");
        }
    }
    // Keys and values of two heads of 128 halves, of each position before, in each layer.
    assert_eq!(phases[1]["bytes"], LAYERS * (depth + 32) * 2 * 2 * 128 * 2);
}

#[test]
fn the_parts_of_a_token_are_all_of_it_at_every_depth() {
    let records = json(&mut profile(&["-d", "0,3", "-r", "2", "-o", "json"]));
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 2);
    check(&records[0], 0, 2);
    check(&records[1], 3, 2);
}

#[test]
fn the_table_has_a_row_for_each_part_and_one_for_the_token() {
    let shown = stdout(&mut profile(&["-r", "1"]));
    let parts: Vec<&str> = shown.split("\n\n").collect();
    assert!(
        parts[0].starts_with("qwen3 5.0M Q4_K_M on simulated GPU (persistent engine, 4 blocks)"),
        "{shown}"
    );
    let names: Vec<&str> = cells(parts[1]).iter().map(|cells| cells[0]).collect();
    assert_eq!(names, [&PHASES[..], &["token"]].concat());
    assert!(parts[2].contains("simulator: times are the host's and say nothing of a GPU"), "{shown}");
    assert!(parts[3].starts_with("build: "), "{shown}");
}

/// Holds a file against what makes XML well-formed, as far as pictures use it; gives the tags that open.
fn tags(xml: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = xml;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text:?}");
        entities(text);
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (content, empty) = tag.strip_suffix('/').map_or((tag, false), |content| (content, true));
        let (name, attributes) = content.split_once(' ').unwrap_or((content, ""));
        // A name, an equals sign and a value in quotes, and nothing between them but space.
        let parts: Vec<&str> = attributes.split('"').collect();
        assert!(parts.len() % 2 == 1 && parts.last().unwrap().trim().is_empty(), "{tag}");
        for attribute in parts.chunks_exact(2) {
            let name = attribute[0].trim().strip_suffix('=').unwrap_or_else(|| panic!("{tag}"));
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{tag}");
            entities(attribute[1]);
        }
        seen.push(name.to_owned());
        if !empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} stay open");
    seen
}

/// Every ampersand begins an entity.
fn entities(text: &str) {
    for (_, after) in text.match_indices('&').map(|(at, _)| text.split_at(at)) {
        let name = after[1..].split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot"].contains(&name) || name.starts_with('#'), "{after}");
    }
}

#[test]
fn the_picture_is_well_formed_and_complete_in_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.svg");
    stdout(&mut profile(&["-r", "1", "--timeline", arg(&path)]));
    let picture = std::fs::read_to_string(&path).unwrap();
    let tags = tags(&picture);
    assert_eq!(tags[0], "svg");
    for name in PHASES {
        assert!(picture.contains(&format!(">{name} ")), "the legend has no {name}");
        // The choice takes no time on the simulator.
        assert_eq!(picture.contains(&format!("<title>{name}</title>")), name != "choice", "{name}");
    }
    for part in ["the whole token", "layers 1 to 2", "simulated GPU", "position 32"] {
        assert!(picture.contains(part), "{part}");
    }
    // The namespace is a name; nothing is loaded from anywhere.
    assert_eq!(picture.matches("http").count(), 1);
    assert!(!picture.contains("href") && !picture.contains("url("));
    refused(&mut profile(&["--timeline", arg(&path)]), 1, "is already there; choose another path");
}

#[test]
fn the_trace_has_an_event_for_each_step_of_each_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.json");
    stdout(&mut profile(&["-r", "1", "-d", "2", "--timeline", arg(&path)]));
    let trace: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    check(&trace["otherData"], 2, 1);
    let all = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &'static str| all.iter().filter(move |event| event["ph"] == kind);
    // The process and four blocks have names.
    assert_eq!(of("M").count(), 1 + 4);
    let steps = 5 * LAYERS as usize + 2;
    assert_eq!(of("X").count(), 4 * steps);
    for block in 0..4 {
        let events: Vec<&Value> = of("X").filter(|event| event["tid"] == block).collect();
        assert_eq!(events.len(), steps);
        assert_eq!((&events[0]["name"], &events[0]["args"]["layer"]), (&"heads".into(), &0.into()));
        assert_eq!(
            (&events[steps - 1]["name"], &events[steps - 1]["args"]["layer"]),
            (&"choice".into(), &Value::Null)
        );
        for pair in events.windows(2) {
            let end = number(&pair[0]["ts"]) + number(&pair[0]["dur"]);
            assert!(number(&pair[0]["dur"]) >= 0.0 && end <= number(&pair[1]["ts"]) + 1e-6, "{pair:?}");
        }
    }
}

#[test]
fn what_cannot_be_profiled_or_drawn_is_refused() {
    let path = trained();
    let bench = ["bench", "--profile", "-m", arg(&path), "--backend", "sim"];
    // The simulator runs the graph where nothing is asked for.
    for engine in [&[][..], &["--engine", "graph"]] {
        let output = psionic(bench).args(engine).output().unwrap();
        let stderr = super::text(&output.stderr);
        super::refusal(&output, 2, "use `--engine persistent`", &format!("{engine:?}"));
        assert!(stderr.contains("benches/kernels.sh") && stderr.contains("ncu"), "{stderr}");
    }
    for (more, part) in [
        (&["-n", "8"][..], "cannot be used with"),
        (&["-p", "8"], "cannot be used with"),
        (&["-d", "0,4", "--timeline", "token.svg"], "one model and one depth"),
        (&["--timeline", "token.png"], "to end with .svg or .json"),
        (&["-d", "100000000"], "context"),
    ] {
        refused(&mut profile(more), 2, part);
    }
    refused(
        psionic(["bench", "-m", arg(&path)]).args(["--timeline", "token.svg"]),
        2,
        "required arguments were not provided",
    );
    assert!(!Path::new("token.svg").exists());
}
