//! Rates as bars.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failure;

/// A group of bars: what was measured, and each program's rate where it has one.
pub struct Group {
    pub label: String,
    pub rates: Vec<Option<f64>>,
}

/// What the bars of every group stand for.
const COLORS: [RGBColor; 3] = [RGBColor(9, 105, 218), RGBColor(110, 119, 129), RGBColor(190, 197, 205)];

/// Draws an SVG; `titles` names the bars of a group, at most three.
pub fn draw(path: &Path, caption: &str, titles: &[&str], groups: &[Group]) -> Result<(), Failure> {
    bars(path, caption, titles, groups)
        .map_err(|error| Failure(format!("{} cannot be drawn: {error}", path.display())))
}

fn bars(
    path: &Path,
    caption: &str,
    titles: &[&str],
    groups: &[Group],
) -> Result<(), Box<dyn std::error::Error>> {
    let rates = groups.iter().flat_map(|group| group.rates.iter().flatten());
    let most = rates.copied().fold(1.0, f64::max);
    let root = SVGBackend::new(path, (760, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, plot) = root.split_vertically(58);
    let text = |size| ("sans-serif", size).into_text_style(&root);
    head.draw(&Text::new(caption, (64, 12), text(17)))?;
    for (i, (title, color)) in titles.iter().zip(COLORS).enumerate() {
        let (x, y) = (64 + 210 * i as i32, 38);
        head.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], color.filled()))?;
        head.draw(&Text::new(*title, (x + 18, y), text(13)))?;
    }
    let mut chart = ChartBuilder::on(&plot)
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..most * 1.08)?;
    let label = |x: &f64| {
        let group = groups.get(*x as usize).filter(|_| (x.fract() - 0.5).abs() < 1e-6);
        group.map_or_else(String::new, |group| group.label.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(2 * groups.len() + 1)
        .x_label_formatter(&label)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    let width = 0.72 / titles.len() as f64;
    let above = text(13).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (i, color) in COLORS.into_iter().enumerate().take(titles.len()) {
        for (k, group) in groups.iter().enumerate() {
            let Some(rate) = group.rates.get(i).copied().flatten() else { continue };
            let (left, right) =
                (k as f64 + 0.14 + width * i as f64, k as f64 + 0.12 + width * (i + 1) as f64);
            let bar = Rectangle::new([(left, 0.0), (right, rate)], color.filled());
            let value = Text::new(format!("{rate:.0}"), ((left + right) / 2.0, rate), above.clone());
            chart.draw_series([bar])?;
            chart.draw_series([value])?;
        }
    }
    root.present()?;
    Ok(())
}
