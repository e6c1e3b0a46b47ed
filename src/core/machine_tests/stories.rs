//! Scripted tests: each is a small story about one promise.

use super::scene::*;
use crate::attempt::{Attempt, Ending, Outcome, WorkerReport};
use crate::command::{Canceled, Command, Reply, WorkerStop};
use crate::event::Event;
use crate::id::{Epoch, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::resource::{Amount, ResourceRequest};
use crate::task::{Condition, CrashLimit, Dependency, SubmitRequest, TaskDesc};
use crate::time::Time;
use crate::view::TaskCounts;
use crate::worker::LostReason;
use std::sync::Arc;

#[test]
fn an_array_runs_to_its_end() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 9), 1, 0));
    let worker = scene.connect(2);
    assert_eq!(scene.held[&worker].len(), 2);
    for _ in 0..10 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job), TaskCounts { finished: 10, ..TaskCounts::default() });
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
    assert_eq!(scene.log.iter().filter(|e| matches!(e.event, Event::JobCompleted(_))).count(), 1);
}

#[test]
fn a_billion_tasks_are_ranges() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    let worker = scene.connect(2);
    scene.end(worker, 0, Ending::Finished);
    let reply = scene.run(Command::Cancel { jobs: vec![job, JobId(77)], reason: Some("enough".into()) });
    let expected = Canceled { job, found: true, canceled: (1 << 32) - 1, already_ended: 1 };
    let unknown = Canceled { job: JobId(77), found: false, canceled: 0, already_ended: 0 };
    assert_eq!(reply, Reply::Canceled(vec![expected, unknown]));
    assert_eq!(scene.counts(job).canceled, (1 << 32) - 1);
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
}

#[test]
fn higher_priorities_go_first() {
    let mut scene = Scene::new();
    let low = scene.submit(array(IdSet::range(0, 3), 1, 0));
    let high = scene.submit(array(IdSet::range(0, 3), 1, 5));
    let worker = scene.connect(4);
    assert_eq!(scene.held[&worker].iter().filter(|(a, _)| a.task.job == high).count(), 4);
    for _ in 0..4 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(high).finished, 4);
    assert_eq!(scene.held[&worker].iter().filter(|(a, _)| a.task.job == low).count(), 4);
}

#[test]
fn dependents_follow_in_the_same_turn() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(graph(3, &[(1, 0, Condition::Ok), (2, 1, Condition::Ok)]));
    for task in 0..3 {
        assert_eq!(scene.held[&worker].iter().map(|(a, _)| a.task.task.0).collect::<Vec<_>>(), vec![task]);
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job).finished, 3);
}

#[test]
fn a_failure_aborts_what_hoped_for_success_and_frees_what_waited_for_failure() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let deps = [(1, 0, Condition::Ok), (2, 1, Condition::Ok), (3, 0, Condition::Failed), (4, 2, Condition::Any)];
    let job = scene.submit(graph(5, &deps));
    scene.end(worker, 0, Ending::Failed);
    let ids: Vec<u32> = scene.held[&worker].iter().map(|(a, _)| a.task.task.0).collect();
    assert_eq!(ids, vec![3, 4]);
    let order: Vec<u16> = scene.log.iter().map(|e| e.event.kind()).filter(|kind| [45, 47].contains(kind)).collect();
    assert_eq!(order, vec![47, 45], "consumers are aborted before the failure is recorded");
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job), TaskCounts { finished: 2, failed: 1, aborted: 2, ..TaskCounts::default() });
}

#[test]
fn a_success_aborts_what_hoped_for_failure() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(graph(2, &[(1, 0, Condition::Failed)]));
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job), TaskCounts { finished: 1, aborted: 1, ..TaskCounts::default() });
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
}

#[test]
fn dependencies_across_jobs() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let first = scene.submit(array(IdSet::range(0, 0), 1, 0));
    let mut second = graph(1, &[]);
    let mut submit = (*second.submit).clone();
    submit.deps = vec![Dependency { task: TaskId(0), on: TaskRef::new(first.0, 0), condition: Condition::Ok }];
    second.submit = Arc::new(submit.clone());
    let waiting = scene.submit(second.clone());
    assert_eq!(scene.counts(waiting).waiting, 1);
    assert_eq!(scene.held[&worker].len(), 1);
    scene.run(Command::Cancel { jobs: vec![first], reason: None });
    assert_eq!(scene.counts(waiting).aborted, 1);
    let broken = scene.submit(second);
    assert_eq!(scene.counts(broken).aborted, 1, "a dependency that is already broken aborts at once");
    submit.deps[0].on = TaskRef::new(99, 0);
    let request =
        SubmitRequest { name: "x".into(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() };
    assert!(matches!(scene.run(Command::Submit(request)), Reply::Refused(text) if text.contains("invalid dependency")));
}

