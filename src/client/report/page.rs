//! The page: one HTML file with everything in it.
//!
//! The policy in its head lets a browser run the one script and use the one style that are in it, known by their hashes, and
//! load nothing from anywhere.
//!
//! Holds: no text of the journal gets into the page but through [`escape`]; there is no reference to another file.

use super::axis::TimeScale;
use super::chart::{self, Frame, Line, Unit};
use super::model::Model;
use super::series::{Series, Step, ratio};
use super::sketch::Sketch;
use super::spread::{self, Boxed, Counted};
use super::text::{self, escape};
use super::workers::Supply;
use super::{bands, tables};
use crate::client::render::time;
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Room for names and marks on the left.
const LEFT: f64 = 66.0;
const LEFT_NAMES: f64 = 170.0;

/// The page of a model.
pub fn page(model: &Model) -> String {
    let mut out = String::with_capacity(256 * 1_024);
    head(&mut out, model);
    let scale = TimeScale::of(&model.window);
    cards(&mut out, model);
    worker_lines(&mut out, model, scale);
    worker_bars(&mut out, model, scale);
    task_lines(&mut out, model, scale);
    classes(&mut out, model);
    spans(&mut out, model);
    failures(&mut out, model);
    section(&mut out, "jobs", "Jobs", "A click on a head sorts by that column.");
    tables::jobs(&mut out, model);
    out.push_str("</section>\n");
    section(&mut out, "workers", "Workers", "Load is the largest part of a resource that was taken, over the time.");
    tables::workers(&mut out, model);
    out.push_str("</section>\n</main>\n<div id=\"tip\" role=\"status\" hidden></div>\n<script>");
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
    out
}

fn source(content: &str) -> String {
    format!("'sha256-{}'", Base64::encode_string(&Sha256::digest(content.as_bytes())))
}

fn head(out: &mut String, model: &Model) {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        source(SCRIPT),
        source(STYLE)
    );
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>HQ Journal Report</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<header><h1>HQ Journal Report</h1>"
    );
    let version = model.starts.last().map_or("", |(_, version)| version.as_str());
    let _ = writeln!(
        out,
        "<p>server {} · version {} · times in UTC</p><button type=\"button\" id=\"reset\" hidden>Show all of the time</button>\
         </header>\n<main>",
        escape(&model.server_uid),
        escape(version)
    );
}

fn section(out: &mut String, id: &str, title: &str, about: &str) {
    let _ = writeln!(
        out,
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2><p class=\"about\">{}</p>",
        escape(about)
    );
}

fn card(out: &mut String, title: &str, value: &str, more: &str) {
    let long = if value.len() > 20 { " class=\"long\"" } else { "" };
    let _ = write!(out, "<div class=\"card\"><h3>{title}</h3><p{long}>{}</p>", escape(value));
    if !more.is_empty() {
        let _ = write!(out, "<small>{}</small>", escape(more));
    }
    out.push_str("</div>\n");
}

/// `2026-11-21 01:24:42.245 UTC`.
fn moment(model: &Model, place: u64) -> String {
    time::log_stamp(model.window.time_at(place), true).replace('T', " ").replace('Z', " UTC")
}

/// Which part of the time was asked for.
fn filtering(model: &Model) -> Option<String> {
    let (from, to) = model.window.bounds();
    match (from.map(|from| moment(model, from)), to.map(|to| moment(model, to))) {
        (None, None) => None,
        (Some(from), None) => Some(format!("since {from}")),
        (None, Some(to)) => Some(format!("upto {to}")),
        (Some(from), Some(to)) => Some(format!("between {from} and {to}")),
    }
}

