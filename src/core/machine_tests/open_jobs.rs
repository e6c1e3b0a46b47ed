//! Open jobs: their numbers, what waits for what across submits, when they are completed, and what is forgotten.

use super::scene::*;
use crate::attempt::Ending;
use crate::command::{Command, JobClose, Reply};
use crate::event::{Event, Stamped};
use crate::id::{JobId, TaskId, TaskRef};
use crate::idset::{IdRange, IdSet};
use crate::state::State;
use crate::task::{Condition, SubmitDesc, SubmitRequest};
use crate::time::Span;
use crate::view::{JobState, TaskState};
use std::sync::Arc;

pub(super) fn open(scene: &mut Scene) -> JobId {
    let command = Command::Open { name: "job".into(), max_fails: None, tags: Default::default() };
    match scene.run(command) {
        Reply::Submitted(job) => job,
        other => panic!("{other:?}"),
    }
}

/// Into an open job; ids from `free` on were not typed.
pub(super) fn into(job: JobId, free: Option<u32>, request: SubmitRequest) -> SubmitRequest {
    SubmitRequest { job: Some(job), free_ids_from: free, ..request }
}

fn refusal(scene: &mut Scene, request: SubmitRequest) -> String {
    match scene.run(Command::Submit(request)) {
        Reply::Refused(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn close(scene: &mut Scene, jobs: &[u32]) -> Vec<(u32, JobClose)> {
    match scene.run(Command::Close { jobs: jobs.iter().copied().map(JobId).collect() }) {
        Reply::Closed(results) => results.into_iter().map(|(job, close)| (job.0, close)).collect(),
        other => panic!("{other:?}"),
    }
}

fn forget(scene: &mut Scene, jobs: &[u32], states: &[JobState]) -> (u64, u64) {
    match scene.run(Command::Forget { jobs: jobs.iter().copied().map(JobId).collect(), states: states.to_vec() }) {
        Reply::Forgotten(forgotten, ignored) => (forgotten, ignored),
        other => panic!("{other:?}"),
    }
}

fn ids(scene: &Scene, job: JobId) -> String {
    scene.machine.state().job(job).unwrap().tasks.ids().compressed().to_string()
}

fn state_of(scene: &Scene, job: u32, task: u32) -> Option<TaskState> {
    scene.machine.state().task_state(TaskRef::new(job, task))
}

const ALL: [JobState; 4] = [JobState::Finished, JobState::Failed, JobState::Aborted, JobState::Canceled];

#[test]
fn numbers_continue() {
    let mut scene = Scene::new();
    let job = open(&mut scene);
    let single = || array(IdSet::single(0), 1, 0);
    for _ in 0..3 {
        scene.submit(into(job, Some(0), single()));
    }
    assert_eq!(ids(&scene, job), "0-2");
    scene.submit(into(job, None, array(IdSet { ranges: vec![IdRange::stepped(10, 20, 5)] }, 1, 0)));
    scene.submit(into(job, Some(0), array(IdSet::range(0, 4), 1, 0)));
    assert_eq!(ids(&scene, job), "0-2,10,15,20-25");
    // What nobody typed goes behind what somebody did, here and there.
    let typed_too = IdSet { ranges: vec![IdRange::new(5, 5), IdRange::new(6, 8)] };
    scene.submit(into(job, Some(6), array(typed_too, 1, 0)));
    scene.submit(into(job, Some(101), array(IdSet::range(100, 102), 1, 0)));
    assert_eq!(ids(&scene, job), "0-2,5,10,15,20-28,100-102");
    assert_eq!(scene.machine.state().job(job).unwrap().submits.len(), 7);
    let last = array(IdSet::range(u32::MAX - 1, u32::MAX), 1, 0);
    scene.submit(into(job, None, last));
    assert!(refusal(&mut scene, into(job, Some(0), single())).contains("no task id is left"));
}

#[test]
fn refusals_in_order() {
    let mut scene = Scene::new();
    assert_eq!(refusal(&mut scene, into(JobId(7), None, array(IdSet::single(0), 1, 0))), "Job 7 not found.");
    let closed = scene.submit(array(IdSet::range(3, 6), 1, 0));
    assert_eq!(
        refusal(&mut scene, into(closed, None, array(IdSet::range(5, 9), 1, 0))),
        "Task 5 already exists in job 1."
    );
    assert_eq!(refusal(&mut scene, into(closed, None, array(IdSet::range(7, 9), 1, 0))), "Job 1 is not opened.");
    let job = open(&mut scene);
    scene.submit(into(job, None, array(IdSet { ranges: vec![IdRange::stepped(0, 90, 9)] }, 1, 0)));
    let other = IdSet { ranges: vec![IdRange::stepped(1, 4_000_000_001, 5)] };
    assert_eq!(refusal(&mut scene, into(job, None, array(other, 1, 0))), "Task 36 already exists in job 2.");
    assert_eq!(scene.counts(job).total(), 11);
}

#[test]
fn a_job_is_completed_when_it_is_closed() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = open(&mut scene);
    assert_eq!(scene.counts(job).job_state(true), JobState::Opened);
    scene.submit(into(job, Some(0), array(IdSet::single(0), 1, 0)));
    scene.end(worker, 0, Ending::Finished);
    let completed = |scene: &Scene| scene.machine.state().job(job).unwrap().completed;
    assert_eq!(completed(&scene), None);
    scene.now = scene.now.after(Span::from_secs(60));
    assert_eq!(close(&mut scene, &[9, 1, 1]), [(1, JobClose::Closed), (9, JobClose::NotFound)]);
    assert_eq!(completed(&scene), Some(scene.now));
    assert_eq!(close(&mut scene, &[1]), [(1, JobClose::AlreadyClosed)]);
    // With tasks that have not ended it is completed by the last of them.
    let job = open(&mut scene);
    scene.submit(into(job, Some(0), array(IdSet::range(0, 1), 1, 0)));
    close(&mut scene, &[job.0]);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.machine.state().job(job).unwrap().completed, None);
    scene.end(worker, 0, Ending::Finished);
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
    let completions = scene.log.iter().filter(|stamped| matches!(stamped.event, Event::JobCompleted(_))).count();
    assert_eq!(completions, 2);
}

#[test]
fn cancelling_leaves_a_job_open() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = open(&mut scene);
    scene.submit(into(job, Some(0), array(IdSet::range(0, 9), 1, 0)));
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    assert_eq!(scene.counts(job).canceled, 10);
    scene.submit(into(job, Some(0), array(IdSet::single(0), 1, 0)));
    scene.end(worker, 0, Ending::Finished);
    assert_eq!((scene.counts(job).finished, scene.counts(job).canceled), (1, 10));
    let is_idle = |stamped: &&Stamped| matches!(stamped.event, Event::JobIdle(_));
    assert_eq!(scene.log.iter().filter(is_idle).count(), 2);
    // A start of the server is no end of a task.
    scene.restart();
    assert_eq!(scene.log.iter().filter(is_idle).count(), 2);
    assert!(scene.machine.state().job(job).unwrap().completed.is_none());
}