#[test]
fn refusals_change_nothing() {
    let mut scene = Scene::new();
    let before = scene.machine.state().canonical_bytes();
    let cyclic = graph(2, &[(1, 0, Condition::Ok), (0, 1, Condition::Ok)]);
    let mut zero = array(IdSet::range(0, 1), 1, 0);
    let desc = |request| Arc::new(TaskDesc { args: vec!["x".to_owned()], request, ..TaskDesc::default() });
    Arc::make_mut(&mut zero.submit).descs = vec![desc(ResourceRequest::cpus(Amount::ZERO))];
    let mut named = array(IdSet::range(0, 1), 1, 0);
    named.name = "a\nb".into();
    let mut entries = array(IdSet::range(0, 1), 1, 0);
    Arc::make_mut(&mut entries.submit).entries = crate::task::Entries::pack([&b"x"[..]]);
    let cases = [
        (cyclic, "cycle"),
        (zero, "Zero resources cannot be requested"),
        (named, "newline or a tab"),
        (entries, "do not match"),
        (
            array(IdSet { ranges: vec![crate::idset::IdRange::new(0, 3), crate::idset::IdRange::new(2, 2)] }, 1, 0),
            "overlap",
        ),
    ];
    for (request, text) in cases {
        match scene.run(Command::Submit(request)) {
            Reply::Refused(reason) => assert!(reason.contains(text), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(scene.machine.state().canonical_bytes(), before);
}

#[test]
fn too_many_failures_abort_the_rest() {
    let mut scene = Scene::new();
    let worker = scene.connect(3);
    let mut request = array(IdSet::range(0, 9), 1, 0);
    request.max_fails = Some(1);
    let job = scene.submit(request);
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(scene.counts(job).failed, 1);
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(scene.counts(job), TaskCounts { failed: 2, aborted: 8, ..TaskCounts::default() });
    assert!(scene.held[&worker].is_empty(), "running tasks are killed");
}

#[test]
fn a_lost_worker_gives_its_tasks_back_until_the_crash_limit() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
    for crash in 1..=limits::CRASH_LIMIT_DEFAULT {
        let worker = scene.connect(1);
        scene.begin(worker, 0);
        assert_eq!(scene.held[&worker][0].0.fence.attempt.0, crash - 1);
        scene.run(Command::Disconnected { worker });
        assert_eq!(scene.counts(job).running, 1, "a worker may come back");
        scene.now = scene.now.after(limits::WORKER_AWAY_SPAN);
        scene.run(Command::Tick);
        scene.held.remove(&worker);
    }
    assert_eq!(scene.counts(job).failed, 1);
    let view = scene.machine.state().view_tasks(job, None, &[], TaskId(0), 10).unwrap();
    assert!(view.tasks[0].error.as_ref().unwrap().contains("occurred 5 times"));
}

#[test]
fn a_stopped_worker_is_no_crash_but_ends_what_must_not_restart() {
    // A worker says what it interrupted before it leaves, if it still can.
    for is_said in [false, true] {
        let mut scene = Scene::new();
        let mut request = array(IdSet::range(0, 0), 1, 0);
        let mut never = (*desc(1, 0)).clone();
        never.crash_limit = CrashLimit::Never;
        Arc::make_mut(&mut request.submit).descs = vec![Arc::new(never)];
        let never = scene.submit(request);
        let usual = scene.submit(array(IdSet::range(0, 0), 1, 0));
        let worker = scene.connect(2);
        scene.begin(worker, 0);
        scene.begin(worker, 1);
        let reply = scene.run(Command::StopWorkers { workers: vec![worker, WorkerId(9)] });
        let expected = vec![(worker, WorkerStop::Stopped), (WorkerId(9), WorkerStop::NotFound)];
        assert_eq!(reply, Reply::WorkersStopped(expected));
        if is_said {
            scene.end(worker, 0, Ending::Interrupted);
            scene.end(worker, 0, Ending::Interrupted);
        }
        scene.run(Command::Leaving { worker, reason: LostReason::Stopped });
        assert_eq!(scene.counts(never).failed, 1);
        let view = scene.machine.state().view_tasks(never, None, &[], TaskId(0), 10).unwrap();
        assert!(view.tasks[0].error.as_ref().unwrap().contains("never restart flag was set"));
        assert_eq!(scene.counts(usual).waiting, 1);
        let live = scene.machine.state().job(usual).unwrap().tasks.live[&TaskId(0)];
        assert_eq!((live.crashes, live.next_attempt.0), (0, 1));
    }
}

#[test]
fn a_stale_word_changes_nothing() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let other = scene.connect(1);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    let before = scene.machine.state().canonical_bytes();
    let held = scene.held[&worker][0].0;
    let outcome = |attempt| Outcome { number: 1, attempt, ended: Time(1), ..Outcome::default() };
    let stale = Attempt { fence: crate::id::Fence { epoch: Epoch(0), ..held.fence }, ..held };
    for (who, attempt) in [(worker, stale), (other, held), (WorkerId(7), held), (worker, Attempt::new(9, 9, 1, 0))] {
        let report = WorkerReport { ended: vec![outcome(attempt)], ..WorkerReport::default() };
        scene.run(Command::Report { worker: who, report });
        assert_eq!(scene.machine.state().canonical_bytes(), before);
    }
}
