//! Actions on tasks after submit: what is held never starts, what is released does, what is cancelled is final.

use super::scene::*;
use crate::act::{Acted, Action, CancelAction, HoldAction, ReleaseAction, RetryAction};
use crate::attempt::Ending;
use crate::command::{Command, Reply};
use crate::event::Event;
use crate::id::{JobId, TaskId, TaskRef};
use crate::idset::{IdRange, IdSet};
use crate::state::State;
use crate::task::{Condition, SubmitRequest};
use crate::view::TaskState;

pub(super) const HOLD: Action = Action::Hold(HoldAction {});
pub(super) const RELEASE: Action = Action::Release(ReleaseAction {});

fn cancel() -> Action {
    Action::Cancel(CancelAction { reason: Some("not needed".into()) })
}

/// What an action did to one job.
fn act(scene: &mut Scene, job: JobId, tasks: Option<IdSet>, action: Action) -> Acted {
    match scene.run(Command::Act { jobs: vec![job], tasks, action, restored: vec![] }) {
        Reply::Acted(acted) => acted.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn touched(scene: &mut Scene, job: JobId, tasks: Option<IdSet>, action: Action) -> (u64, u64) {
    let acted = act(scene, job, tasks, action);
    assert!(acted.found && acted.refused.is_empty(), "{acted:?}");
    (acted.touched, acted.untouched)
}

fn state_of(scene: &Scene, job: JobId, task: u32) -> TaskState {
    scene.machine.state().task_state(TaskRef::new(job.0, task)).unwrap()
}

fn is_same_after_replay(scene: &Scene) {
    let live = scene.machine.state().canonical_bytes();
    assert!(scene.replayed().canonical_bytes() == live);
    assert!(State::from_image(scene.replayed().image()).canonical_bytes() == live);
}

#[test]
fn held_tasks_wait_until_they_are_released() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 9), 1, 0));
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(0, 4)), HOLD), (5, 0));
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(3, 6)), HOLD), (2, 2));
    let worker = scene.connect(20);
    let held: Vec<u32> = scene.held[&worker].iter().map(|(attempt, _)| attempt.task.task.0).collect();
    assert_eq!(held, [7, 8, 9]);
    is_same_after_replay(&scene);
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(4, 8)), RELEASE), (3, 2));
    assert_eq!(scene.held[&worker].len(), 6);
    assert_eq!(touched(&mut scene, job, None, RELEASE), (4, 6));
    assert_eq!(touched(&mut scene, job, None, RELEASE), (0, 10));
    assert_eq!(scene.held[&worker].len(), 10);
    is_same_after_replay(&scene);
}

#[test]
fn a_held_job_holds_what_was_given_out_and_has_not_started() {
    let mut scene = Scene::new();
    let worker = scene.connect(3);
    let job = scene.submit(array(IdSet::range(0, 5), 1, 0));
    scene.begin(worker, 0);
    assert_eq!(touched(&mut scene, job, None, HOLD), (5, 1));
    assert_eq!(touched(&mut scene, job, None, HOLD), (0, 6));
    scene.give_back();
    assert_eq!(scene.held[&worker].len(), 1, "the running one goes on");
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.held[&worker].len(), 0);
    is_same_after_replay(&scene);
    // Some of it may go on; the rest stays held.
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(2, 3)), RELEASE), (2, 0));
    assert_eq!(scene.held[&worker].len(), 2);
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(3)), HOLD), (1, 0));
    scene.give_back();
    assert_eq!(scene.held[&worker].len(), 1);
    assert_eq!(touched(&mut scene, job, None, HOLD), (1, 5));
    scene.give_back();
    assert_eq!(scene.held[&worker].len(), 0);
    is_same_after_replay(&scene);
    assert_eq!(touched(&mut scene, job, None, RELEASE), (5, 1));
    assert!(scene.held[&worker].len() >= 3);
}

#[test]
fn what_a_worker_was_asked_for_it_is_asked_again_when_it_comes_back() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 1), 1, 0));
    touched(&mut scene, job, None, HOLD);
    scene.asked.clear();
    scene.run(Command::Disconnected { worker });
    scene.come_back(worker);
    scene.give_back();
    assert_eq!(scene.held[&worker].len(), 0);
    assert!(scene.machine.state().workers[&worker].blocked.is_empty(), "what was asked for is not rejected");
    assert_eq!(scene.counts(job).waiting, 2);
}

#[test]
fn a_hold_is_over_when_the_task_has_started_or_ended() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 3), 1, 0));
    touched(&mut scene, job, Some(IdSet::range(0, 3)), HOLD);
    // The worker was faster.
    scene.begin(worker, 0);
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(3)), cancel()), (1, 0));
    let held: Vec<(u32, u32)> = scene.machine.state().job(job).unwrap().held.iter().collect();
    assert_eq!(held, [(1, 2)]);
    is_same_after_replay(&scene);
}