fn cards(out: &mut String, model: &Model) {
    let window = &model.window;
    out.push_str("<div class=\"cards\">\n");
    let starts = match model.start_count {
        0 | 1 => String::new(),
        count => format!("started {} times until the end", text::count(count)),
    };
    card(out, "Server started", &moment(model, 0), &starts);
    if let Some(words) = filtering(model) {
        card(out, "Time filtering", &words, "");
    }
    card(
        out,
        "Time shown",
        &text::span((window.end() - window.from()) as f64),
        &format!("until {}", moment(model, window.end())),
    );
    let (finished, failed) = (model.tasks_finished(), model.tasks_failed());
    let more = match model.ended {
        0 => format!("{} failed", text::count(failed)),
        ended => format!("{} failed, {} canceled or aborted", text::count(failed), text::count(ended)),
    };
    card(out, "Tasks finished", &text::count(finished), &more);
    card(out, "Attempts", &text::count(model.attempts), &format!("{} failures", text::count(model.failures.count)));
    card(out, "Jobs", &text::count(tables::job_count(model)), "");
    let most = format!("at most {} at once", text::count(model.workers.most));
    card(out, "Workers", &text::count(model.workers.count), &most);
    if let Some(part) = model.cpu_part() {
        card(out, "Mean use of CPUs", &text::percent(part), "of those that were there");
    }
    out.push_str("</div>\n");
}

fn frame<'a>(id: &'a str, title: &'a str, description: impl Into<String>, height: f64) -> Frame<'a> {
    Frame { id, title, description: description.into(), height, left: LEFT }
}

fn worker_lines(out: &mut String, model: &Model, scale: TimeScale) {
    let (end, classes) = (model.window.end(), &model.workers.classes);
    let about = "How many workers of each kind were there. Drag over a chart to see a part of the time; double-click to \
                 see all of it.";
    section(out, "global", "Global worker statistics", about);
    let all: Vec<&Series> = classes.iter().map(|class| &class.running).collect();
    let named = classes.iter().zip(Series::steps(&all, end));
    let lines: Vec<Line> =
        named.map(|(class, steps)| Line { name: format!("Running workers {}", class.label), steps }).collect();
    let about = "A line for each kind of workers: how many of them were connected.";
    chart::lines(out, &frame("running-workers", "Running workers", about, 170.0), scale, Unit::Count, &lines);
    out.push_str(
        "<h3>Utilisation</h3><p class=\"about\">The part of its resources that tasks had, as the mean over the workers of a \
         kind: 100 % is all of them.</p>",
    );
    let mut lines = Vec::new();
    for class in classes {
        for (resource, taken) in class.taken.iter().filter(|(_, taken)| !taken.is_empty()) {
            let name = format!("{resource} alloc on {}", class.label);
            lines.push(Line { name, steps: part(taken, &class.running, end) });
        }
    }
    let about = "A line for each resource of each kind of workers: the part of it that tasks had.";
    chart::lines(out, &frame("allocated", "Utilisation by kind of worker", about, 200.0), scale, Unit::Part, &lines);
    if classes.len() > 1 {
        out.push_str("<p class=\"about\">Of everything that all workers offered together:</p>");
        let used = model.workers.supply.iter().filter(|(_, supply)| !supply.taken.is_empty());
        let line = |(resource, supply): (&String, &Supply)| Line {
            name: format!("{resource} of all workers"),
            steps: part(&supply.taken, &supply.offered, end),
        };
        let about = "A line for each resource: the part of it that tasks had, of what all workers offered.";
        let lines: Vec<Line> = used.map(line).collect();
        chart::lines(out, &frame("utilisation", "Utilisation of all workers", about, 170.0), scale, Unit::Part, &lines);
    }
    out.push_str("</section>\n");
}

/// One quantity as a part of another one.
fn part(taken: &Series, of: &Series, end: u64) -> Vec<Step> {
    match Series::steps(&[taken, of], end).as_slice() {
        [taken, of] => ratio(taken, of),
        _ => Vec::new(),
    }
}

fn worker_bars(out: &mut String, model: &Model, scale: TimeScale) {
    let rows = &model.workers.timeline.rows;
    let about = match rows.iter().map(|row| row.count).max().unwrap_or(1) {
        1 => "A bar for each worker, from when it came to when it went.".to_owned(),
        most => format!("A bar for each {most} workers that came one after the other."),
    };
    let about = format!("{about} The pointer over a bar, or over a task in it, tells more.");
    section(out, "timeline", "Timeline of workers", &about);
    let title = "Timeline of workers";
    let frame = Frame { left: LEFT_NAMES, ..frame("worker-bars", title, about.as_str(), bands::height(model)) };
    bands::draw(out, &frame, scale, model);
    out.push_str("</section>\n");
}

