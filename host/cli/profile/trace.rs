//! A timeline in the Trace Event Format, which Perfetto (ui.perfetto.dev) and Chrome's `about:tracing` show.

use psionic::bench::ProfileRecord;
use psionic::decode::{Step, Timeline};
use serde::Serialize;
use serde_json::{Value, json};

/// A block is a thread of one process, a step an event of it; waiting is what is between events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace<'a> {
    display_time_unit: &'static str,
    other_data: &'a ProfileRecord,
    trace_events: Vec<Value>,
}

impl<'a> Trace<'a> {
    pub fn new(record: &'a ProfileRecord, timeline: &Timeline) -> Self {
        let named = |what: &str, tid: usize, name: String| json!({ "ph": "M", "name": what, "pid": 0, "tid": tid, "args": { "name": name } });
        let process = format!(
            "{} on {}, position {}",
            record.model.model_type, record.environment.device, record.position
        );
        let names = (0..record.blocks).map(|block| named("thread_name", block, format!("block {block}")));
        let start = timeline.start();
        let events = timeline.steps.iter().flat_map(|step| {
            step.blocks.iter().enumerate().map(move |(block, times)| event(step, block, *times, start))
        });
        Self {
            display_time_unit: "ns",
            other_data: record,
            trace_events: [named("process_name", 0, process)]
                .into_iter()
                .chain(names)
                .chain(events)
                .collect(),
        }
    }
}

fn event(step: &Step, block: usize, [ready, sent]: [u64; 2], start: u64) -> Value {
    // Microseconds, as the format has it.
    let after = |time: u64| time.saturating_sub(start) as f64 / 1e3;
    json!({
        "ph": "X",
        "name": step.name,
        "pid": 0,
        "tid": block,
        "ts": after(ready),
        "dur": after(sent) - after(ready),
        "args": { "layer": step.layer },
    })
}
