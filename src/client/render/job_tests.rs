//! Jobs in tables and JSON, against the texts that scripts read.

use super::super::task;
use super::*;
use hq_core::id::{JobId, TaskId};
use hq_core::idset::IdRange;
use hq_core::resource::{Amount, ResourceRequest};
use hq_core::time::Span;
use hq_core::view::{TaskCounts, TaskView, WorkerName};
use std::sync::Arc;

/// 2030-01-02T03:04:05Z
const SUBMITTED: Time = Time(1_893_553_445_000_000);

fn summary(id: u32, name: &str, counts: TaskCounts) -> JobSummary {
    JobSummary { id: JobId(id), name: name.into(), counts, ..JobSummary::default() }
}

fn finished(count: u64) -> TaskCounts {
    TaskCounts { finished: count, ..TaskCounts::default() }
}

fn submit(ids: IdSet) -> SubmitDesc {
    let desc = TaskDesc {
        args: vec!["date".into(), "+%s".into()],
        env: [("HQ_X".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into(),
        request: ResourceRequest::cpus(Amount::units(1)),
        ..TaskDesc::default()
    };
    SubmitDesc { ids, descs: vec![Arc::new(desc)], submit_dir: "/base".into(), ..SubmitDesc::default() }
}

fn detail(counts: TaskCounts, submits: Vec<SubmitDesc>) -> JobDetail {
    JobDetail {
        summary: summary(3, "date", counts),
        submitted: SUBMITTED,
        completed: Some(SUBMITTED.after(Span::from_ms(1_500))),
        submits: submits.into_iter().map(Arc::new).collect(),
        server_uid: "AbCd12".into(),
        ..JobDetail::default()
    }
}

#[test]
fn a_list() {
    let jobs = [summary(7, "date", finished(1)), JobSummary { is_open: true, ..summary(12, "o", finished(0)) }];
    let expected = "\
+-----+------+----------+-------+
| ID  | Name | State    | Tasks |
+-----+------+----------+-------+
|   7 | date | FINISHED | 1     |
| *12 | o    | OPENED   | 0     |
+-----+------+----------+-------+
* = Open jobs
";
    assert_eq!(list(&jobs, 2, false, Palette::OFF), expected);
    let more = list(&jobs[..1], 3, false, Palette::OFF);
    assert!(more.ends_with("+\nThere are 3 jobs in total. Use `--all` to display all jobs.\n"), "{more}");
    let one = list(&[], 1, true, Palette::OFF);
    assert!(one.contains("| ID | Name | State | Tasks | Cancel Reason |\n"), "{one}");
    assert!(one.contains("There is 1 job in total. "), "{one}");
    assert_eq!(list_quiet(&jobs), "7 FINISHED\n12 OPENED\n");
}

#[test]
fn a_job_in_json() {
    let value = summary_json(&summary(3, "date", finished(4)));
    assert_eq!(
        super::super::json::compact(&value),
        concat!(
            r#"{"cancel_reason":null,"id":3,"is_open":false,"name":"date","tags":{},"task_count":4,"#,
            r#""task_stats":{"aborted":0,"canceled":0,"failed":0,"finished":4,"running":0,"waiting":0}}"#
        )
    );
}

#[test]
fn one_task() {
    let mut job = detail(finished(1), vec![submit(IdSet::single(0))]);
    job.workers = vec![WorkerName { id: WorkerId(1), hostname: "node1".into() }];
    let expected = "\
+----------------------+------------------------------+
| ID                   | 3                            |
| Name                 | date                         |
| State                | FINISHED                     |
| Cancel Reason        |                              |
| Session              | closed                       |
| Tasks                | 1; Ids: 0                    |
| Workers              | node1                        |
| Resources            | cpus: 1 compact              |
| Pin                  | none                         |
| Priority             | 0                            |
| Command              | date                         |
|                      | +%s                          |
| Stdout               | /base/job-3/%{TASK_ID}.stdout |
| Stderr               | /base/job-3/%{TASK_ID}.stderr |
| Environment          | B=2                          |
| Working directory    | /base                        |
| Task time limit      | None                         |
| Crash limit          | 5                            |
| Submission date      | 2030-01-02 03:04:05 UTC      |
| Submission directory | /base                        |
| Makespan             | 1s 500ms                     |
+----------------------+------------------------------+
";
    let squeezed = |text: &str| text.split([' ', '-']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&info(&job, SUBMITTED, Palette::OFF)), squeezed(expected));
}

#[test]
fn several_tasks_have_a_bar_and_failed_ones_a_table() {
    let counts = TaskCounts { finished: 2, failed: 7, waiting: 1, ..TaskCounts::default() };
    let failed = |id| TaskView {
        id: TaskId(id),
        state: TaskState::Failed,
        workers: vec![WorkerId(id)],
        error: Some(format!("Program terminated with exit code {id}.")),
        ..TaskView::default()
    };
    let workers = (1..4).map(|id| WorkerName { id: WorkerId(id), hostname: format!("n{id}") }).collect();
    let ids = IdSet { ranges: vec![IdRange::stepped(1, 9, 2), IdRange::new(20, 24)] };
    let job = JobDetail { failed: (1..8).map(failed).collect(), workers, ..detail(counts, vec![submit(ids)]) };
    let text = info(&job, SUBMITTED, Palette::OFF);
    for line in [
        "| [####################################....] |",
        "| FAILED (7) ",
        "| FINISHED (2) ",
        "| WAITING (1) ",
        "| 10; Ids: 1-9:2,20-24 ",
        "| n1,n2, … (3 total) ",
        "\n| Task ID | Worker | Error                              |\n",
        "\n| 5       | N/A    | Program terminated with exit code 5. |\n",
        "+\n7 tasks failed. (5 shown)\n",
    ] {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeeze(&text).contains(&squeeze(line)), "{line}\n{text}");
    }
    assert!(!text.contains("exit code 6"), "{text}");
}

