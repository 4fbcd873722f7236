//! A timeline as a picture: the whole token, and two of its layers. It refers to nothing outside of itself.

use std::fmt::Write as _;
use std::ops::Range;

use psionic::bench::ProfileRecord;
use psionic::decode::{Step, Timeline};

use super::{heading, time};
use crate::cli::terminal::one_line;

/// Of the picture, in pixels.
const WIDTH: f64 = 1200.0;
/// Of the bars.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 1176.0;

/// The bars of all blocks together are about that high.
const HEIGHT: f64 = 396.0;

/// Layers of the panel that shows some.
const LAYERS: usize = 2;

/// Of Okabe and Ito, which most people tell apart; in the order of the phases.
const COLOURS: [&str; 8] =
    ["#0072b2", "#56b4e9", "#cc79a7", "#e69f00", "#009e73", "#d55e00", "#8c564b", "#222222"];

const WAITING: &str = "#e9edf0";

/// The picture of a profile.
pub fn draw(record: &ProfileRecord, timeline: &Timeline) -> String {
    let names: Vec<&str> = record.phases.iter().map(|phase| phase.phase).collect();
    let mut picture = Picture { text: String::new(), y: 0.0, names, blocks: record.blocks, timeline };
    picture.head(record);
    let whole = Part {
        title: "the whole token".to_owned(),
        time: timeline.start()..timeline.end(),
        layers: Vec::new(),
    };
    for part in [whole].into_iter().chain(some_layers(timeline)) {
        picture.panel(&part);
    }
    let height = picture.y;
    // A ground of its own: the page below may be light or dark.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222222\">\n\
         <title>{}</title>\n<rect width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"6\" fill=\"#ffffff\"/>\n{}</svg>\n",
        escape(&heading(record)),
        picture.text
    )
}

/// A part of the token.
#[derive(Debug, PartialEq)]
struct Part {
    title: String,
    time: Range<u64>,
    /// Layers, and when the first block had the first input of each.
    layers: Vec<(usize, u64)>,
}

/// Layers in the middle of the token.
fn some_layers(timeline: &Timeline) -> Option<Part> {
    let layers = timeline.steps.iter().filter_map(|step| step.layer).max()? + 1;
    let first = layers.saturating_sub(LAYERS) / 2;
    let shown = first..(first + LAYERS).min(layers);
    let of = |layer: usize| timeline.steps.iter().filter(move |step| step.layer == Some(layer));
    let starts: Vec<(usize, u64)> =
        shown.clone().filter_map(|layer| Some((layer, of(layer).filter_map(begin).min()?))).collect();
    let end = of(shown.end - 1).filter_map(end).max()?;
    let title = match shown.len() {
        1 => format!("layer {first}"),
        _ => format!("layers {first} to {}", shown.end - 1),
    };
    Some(Part { title, time: starts.first()?.1..end, layers: starts })
}

fn begin(step: &Step) -> Option<u64> {
    step.blocks.iter().map(|times| times[0]).min()
}

fn end(step: &Step) -> Option<u64> {
    step.blocks.iter().map(|times| times[1]).max()
}

struct Picture<'a> {
    text: String,
    /// Where the next thing goes.
    y: f64,
    names: Vec<&'a str>,
    blocks: usize,
    timeline: &'a Timeline,
}

