//! Charts as inline SVG: the frame that all share, and lines over time.
//!
//! What is drawn over time lies in an inner picture whose coordinates are the data, so that zooming is a change of its
//! `viewBox`, and a script can read the values where the browser reads them.
//!
//! Holds: every chart has a title and a description for those who do not see it; every text in it is escaped.

use super::axis::{self, Mark, TIME_UNITS, TimeScale};
use super::series::Step;
use super::text::{self, escape};
use std::fmt::Write;

/// Width of every chart.
pub const WIDTH: f64 = 1_000.0;
/// Colours of lines and tasks.
pub const COLOURS: usize = 10;
/// Above and below the inside.
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// The frame of a chart.
pub struct Frame<'a> {
    /// A word of its own on the page.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What one sees in it.
    pub description: String,
    /// Height of the inside.
    pub height: f64,
    /// Room for the marks on the left.
    pub left: f64,
}

impl Frame<'_> {
    /// Width of the inside.
    pub fn inside(&self) -> f64 {
        WIDTH - self.left - 12.0
    }

    /// Height of everything.
    fn outside(&self) -> f64 {
        self.height + TOP + BOTTOM
    }

    /// Opens the figure and the picture.
    pub fn open(&self, out: &mut String) {
        let (id, height) = (self.id, self.outside());
        let _ = writeln!(
            out,
            "<figure class=\"chart\" id=\"{id}\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escape(self.title),
            escape(&self.description)
        );
    }

    /// Closes both.
    pub fn close(&self, out: &mut String) {
        out.push_str("</svg></figure>\n");
    }

    /// Horizontal lines with their words on the left.
    pub fn rows(&self, out: &mut String, marks: &[Mark]) {
        for (part, word) in marks {
            let y = text::number(TOP + self.height * (1.0 - part), 1);
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{} {y}H{}\"/><text class=\"mark end\" x=\"{}\" y=\"{y}\" dy=\".32em\">{}</text>",
                self.left,
                self.left + self.inside(),
                self.left - 6.0,
                escape(word)
            );
        }
    }

    /// Marks along the bottom. Those of time are in a group that the script finds.
    pub fn columns(&self, out: &mut String, marks: &[Mark], is_time: bool) {
        let class = if is_time { "columns time" } else { "columns" };
        let _ = write!(out, "<g class=\"{class}\">");
        for (part, word) in marks {
            let x = text::number(self.left + self.inside() * part, 1);
            let bottom = TOP + self.height;
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x} {TOP}V{bottom}\"/><text class=\"mark mid\" x=\"{x}\" y=\"{}\">{}</text>",
                bottom + 17.0,
                escape(word)
            );
        }
        out.push_str("</g>\n");
    }

    /// Opens the inner picture over time, `rows` units high.
    pub fn open_time(&self, out: &mut String, scale: TimeScale, rows: f64, attributes: &str) {
        let _ = writeln!(
            out,
            "<svg class=\"plot\" x=\"{}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {TIME_UNITS} {rows}\" \
             preserveAspectRatio=\"none\" data-from=\"{}\" data-span=\"{}\"{attributes}>\
             <rect class=\"paper\" width=\"{TIME_UNITS}\" height=\"{rows}\"/>",
            self.left,
            text::number(self.inside(), 1),
            self.height,
            scale.from,
            scale.span
        );
    }

    /// A place of the inside, in the picture: parts of its width and of its height from below.
    pub fn at(&self, across: f64, up: f64) -> (f64, f64) {
        (self.left + self.inside() * across, TOP + self.height * (1.0 - up))
    }
}

/// What the values of lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Parts of one, shown as percents.
    Part,
}

