//! The chart of workers: a bar for each from when it came to when it went.
//!
//! While the tasks are few they are drawn in their worker's bar, each in a lane of its own. Else a bar shows by its colour how
//! loaded the worker was: the largest part of a resource that was taken.
//!
//! Holds: the size of the picture is bounded by rows and bins.

use super::axis::{TIME_UNITS, TimeScale};
use super::chart::{COLOURS, Frame};
use super::model::Model;
use super::text::{self, escape};
use super::timeline::{Outcome, ROW_BINS, Row, TaskSpan};
use super::workers::Worker;
use hq_core::id::WorkerId;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Colours of loads, from idle to full.
pub const LEVELS: usize = 9;
/// What a row leaves to the next one, of its height.
const GAP: f64 = 0.16;

/// Height of a row, with its gap.
fn row_height(rows: usize) -> f64 {
    match rows {
        0..=12 => 30.0,
        13..=24 => 20.0,
        _ => 14.0,
    }
}

/// How high the chart is.
pub fn height(model: &Model) -> f64 {
    let rows = shown(model).len().max(1);
    rows as f64 * row_height(rows)
}

/// The rows of which a worker is there within the window, with their places.
fn shown(model: &Model) -> Vec<(u32, &Row)> {
    let rows = (0..).zip(&model.workers.timeline.rows);
    rows.filter(|(_, row)| row.present.means(model.window.end()).iter().any(|mean| *mean > 0.0)).collect()
}

/// Draws the chart.
pub fn draw(out: &mut String, frame: &Frame<'_>, scale: TimeScale, model: &Model) {
    let timeline = &model.workers.timeline;
    let known: BTreeMap<WorkerId, &Worker> = model.workers.known.iter().map(|(id, worker)| (*id, worker)).collect();
    frame.open(out);
    frame.columns(out, &scale.marks(), true);
    let rows = shown(model);
    let count = rows.len().max(1);
    for (index, (_, row)) in rows.iter().enumerate() {
        let (_, y) = frame.at(0.0, 1.0 - (index as f64 + 0.5) / count as f64);
        let _ = write!(
            out,
            "<text class=\"mark end\" x=\"{}\" y=\"{}\" dy=\".32em\">{}</text>",
            frame.left - 8.0,
            text::number(y, 1),
            escape(&name(row, &known, 24))
        );
    }
    frame.open_time(out, scale, count as f64, "");
    let mut spans: BTreeMap<u32, Vec<&TaskSpan>> = BTreeMap::new();
    for span in timeline.spans.iter().flatten() {
        spans.entry(span.order).or_default().push(span);
    }
    for (index, (order, row)) in rows.iter().enumerate() {
        let tasks = spans.get(order);
        let _ = write!(out, "<g><title>{}</title>", escape(&words(row, &known, model)));
        let is_one_by_one = timeline.spans.is_some();
        levels(out, index, row, scale, model.window.end(), is_one_by_one);
        out.push_str("</g>\n");
        if let Some(tasks) = tasks {
            lanes(out, index, tasks, scale);
        }
    }
    out.push_str("</svg></svg>\n");
    explain(out, timeline.spans.is_some());
    out.push_str("</figure>\n");
}

fn explain(out: &mut String, is_one_by_one: bool) {
    out.push_str("<ul class=\"legend\">");
    if is_one_by_one {
        out.push_str(
            "<li><i class=\"k-there\"></i>worker is there</li><li><i class=\"b0\"></i><i class=\"b1\"></i><i class=\"b2\">\
             </i>tasks, coloured by job</li><li><i class=\"k-failed\"></i>failed</li>\
             <li><i class=\"k-interrupted\"></i>canceled, aborted or interrupted</li>",
        );
    } else {
        out.push_str("<li class=\"ramp\">idle ");
        for level in 0..LEVELS {
            let _ = write!(out, "<i class=\"u{level}\"></i>");
        }
        out.push_str(" full</li>");
    }
    out.push_str("</ul>\n");
}

/// What a row is called.
fn name(row: &Row, known: &BTreeMap<WorkerId, &Worker>, chars: usize) -> String {
    if row.count == 1 {
        let host = known.get(&row.workers.0).map_or("", |worker| worker.hostname.as_str());
        return text::cut(&format!("{} {host}", row.workers.0), chars);
    }
    format!("{} – {}", row.workers.0, row.workers.1)
}

