//! Failed attempts that are followed by another one, and tasks that run again.

use super::scene::*;
use crate::act::{Acted, Action, RetryAction};
use crate::attempt::{Ending, WorkerReport};
use crate::command::{Command, Reply};
use crate::event::Event;
use crate::id::{AttemptId, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::retry::{FailureCause, RetryOn, RetryPolicy};
use crate::state::tasks::{Place, TaskStatus};
use crate::task::{Condition, CrashLimit, Entries, SubmitDesc, SubmitRequest};
use crate::time::Span;
use crate::view::TaskState;
use std::sync::Arc;

pub(super) fn any(max: u32) -> RetryPolicy {
    RetryPolicy { max, on: RetryOn { any: true, ..RetryOn::default() }, ..RetryPolicy::default() }
}

pub(super) fn with_policy(mut request: SubmitRequest, policy: &RetryPolicy) -> SubmitRequest {
    let submit = Arc::make_mut(&mut request.submit);
    for desc in &mut submit.descs {
        Arc::make_mut(desc).retry = Some(Box::new(policy.clone()));
    }
    request
}

fn one_task(policy: &RetryPolicy) -> SubmitRequest {
    with_policy(array(IdSet::range(0, 0), 1, 0), policy)
}

/// Ends what lies first on the worker with this failure.
fn fail(scene: &mut Scene, worker: WorkerId, cause: FailureCause, exit_code: Option<i32>) {
    let mut outcome = scene.outcome(worker, 0, Ending::Failed).unwrap();
    (outcome.cause, outcome.exit_code) = (cause, exit_code);
    scene.run(Command::Report { worker, report: WorkerReport { ended: vec![outcome], ..WorkerReport::default() } });
}

fn attempt(scene: &Scene, worker: WorkerId) -> AttemptId {
    scene.held[&worker][0].0.fence.attempt
}

fn pass(scene: &mut Scene, span: Span) {
    scene.now = scene.now.after(span);
    scene.run(Command::Tick);
}

fn place(scene: &Scene, task: TaskRef) -> Option<Place> {
    match scene.machine.state().task_status(task) {
        Some(TaskStatus::Live(live)) => Some(live.place),
        _ => None,
    }
}

#[test]
fn a_failed_task_is_tried_as_often_as_it_may_be() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(one_task(&any(2)));
    for number in 0..3 {
        assert_eq!(attempt(&scene, worker), AttemptId(number));
        fail(&mut scene, worker, FailureCause::Exit, Some(1));
    }
    assert_eq!(scene.counts(job).failed, 1);
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
    let retried = scene.log.iter().filter(|stamped| matches!(stamped.event, Event::TaskRetried(_))).count();
    assert_eq!(retried, 2);
    assert_eq!(scene.replayed().canonical_bytes(), scene.machine.state().canonical_bytes());
}

#[test]
fn only_chosen_failures_are_tried_again() {
    let on = RetryOn { exit_codes: vec![7], time_limit: true, ..RetryOn::default() };
    for (cause, exit_code, again) in [
        (FailureCause::Exit, Some(7), true),
        (FailureCause::Exit, Some(1), false),
        (FailureCause::TimeLimit, None, true),
        (FailureCause::Signal, None, false),
        (FailureCause::Start, None, false),
    ] {
        let mut scene = Scene::new();
        let worker = scene.connect(1);
        let job = scene.submit(one_task(&RetryPolicy { max: 1, on: on.clone(), ..RetryPolicy::default() }));
        fail(&mut scene, worker, cause, exit_code);
        assert_eq!(scene.counts(job).failed, u64::from(!again), "{cause:?}");
    }
}

#[test]
fn a_retried_failure_breaks_nothing_that_waits_for_the_task() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let mut request = with_policy(graph(2, &[(1, 0, Condition::Ok)]), &any(1));
    request.max_fails = Some(0);
    let job = scene.submit(request);
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    assert_eq!((scene.counts(job).waiting, scene.counts(job).aborted), (2, 0));
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
}

