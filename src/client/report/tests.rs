//! Reports of journals that were made up: what is counted, and that neither length nor content of a journal does harm.
//!
//! What a browser makes of a page is tested with the real program (`tests/cli/report.rs`).
//!
//! Holds: the journals here are the same in every run.

use super::{Error, Report};
use hq_core::event::{
    Event, JobChanged, JobSubmitted, ServerStarted, ServerStopped, TaskFailed, TaskRetried, TasksEnded, TasksFinished,
    TasksNamed, TasksStarted, WorkerConnected, WorkerLost,
};
use hq_core::id::{AttemptId, Epoch, JobId, TaskId, WorkerId};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, Pool, PoolKind, ResourceRequest, WorkerResources};
use hq_core::retry::FailureCause;
use hq_core::task::{SubmitDesc, TaskDesc};
use hq_core::time::{Span, Time};
use hq_core::worker::{LostReason, WorkerConfig};
use std::sync::Arc;

/// 2026-11-21T01:24:42.245Z
const BASE: Time = Time(1_795_224_282_245_000);

fn at(ms: u64) -> Time {
    BASE.after(Span::from_ms(ms))
}

fn server() -> Event {
    Event::ServerStarted(ServerStarted { server_uid: "abc123".into(), epoch: Epoch(1), version: "0.1.0".into() })
}

fn worker(id: u32, cpus: u32) -> Event {
    let pool = |name: &str, kind| Pool { name: name.into(), kind };
    let pools = vec![pool("cpus", PoolKind::range(0, cpus - 1)), pool("mem", PoolKind::Sum(Amount::units(1_000)))];
    let resources = WorkerResources { pools, ..WorkerResources::default() };
    let config = WorkerConfig { resources, hostname: format!("node-{id}"), ..WorkerConfig::default() };
    Event::WorkerConnected(WorkerConnected { worker: WorkerId(id), token: "t".into(), config: Box::new(config) })
}

fn lost(id: u32, reason: LostReason) -> Event {
    Event::WorkerLost(WorkerLost { worker: WorkerId(id), reason })
}

fn submit(job: u32, name: &str, ids: IdSet, cpus: u32) -> Event {
    let desc = TaskDesc { request: ResourceRequest::cpus(Amount::units(cpus)), ..TaskDesc::default() };
    let submit = Arc::new(SubmitDesc { ids, descs: vec![Arc::new(desc)], ..SubmitDesc::default() });
    Event::JobSubmitted(JobSubmitted { job: JobId(job), name: name.into(), submit, ..JobSubmitted::default() })
}

fn started(job: u32, worker: u32, tasks: &[u32]) -> Event {
    let tasks: Vec<TaskId> = tasks.iter().map(|id| TaskId(*id)).collect();
    let ago_us = vec![0; tasks.len()];
    let (job, worker) = (JobId(job), WorkerId(worker));
    Event::TasksStarted(TasksStarted { job, worker, tasks, ago_us, ..TasksStarted::default() })
}

fn again(job: u32, worker: u32, task: u32, attempt: u32) -> Event {
    let Event::TasksStarted(event) = started(job, worker, &[task]) else { unreachable!() };
    Event::TasksStarted(TasksStarted { attempts: vec![AttemptId(attempt)], ..event })
}

fn finished(job: u32, worker: u32, tasks: &[u32]) -> Event {
    let tasks: Vec<TaskId> = tasks.iter().map(|id| TaskId(*id)).collect();
    let ago_us = vec![0; tasks.len()];
    let (job, worker) = (JobId(job), WorkerId(worker));
    Event::TasksFinished(TasksFinished { job, worker, tasks, ago_us, ..TasksFinished::default() })
}

fn failure(job: u32, task: u32, code: i32, error: &str) -> TaskFailed {
    TaskFailed {
        job: JobId(job),
        task: TaskId(task),
        error: error.into(),
        exit_code: Some(code),
        cause: FailureCause::Exit,
        ..TaskFailed::default()
    }
}