fn words(row: &Row, known: &BTreeMap<WorkerId, &Worker>, model: &Model) -> String {
    let means = |bins: &super::series::Bins| bins.means(model.window.end()).iter().sum::<f64>() * bins.width() as f64;
    let (present, load, tasks) = (means(&row.present), means(&row.load), means(&row.tasks));
    let part = if present > 0.0 { load / present } else { 0.0 };
    let at_once = if present > 0.0 { tasks / present } else { 0.0 };
    let load = format!("mean load {}, mean of running tasks {}", text::percent(part), text::number(at_once, 1));
    match (row.count, known.get(&row.workers.0)) {
        (1, Some(worker)) => {
            let class = model.workers.classes.get(worker.class).map_or("", |class| class.label.as_str());
            let until = worker.lost.map_or_else(String::new, |(at, reason)| {
                format!(", lost after {} ({})", text::place(model.window.place(at)), reason.words())
            });
            let since = text::place(model.window.place(worker.connected));
            format!("Worker {} on {} ({class}), since {since}{until}: {load}", row.workers.0, worker.hostname)
        }
        _ => format!("Workers {} to {}: {load}", row.workers.0, row.workers.1),
    }
}

/// The colours of a row's bins: a path for each colour, neighbours as one.
fn levels(out: &mut String, index: usize, row: &Row, scale: TimeScale, end: u64, is_plain: bool) {
    let (mut present, mut load) = (row.present.clone(), row.load.clone());
    let width = present.width().max(load.width());
    present.widen_to(width);
    load.widen_to(width);
    let (present, load) = (present.means(end), load.means(end));
    let level = |bin: usize| {
        let there = present.get(bin).copied().unwrap_or(0.0);
        let loaded = load.get(bin).copied().unwrap_or(0.0);
        (there > 1e-6).then(|| match is_plain {
            true => 0,
            false => ((loaded / there).clamp(0.0, 1.0) * (LEVELS - 1) as f64).round() as usize,
        })
    };
    let x = |bin: usize| scale.units(scale.from.saturating_add(width.saturating_mul(bin as u64)));
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    let mut start = 0;
    for bin in 1..=present.len() {
        if bin == present.len() || level(bin) != level(start) {
            if let Some(level) = level(start) {
                let to = if bin == present.len() { TIME_UNITS } else { x(bin) };
                let path = paths.entry(level).or_default();
                let _ = write!(
                    path,
                    "M{} {}H{to}v{}H{}z",
                    x(start),
                    text::number(index as f64 + GAP / 2.0, 2),
                    text::number(1.0 - GAP, 2),
                    x(start)
                );
            }
            start = bin;
        }
    }
    for (level, path) in paths {
        let class = if is_plain { "there".to_owned() } else { format!("u{level}") };
        let _ = write!(out, "<path class=\"{class}\" d=\"{path}\"/>");
    }
}

/// The tasks of a worker, each in the first lane that is free.
fn lanes(out: &mut String, index: usize, tasks: &[&TaskSpan], scale: TimeScale) {
    let mut tasks = tasks.to_vec();
    tasks.sort_by_key(|task| (task.span, task.task));
    let mut ends: Vec<u64> = Vec::new();
    let lane_of: Vec<usize> = tasks
        .iter()
        .map(|task| {
            let lane = ends.iter().position(|end| *end <= task.span.0).unwrap_or(ends.len());
            if lane == ends.len() {
                ends.push(0);
            }
            if let Some(end) = ends.get_mut(lane) {
                *end = task.span.1.max(task.span.0 + 1);
            }
            lane
        })
        .collect();
    let height = (1.0 - GAP) / ends.len().max(1) as f64;
    for (task, lane) in tasks.iter().zip(lane_of) {
        let (from, to) = (scale.units(task.span.0), scale.units(task.span.1));
        let (class, how) = match task.outcome {
            Outcome::Running => ("", "still running"),
            Outcome::Finished => ("", "finished"),
            Outcome::Failed => (" o-failed", "failed"),
            Outcome::Ended => (" o-ended", "canceled or aborted"),
            Outcome::Interrupted => (" o-ended", "interrupted"),
        };
        let (job, id) = task.task;
        let _ = write!(
            out,
            "<rect class=\"task b{}{class}\" x=\"{from}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>Job {job}, task {id}, \
             attempt {}: {how} after {}</title></rect>",
            job.0 as usize % COLOURS,
            text::number(index as f64 + GAP / 2.0 + lane as f64 * height, 4),
            to.saturating_sub(from).max(TIME_UNITS / ROW_BINS as u64 / 4),
            text::number(height * if height > 0.05 { 0.92 } else { 1.0 }, 4),
            task.attempt,
            text::span(task.span.1.saturating_sub(task.span.0) as f64)
        );
    }
    out.push('\n');
}
