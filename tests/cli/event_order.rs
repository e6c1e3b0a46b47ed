//! The order of events, as `journal export`, `replay` and `stream` tell them: what consumers build on.
//!
//! [`check`] takes any sequence of lines; the session below brings about everything that has an order.
//!
//! Holds: one sentence of the promise is one error of the check.

use crate::harness::Cluster;
use crate::journal_stream::{Listener, exported};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a task.
#[derive(Default)]
struct Task {
    instance: Option<u64>,
    workers: Vec<u64>,
    is_final: bool,
}

/// What is known of a sequence.
#[derive(Default)]
struct Told {
    time: String,
    jobs: BTreeSet<u64>,
    completed: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    tasks: BTreeMap<(u64, u64), Task>,
}

/// A moment that sorts as text: whole seconds have no fraction.
pub(crate) fn sortable(time: &str) -> String {
    if time.contains('.') { time.to_owned() } else { time.replace('Z', ".000Z") }
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or_else(|| panic!("no {key} in {event}"))
}

/// Whether the lines keep the order that consumers rely on, without repetitions that a user asked for.
pub(crate) fn check(lines: &[Value]) -> Result<(), String> {
    let mut told = Told::default();
    for line in lines {
        told.line(line).map_err(|why| format!("{why}: {line}"))?;
    }
    Ok(())
}

impl Told {
    fn line(&mut self, line: &Value) -> Result<(), String> {
        let (time, event) = (sortable(line["time"].as_str().unwrap_or_default()), &line["event"]);
        if time < self.time {
            return Err(format!("it is told after something of {}", self.time));
        }
        self.time = time;
        match event["type"].as_str().unwrap_or_default() {
            "job-open" => self.made(number(event, "job_id"), true),
            "job-created" => self.made(number(event, "job"), event["closed_job"] == true),
            "job-completed" => {
                let job = number(event, "job");
                self.of_job(job)?;
                self.completed.insert(job);
                Ok(())
            }
            "job-close" | "job-cancel" | "job-idle" => self.of_job(number(event, "job_id")),
            "worker-lost" => {
                self.lost.insert(number(event, "id"));
                Ok(())
            }
            "task-started" => self.started(event),
            "task-finished" => self.ended((number(event, "job"), number(event, "task")), true),
            "task-failed" => {
                let task = (number(event, "job"), number(event, "task"));
                let workers = self.tasks.get(&task).map(|known| known.workers.clone()).unwrap_or_default();
                if event["cause"] == "node" && !workers.iter().any(|worker| self.lost.contains(worker)) {
                    return Err("the loss of its worker was not told before".to_owned());
                }
                self.ended(task, false)
            }
            "task-canceled" | "task-aborted" => event["tasks"]
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|task| self.ended((number(task, "job_id"), number(task, "job_task_id")), false)),
            _ => Ok(()),
        }
    }

    /// A job is made; only an open one is made twice, by what is added.
    fn made(&mut self, job: u64, is_new: bool) -> Result<(), String> {
        if self.jobs.insert(job) != is_new {
            return Err("its job is made twice, or not yet".to_owned());
        }
        self.of_job(job)
    }

    fn of_job(&self, job: u64) -> Result<(), String> {
        match (self.jobs.contains(&job), self.completed.contains(&job)) {
            (true, false) => Ok(()),
            (false, _) => Err("its job was not made before".to_owned()),
            (true, true) => Err("its job was completed before".to_owned()),
        }
    }

    fn started(&mut self, event: &Value) -> Result<(), String> {
        self.of_job(number(event, "job"))?;
        let task = self.tasks.entry((number(event, "job"), number(event, "task"))).or_default();
        let instance = number(event, "instance");
        if task.is_final {
            return Err("it had ended".to_owned());
        }
        if task.instance.is_some_and(|before| before >= instance) {
            return Err("its instance is not larger than the one before".to_owned());
        }
        if task.instance.is_some() && !task.workers.iter().any(|worker| self.lost.contains(worker)) {
            return Err("it ran already, and its worker is not lost".to_owned());
        }
        task.instance = Some(instance);
        task.workers = match event["workers"].as_array() {
            Some(workers) => workers.iter().filter_map(Value::as_u64).collect(),
            None => vec![number(event, "worker")],
        };
        Ok(())
    }

    fn ended(&mut self, id: (u64, u64), has_run: bool) -> Result<(), String> {
        self.of_job(id.0)?;
        let task = self.tasks.entry(id).or_default();
        if task.is_final {
            return Err("it had ended".to_owned());
        }
        if has_run && task.instance.is_none() {
            return Err("it had not started".to_owned());
        }
        task.is_final = true;
        Ok(())
    }
}