fn page_of(events: &[(u64, Event)], start: Option<u64>, end: Option<u64>) -> Result<String, Error> {
    let mut report = Report::new(start.map(Span::from_ms), end.map(Span::from_ms));
    for (ms, event) in events {
        report.add(at(*ms), event)?;
    }
    report.finish()
}

/// Two workers of which one is lost, an array, a failure that is tried again, one that is not, a cancel.
fn small() -> Vec<(u64, Event)> {
    let bad = "<script>alert('x')</script>";
    let mut events = vec![
        (0, server()),
        (1_000, worker(1, 4)),
        (2_000, worker(2, 4)),
        (3_000, submit(1, "array", IdSet::range(0, 7), 1)),
        (3_000, started(1, 1, &[0, 1, 2, 3])),
        (3_500, started(1, 2, &[4, 5, 6, 7])),
        (10_000, finished(1, 1, &[0, 1])),
        (12_000, submit(2, bad, IdSet::range(1, 3), 2)),
        (12_000, started(2, 1, &[1])),
        (15_000, finished(1, 1, &[2, 3])),
        (20_000, lost(2, LostReason::ConnectionLost)),
        (21_000, again(1, 1, 4, 1)),
        (23_000, Event::TaskRetried(TaskRetried { failed: failure(2, 1, 3, bad), delay: Span::from_ms(500) })),
        (24_000, again(2, 1, 1, 1)),
        (30_000, Event::TaskFailed(failure(2, 1, 3, bad))),
        (31_000, finished(1, 1, &[4])),
    ];
    let rest = TasksEnded { job: JobId(1), tasks: IdSet::range(5, 7), reason: String::new() };
    events.push((33_000, Event::TasksCanceled(rest)));
    events.push((33_000, Event::JobCompleted(JobChanged { job: JobId(1) })));
    events.push((40_000, Event::ServerStopped(ServerStopped {})));
    events
}

/// The cells of the row of a table that begins with this number.
fn row(page: &str, table: &str, id: u32) -> Vec<String> {
    let table = page.split(&format!("<table id=\"{table}\">")).nth(1).unwrap().split("</table>").next().unwrap();
    let rows = table.split("<tr>").skip(2);
    let cells = |row: &str| {
        let inner = row.split("<td").skip(1).map(|cell| cell.split_once('>').unwrap().1.split("</td>").next().unwrap());
        inner.map(strip).collect::<Vec<_>>()
    };
    rows.map(cells).find(|cells| cells[0] == id.to_string()).unwrap_or_else(|| panic!("no row {id} in {table}"))
}

fn strip(cell: &str) -> String {
    cell.split('<').map(|part| part.rsplit('>').next().unwrap()).collect()
}

#[test]
fn what_is_no_journal_of_a_server() {
    assert_eq!(page_of(&[], None, None), Err(Error::Empty));
    assert_eq!(page_of(&[(0, worker(1, 4))], None, None), Err(Error::NoServerStart));
    assert_eq!(Error::Empty.to_string(), "Empty journal");
    assert_eq!(Error::NoServerStart.to_string(), "Journal does not start with server start event");
}

