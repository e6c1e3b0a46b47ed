//! Charts of how often and how long: counts by class, boxes, histograms.
//!
//! A box is from the lower to the upper quarter with a line at the median; its whiskers reach to one in twenty at each side,
//! and dots mark the least and the largest.
//!
//! Holds: a histogram has all spans, each once; it has a bounded number of columns.

use super::axis::{self, SpanScale};
use super::chart::Frame;
use super::sketch::{Sketch, Summary};
use super::text::{self, escape};
use std::fmt::Write;

/// Columns of a histogram.
const COLUMNS: usize = 48;
/// Height of one box with its room.
const BOX_HEIGHT: f64 = 26.0;

/// A class with how many of it ended in which way.
pub struct Counted {
    /// `T1`.
    pub name: String,
    /// How many finished, and how many failed.
    pub ends: (u64, u64),
}

/// Grouped bars.
pub fn bars(out: &mut String, frame: &Frame<'_>, classes: &[Counted]) {
    let largest = classes.iter().map(|class| class.ends.0.max(class.ends.1)).max().unwrap_or(0);
    let (end, marks) = axis::counts(largest as f64);
    frame.open(out);
    frame.rows(out, &marks);
    let step = 1.0 / classes.len().max(1) as f64;
    let width = (frame.inside() * step * 0.36).min(70.0);
    for (index, class) in classes.iter().enumerate() {
        let middle = (index as f64 + 0.5) * step;
        let (x, bottom) = frame.at(middle, 0.0);
        for (kind, count, left) in [("finished", class.ends.0, x - width - 1.0), ("failed", class.ends.1, x + 1.0)] {
            let (_, top) = frame.at(middle, count as f64 / end);
            let words = text::count(count);
            let (left, top, height) = (text::number(left, 1), text::number(top, 1), text::number(bottom - top, 1));
            let _ = write!(
                out,
                "<g><title>{} {}: {words}</title><rect class=\"{kind}\" x=\"{left}\" y=\"{top}\" width=\"{}\" \
                 height=\"{height}\"/></g>",
                if kind == "finished" { "Finished" } else { "Failed" },
                escape(&class.name),
                text::number(width, 1)
            );
        }
        let _ = writeln!(
            out,
            "<text class=\"mark mid\" x=\"{}\" y=\"{}\">{}</text>",
            text::number(x, 1),
            bottom + 17.0,
            escape(&class.name)
        );
    }
    out.push_str("</svg>\n");
    key(out, &[("finished", "Finished"), ("failed", "Failed")]);
    out.push_str("</figure>\n");
}

/// What the colours mean.
pub fn key(out: &mut String, colours: &[(&str, &str)]) {
    out.push_str("<ul class=\"legend\">");
    for (class, words) in colours {
        let _ = write!(out, "<li><i class=\"k-{class}\"></i>{}</li>", escape(words));
    }
    out.push_str("</ul>\n");
}

/// One box of a chart of boxes.
pub struct Boxed<'a> {
    /// `Finished T1`.
    pub name: String,
    /// `finished` or `failed`.
    pub class: &'static str,
    /// The spans.
    pub sketch: &'a Sketch,
}

/// How high a chart of so many boxes is.
pub fn boxes_height(count: usize) -> f64 {
    count.max(1) as f64 * BOX_HEIGHT + 8.0
}

