//! Tasks in tables and JSON, against the texts that scripts read.

use super::*;
use hq_core::id::{JobId, TaskId, TaskRef};
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::task::{Condition, Dependency, SubmitDesc, TaskDesc};
use hq_core::time::Span;
use hq_core::view::JobSummary;
use std::sync::Arc;

/// 2030-01-02T03:04:05Z
const START: Time = Time(1_893_553_445_000_000);

fn job() -> JobDetail {
    let desc = TaskDesc {
        args: vec!["date".into()],
        request: ResourceRequest::cpus(Amount::units(2)),
        time_limit: Some(Span::from_secs(70)),
        ..TaskDesc::default()
    };
    let dep = |on| Dependency { task: TaskId(5), on: TaskRef::new(0, on), condition: Condition::Ok };
    let submit = SubmitDesc {
        descs: vec![Arc::new(desc)],
        submit_dir: "/base".into(),
        deps: vec![dep(1), dep(2)],
        ..SubmitDesc::default()
    };
    let summary = JobSummary { id: JobId(3), ..JobSummary::default() };
    JobDetail { summary, submits: vec![Arc::new(submit)], ..JobDetail::default() }
}

fn task(id: u32, state: TaskState) -> TaskView {
    TaskView { id: TaskId(id), state, ..TaskView::default() }
}

fn started(id: u32, state: TaskState, workers: &[u32]) -> TaskView {
    let workers = workers.iter().map(|id| WorkerId(*id)).collect();
    TaskView { workers, started: Some(START), ..task(id, state) }
}

fn keys(value: &Value) -> String {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[test]
fn json_tells_what_is_known() {
    let job = job();
    let shown = |task: &TaskView| keys(&to_json(&job, task));
    assert_eq!(to_json(&job, &task(1, TaskState::Waiting)), json!({"id": 1, "state": "waiting"}));
    assert_eq!(shown(&task(1, TaskState::Canceled)), "id state");
    assert_eq!(shown(&started(1, TaskState::Running, &[1])), "cwd id started_at state stderr stdout worker");
    assert_eq!(shown(&started(1, TaskState::Canceled, &[1])), "cwd id state stderr stdout");
    assert_eq!(shown(&started(1, TaskState::Aborted, &[1])), "id state");
    let multi = started(1, TaskState::Finished, &[1, 2]);
    assert_eq!(shown(&multi), "cwd finished_at id started_at state stderr stdout workers");
    let failed = TaskView { error: Some("x".into()), ..started(1, TaskState::Failed, &[1]) };
    assert_eq!(shown(&failed), "cwd error finished_at id started_at state stderr stdout worker");
    let not_started = TaskView { ended: Some(START), error: Some("x".into()), ..task(1, TaskState::Failed) };
    assert_eq!(shown(&not_started), "error finished_at id state");
    assert_eq!(to_json(&job, &not_started)["finished_at"], "2030-01-02T03:04:05Z");
}

#[test]
fn a_list() {
    let hostnames: Hostnames = [(WorkerId(1), "node1".to_owned())].into();
    let error = Some("Program terminated with exit code 3.".to_owned());
    let ended = Some(START.after(Span::from_ms(40)));
    let tasks = vec![
        TaskView { error, ended, ..started(0, TaskState::Failed, &[1]) },
        started(10, TaskState::Running, &[1, 9]),
        task(11, TaskState::Waiting),
    ];
    let now = START.after(Span::from_secs(123));
    let shown = list(&[(3, tasks.clone())], &hostnames, false, now, Palette::OFF);
    let expected = "\
+---------+---------+--------+----------+---------------------+
| Task ID | State   | Worker | Makespan | Error               |
+---------+---------+--------+----------+---------------------+
|       0 | FAILED  | node1  | 40ms     | Program terminat... |
|      10 | RUNNING | node1  | 2m 3s    |                     |
|         |         | N/A    |          |                     |
|      11 | WAITING |        |          |                     |
+---------+---------+--------+----------+---------------------+
";
    assert_eq!(shown, Shown { text: expected.to_owned(), is_cut: true });
    let shown = list(&[(3, tasks.clone())], &hostnames, true, now, Palette::OFF);
    assert!(!shown.is_cut && shown.text.contains("| Program terminated with exit code 3. |"), "{}", shown.text);
    for jobs in [vec![], vec![(3, tasks.clone()), (12, tasks)]] {
        let shown = list(&jobs, &hostnames, false, now, Palette::OFF);
        assert!(shown.text.contains("\n| Job ID | Task ID | State"), "{}", shown.text);
    }
}

#[test]
fn details() {
    let hostnames: Hostnames = [(WorkerId(1), "node1".to_owned())].into();
    let view = TaskView { error: Some("e".repeat(300)), ..started(5, TaskState::Failed, &[1]) };
    let shown = info(&job(), &view, &[], &hostnames, false, START, Palette::OFF);
    let labels: Vec<&str> = shown.text.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).collect();
    let expected = [
        "Task ID",
        "State",
        "Command",
        "Environment",
        "Worker",
        "Start",
        "End",
        "Makespan",
        "Workdir",
        "Stdout",
        "Stderr",
        "Time limit",
        "Resources",
        "Priority",
        "Pin",
        "Task dir",
        "Crash limit",
        "Dependencies",
        "Error",
    ];
    assert_eq!(labels, expected);
    for cell in ["| 1m 10s ", "| cpus: 2 compact ", "| 1,2 ", "| /base/job-3/5.stdout ", "| no ", "| 5 "] {
        assert!(shown.text.contains(cell), "{cell}\n{}", shown.text);
    }
    assert!(shown.is_cut && shown.text.contains(&format!("| {}... |", "e".repeat(237))));
    let waiting = info(&job(), &task(1, TaskState::Waiting), &[], &hostnames, false, START, Palette::OFF);
    assert!(!waiting.is_cut && !waiting.text.contains("/base"), "{}", waiting.text);
}