#[test]
fn everything_is_counted_once() {
    let page = page_of(&small(), None, None).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<title>HQ Journal Report</title>"));
    for part in [
        "<h1>HQ Journal Report</h1>",
        "<h3>Server started</h3><p class=\"long\">2026-11-21 01:24:42.245 UTC</p>",
        "data-name=\"Running workers cpus:4, mem:1000\"",
        "data-name=\"cpus alloc on cpus:4, mem:1000\"",
        "<title>Finished T1: 5</title>",
        "<title>Failed T2: 1</title>",
        "<li><b>T1</b> = cpus: 1 compact</li><li><b>T2</b> = cpus: 2 compact</li>",
        "4 more attempts ended because",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    assert!(!page.contains("Time filtering") && !page.contains("alloc on cpus:4, mem:1000\" d=\"M0 0H100000\""));
    let first = row(&page, "job-table", 1);
    assert_eq!(first[1..12], ["array", "CANCELED", "8", "0", "0", "5", "0", "3", "0", "9", "0"]);
    assert_eq!(first[15], "30 s");
    let second = row(&page, "job-table", 2);
    assert_eq!(second[2..12], ["WAITING", "3", "2", "0", "0", "1", "0", "0", "2", "2"].map(String::from)[..]);
}

fn model_of(events: &[(u64, Event)]) -> super::model::Model {
    let mut model = super::model::Model::begin(BASE, &events[0].1, None, None).unwrap();
    for (ms, event) in &events[1..] {
        model.add(at(*ms), event);
    }
    model.finish();
    model
}

/// A lost worker no longer has its tasks, and the use of the rest is a part of what is left.
#[test]
fn a_lost_worker_releases_its_tasks() {
    let model = model_of(&small());
    let end = model.window.end();
    let class = &model.workers.classes[0];
    let steps = super::series::Series::steps(&[&class.taken[0].1, &class.running], end);
    let used = super::series::ratio(&steps[0], &steps[1]);
    let at = |seconds: u64| used.iter().rev().find(|(place, _)| *place <= seconds * 1_000_000).unwrap().1;
    assert_eq!(
        [at(2), at(3), at(5), at(11), at(16), at(20), at(25), at(39)],
        [0.0, 0.5, 1.0, 0.75, 0.75, 0.5, 0.75, 0.0]
    );
    assert_eq!(
        model.running.area(end),
        1e6 * (4.0 * 0.5 + 8.0 * 6.5 + 6.0 * 2.0 + 7.0 * 3.0 + 5.0 * 5.0 + 1.0 + 2.0 * 2.0 + 1.0 + 2.0 * 6.0 + 1.0)
    );
}

/// The number of running workers, and of running tasks, in the middle of each second.
fn counts_of(events: &[(u64, Event)], seconds: std::ops::Range<u64>) -> Vec<(f64, f64)> {
    let model = model_of(events);
    let class = &model.workers.classes[0];
    let steps = super::series::Series::steps(&[&class.running, &model.running], model.window.end());
    let value = |steps: &[(u64, f64)], second: u64| {
        let middle = second * 1_000_000 + 500_000;
        steps.iter().rev().find(|(place, _)| *place <= middle).unwrap().1
    };
    seconds.map(|second| (value(&steps[0], second), value(&steps[1], second))).collect()
}

/// Its root has it; the others are only its own.
#[test]
fn a_multi_node_task_goes_on_without_another_of_its_workers() {
    let Event::TasksStarted(event) = started(1, 1, &[0]) else { unreachable!() };
    let on_both = Event::TasksStarted(TasksStarted { nodes: vec![WorkerId(1), WorkerId(2)], ..event });
    let mut events =
        vec![(0, server()), (0, worker(1, 4)), (0, worker(2, 4)), (0, submit(1, "gang", IdSet::single(0), 1))];
    events.extend([(1_000, on_both), (2_000, lost(2, LostReason::ConnectionLost)), (3_000, finished(1, 1, &[0]))]);
    events.push((4_000, Event::ServerStopped(ServerStopped {})));
    assert_eq!(counts_of(&events, 0..4), [(2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 0.0)]);
    let page = page_of(&events, None, None).unwrap();
    assert!(page.contains("<title>Finished T1: 1</title>") && !page.contains("more attempts ended because"));
}

/// Workers and what they run survive their server.
#[test]
fn a_restart_of_the_server_is_not_the_end_of_its_workers() {
    let events = [
        (0, server()),
        (0, worker(1, 4)),
        (0, submit(1, "long", IdSet::single(0), 1)),
        (1_000, started(1, 1, &[0])),
        (2_000, Event::ServerStopped(ServerStopped {})),
        (3_000, server()),
        (4_000, finished(1, 1, &[0])),
        (5_000, lost(1, LostReason::Stopped)),
        (6_000, Event::ServerStopped(ServerStopped {})),
    ];
    let expected = [(1.0, 0.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)];
    assert_eq!(counts_of(&events, 0..6), expected);
    let page = page_of(&events, None, None).unwrap();
    assert!(page.contains("<title>Finished T1: 1</title>") && !page.contains("more attempts ended because"));
}

#[test]
fn the_filter_is_about_everything() {
    let page = page_of(&small(), Some(22_000), Some(32_000)).unwrap();
    for part in [
        "<h3>Time filtering</h3><p class=\"long\">between 2026-11-21 01:25:04.245 UTC and 2026-11-21 01:25:14.245 UTC</p>",
        "<title>Finished T1: 1</title>",
        "<title>Failed T2: 1</title>",
        "<h3>Workers</h3><p>1</p>",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    assert!(!page.contains("<td>node-2</td>"));
    let since = page_of(&small(), Some(22_000), None).unwrap();
    assert!(since.contains("<p class=\"long\">since 2026-11-21 01:25:04.245 UTC</p>"));
    let upto = page_of(&small(), None, Some(11_000)).unwrap();
    assert!(
        upto.contains("<p class=\"long\">upto 2026-11-21 01:24:53.245 UTC</p>")
            && upto.contains("<title>Finished T1: 2</title>")
    );
    assert_eq!(row(&upto, "job-table", 1)[2], "RUNNING");
}

#[test]
fn texts_are_inert() {
    let page = page_of(&small(), None, None).unwrap();
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    for word in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(word), "{word} is in the page");
    }
    assert!(page.contains("default-src 'none'; script-src 'sha256-"));
}