/// Boxes, one below the other.
pub fn boxes(out: &mut String, frame: &Frame<'_>, boxes: &[Boxed<'_>]) {
    let rows: Vec<(&Boxed<'_>, Summary)> =
        boxes.iter().filter_map(|boxed| Some((boxed, boxed.sketch.summary()?))).collect();
    let least = rows.iter().map(|(_, summary)| summary.least).fold(f64::INFINITY, f64::min);
    let largest = rows.iter().map(|(_, summary)| summary.largest).fold(1.0, f64::max);
    let scale = SpanScale::new(least.min(largest), largest);
    frame.open(out);
    frame.columns(out, &scale.marks(), false);
    for (index, (boxed, summary)) in rows.iter().enumerate() {
        let y = frame.at(0.0, 1.0).1 + 4.0 + (index as f64 + 0.5) * BOX_HEIGHT;
        one_box(out, frame, scale, y, boxed, summary);
    }
    frame.close(out);
}

fn one_box(out: &mut String, frame: &Frame<'_>, scale: SpanScale, y: f64, boxed: &Boxed<'_>, summary: &Summary) {
    let x = |us: f64| text::number(frame.at(scale.place(us), 0.0).0, 1);
    let (low, lower, median) = (x(summary.low), x(summary.lower), x(summary.median));
    let high = x(summary.high);
    let words: Vec<String> = [
        ("least", summary.least),
        ("5 %", summary.low),
        ("25 %", summary.lower),
        ("median", summary.median),
        ("75 %", summary.upper),
        ("95 %", summary.high),
        ("largest", summary.largest),
        ("mean", summary.mean),
    ]
    .iter()
    .map(|(name, us)| format!("{name} {}", text::span(*us)))
    .collect();
    let (name, count) = (escape(&boxed.name), text::count(boxed.sketch.count()));
    let width = frame.at(scale.place(summary.upper), 0.0).0 - frame.at(scale.place(summary.lower), 0.0).0;
    let _ = writeln!(
        out,
        "<g class=\"box {class}\"><title>{name} ({count}): {}</title>\
         <text class=\"mark end\" x=\"{}\" y=\"{y}\" dy=\".32em\">{name} <tspan class=\"dim\">({count})</tspan></text>\
         <path class=\"whisker\" d=\"M{low} {y}H{high}M{low} {a}V{b}M{high} {a}V{b}\"/>\
         <rect x=\"{lower}\" y=\"{top}\" width=\"{}\" height=\"14\"/><path class=\"median\" d=\"M{median} {top}v14\"/>\
         <circle cx=\"{}\" cy=\"{y}\" r=\"2\"/><circle cx=\"{}\" cy=\"{y}\" r=\"2\"/></g>",
        words.join(", "),
        frame.left - 8.0,
        text::number(width.max(1.5), 1),
        x(summary.least),
        x(summary.largest),
        class = boxed.class,
        a = y - 4.0,
        b = y + 4.0,
        top = y - 7.0,
    );
}

/// How many spans are in each column of a histogram.
fn columns(sketch: &Sketch, scale: SpanScale) -> Vec<f64> {
    let mut columns = vec![0.0; COLUMNS];
    let mut put = |us: f64, amount: f64| {
        let index = (scale.place(us) * COLUMNS as f64) as usize;
        if let Some(column) = columns.get_mut(index.min(COLUMNS - 1)) {
            *column += amount;
        }
    };
    if let Some(spans) = sketch.exact() {
        spans.iter().for_each(|us| put(*us as f64, 1.0));
        return columns;
    }
    for (first, width, count) in sketch.buckets() {
        // A bucket that is wider than a column is spread over those that it covers.
        let parts = width.clamp(1, 16);
        for part in 0..parts {
            put(first as f64 + (part as f64 + 0.5) * width as f64 / parts as f64, count as f64 / parts as f64);
        }
    }
    columns
}

/// A histogram of spans; `kinds` are stacked, the first one below: class, words, spans.
pub fn histogram(out: &mut String, frame: &Frame<'_>, kinds: &[(&'static str, &str, &Sketch)]) {
    let summaries: Vec<Summary> = kinds.iter().filter_map(|(_, _, sketch)| sketch.summary()).collect();
    let least = summaries.iter().map(|summary| summary.least).fold(f64::INFINITY, f64::min);
    let largest = summaries.iter().map(|summary| summary.largest).fold(1.0, f64::max);
    let scale = SpanScale::new(least.min(largest), largest);
    let stacked: Vec<Vec<f64>> = kinds.iter().map(|(_, _, sketch)| columns(sketch, scale)).collect();
    let sum = |index: usize| stacked.iter().filter_map(|column| column.get(index)).sum::<f64>();
    let highest = (0..COLUMNS).map(sum).fold(0.0, f64::max);
    let (end, marks) = axis::counts(highest);
    frame.open(out);
    frame.rows(out, &marks);
    frame.columns(out, &scale.marks(), false);
    let step = 1.0 / COLUMNS as f64;
    for index in 0..COLUMNS {
        let range = (scale.span(index as f64 * step), scale.span((index + 1) as f64 * step));
        let mut below = 0.0;
        for ((class, words, _), column) in kinds.iter().zip(&stacked) {
            let count = column.get(index).copied().unwrap_or(0.0);
            if count > 0.0 {
                let (x, bottom) = frame.at(index as f64 * step, below / end);
                let (_, top) = frame.at(0.0, (below + count) / end);
                let _ = writeln!(
                    out,
                    "<g><title>{} to {}: {} {words}</title><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" \
                     height=\"{}\"/></g>",
                    text::span(range.0),
                    text::span(range.1),
                    text::count(count.round() as u64),
                    text::number(x + 0.5, 1),
                    text::number(top, 1),
                    text::number(frame.inside() * step - 1.0, 1),
                    text::number((bottom - top).max(0.6), 1)
                );
            }
            below += count;
        }
    }
    frame.close(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_every_span_once() {
        let mut sketch = Sketch::default();
        let scale = SpanScale::new(1.0, 25e6);
        for step in 1..5_000u64 {
            sketch.add(step * step);
            if [1, 999, 1_001, 4_999].contains(&step) {
                let all: f64 = columns(&sketch, scale).iter().sum();
                assert!((all - step as f64).abs() < 1e-6, "{step}: {all}");
            }
        }
    }
}