#[test]
fn the_delay_grows_and_survives_a_restart() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let policy = RetryPolicy { delay: Span::from_secs(10), delay_max: Span::from_secs(15), ..any(5) };
    let job = scene.submit(one_task(&policy));
    let task = TaskRef { job, task: TaskId(0) };
    for delay in [10, 15, 15] {
        fail(&mut scene, worker, FailureCause::Exit, Some(1));
        let until = scene.now.after(Span::from_secs(delay));
        assert_eq!(place(&scene, task), Some(Place::Delayed { until }));
        assert_eq!(scene.machine.state().task_state(task), Some(TaskState::Waiting));
        scene.restart();
        scene.come_back(worker);
        assert_eq!(place(&scene, task), Some(Place::Delayed { until }));
        assert_eq!(scene.machine.next_deadline(), Some(until));
        pass(&mut scene, Span::from_secs(delay - 1));
        assert!(scene.held[&worker].is_empty());
        pass(&mut scene, Span::from_secs(1));
        assert_eq!(scene.held[&worker].len(), 1);
    }
}

#[test]
fn a_delayed_task_can_be_cancelled() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(one_task(&RetryPolicy { delay: Span::from_secs(10), ..any(5) }));
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    assert_eq!(scene.counts(job).canceled, 1);
    assert!(scene.machine.state().delayed.is_empty());
    pass(&mut scene, Span::from_secs(20));
    assert!(scene.held[&worker].is_empty());
}

#[test]
fn the_crash_limit_is_a_failure_of_the_node() {
    for (on, crash_limit, failed) in [
        (RetryOn { node: true, ..RetryOn::default() }, CrashLimit::Max(1), 0),
        (RetryOn { any: true, ..RetryOn::default() }, CrashLimit::Max(1), 0),
        (RetryOn { signal: true, ..RetryOn::default() }, CrashLimit::Max(1), 1),
        (RetryOn { any: true, ..RetryOn::default() }, CrashLimit::Never, 1),
    ] {
        let mut scene = Scene::new();
        let worker = scene.connect(1);
        let mut request = one_task(&RetryPolicy { max: 1, on, ..RetryPolicy::default() });
        let submit = Arc::make_mut(&mut request.submit);
        Arc::make_mut(&mut submit.descs[0]).crash_limit = crash_limit;
        let job = scene.submit(request);
        scene.begin(worker, 0);
        scene.run(Command::HeartbeatLost { worker });
        assert_eq!(scene.counts(job).failed, failed, "{crash_limit:?}");
        let next = scene.connect(1);
        if failed == 0 {
            assert_eq!(attempt(&scene, next), AttemptId(1));
        }
    }
}

#[test]
fn a_policy_has_limits() {
    let refused = |policy: RetryPolicy, crash_limit: CrashLimit| {
        let mut request = one_task(&policy);
        let submit = Arc::make_mut(&mut request.submit);
        Arc::make_mut(&mut submit.descs[0]).crash_limit = crash_limit;
        matches!(Scene::new().run(Command::Submit(request)), Reply::Refused(_))
    };
    let limit = CrashLimit::default();
    assert!(!refused(any(100_000), limit));
    assert!(refused(any(100_001), limit));
    assert!(refused(RetryPolicy { delay: Span::from_secs(31 * 24 * 3_600), ..any(1) }, limit));
    for exit_codes in [vec![0], vec![256], vec![1; 256]] {
        let on = RetryOn { exit_codes, ..RetryOn::default() };
        assert!(refused(RetryPolicy { max: 1, on, ..RetryPolicy::default() }, limit));
    }
    let node = RetryPolicy { on: RetryOn { node: true, ..RetryOn::default() }, ..any(1) };
    assert!(!refused(node.clone(), limit) && refused(node, CrashLimit::Never));
}

