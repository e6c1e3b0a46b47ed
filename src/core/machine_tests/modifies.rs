//! New values for tasks that have not started: what waits takes them, what runs keeps the old ones, and resources are
//! given back as they were taken.

use super::scene::*;
use crate::act::{Acted, Action, ReleaseAction, TaskChange};
use crate::attempt::Ending;
use crate::command::{Command, Reply};
use crate::id::{JobId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::resource::{Amount, ResourceRequest};
use crate::state::State;
use crate::task::{CrashLimit, SubmitRequest, TaskDesc};
use crate::time::Span;
use crate::view::TaskState;
use std::sync::Arc;

/// A change of some values.
pub(super) fn modification(priority: Option<i32>, cpus: Option<u32>, max_fails: Option<u32>) -> TaskChange {
    let request = cpus.map(|cpus| ResourceRequest::cpus(Amount::units(cpus)));
    TaskChange { priority, request, max_fails, ..TaskChange::default() }
}

fn act(scene: &mut Scene, job: JobId, tasks: Option<IdSet>, change: TaskChange) -> Acted {
    match scene.run(Command::Act { jobs: vec![job], tasks, action: Action::Modify(change), restored: vec![] }) {
        Reply::Acted(acted) => acted.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn touched(scene: &mut Scene, job: JobId, tasks: Option<IdSet>, change: TaskChange) -> u64 {
    let acted = act(scene, job, tasks, change);
    assert!(acted.refused.is_empty(), "{acted:?}");
    acted.touched
}

fn values(scene: &Scene, job: JobId, task: u32) -> Arc<TaskDesc> {
    let job = scene.machine.state().job(job).unwrap();
    job.desc_of(job.tasks.ordinal(task.into()).unwrap()).unwrap()
}

fn held(scene: &Scene, worker: WorkerId) -> Vec<u32> {
    scene.held[&worker].iter().map(|(attempt, _)| attempt.task.task.0).collect()
}

fn is_same_after_replay(scene: &Scene) {
    let live = scene.machine.state().canonical_bytes();
    assert!(scene.replayed().canonical_bytes() == live);
    assert!(State::from_image(scene.replayed().image()).canonical_bytes() == live);
}

#[test]
fn waiting_tasks_take_other_values() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 9), 8, 0));
    let worker = scene.connect(4);
    assert!(scene.held.get(&worker).is_none_or(Vec::is_empty));
    let smaller = modification(None, Some(2), None);
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(4, 5)), smaller.clone()), 2);
    assert_eq!(held(&scene, worker), [4, 5]);
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(4, 5)), smaller), 0);
    is_same_after_replay(&scene);
    let more = TaskChange { time_limit: Some(Span::from_secs(7)), ..modification(Some(3), None, None) };
    assert_eq!(touched(&mut scene, job, None, more.clone()), 10);
    assert_eq!(touched(&mut scene, job, None, more), 0);
    let (both, one) = (values(&scene, job, 4), values(&scene, job, 0));
    assert_eq!((both.priority, both.request.clone()), (3, ResourceRequest::cpus(Amount::units(2))));
    assert_eq!((one.priority, one.request.clone()), (3, ResourceRequest::cpus(Amount::units(8))));
    assert_eq!(one.time_limit, Some(Span::from_secs(7)));
    let unlimited = TaskChange { time_limit: Some(Span(0)), ..TaskChange::default() };
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(0)), unlimited), 1);
    assert_eq!(values(&scene, job, 0).time_limit, None);
    is_same_after_replay(&scene);
}

#[test]
fn what_lies_on_a_worker_takes_them_when_it_comes_back() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(array(IdSet::range(0, 3), 2, 0));
    assert_eq!(held(&scene, worker), [0, 1]);
    scene.begin(worker, 0);
    assert_eq!(touched(&mut scene, job, None, modification(None, Some(1), None)), 3);
    // Task 1 starts before the question reaches the worker: it keeps what it has.
    scene.begin(worker, 1);
    scene.give_back();
    assert_eq!(values(&scene, job, 0).request, ResourceRequest::cpus(Amount::units(2)));
    assert_eq!(values(&scene, job, 1).request, ResourceRequest::cpus(Amount::units(2)));
    assert_eq!(values(&scene, job, 2).request, ResourceRequest::cpus(Amount::units(1)));
    is_same_after_replay(&scene);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(held(&scene, worker), [1, 2, 3]);
    is_same_after_replay(&scene);
}