fn task_lines(out: &mut String, model: &Model, scale: TimeScale) {
    section(
        out,
        "tasks",
        "Tasks over time",
        "How many tasks ran at once, and how many were submitted and not yet at their end, those that ran included.",
    );
    let series = [("Running tasks", &model.running), ("Unfinished tasks", &model.unfinished)];
    for (id, (name, series)) in ["running-tasks", "unfinished-tasks"].into_iter().zip(series) {
        let steps = Series::steps(&[series], model.window.end()).into_iter().next().unwrap_or_default();
        let line = Line { name: name.to_owned(), steps };
        chart::lines(out, &frame(id, name, format!("{name} over time."), 130.0), scale, Unit::Count, &[line]);
    }
    out.push_str("</section>\n");
}

fn classes(out: &mut String, model: &Model) {
    let shown = model.requests.shown();
    section(
        out,
        "classes",
        "Task counts",
        "Tasks by what they asked for. Canceled and aborted tasks are not among them.",
    );
    let counted: Vec<Counted> =
        shown.iter().map(|(number, class)| Counted { name: format!("T{number}"), ends: class.ends }).collect();
    let about = "For each class of requests, how many tasks finished and how many failed.";
    spread::bars(out, &frame("task-counts", "Task counts", about, 180.0), &counted);
    out.push_str(
        "<h2>Task durations</h2><p class=\"about\">From the last start to the end. A box holds the middle half, its line is the \
         median; whiskers leave out one in twenty at each side, dots are the least and the largest.</p>",
    );
    let mut boxes = Vec::new();
    for (number, class) in &shown {
        for (words, kind, sketch) in [("Finished", "finished", &class.finished), ("Failed", "failed", &class.failed)] {
            if sketch.count() > 0 {
                boxes.push(Boxed { name: format!("{words} T{number}"), class: kind, sketch });
            }
        }
    }
    let about = "For each class of requests, the distribution of the durations.";
    let height = spread::boxes_height(boxes.len());
    let frame = Frame { left: LEFT_NAMES, ..frame("task-durations", "Task durations", about, height) };
    spread::boxes(out, &frame, &boxes);
    out.push_str("<ul class=\"requests\">");
    for (number, class) in &shown {
        let _ = write!(out, "<li><b>T{number}</b> = {}</li>", escape(&class.legend));
    }
    out.push_str("</ul>\n</section>\n");
}

/// The quantiles of spans, in one line.
fn quantiles(out: &mut String, words: &str, sketch: &Sketch) {
    let Some(summary) = sketch.summary() else { return };
    let _ = writeln!(
        out,
        "<p class=\"about\">{words}: {} tasks, median {}, mean {}, 95 % within {}, largest {}.</p>",
        text::count(sketch.count()),
        text::span(summary.median),
        text::span(summary.mean),
        text::span(summary.high),
        text::span(summary.largest)
    );
}

fn spans(out: &mut String, model: &Model) {
    section(out, "spread", "Distribution of durations", "How many tasks took how long, over all classes.");
    let kinds = [("finished", "finished", &model.finished), ("failed", "failed", &model.failed)];
    spread::histogram(
        out,
        &frame("durations", "Distribution of durations", "A histogram of durations.", 170.0),
        &kinds,
    );
    spread::key(out, &[("finished", "Finished"), ("failed", "Failed")]);
    quantiles(out, "Finished", &model.finished);
    quantiles(out, "Failed", &model.failed);
    out.push_str(
        "<h2>Waiting time</h2><p class=\"about\">From the submit of a task to its first start; what a task waited for others \
         is part of it.</p>",
    );
    let kinds = [("waited", "waited", &model.waited)];
    spread::histogram(out, &frame("waiting", "Waiting time", "A histogram of waiting times.", 170.0), &kinds);
    quantiles(out, "Waited", &model.waited);
    out.push_str("</section>\n");
}

fn failures(out: &mut String, model: &Model) {
    let interrupted = match model.failures.interrupted {
        0 => String::new(),
        count => {
            format!(" {} more attempts ended because their worker was lost or the server stopped.", text::count(count))
        }
    };
    let about = format!("Every attempt that failed counts, also when the task was tried again.{interrupted}");
    section(out, "failures", "Failures", &about);
    if model.failures.count == 0 {
        out.push_str("<p class=\"none\">No attempt failed.</p>");
    } else {
        tables::failures(out, &model.failures);
    }
    out.push_str("</section>\n");
}