/// A graph whose tasks wait for tasks with other numbers.
fn waiting(tasks: IdSet, deps: &[(u32, u32)]) -> SubmitRequest {
    let graph = graph(1, &deps.iter().map(|(task, on)| (*task, *on, Condition::Ok)).collect::<Vec<_>>());
    let count = tasks.len() as usize;
    let submit = SubmitDesc { ids: tasks, desc_of: vec![0; count], ..(*graph.submit).clone() };
    SubmitRequest { submit: Arc::new(submit), ..graph }
}

#[test]
fn tasks_wait_for_tasks_of_earlier_submits() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = open(&mut scene);
    scene.submit(into(job, Some(1), waiting(IdSet::range(1, 2), &[(2, 1)])));
    // Its own numbers 1 and 2 become 3 and 4; 2 is its own second task, which waits for its first.
    scene.submit(into(job, Some(1), waiting(IdSet::range(1, 2), &[(2, 1)])));
    assert_eq!(ids(&scene, job), "1-4");
    // A typed number beyond them leaves the earlier ones to be named.
    scene.submit(into(job, Some(11), waiting(IdSet::range(10, 11), &[(10, 2), (11, 4), (11, 10)])));
    let order: Vec<u32> = std::iter::from_fn(|| {
        let next = scene.held[&worker].first()?.0.task.task.0;
        scene.end(worker, 0, Ending::Finished);
        Some(next)
    })
    .collect();
    let at = |task: u32| order.iter().position(|other| *other == task).unwrap();
    assert_eq!(order.len(), 6, "{order:?}");
    for (task, on) in [(2, 1), (4, 3), (10, 2), (11, 4), (11, 10)] {
        assert!(at(on) < at(task), "{order:?}");
    }
    let missing = refusal(&mut scene, into(job, None, waiting(IdSet::single(20), &[(20, 19)])));
    assert_eq!(missing, "invalid dependency: task 19 is part of neither the submit nor job 1");
    // On a finished task nothing waits; on a failed one nothing ever runs.
    scene.submit(into(job, None, waiting(IdSet::single(30), &[(30, 11)])));
    scene.end(worker, 0, Ending::Failed);
    scene.submit(into(job, None, waiting(IdSet::range(40, 41), &[(40, 30), (41, 40)])));
    assert_eq!([40, 41].map(|task| state_of(&scene, 1, task)), [Some(TaskState::Aborted); 2]);
    assert_eq!(scene.counts(job).unfinished(), 0);
}