#[test]
fn ids_of_several_submits_are_put_together() {
    let sets = [IdSet::range(20, 30), IdSet { ranges: vec![IdRange::stepped(2, 6, 2), IdRange::new(7, 7)] }];
    let job = detail(finished(15), sets.into_iter().map(submit).collect());
    assert_eq!(tasks_text(&job), "15; Ids: 2,4,6-7,20-30");
    let job = detail(finished(0), vec![submit(IdSet::default())]);
    assert_eq!(tasks_text(&job), "0");
}

#[test]
fn several_submits_have_no_rows_of_one() {
    let job = detail(finished(2), vec![submit(IdSet::single(0)), submit(IdSet::single(1))]);
    let text = info(&job, SUBMITTED, Palette::OFF);
    for label in ["Resources", "Command", "Stdout", "Working directory", "Submission directory"] {
        assert!(!text.contains(&format!("| {label} ")), "{text}");
    }
    assert!(text.contains("| Submission date "), "{text}");
}

#[test]
fn tags_are_shown_where_there_are_any() {
    let mut job = detail(finished(1), vec![submit(IdSet::single(0))]);
    assert!(!info(&job, SUBMITTED, Palette::OFF).contains("Tags"));
    assert!(!list(std::slice::from_ref(&job.summary), 1, true, Palette::OFF).contains("Tags"));
    job.summary.tags = [("project".to_owned(), "x".to_owned()), ("run".to_owned(), "7".to_owned())].into();
    let text = info(&job, SUBMITTED, Palette::OFF);
    assert!(text.contains("| Tags ") && text.contains("| project=x ") && text.contains("| run=7 "), "{text}");
    let listed = |verbose| list(std::slice::from_ref(&job.summary), 1, verbose, Palette::OFF);
    assert!(listed(true).contains("| Tags ") && listed(true).contains("| project=x "), "{}", listed(true));
    assert!(!listed(false).contains("project"));
    assert_eq!(summary_json(&job.summary)["tags"], json!({"project": "x", "run": "7"}));
}

fn value(tree: &Tree<'_>) -> Value {
    serde_json::to_value(tree).unwrap()
}

#[test]
fn details_in_json() {
    let job = detail(finished(1), vec![submit(IdSet::single(0))]);
    let task = TaskView {
        id: TaskId(0),
        state: TaskState::Finished,
        workers: vec![WorkerId(1)],
        started: Some(SUBMITTED),
        ended: Some(SUBMITTED.after(Span::from_ms(20))),
        ..TaskView::default()
    };
    let tasks = Tree::List(vec![Tree::Value(task::to_json(&job, &task))]);
    let value = self::value(&info_json(&job, tasks, SUBMITTED));
    assert_eq!(value["finished_at"], "2030-01-02T03:04:06.500Z");
    let expected = json!({"array": {
        "program": {
            "args": ["date", "+%s"], "cwd": "/base", "env": {"B": "2", "HQ_X": "1"},
            "stdout": "/base/job-3/%{TASK_ID}.stdout", "stderr": "/base/job-3/%{TASK_ID}.stderr",
        },
        "resources": [{"n_nodes": 0, "min_time": 0.0, "weight": 10000,
            "resources": [{"resource": "cpus", "request": {"Compact": 10000}}]}],
        "pin_mode": null, "priority": 0, "time_limit": null, "task_dir": false, "crash_limit": 5,
    }});
    assert_eq!(value["submits"], json!([expected]));
    let expected = json!({
        "id": 0, "state": "finished", "worker": 1, "cwd": "/base",
        "stdout": "/base/job-3/0.stdout", "stderr": "/base/job-3/0.stderr",
        "started_at": "2030-01-02T03:04:05Z", "finished_at": "2030-01-02T03:04:05.020Z",
    });
    assert_eq!(value["tasks"], json!([expected]));
    let graph = SubmitDesc { graph: true, ..submit(IdSet::single(0)) };
    let running = JobDetail { completed: None, ..detail(TaskCounts { running: 1, ..finished(0) }, vec![graph]) };
    let value = self::value(&info_json(&running, Tree::List(Vec::new()), SUBMITTED));
    assert_eq!(value["finished_at"], Value::Null);
    assert_eq!(value["submits"][0]["graph"][0]["program"]["cwd"], "%{SUBMIT_DIR}");
}