#[test]
fn what_is_asked_back_comes_with_the_new_values() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    let job = scene.submit(array(IdSet::range(0, 1), 4, 0));
    assert_eq!(touched(&mut scene, job, None, modification(None, Some(2), None)), 2);
    scene.asked.clear();
    scene.run(Command::Disconnected { worker });
    scene.come_back(worker);
    scene.give_back();
    assert_eq!(held(&scene, worker), [0, 1]);
    scene.restart();
    scene.come_back(worker);
    assert_eq!(held(&scene, worker), [0, 1]);
    for _ in 0..2 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job).finished, 2);
    is_same_after_replay(&scene);
}

#[test]
fn a_graph_is_modified_by_description() {
    let mut scene = Scene::new();
    let job = scene.submit(graph(5, &[(1, 0, crate::task::Condition::Ok)]));
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(1, 2)), modification(Some(9), None, None)), 2);
    let worker = scene.connect(1);
    assert_eq!(held(&scene, worker), [2]);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(held(&scene, worker)[0], 0);
    scene.end(worker, 0, Ending::Finished);
    is_same_after_replay(&scene);
}

#[test]
fn the_bound_of_failures_holds_at_once() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(SubmitRequest { max_fails: Some(5), ..array(IdSet::range(0, 9), 1, 0) });
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(touched(&mut scene, job, None, modification(None, None, Some(1))), 9);
    assert_eq!(touched(&mut scene, job, None, modification(None, None, Some(1))), 0);
    assert_eq!(touched(&mut scene, job, None, modification(None, None, Some(0))), 9);
    assert_eq!(scene.counts(job).aborted, 9);
    let never = TaskChange { crash_limit: Some(CrashLimit::Never), ..TaskChange::default() };
    assert_eq!(touched(&mut scene, job, None, never), 0);
    is_same_after_replay(&scene);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut scene = Scene::new();
    let job = scene.submit(super::gangs::gang(1, 2, 0));
    let refused = act(&mut scene, job, None, modification(None, Some(2), None)).refused;
    assert!(refused.contains("multi-node tasks get whole workers"), "{refused}");
    assert_eq!(touched(&mut scene, job, None, modification(Some(2), None, None)), 1);
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    let refused = act(&mut scene, job, None, modification(None, Some(0), None)).refused;
    assert!(refused.contains("Zero resources cannot be requested"), "{refused}");
    // A billion tasks are changed by one small event, and few different changes are kept.
    assert_eq!(touched(&mut scene, job, None, modification(Some(1), None, None)), 1 << 32);
    assert!(scene.machine.state().canonical_bytes().len() < 2_000);
    for priority in 0..50 {
        assert_eq!(touched(&mut scene, job, None, modification(Some(priority % 2 + 5), None, None)), 1 << 32);
    }
    assert_eq!(scene.machine.state().job(job).unwrap().submits[0].revisions.len(), 3);
    let max = i32::try_from(limits::SUBMIT_REVISIONS_MAX).unwrap();
    let mut refused = String::new();
    for priority in 0..max + 9 {
        let change = Action::Modify(modification(Some(priority + 100), None, None));
        let tasks = Some(IdSet::single(0));
        let command = Command::Act { jobs: vec![job], tasks, action: change, restored: vec![] };
        let output = scene.machine.handle(scene.now, command);
        scene.log.extend(output.events);
        if let Reply::Acted(acted) = output.reply {
            refused.clone_from(&acted[0].refused);
        }
        assert_eq!(
            refused.is_empty(),
            priority < max - 2,
            "{priority}: three were there, and the description itself counts"
        );
    }
    assert!(refused.contains("changed too often"), "{refused}");
    is_same_after_replay(&scene);
}

#[test]
fn held_tasks_are_modified_too() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::single(0), 4, 0));
    let hold = Command::Act { jobs: vec![job], tasks: None, action: super::acts::HOLD, restored: vec![] };
    scene.run(hold);
    assert_eq!(touched(&mut scene, job, None, modification(None, Some(2), None)), 1);
    assert!(scene.held.get(&worker).is_none_or(Vec::is_empty));
    let action = Action::Release(ReleaseAction {});
    scene.run(Command::Act { jobs: vec![job], tasks: None, action, restored: vec![] });
    scene.begin(worker, 0);
    assert_eq!(scene.machine.state().task_state(TaskRef::new(job.0, 0)), Some(TaskState::Running));
}