/// The types of the events of a job, in their order.
fn of_job(lines: &[Value], job: u64) -> Vec<&str> {
    let is_of = |event: &&Value| {
        let id = event.get("job_id").or_else(|| event.get("job")).or_else(|| event["tasks"][0].get("job_id"));
        id.and_then(Value::as_u64) == Some(job)
    };
    lines.iter().map(|line| &line["event"]).filter(is_of).map(|event| event["type"].as_str().unwrap()).collect()
}

/// Brings about everything that has an order, with two workers; gives nothing before all is over.
fn session(cluster: &mut Cluster) {
    // 1: a failure with consumers.
    let graph = "[[task]]\nid = 1\ncommand = [\"false\"]\n[[task]]\nid = 2\ncommand = [\"true\"]\ndeps = [1]\n\
                 [[task]]\nid = 3\ncommand = [\"true\"]\ndeps = [2]\n";
    cluster.write("graph.toml", graph);
    cluster.hq(&["job", "submit-file", "graph.toml"]).ok();
    cluster.wait_job(1, "FAILED");
    // 2: more failures than are wanted.
    cluster.hq(&["submit", "--array=1-300", "--max-fails=0", "--cpus=2", "--", "false"]).ok();
    cluster.wait_job(2, "FAILED");
    // 3: a user cancels; a second time there is nothing to cancel.
    cluster.hq(&["submit", "--array=1-10", "--cpus=2", "--", "sleep", "1000"]).ok();
    cluster.wait_job(3, "RUNNING");
    cluster.hq(&["job", "cancel", "3", "--reason=enough"]).ok();
    cluster.wait_job(3, "CANCELED");
    cluster.hq(&["job", "cancel", "3"]).ok();
    // 4: an open job that has nothing left, and again, then is cancelled and closed.
    cluster.hq(&["job", "open"]).ok();
    cluster.hq(&["submit", "--job=4", "--", "true"]).ok();
    cluster.hq(&["job", "wait", "4", "--without-close"]).ok();
    cluster.hq(&["submit", "--job=4", "--cpus=64", "--", "true"]).ok();
    cluster.hq(&["job", "cancel", "4"]).ok();
    cluster.hq(&["job", "close", "4"]).ok();
    // 5 and 6: their workers are killed; one may not run again.
    let doomed = cluster.start_worker(8);
    cluster.hq(&["submit", "--cpus=8", "--crash-limit=1", "--", "sleep", "1000"]).ok();
    cluster.wait_job(5, "RUNNING");
    cluster.kill_worker(doomed);
    cluster.wait_job(5, "FAILED");
    let doomed = cluster.start_worker(8);
    let script = "test $HQ_INSTANCE_ID = 1 || sleep 1000";
    cluster.hq(&["submit", "--cpus=8", "--", "sh", "-c", script]).ok();
    cluster.wait_job(6, "RUNNING");
    cluster.kill_worker(doomed);
    cluster.start_worker(8);
    cluster.wait_job(6, "FINISHED");
}