/// Nothing is left that waits, so nothing is told after the completion, and what runs again is not held.
#[test]
fn a_hold_is_over_when_the_job_is_completed() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, 3), 1, 0));
    touched(&mut scene, job, None, HOLD);
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(3)), RELEASE), (1, 0));
    assert_eq!(touched(&mut scene, job, None, cancel()), (4, 0));
    let completed = scene.log.len();
    assert!(matches!(scene.log[completed - 1].event, Event::JobCompleted(_)));
    is_same_after_replay(&scene);
    for tasks in [None, Some(IdSet::range(0, 3))] {
        assert_eq!(touched(&mut scene, job, tasks.clone(), RELEASE), (0, 4));
        assert_eq!(touched(&mut scene, job, tasks, HOLD), (0, 4));
    }
    assert_eq!(scene.log.len(), completed);
    let worker = scene.connect(4);
    assert_eq!(touched(&mut scene, job, None, Action::Retry(RetryAction::default())), (4, 0));
    assert_eq!(scene.held[&worker].len(), 4);
    is_same_after_replay(&scene);
}

#[test]
fn cancelled_tasks_end_with_those_that_need_them() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let deps = [(1, 0, Condition::Ok), (2, 1, Condition::Any), (3, 0, Condition::Any), (4, 3, Condition::Ok)];
    let job = scene.submit(graph(6, &deps));
    scene.begin(worker, 0);
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(0)), cancel()), (1, 0));
    assert_eq!(touched(&mut scene, job, Some(IdSet::single(0)), cancel()), (0, 1));
    let states: Vec<TaskState> = (0..6).map(|task| state_of(&scene, job, task)).collect();
    use TaskState::{Aborted, Canceled, Waiting};
    assert_eq!(states, [Canceled, Aborted, Waiting, Waiting, Waiting, Waiting]);
    assert_eq!(scene.machine.state().job(job).unwrap().cancel_reason, None);
    // Those that are cancelled themselves are not aborted.
    assert_eq!(touched(&mut scene, job, Some(IdSet::range(2, 4)), cancel()), (3, 0));
    assert_eq!(state_of(&scene, job, 4), Canceled);
    is_same_after_replay(&scene);
}

fn reason(scene: &Scene, job: JobId, task: u32) -> Option<String> {
    let page = scene.machine.state().view_tasks(job, Some(&IdSet::single(task)), &[], TaskId(0), 1).unwrap();
    page.tasks[0].reason.clone()
}

#[test]
fn the_ends_of_tasks_have_reasons() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let deps = [(1, 0, Condition::Ok), (2, 1, Condition::Ok), (4, 3, Condition::Failed)];
    let job = scene.submit(graph(6, &deps));
    scene.end(worker, 0, Ending::Failed);
    let failed = Some("task 0 of job 1 failed".to_owned());
    assert_eq!(
        (reason(&scene, job, 0), reason(&scene, job, 1), reason(&scene, job, 2)),
        (None, failed.clone(), failed)
    );
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(reason(&scene, job, 4).as_deref(), Some("task 3 of job 1 did not fail"));
    touched(&mut scene, job, Some(IdSet::single(5)), cancel());
    assert_eq!(reason(&scene, job, 5).as_deref(), Some("not needed"));
    let other = scene.submit(SubmitRequest { max_fails: Some(0), ..array(IdSet::range(0, 9), 1, 0) });
    scene.end(worker, 0, Ending::Failed);
    assert_eq!(reason(&scene, other, 9).as_deref(), Some("more than 0 tasks of the job failed"));
    is_same_after_replay(&scene);
}

#[test]
fn very_many_reasons_become_one() {
    let mut scene = Scene::new();
    let deps: Vec<_> = (0..400).map(|task| (400 + task, task, Condition::Ok)).collect();
    let job = scene.submit(graph(800, &deps));
    let events = scene.log.len();
    touched(&mut scene, job, Some(IdSet::range(0, 399)), cancel());
    assert!(scene.log.len() < events + 5);
    assert_eq!(reason(&scene, job, 799).as_deref(), Some("tasks that it waits for did not end as they have to"));
}

#[test]
fn a_billion_held_tasks_are_a_few_numbers() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    let all = 1u64 << 32;
    assert_eq!(touched(&mut scene, job, None, HOLD), (all, 0));
    let many = IdSet::range(10, 2_000_000_000);
    assert_eq!(touched(&mut scene, job, Some(many), RELEASE), (1_999_999_991, 0));
    assert!(scene.machine.state().canonical_bytes().len() < 1_000);
    let stepped = IdSet { ranges: vec![IdRange::stepped(0, u32::MAX, 2)] };
    let refused = act(&mut scene, job, Some(stepped), HOLD).refused;
    assert!(refused.contains("2147483648 tasks in ranges with a step are too many"), "{refused}");
    assert_eq!(touched(&mut scene, job, None, cancel()), (all, 0));
    assert_eq!(scene.counts(job).canceled, all);
    is_same_after_replay(&scene);
}

#[test]
fn what_is_not_there_is_said() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet { ranges: vec![IdRange::stepped(0, 8, 2)] }, 1, 0));
    let acted = act(&mut scene, job, Some(IdSet::range(0, 5)), HOLD);
    assert_eq!((acted.touched, acted.untouched, acted.missing.to_string().as_str()), (3, 0, "1,3,5"));
    assert!(!act(&mut scene, JobId(9), None, HOLD).found);
}
