//! Events as lines of JSON, against the lines that programs read.

use super::*;
use hq_core::event::{JobChanged, JobOpened, ServerStarted, TasksAssigned, WorkerConnected, WorkerLost};
use hq_core::id::{AttemptId, TaskId, WorkerId};
use hq_core::idset::IdRange;
use hq_core::resource::{Amount, Pool};
use hq_core::task::TaskDesc;
use std::sync::Arc;

/// 2026-01-02T03:04:05.678901Z
const AT: Time = Time(1_767_323_045_678_901);

fn printed(event: &Event, all: bool) -> Vec<String> {
    let mut out = Vec::new();
    let done: Result<(), ()> = lines(AT, event, Wanted { is_live: false, all }, &mut |line| {
        out.push(line.value.to_string());
        Ok(())
    });
    assert_eq!(done, Ok(()));
    out
}

#[test]
fn one_line_each() {
    let started = ServerStarted { server_uid: "AbCd12".into(), ..ServerStarted::default() };
    assert_eq!(
        printed(&Event::ServerStarted(started), false),
        [r#"{"event":{"server_uid":"AbCd12","type":"server-start"},"time":"2026-01-02T03:04:05.678Z"}"#]
    );
    let lost = WorkerLost { worker: WorkerId(3), reason: LostReason::HeartbeatLost };
    assert_eq!(
        printed(&Event::WorkerLost(lost), false),
        [r#"{"event":{"id":3,"reason":"HeartbeatLost","type":"worker-lost"},"time":"2026-01-02T03:04:05.678Z"}"#]
    );
    assert_eq!(
        printed(&Event::JobCompleted(JobChanged { job: JobId(2) }), false),
        [r#"{"event":{"job":2,"type":"job-completed"},"time":"2026-01-02T03:04:05.678Z"}"#]
    );
}

#[test]
fn open_jobs() {
    let body = |event: &Event, all| -> Vec<Value> {
        printed(event, all).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
    };
    let tags: BTreeMap<String, String> = [("a".to_owned(), "b".to_owned())].into();
    let opened = JobOpened { job: JobId(4), name: "job".into(), max_fails: None, tags: BTreeMap::new() };
    let expected = json!({"job_id": 4, "name": "job", "max_fails": null, "type": "job-open"});
    assert_eq!(body(&Event::JobOpened(opened.clone()), false), [expected]);
    let tagged = JobOpened { tags, ..opened };
    assert_eq!(body(&Event::JobOpened(tagged), false)[0]["tags"], json!({"a": "b"}));
    let changed = JobChanged { job: JobId(4) };
    assert_eq!(body(&Event::JobClosed(changed.clone()), false), [json!({"job_id": 4, "type": "job-close"})]);
    assert!(body(&Event::JobForgotten(changed.clone()), false).is_empty());
    assert_eq!(body(&Event::JobForgotten(changed), true), [json!({"job_id": 4, "type": "job-forgotten"})]);
    let submitted = JobSubmitted { job: JobId(4), attached: true, name: "date".into(), ..JobSubmitted::default() };
    let value = &body(&Event::JobSubmitted(submitted), false)[0];
    assert_eq!(
        (&value["closed_job"], &value["job_desc"]),
        (&json!(false), &json!({"name": "date", "max_fails": null}))
    );
}

#[test]
fn a_multi_node_task_starts_on_several_workers() {
    let nodes = vec![WorkerId(3), WorkerId(4)];
    let started =
        TasksStarted { job: JobId(1), worker: WorkerId(3), tasks: vec![TaskId(0)], nodes, ..TasksStarted::default() };
    assert_eq!(
        printed(&Event::TasksStarted(started), false),
        [concat!(
            r#"{"event":{"instance":0,"job":1,"task":0,"type":"task-started","workers":[3,4]},"#,
            r#""time":"2026-01-02T03:04:05.678Z"}"#
        )]
    );
}

#[test]
fn a_batch_of_starts_is_one_line_a_task_with_its_own_time() {
    let started = TasksStarted {
        job: JobId(1),
        worker: WorkerId(2),
        tasks: vec![TaskId(5), TaskId(6)],
        attempts: vec![AttemptId(0), AttemptId(4)],
        ago_us: vec![678_901, 1],
        variant: 1,
        ..TasksStarted::default()
    };
    assert_eq!(
        printed(&Event::TasksStarted(started), false),
        [
            concat!(
                r#"{"event":{"instance":0,"job":1,"task":5,"type":"task-started","variant":1,"worker":2},"#,
                r#""time":"2026-01-02T03:04:05Z"}"#
            ),
            concat!(
                r#"{"event":{"instance":4,"job":1,"task":6,"type":"task-started","variant":1,"worker":2},"#,
                r#""time":"2026-01-02T03:04:05.678Z"}"#
            ),
        ]
    );
    let finished = TasksFinished {
        job: JobId(1),
        worker: WorkerId(2),
        tasks: vec![TaskId(5)],
        ago_us: vec![],
        ..TasksFinished::default()
    };
    assert_eq!(
        printed(&Event::TasksFinished(finished), false),
        [r#"{"event":{"job":1,"task":5,"type":"task-finished"},"time":"2026-01-02T03:04:05.678Z"}"#]
    );
}

#[test]
fn canceled_tasks_come_in_pieces() {
    let ended = TasksEnded { job: JobId(1), tasks: IdSet::range(0, 25_000), ..TasksEnded::default() };
    let lines = printed(&Event::TasksCanceled(ended), false);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(r#"{"event":{"tasks":[{"job_id":1,"job_task_id":0},{"#), "{}", lines[0]);
    let refs: usize = lines.iter().map(|line| line.matches("job_task_id").count()).sum();
    assert_eq!(refs, 25_001);
}

#[test]
fn a_created_job() {
    let desc = TaskDesc { request: ResourceRequest::cpus(Amount::units(1)), ..TaskDesc::default() };
    let submit = SubmitDesc {
        ids: IdSet { ranges: vec![IdRange::stepped(1, 5, 2)] },
        descs: vec![Arc::new(TaskDesc { time_limit: Some(Span::from_ms(1_500)), ..desc })],
        submit_dir: "/base".into(),
        ..SubmitDesc::default()
    };
    let created = JobSubmitted {
        job: JobId(7),
        name: "date".into(),
        max_fails: None,
        submit: Arc::new(submit),
        ..JobSubmitted::default()
    };
    let mut lines = printed(&Event::JobSubmitted(created), false);
    let mut line: serde_json::Value = serde_json::from_str(&lines.remove(0)).unwrap();
    // What the task is comes beside the keys that tools know.
    let description = line["event"]["submit_desc"].as_object_mut().and_then(|submit| submit.remove("description"));
    assert_eq!(description.unwrap()["time_limit"], 1.5);
    assert_eq!(
        crate::client::render::json::compact(&line),
        concat!(
            r#"{"event":{"closed_job":true,"job":7,"job_desc":{"max_fails":null,"name":"date"},"submit_desc":{"#,
            r#""stream_path":null,"submit_dir":"/base","task_desc":{"crash_limit":{"MaxCrashes":5},"#,
            r#""ids":{"ranges":[{"count":5,"start":1,"step":2}]},"priority":0,"#,
            r#""resources":{"variants":[{"min_time":{"nanos":0,"secs":0},"n_nodes":0,"#,
            r#""resources":[{"policy":{"Compact":10000},"resource":"cpus"}],"weight":10000}]},"#,
            r#""time_limit":{"nanos":500000000,"secs":1}}},"type":"job-created"},"time":"2026-01-02T03:04:05.678Z"}"#
        )
    );
}

#[test]
fn a_connected_worker() {
    let pools = vec![
        Pool { name: "cpus".into(), kind: PoolKind::range(0, 3) },
        Pool { name: "mem".into(), kind: PoolKind::Sum(Amount(5_000)) },
    ];
    let config = WorkerConfig {
        resources: WorkerResources { pools, ..Default::default() },
        hostname: "node1".into(),
        group: "default".into(),
        heartbeat: Span::from_secs(8),
        ..WorkerConfig::default()
    };
    let connected = WorkerConnected { worker: WorkerId(1), token: "secret".into(), config: Box::new(config) };
    let lines = printed(&Event::WorkerConnected(connected), false);
    let value: Value = serde_json::from_str(&lines[0]).unwrap();
    let configuration = &value["event"]["configuration"];
    assert_eq!(configuration["resources"]["resources"][0]["kind"], json!({"Range": {"start": 0, "end": 3}}));
    assert_eq!(configuration["resources"]["resources"][1]["kind"], json!({"Sum": {"size": 5000}}));
    assert_eq!(configuration["heartbeat_interval"], json!({"secs": 8, "nanos": 0}));
    assert_eq!(configuration["on_server_lost"], "Stop");
    assert!(!lines[0].contains("secret"));
    let mut keys: Vec<&str> = configuration.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys.len(), 13, "{keys:?}");
}

#[test]
fn events_without_a_counterpart_come_only_when_asked_for() {
    let assigned =
        Event::TasksAssigned(TasksAssigned { job: JobId(1), tasks: IdSet::range(0, 9), ..TasksAssigned::default() });
    assert!(printed(&assigned, false).is_empty());
    assert_eq!(printed(&assigned, true).len(), 1);
    assert!(printed(&assigned, true)[0].contains(r#""type":"tasks-assigned""#));
}

#[test]
fn every_type_is_listed() {
    let mut types: Vec<String> = Vec::new();
    let empty_map = [0xa0];
    let by_default = (0..=255).filter_map(|kind| Event::decode_body(kind, &empty_map).ok());
    let tasks = IdSet::single(1);
    let one = TasksEnded { job: JobId(1), tasks, reason: String::new() };
    let batches = [
        Event::TasksStarted(TasksStarted { tasks: vec![TaskId(1)], ..TasksStarted::default() }),
        Event::TasksFinished(TasksFinished { tasks: vec![TaskId(1)], ..TasksFinished::default() }),
        Event::TasksCanceled(one.clone()),
        Event::TasksAborted(one),
        Event::JobSubmitted(JobSubmitted {
            submit: Arc::new(SubmitDesc { graph: true, ids: IdSet::single(1), ..SubmitDesc::default() }),
            ..JobSubmitted::default()
        }),
    ];
    for event in by_default.chain(batches) {
        for line in printed(&event, true) {
            let line: Value = serde_json::from_str(&line).unwrap();
            types.push(line["event"]["type"].as_str().unwrap().to_owned());
        }
    }
    types.sort_unstable();
    types.dedup();
    assert_eq!(types, TYPES);
}

#[test]
fn what_is_told_to_listeners_is_news_only() {
    let idle = Event::JobIdle(JobChanged { job: JobId(3) });
    let notice =
        Event::TaskNotified(TaskNotified { job: JobId(3), message: b"x".to_vec().into(), ..Default::default() });
    for (event, kind) in [(idle, "job-idle"), (notice, "task-notify")] {
        assert!(printed(&event, false).is_empty());
        assert_eq!(printed(&event, true).len(), 1);
        let mut seen = Vec::new();
        let wanted = Wanted { is_live: true, all: false };
        let done: Result<(), ()> = lines(AT, &event, wanted, &mut |line| {
            seen.push(line.value["event"]["type"].clone());
            Ok(())
        });
        assert_eq!((done, seen), (Ok(()), vec![json!(kind)]));
    }
}

#[test]
fn times_never_decrease() {
    let line = |at| envelope(at, "task-finished", json!({"job": 1, "task": 2}));
    let mut clock = Time(0);
    let mut told = |at| line(at).in_order(&mut clock);
    assert_eq!(told(AT), line(AT).value);
    let own = told(Time(AT.0 - 900_000));
    assert_eq!(own, line(AT).value, "a little late");
    let late = Time(AT.0 - 60_000_000);
    let own = told(late);
    assert_eq!((&own["time"], &own["event"]["happened"]), (&line(AT).value["time"], &line(late).value["time"]));
    let after = Time(AT.0 + 5_000);
    assert_eq!(told(after), line(after).value);
}