/// A line over time.
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// Draws lines with their legend.
pub fn lines(out: &mut String, frame: &Frame<'_>, scale: TimeScale, unit: Unit, lines: &[Line]) {
    let largest = lines.iter().flat_map(|line| &line.steps).map(|(_, value)| *value).fold(0.0, f64::max);
    let (end, marks) = match unit {
        Unit::Count => axis::counts(largest),
        Unit::Part => (1.0, axis::percents()),
    };
    // Percents are drawn as 0 to 1000, so that paths need no decimals.
    let (factor, decimals, rows) = match unit {
        Unit::Count => (1.0, 2, end),
        Unit::Part => (1_000.0, 0, 1_000.0),
    };
    frame.open(out);
    frame.rows(out, &marks);
    frame.columns(out, &scale.marks(), true);
    let unit_word = if unit == Unit::Part { "part" } else { "count" };
    frame.open_time(out, scale, rows, &format!(" data-unit=\"{unit_word}\""));
    let _ = writeln!(out, "<g transform=\"matrix(1 0 0 -1 0 {rows})\">");
    for (index, line) in lines.iter().enumerate() {
        let path = path(scale, &line.steps, factor, decimals);
        let class = index % COLOURS;
        if lines.len() == 1 {
            let _ = writeln!(out, "<path class=\"area s{class}\" d=\"{path}V0H0Z\"/>");
        }
        let dashed = if index >= COLOURS { " dashed" } else { "" };
        let _ =
            writeln!(out, "<path class=\"line s{class}{dashed}\" data-name=\"{}\" d=\"{path}\"/>", escape(&line.name));
    }
    out.push_str("</g></svg></svg>\n");
    legend(out, lines.iter().map(|line| line.name.as_str()));
    out.push_str("</figure>\n");
}

/// The names of lines, in their colours.
fn legend<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    out.push_str("<ul class=\"legend\">");
    for (index, name) in names.enumerate() {
        let dashed = if index >= COLOURS { " dashed" } else { "" };
        let _ = write!(out, "<li><i class=\"b{}{dashed}\"></i>{}</li>", index % COLOURS, escape(name));
    }
    out.push_str("</ul>\n");
}

/// A line of steps: what is on one place of the scale is drawn once, what does not change not at all.
fn path(scale: TimeScale, steps: &[Step], factor: f64, decimals: usize) -> String {
    let mut points: Vec<(u64, String)> = Vec::new();
    for (at, value) in steps {
        let (x, y) = (scale.units(*at), text::number(value * factor, decimals));
        match points.last_mut() {
            Some(last) if last.0 == x => last.1 = y,
            _ => points.push((x, y)),
        }
    }
    let mut path = String::new();
    let mut last: Option<&str> = None;
    for (x, y) in &points {
        match last {
            None => path.push_str(&format!("M{x} {y}")),
            Some(last) if last == y => continue,
            Some(_) => path.push_str(&format!("H{x}V{y}")),
        }
        last = Some(y);
    }
    if last.is_none() {
        path.push_str("M0 0");
    }
    let _ = write!(path, "H{TIME_UNITS}");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_only_what_changes() {
        let scale = TimeScale { from: 100, span: 1_000 };
        let steps = [(100, 0.0), (350, 1.0), (350, 2.0), (400, 2.0), (600, 0.5), (1_100, 0.0)];
        assert_eq!(path(scale, &steps, 1.0, 2), "M0 0H25000V2H50000V0.5H100000V0H100000");
        assert_eq!(path(scale, &[], 1.0, 2), "M0 0H100000");
    }

    #[test]
    fn a_chart_has_words_for_those_who_do_not_see_it() {
        let frame = Frame { id: "x", title: "A <b>", description: "Of & about".into(), height: 100.0, left: 60.0 };
        let mut out = String::new();
        let named = Line { name: "cpus:\"4\"".into(), steps: vec![(0, 1.0)] };
        lines(&mut out, &frame, TimeScale { from: 0, span: 10 }, Unit::Part, &[named]);
        for part in ["A &lt;b&gt;</title>", "Of &amp; about</desc>", "data-name=\"cpus:&quot;4&quot;\"", "M0 1000"] {
            assert!(out.contains(part), "{part} is not in {out}");
        }
    }
}