impl Picture<'_> {
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    /// What it shows, and which colour is what.
    fn head(&mut self, record: &ProfileRecord) {
        let (title, commit) = (escape(&heading(record)), escape(record.environment.build_commit));
        self.put(format_args!("<text x=\"24\" y=\"32\" font-size=\"17\" font-weight=\"600\">{title}</text>"));
        self.put(format_args!(
            "<text x=\"24\" y=\"54\" fill=\"#555555\">a row is a block, of which a multiprocessor has one; the median \
             of {} profiles; psionic {commit}</text>",
            record.samples_ns.len()
        ));
        let (mut x, mut y) = (24.0, 80.0);
        let phases = record.phases.iter().zip(COLOURS.iter().cycle());
        let phases = phases
            .map(|(phase, colour)| (*colour, format!("{} {:.1} %", phase.phase, phase.percent_of_token)));
        let entries: Vec<_> = phases.chain([(WAITING, "waiting for other blocks".to_owned())]).collect();
        for (colour, label) in entries {
            // The width of a letter, about.
            let width = 32.0 + 6.8 * label.chars().count() as f64;
            if x + width > RIGHT {
                (x, y) = (24.0, y + 20.0);
            }
            self.put(format_args!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{:.1}\" \
                 y=\"{y:.1}\">{}</text>",
                y - 10.0,
                x + 17.0,
                escape(&label)
            ));
            x += width;
        }
        self.put(format_args!(
            "<text x=\"24\" y=\"{:.1}\" fill=\"#555555\">shares are of the token&#8217;s time, with the waiting \
             before</text>",
            y + 20.0
        ));
        self.y = y + 30.0;
    }

    /// The blocks' steps in a part of the token.
    fn panel(&mut self, part: &Part) {
        let Part { title, time: shown, layers } = part;
        let length = shown.end.saturating_sub(shown.start).max(1) as f64;
        let x = |time: u64| {
            let after = time.clamp(shown.start, shown.end) - shown.start;
            LEFT + (RIGHT - LEFT) * after as f64 / length
        };
        let row = (HEIGHT / self.blocks.max(1) as f64).clamp(2.0, 16.0);
        let (top, height) = (self.y + 44.0, row * self.blocks as f64);
        self.put(format_args!(
            "<text x=\"24\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\">{}, {}</text>",
            self.y + 20.0,
            escape(title),
            escape(&time(length))
        ));
        self.put(format_args!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{WAITING}\"/>",
            RIGHT - LEFT
        ));
        for (name, colour) in self.names.clone().into_iter().zip(COLOURS.iter().cycle()) {
            let bars = self.bars(name, shown, x, |block| top + row * (block as f64 + 0.5));
            if !bars.is_empty() {
                let bar = 0.86 * row;
                self.put(format_args!(
                    "<path stroke=\"{colour}\" stroke-width=\"{bar:.2}\" d=\"{bars}\"><title>{}</title></path>",
                    escape(name)
                ));
            }
        }
        for &(layer, start) in layers {
            let x = x(start);
            self.put(format_args!(
                "<path stroke=\"#222222\" stroke-dasharray=\"3 3\" d=\"M{x:.1} {:.1}v{:.1}\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\">layer {layer}</text>",
                top - 12.0,
                height + 12.0,
                x + 4.0,
                top - 4.0
            ));
        }
        self.rows(top, row);
        self.axis(shown, x, top + height);
        self.y = top + height + 44.0;
    }

    /// A phase's bars, as one path: a row's bar is a thick line.
    fn bars(
        &self,
        name: &str,
        shown: &Range<u64>,
        x: impl Fn(u64) -> f64,
        y: impl Fn(usize) -> f64,
    ) -> String {
        let mut path = String::new();
        for step in self.timeline.steps.iter().filter(|step| step.name == name) {
            for (block, &[ready, sent]) in step.blocks.iter().enumerate() {
                let (left, right) = (x(ready), x(sent));
                if sent > shown.start && ready < shown.end && right - left >= 0.05 {
                    let _ = write!(path, "M{left:.1} {:.1}h{:.1}", y(block), right - left);
                }
            }
        }
        path
    }

    /// The numbers of the blocks.
    fn rows(&mut self, top: f64, row: f64) {
        let every = step((self.blocks as f64 / 8.0).max(1.0)) as usize;
        for block in (0..self.blocks).step_by(every.max(1)) {
            self.put(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{block}</text>",
                LEFT - 6.0,
                top + row * (block as f64 + 0.5) + 4.0
            ));
        }
        self.put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">block</text>",
            LEFT - 6.0,
            top - 6.0
        ));
    }

    /// The time since the token's start.
    fn axis(&mut self, shown: &Range<u64>, x: impl Fn(u64) -> f64, y: f64) {
        let (start, length) = (self.timeline.start(), shown.end.saturating_sub(shown.start).max(1));
        let every = (step(length as f64 / 10.0) as u64).max(1);
        let (unit, name) = if every < 1_000_000 { (1e3, "µs") } else { (1e6, "ms") };
        let first = (shown.start - start).div_ceil(every);
        for tick in first..=(shown.end - start) / every {
            let after = tick * every;
            let x = x(start + after);
            self.put(format_args!(
                "<path stroke=\"#222222\" d=\"M{x:.1} {y:.1}v5\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\" font-size=\"11\">{} {name}</text>",
                y + 18.0,
                after as f64 / unit
            ));
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is no less than `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// Text in XML.
fn escape(text: &str) -> String {
    let text = one_line(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([1.0, 1.1, 37.0, 50.0, 51.0].map(step), [1.0, 2.0, 50.0, 50.0, 100.0]);
    }

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}"), "a&lt;b&gt;&amp;&quot;c&quot;\\u{1b}");
    }

    #[test]
    fn the_layers_shown_are_in_the_middle_of_the_token() {
        let of = |layers: usize| {
            let step = |layer: usize| Step {
                layer: Some(layer),
                name: "down",
                weight_bytes: 0,
                cache_bytes: 0,
                blocks: vec![[100 * layer as u64, 100 * layer as u64 + 90]],
            };
            some_layers(&Timeline { position: 0, steps: (0..layers).map(step).collect() })
        };
        let part = |title: &str, time, layers| Some(Part { title: title.to_owned(), time, layers });
        assert_eq!(of(5), part("layers 1 to 2", 100..290, vec![(1, 100), (2, 200)]));
        assert_eq!(of(1), part("layer 0", 0..90, vec![(0, 0)]));
        assert_eq!(of(0), None);
    }
}