/// What is not known does no harm: a pruned journal has events of jobs and workers without a beginning.
#[test]
fn unknown_jobs_and_workers_are_taken_as_they_are() {
    let events = [
        (0, server()),
        (1, started(7, 3, &[1, 2])),
        (5_000, finished(7, 3, &[1, 9])),
        (6_000, lost(4, LostReason::Stopped)),
        (7_000, Event::TaskFailed(failure(8, 1, 1, "x"))),
        (8_000, Event::TasksRerun(TasksNamed { job: JobId(9), tasks: IdSet::range(1, 4) })),
    ];
    let page = page_of(&events, None, None).unwrap();
    assert!(page.contains("<li><b>T1</b> = unknown</li>"));
    assert_eq!(row(&page, "job-table", 7)[1], "unknown");
}

/// Months, 3,000 workers, 50,000 tasks in 5,000 jobs: the page stays small.
#[test]
fn a_long_journal_gives_a_bounded_page() {
    let mut report = Report::new(None, None);
    let mut add = |ms: u64, event: Event| report.add(at(ms), &event).unwrap();
    add(0, server());
    for id in 1..=3_000u32 {
        add(u64::from(id) * 60_000, worker(id, 4 + id % 40));
    }
    let mut now = 200_000_000;
    for job in 1..=5_000u32 {
        add(now, submit(job, &"n".repeat(500), IdSet::range(0, 9), 1 + job % 90));
        for task in 0..10u32 {
            let worker = (job * 10 + task) % 3_000 + 1;
            add(now, started(job, worker, &[task]));
            now += 300_000;
            let end = if task == 7 {
                Event::TaskFailed(failure(job, task, (job % 200) as i32, "e"))
            } else {
                finished(job, worker, &[task])
            };
            add(now + u64::from(task) * 977, end);
        }
        add(now + 60_000, Event::JobCompleted(JobChanged { job: JobId(job) }));
    }
    let page = report.finish().unwrap();
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert!(page.contains("4,000 further jobs") && page.contains("2,500 further workers"));
    assert!(page.contains("<b>T25</b> = any other request"));
}