#[test]
fn many_delays_end_over_several_turns() {
    let mut scene = Scene::new();
    let mut request = with_policy(array(IdSet::range(0, 4_999), 1, 0), &any(1));
    let submit = Arc::make_mut(&mut request.submit);
    Arc::make_mut(&mut submit.descs[0]).retry.as_mut().unwrap().delay = Span::from_secs(1);
    let job = scene.submit(request);
    let worker = scene.connect(5_000);
    let mut outcomes = Vec::new();
    while let Some(outcome) = scene.outcome(worker, 0, Ending::Failed) {
        outcomes.push(outcome);
    }
    scene.run(Command::Report { worker, report: WorkerReport { ended: outcomes, ..WorkerReport::default() } });
    assert_eq!(scene.machine.state().delayed.len(), 5_000);
    pass(&mut scene, Span::from_secs(1));
    assert_eq!(scene.machine.state().delayed.len(), 5_000 - crate::limits::TURN_DUE_MAX);
    assert!(scene.machine.next_deadline() <= Some(scene.now));
    pass(&mut scene, Span::default());
    assert_eq!((scene.machine.state().delayed.len(), scene.counts(job).waiting), (0, 5_000));
}

fn retry(scene: &mut Scene, job: JobId, tasks: Option<IdSet>, states: Vec<TaskState>) -> Acted {
    act(scene, job, tasks, states, Vec::new())
}

fn act(
    scene: &mut Scene,
    job: JobId,
    tasks: Option<IdSet>,
    states: Vec<TaskState>,
    restored: Vec<(JobId, Vec<Arc<SubmitDesc>>)>,
) -> Acted {
    let action = Action::Retry(RetryAction { states });
    match scene.run(Command::Act { jobs: vec![job], tasks, action, restored }) {
        Reply::Acted(acted) => acted.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn completions(scene: &Scene) -> usize {
    scene.log.iter().filter(|stamped| matches!(stamped.event, Event::JobCompleted(_))).count()
}

#[test]
fn failed_tasks_of_a_completed_job_run_again() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(array(IdSet::range(0, 3), 1, 0));
    scene.end(worker, 0, Ending::Finished);
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    scene.run(Command::Cancel { jobs: vec![job], reason: Some("enough".into()) });
    assert_eq!((scene.counts(job).failed, scene.counts(job).canceled, completions(&scene)), (1, 2, 1));
    let acted = retry(&mut scene, job, None, Vec::new());
    assert_eq!((acted.touched, acted.untouched), (3, 1));
    let found = scene.machine.state().job(job).unwrap();
    assert_eq!((found.counts.waiting, found.completed, found.cancel_reason.clone()), (3, None, None));
    assert_eq!(retry(&mut scene, job, None, Vec::new()).touched, 0);
    for _ in 0..3 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!((scene.counts(job).finished, completions(&scene)), (4, 2));
    assert_eq!(retry(&mut scene, job, None, Vec::new()).touched, 0);
    assert_eq!(scene.replayed().canonical_bytes(), scene.machine.state().canonical_bytes());
}

#[test]
fn numbers_of_attempts_go_on() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(one_task(&any(1)));
    for number in 0..6 {
        assert_eq!(attempt(&scene, worker), AttemptId(number));
        fail(&mut scene, worker, FailureCause::Exit, Some(1));
        // The retries of the policy are there anew.
        if number % 2 == 1 {
            assert_eq!(scene.counts(job).failed, 1);
            assert_eq!(retry(&mut scene, job, None, Vec::new()).touched, 1);
        }
    }
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    retry(&mut scene, job, None, Vec::new());
    assert_eq!(attempt(&scene, worker), AttemptId(7));
}