#[test]
fn events_keep_their_order() {
    let mut cluster = Cluster::start_with(&["--journal=journal"]);
    cluster.start_worker(2);
    let mut listener = Listener::start(&cluster, &[]);
    session(&mut cluster);
    let all = exported(&cluster, &["journal", "export", "journal"]);
    check(&all).unwrap_or_else(|why| panic!("{why}"));
    cluster.hq(&["server", "stop"]).ok();
    let live: Vec<Value> = std::iter::from_fn(|| listener.next()).collect();
    listener.child.wait().unwrap();
    check(&live).unwrap_or_else(|why| panic!("{why}"));
    assert!(cluster.server_ends().success());

    assert_eq!(of_job(&all, 1), ["job-created", "task-started", "task-aborted", "task-failed", "job-completed"]);
    let failed = of_job(&all, 2);
    let at = |kind: &str| failed.iter().position(|found| *found == kind).unwrap();
    assert!(at("task-failed") < at("task-aborted"), "{failed:?}");
    assert_eq!(failed.last(), Some(&"job-completed"));
    let canceled = of_job(&all, 3);
    assert_eq!(canceled.iter().filter(|kind| **kind == "job-cancel").count(), 1);
    let end: Vec<&str> = canceled.into_iter().skip_while(|kind| *kind != "job-cancel").collect();
    assert_eq!(end, ["job-cancel", "task-canceled", "job-completed"]);
    // Of an open job a listener hears that nothing is left, twice.
    let open = ["job-open", "job-created", "task-started", "task-finished", "job-idle", "job-created", "job-cancel"];
    let open: Vec<&str> = open.into_iter().chain(["task-canceled", "job-idle", "job-close", "job-completed"]).collect();
    assert_eq!(of_job(&live, 4), open);
    assert!(!of_job(&all, 4).contains(&"job-idle"));
    assert_eq!(of_job(&all, 5), ["job-created", "task-started", "task-failed", "job-completed"]);
    let twice = ["job-created", "task-started", "task-started", "task-finished", "job-completed"];
    assert_eq!(of_job(&all, 6), twice);
}

#[test]
fn the_check_finds_what_is_wrong() {
    let line = |second: u32, event: &str| -> Value {
        serde_json::from_str(&format!(r#"{{"time": "2026-01-01T00:00:{second:02}Z", "event": {event}}}"#)).unwrap()
    };
    let made = r#"{"type": "job-created", "job": 1, "closed_job": true}"#;
    let started = |instance: u32| {
        format!(r#"{{"type": "task-started", "job": 1, "task": 0, "instance": {instance}, "worker": 1}}"#)
    };
    let finished = r#"{"type": "task-finished", "job": 1, "task": 0}"#;
    let by_node = r#"{"type": "task-failed", "job": 1, "task": 0, "cause": "node"}"#;
    let lost = r#"{"type": "worker-lost", "id": 1}"#;
    let completed = r#"{"type": "job-completed", "job": 1}"#;
    let (zero, one) = (started(0), started(1));
    let verdict = |events: &[&str]| check(&events.iter().map(|event| line(1, event)).collect::<Vec<_>>());
    assert_eq!(verdict(&[made, &zero, lost, &one, finished, completed]), Ok(()));
    assert_eq!(verdict(&[made, &zero, lost, by_node, completed]), Ok(()));
    for wrong in [
        &[zero.as_str(), made][..],
        &[made, finished],
        &[made, &zero, finished, finished],
        &[made, &zero, &one],
        &[made, &one, lost, &zero],
        &[made, &zero, by_node, lost],
        &[made, completed, &zero],
        &[made, made],
    ] {
        assert!(verdict(wrong).is_err(), "{wrong:?}");
    }
    assert!(check(&[line(2, lost), line(1, made)]).is_err());
}

#[test]
fn what_is_rebuilt_from_memory_keeps_it_too() {
    let mut cluster = Cluster::start_with(&["--no-journal"]);
    cluster.start_worker(2);
    session(&mut cluster);
    // Causes are not known, nor where what failed with its worker had run.
    let past = exported(&cluster, &["journal", "replay"]);
    check(&past).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(of_job(&past, 6).last(), Some(&"job-completed"));
}