#[test]
fn what_is_forgotten_does_not_come_back() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let finished = scene.submit(array(IdSet::single(0), 1, 0));
    scene.end(worker, 0, Ending::Finished);
    let failed = scene.submit(array(IdSet::single(0), 1, 0));
    scene.end(worker, 0, Ending::Failed);
    let waits = scene.submit(array(IdSet::single(0), 64, 0));
    let idle = open(&mut scene);
    assert_eq!(forget(&mut scene, &[1, 2, 3, 4, 99], &[JobState::Failed]), (1, 4));
    assert!(scene.machine.state().job(failed).is_none());
    assert_eq!(forget(&mut scene, &[1, 2, 3, 4, 4], &ALL), (1, 3));
    scene.restart();
    let known: Vec<JobId> = scene.machine.state().jobs.keys().copied().collect();
    assert_eq!(known, [waits, idle]);
    assert_eq!(State::from_image(scene.machine.state().image()).jobs.len(), 2);
    // The number of a forgotten job is never given again, also not when it was the last one.
    close(&mut scene, &[idle.0]);
    assert_eq!(forget(&mut scene, &[idle.0], &ALL), (1, 0));
    scene.restart();
    assert_eq!(scene.machine.state().last_job, idle);
    assert_eq!(scene.submit(array(IdSet::single(0), 1, 0)), JobId(idle.0 + 1));
    assert_eq!(refusal(&mut scene, into(finished, None, array(IdSet::single(0), 1, 0))), "Job 1 not found.");
    let on = TaskRef { job: finished, task: TaskId(0) };
    assert_eq!(scene.machine.state().task_state(on), None);
}

#[test]
fn limits_are_named() {
    let mut scene = Scene::new();
    let long = "x".repeat(65);
    let command = |key: &str, value: &str| Command::Open {
        name: "job".into(),
        max_fails: None,
        tags: [(key.to_owned(), value.to_owned())].into(),
    };
    for (key, value) in [("", "x"), ("a=b", "x"), ("a", "x\ny"), (long.as_str(), "x"), ("a", &long.repeat(4))] {
        let reply = scene.run(command(key, value));
        assert!(matches!(reply, Reply::Refused(_)), "{key} {value} {reply:?}");
    }
    let tags = (0..65).map(|number| (number.to_string(), String::new())).collect();
    let reply = scene.run(Command::Open { name: "job".into(), max_fails: None, tags });
    assert_eq!(reply, Reply::Refused("65 tags of one job are too many; at most 64 are allowed".to_owned()));
    assert_eq!(scene.machine.state().jobs.len(), 0);
}

/// Ten thousand submits into one job: what one of them costs must not depend on how many there were. The work is
/// counted by what the structures answer, not by a clock: numbers, lookups and cancelling over all submits.
#[test]
fn many_submits_are_one_job() {
    let mut scene = Scene::new();
    let job = open(&mut scene);
    for _ in 0..10_000 {
        scene.submit_quietly(into(job, Some(0), array(IdSet::single(0), 1, 0)));
    }
    let state = scene.machine.state();
    let found = state.job(job).unwrap();
    assert_eq!((found.tasks.max_id(), found.submits.len()), (Some(9_999), 10_000));
    assert_eq!(state.ready.levels().map(|level| state.ready.runs(level).count()).sum::<usize>(), 1);
    assert_eq!(found.tasks.submit_of(found.tasks.ordinal(TaskId(7_000)).unwrap()), Some(7_000));
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    let canceled = scene.log.iter().find_map(|stamped| match &stamped.event {
        Event::TasksCanceled(ended) => Some(ended.tasks.clone()),
        _ => None,
    });
    assert_eq!(canceled, Some(IdSet::range(0, 9_999)));
    assert_eq!(scene.counts(job).canceled, 10_000);
}
