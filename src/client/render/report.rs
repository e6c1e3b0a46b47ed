//! `hq job report`: how the attempts of a job went, as distributions, and what was asked against what was used.
//!
//! Each measure of each attempt is one number of 32 bits, so that the report of millions of tasks is exact and fits.
//!
//! Holds: no more than [`ATTEMPTS_MAX`] attempts are measured; the report says so when there were more.

use super::attempt::{cpu_time, peak_memory};
use super::color::Palette;
use super::table::{Cell, Column, Table};
use super::{shorten, size, time};
use crate::grammar::duration;
use hq_core::resource::{CPUS, Policy, ResourceRequest};
use hq_core::retry::{FailureCause, Usage};
use hq_core::time::Span;
use hq_core::view::{AttemptView, JobDetail, TaskState};
use serde_json::{Map, Value, json};

/// Attempts of one job whose measures are kept: 256 MiB.
pub const ATTEMPTS_MAX: usize = 16 * 1024 * 1024;
/// Slowest attempts that are listed.
const SLOWEST_SHOWN: usize = 10;
/// Parts of one unit of a resource.
const PARTS: u64 = 10_000;
const MIB: u64 = 1024 * 1024;

/// What one task asks for, as far as it is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// CPUs in 1/10000.
    cpu_parts: Option<u64>,
    /// Bytes of memory.
    memory_bytes: Option<u64>,
}

/// What is measured of attempts; each list has its own unit.
#[derive(Debug, Clone, Default)]
struct Measures {
    run_ms: Vec<u32>,
    cpu_ms: Vec<u32>,
    memory_kib: Vec<u32>,
    waited_ms: Vec<u32>,
    /// Peak memory as a part of what was asked, in 1/10000.
    memory_parts: Vec<u32>,
}

/// The report of one job as it is put together.
#[derive(Debug, Clone, Default)]
pub struct Report {
    measures: Measures,
    attempts: u64,
    retried: u64,
    interrupted: u64,
    /// CPU time that was reserved, and that was used of it, in milliseconds.
    reserved_ms: u64,
    used_ms: u64,
    /// The slowest attempts, the slowest first.
    slowest: Vec<(Span, AttemptView)>,
}