#[test]
fn what_runs_again_waits_for_what_runs_again() {
    let mut scene = Scene::new();
    let worker = scene.connect(4);
    // 0 fails, so 1 and 2 are aborted; 3 is fine.
    let deps = [(1, 0, Condition::Ok), (2, 1, Condition::Any), (3, 0, Condition::Failed)];
    let job = scene.submit(graph(4, &deps));
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    let counts = scene.counts(job);
    assert_eq!((counts.failed, counts.aborted, counts.finished), (1, 1, 2));
    // Alone, the aborted one has nothing to wait for that could still come.
    let acted = retry(&mut scene, job, None, vec![TaskState::Aborted]);
    assert_eq!((acted.touched, acted.untouched), (0, 4));
    assert_eq!(retry(&mut scene, job, None, Vec::new()).touched, 2);
    assert_eq!(place(&scene, TaskRef { job, task: TaskId(1) }), Some(Place::Blocked { unmet: 1 }));
    assert_eq!(scene.held[&worker].len(), 1);
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 4);
}

#[test]
fn who_still_waits_waits_again_for_what_runs_again() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(graph(3, &[(2, 0, Condition::Any), (2, 1, Condition::Any)]));
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    let last = TaskRef { job, task: TaskId(2) };
    assert_eq!(place(&scene, last), Some(Place::Blocked { unmet: 1 }));
    assert_eq!(retry(&mut scene, job, Some(IdSet::single(0)), Vec::new()).touched, 1);
    assert_eq!(place(&scene, last), Some(Place::Blocked { unmet: 2 }));
    for _ in 0..3 {
        scene.end(worker, 0, Ending::Finished);
    }
    assert_eq!(scene.counts(job).finished, 3);
}

#[test]
fn a_completed_job_gets_back_what_it_dropped() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let mut request = array(IdSet::range(0, 1), 1, 0);
    let submit = Arc::make_mut(&mut request.submit);
    submit.entries = Entries::pack([&b"first"[..], b"second"]);
    Arc::make_mut(&mut submit.descs[0]).stdin = b"input".to_vec().into();
    let whole = Arc::clone(&request.submit);
    let job = scene.submit(request);
    fail(&mut scene, worker, FailureCause::Exit, Some(1));
    scene.end(worker, 0, Ending::Finished);
    assert!(scene.machine.state().job(job).unwrap().submits[0].desc.is_slim);
    let refused = retry(&mut scene, job, None, Vec::new());
    assert!(refused.refused.contains("not kept any more"), "{refused:?}");
    assert_eq!((refused.touched, scene.counts(job).failed), (0, 1));
    let other = Arc::new(SubmitDesc { ids: IdSet::range(0, 7), ..SubmitDesc::default() });
    assert!(!act(&mut scene, job, None, Vec::new(), vec![(job, vec![other])]).refused.is_empty());
    assert_eq!(act(&mut scene, job, None, Vec::new(), vec![(job, vec![Arc::clone(&whole)])]).touched, 1);
    assert_eq!(scene.machine.state().job(job).unwrap().submits[0].desc, whole);
    assert_eq!(scene.held[&worker].len(), 1);
    assert_eq!(scene.replayed().canonical_bytes(), scene.machine.state().canonical_bytes());
    scene.end(worker, 0, Ending::Finished);
    assert!(scene.machine.state().job(job).unwrap().submits[0].desc.is_slim);
}

#[test]
fn a_huge_array_runs_again_as_ranges() {
    let mut scene = Scene::new();
    let job = scene.submit(array(IdSet::range(0, u32::MAX), 1, 0));
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
    let tasks = Some(IdSet::range(10, 4_000_000_000));
    assert_eq!(retry(&mut scene, job, tasks, Vec::new()).touched, 3_999_999_991);
    let found = scene.machine.state().job(job).unwrap();
    assert_eq!((found.counts.canceled, found.tasks.live.len(), found.tasks.ended.len()), (294_967_305, 0, 2));
    assert_eq!(scene.replayed().canonical_bytes(), scene.machine.state().canonical_bytes());
}