impl Asked {
    /// What a request asks for; one of several ways to run is not known to be the one that was taken.
    pub fn of(request: &ResourceRequest) -> Self {
        let [variant] = request.variants.as_slice() else { return Self::default() };
        let amount = |name: &str| {
            let entry = variant.entries.iter().find(|entry| entry.resource == name && entry.policy != Policy::All)?;
            (variant.nodes == 0).then_some(entry.amount.0)
        };
        let memory = amount("mem").map(|parts| u128::from(parts) * u128::from(MIB) / u128::from(PARTS));
        Self { cpu_parts: amount(CPUS), memory_bytes: memory.and_then(|bytes| u64::try_from(bytes).ok()) }
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Report {
    /// Adds an attempt.
    pub fn add(&mut self, attempt: AttemptView, asked: Asked) {
        self.attempts += 1;
        if attempt.state == TaskState::Waiting {
            let is_lost = attempt.cause == FailureCause::Node && attempt.exit_code.is_none();
            if is_lost { self.interrupted += 1 } else { self.retried += 1 }
        }
        if self.measures.run_ms.len() >= ATTEMPTS_MAX {
            return;
        }
        let measures = &mut self.measures;
        measures.waited_ms.extend(attempt.waited.map(|waited| narrow(waited.0 / 1_000)));
        if let Some(Usage { cpu_ms, memory_kib }) = attempt.usage {
            measures.cpu_ms.push(narrow(cpu_ms));
            measures.memory_kib.push(narrow(memory_kib));
            if let Some(bytes) = asked.memory_bytes.filter(|bytes| *bytes > 0) {
                let parts = u128::from(memory_kib) * 1_024 * u128::from(PARTS) / u128::from(bytes);
                measures.memory_parts.push(u32::try_from(parts).unwrap_or(u32::MAX));
            }
        }
        let (Some(started), Some(ended)) = (attempt.started, attempt.ended) else { return };
        let run = ended.since(started);
        measures.run_ms.push(narrow(run.0 / 1_000));
        if let (Some(usage), Some(parts)) = (attempt.usage, asked.cpu_parts) {
            let reserved = u128::from(run.0 / 1_000) * u128::from(parts) / u128::from(PARTS);
            self.reserved_ms = self.reserved_ms.saturating_add(u64::try_from(reserved).unwrap_or(u64::MAX));
            self.used_ms = self.used_ms.saturating_add(usage.cpu_ms);
        }
        let at = self.slowest.partition_point(|(span, _)| *span >= run);
        if at < SLOWEST_SHOWN {
            self.slowest.insert(at, (run, attempt));
            self.slowest.truncate(SLOWEST_SHOWN);
        }
    }

    /// Puts the measures in order, for what follows.
    pub fn finish(&mut self) {
        let Measures { run_ms, cpu_ms, memory_kib, waited_ms, memory_parts } = &mut self.measures;
        for measure in [run_ms, cpu_ms, memory_kib, waited_ms, memory_parts] {
            measure.sort_unstable();
        }
    }

    fn is_cut(&self) -> bool {
        self.attempts > self.measures.run_ms.len().max(self.measures.cpu_ms.len()) as u64
            && self.measures.run_ms.len() >= ATTEMPTS_MAX
    }

    /// The CPU time that was used of what was reserved.
    fn efficiency(&self) -> Option<f64> {
        (self.reserved_ms > 0).then(|| self.used_ms as f64 / self.reserved_ms as f64)
    }
}

/// The value below which so many of a hundred are, by the nearest rank; of a sorted, not empty list.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or(0)
}

/// The least value, the median, the values for 90 and 99 of a hundred, and the largest one.
fn summary(sorted: &[u32]) -> Option<[u32; 5]> {
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    Some([first, percentile(sorted, 50), percentile(sorted, 90), percentile(sorted, 99), last])
}

fn span_of_ms(ms: u32) -> String {
    duration::makespan(Span::from_ms(u64::from(ms)).to_duration())
}

fn size_of_kib(kib: u32) -> String {
    size::bytes(u64::from(kib) * 1_024)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// The tables.
pub fn text(job: &JobDetail, report: &Report, palette: Palette) -> String {
    let mut head = Table::vertical();
    head.line("ID", job.summary.id.to_string());
    head.line("Name", shorten::name(&job.summary.name));
    head.line("Tasks", states_cell(job));
    let mut attempts = vec![report.attempts.to_string()];
    attempts.extend((report.retried > 0).then(|| format!("{} retried", report.retried)));
    attempts.extend((report.interrupted > 0).then(|| format!("{} interrupted", report.interrupted)));
    attempts.extend(report.is_cut().then(|| format!("the first {ATTEMPTS_MAX} of them are measured")));
    head.line("Attempts", attempts.join("; "));
    if let Some(efficiency) = report.efficiency() {
        let span = |ms: u64| duration::makespan(Span::from_ms(ms).to_duration());
        let (used, reserved) = (span(report.used_ms), span(report.reserved_ms));
        head.line("CPU used of asked", format!("{used} of {reserved} ({})", percent(efficiency)));
    }
    if let Some([_, median, _, _, max]) = summary(&report.measures.memory_parts) {
        let part = |parts: u32| percent(f64::from(parts) / PARTS as f64);
        head.line("Memory used of asked", format!("{} at the median, {} at most", part(median), part(max)));
    }
    let mut text = head.render(palette);
    text.push_str(&distributions(report).render(palette));
    if !report.slowest.is_empty() {
        text.push_str(&slowest(report).render(palette));
    }
    text
}

fn states_cell(job: &JobDetail) -> Cell {
    let mut cell = Cell::default();
    for (number, (state, count)) in states(job).into_iter().filter(|(_, count)| *count > 0).enumerate() {
        let separator = if number > 0 { "\n" } else { "" };
        cell = cell.then(super::color::Style::PLAIN, separator);
        cell = cell.then(super::color::Style::of_state(state.word()), state.word().to_uppercase());
        cell = cell.then(super::color::Style::PLAIN, format!(" ({count})"));
    }
    cell
}

fn states(job: &JobDetail) -> [(TaskState, u64); 6] {
    let counts = &job.summary.counts;
    [
        (TaskState::Running, counts.running),
        (TaskState::Failed, counts.failed),
        (TaskState::Finished, counts.finished),
        (TaskState::Canceled, counts.canceled),
        (TaskState::Waiting, counts.waiting),
        (TaskState::Aborted, counts.aborted),
    ]
}

fn distributions(report: &Report) -> Table {
    let mut columns = vec![Column::left("Measure")];
    columns.extend(["Attempts", "Min", "Median", "P90", "P99", "Max"].map(Column::right));
    let mut table = Table::horizontal(columns);
    let Measures { run_ms, cpu_ms, memory_kib, waited_ms, .. } = &report.measures;
    let mut row = |name: &str, sorted: &[u32], shown: &dyn Fn(u32) -> String| {
        let values = summary(sorted).map(|values| values.map(shown)).unwrap_or_default();
        let cells = [name.to_owned(), sorted.len().to_string()].into_iter().chain(values);
        table.row(cells.map(Cell::from));
    };
    row("Run time", run_ms, &span_of_ms);
    row("CPU time", cpu_ms, &span_of_ms);
    row("Peak memory", memory_kib, &size_of_kib);
    row("Waiting time", waited_ms, &span_of_ms);
    table
}

fn slowest(report: &Report) -> Table {
    let mut table = Table::horizontal([
        Column::right("Slowest task"),
        Column::right("Attempt"),
        Column::right("Run time"),
        Column::right("CPU time"),
        Column::right("Peak memory"),
    ]);
    for (run, attempt) in &report.slowest {
        table.row([
            Cell::from(attempt.task.to_string()),
            Cell::from(attempt.attempt.to_string()),
            Cell::from(duration::makespan(run.to_duration())),
            Cell::from(attempt.usage.as_ref().map(cpu_time).unwrap_or_default()),
            Cell::from(attempt.usage.as_ref().map(peak_memory).unwrap_or_default()),
        ]);
    }
    table
}

/// The object of a job.
pub fn to_json(job: &JobDetail, report: &Report) -> Value {
    let seconds = |ms: u32| json!(time::seconds(Span::from_ms(u64::from(ms))));
    let bytes = |kib: u32| json!(u64::from(kib) * 1_024);
    let Measures { run_ms, cpu_ms, memory_kib, waited_ms, memory_parts } = &report.measures;
    let slowest = report.slowest.iter().map(|(run, attempt)| {
        let mut object = Map::new();
        object.insert("id".into(), json!(attempt.task));
        object.insert("instance".into(), json!(attempt.attempt));
        object.insert("run_time".into(), json!(time::seconds(*run)));
        object.extend(attempt.usage.iter().flat_map(super::attempt::usage_json));
        Value::Object(object)
    });
    let counts = states(job).into_iter().map(|(state, count)| (state.word().to_owned(), json!(count)));
    json!({
        "id": job.summary.id,
        "name": job.summary.name,
        "tasks": counts.collect::<Map<String, Value>>(),
        "attempts": report.attempts,
        "retried": report.retried,
        "interrupted": report.interrupted,
        "run_time": distribution(run_ms, &seconds),
        "cpu_time": distribution(cpu_ms, &seconds),
        "max_memory": distribution(memory_kib, &bytes),
        "waited": distribution(waited_ms, &seconds),
        "slowest": slowest.collect::<Vec<Value>>(),
        "cpu_efficiency": report.efficiency(),
        "memory_efficiency": distribution(memory_parts, &|parts| json!(f64::from(parts) / PARTS as f64)),
    })
}

fn distribution(sorted: &[u32], shown: &dyn Fn(u32) -> Value) -> Value {
    summary(sorted).map_or(Value::Null, |values| {
        let [min, median, p90, p99, max] = values.map(shown);
        json!({"count": sorted.len(), "min": min, "median": median, "p90": p90, "p99": p99, "max": max})
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::{JobId, TaskId};
    use hq_core::resource::{Amount, RequestEntry, Variant};
    use hq_core::time::Time;
    use hq_core::view::{JobSummary, TaskCounts};

    fn attempt(task: u32, run_ms: u64, cpu_ms: u64) -> AttemptView {
        AttemptView {
            task: TaskId(task),
            started: Some(Time(1_000_000)),
            ended: Some(Time(1_000_000 + run_ms * 1_000)),
            state: TaskState::Finished,
            usage: Some(Usage { cpu_ms, memory_kib: 1_024 * u64::from(task) }),
            waited: Some(Span::from_ms(50)),
            ..AttemptView::default()
        }
    }

    fn asked(cpus: u32, mem: u32) -> Asked {
        let entry = |name: &str, units| RequestEntry {
            resource: name.into(),
            amount: Amount::units(units),
            ..RequestEntry::default()
        };
        let entries = vec![entry(CPUS, cpus), entry("mem", mem)];
        Asked::of(&ResourceRequest { variants: vec![Variant { entries, ..Variant::default() }] })
    }

    fn report() -> Report {
        let mut report = Report::default();
        for task in 1..=100 {
            report.add(attempt(task, u64::from(task) * 1_000, u64::from(task) * 500), asked(2, 200));
        }
        report.add(AttemptView { state: TaskState::Waiting, exit_code: Some(1), ..attempt(7, 1, 0) }, asked(2, 200));
        let cause = FailureCause::Node;
        report.add(AttemptView { state: TaskState::Waiting, cause, usage: None, ..attempt(8, 1, 0) }, asked(2, 200));
        report.finish();
        report
    }

    fn job() -> JobDetail {
        let counts = TaskCounts { finished: 100, ..TaskCounts::default() };
        let summary = JobSummary { id: JobId(3), name: "sweep".into(), counts, ..JobSummary::default() };
        JobDetail { summary, ..JobDetail::default() }
    }

    #[test]
    fn ranks_are_the_nearest() {
        let sorted: Vec<u32> = (1..=100).collect();
        assert_eq!(summary(&sorted), Some([1, 50, 90, 99, 100]));
        assert_eq!(summary(&[7]), Some([7; 5]));
        assert_eq!(summary(&[1, 2, 3]), Some([1, 2, 3, 3, 3]));
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn what_was_asked_is_compared_with_what_was_used() {
        let report = report();
        assert_eq!((report.attempts, report.retried, report.interrupted), (102, 1, 1));
        let value = to_json(&job(), &report);
        assert_eq!(value["cpu_efficiency"].as_f64().map(|part| (part * 100.0).round()), Some(25.0));
        assert_eq!(value["memory_efficiency"]["max"], json!(0.5));
        assert_eq!((&value["run_time"]["max"], &value["max_memory"]["max"]), (&json!(100.0), &json!(100 * MIB)));
        assert_eq!(value["slowest"].as_array().map(Vec::len), Some(SLOWEST_SHOWN));
        assert_eq!(value["slowest"][0]["id"], json!(100));
        assert_eq!(value["tasks"]["finished"], json!(100));
    }

    #[test]
    fn tables() {
        let text = text(&job(), &report(), Palette::OFF);
        assert!(text.contains("| Attempts             | 102; 1 retried; 1 interrupted"), "{text}");
        assert!(text.contains("(25.0 %)") && text.contains("50.0 % at most"), "{text}");
        assert!(text.contains("| Run time     |      102 |"), "{text}");
        let empty = super::text(&job(), &Report::default(), Palette::OFF);
        assert!(!empty.contains("Slowest") && empty.contains("| Waiting time |"), "{empty}");
    }

    #[test]
    fn unknown_wishes_are_not_compared() {
        assert_eq!(Asked::of(&ResourceRequest::default()), Asked::default());
        let mut report = Report::default();
        report.add(attempt(1, 10, 10), Asked::default());
        report.finish();
        let value = to_json(&job(), &report);
        assert_eq!((&value["cpu_efficiency"], &value["memory_efficiency"]), (&Value::Null, &Value::Null));
    }
}
