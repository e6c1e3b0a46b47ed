//! Dependencies on jobs and on tasks of others: when they open, when they break, and that nothing of it costs by the task.

use super::scene::*;
use crate::after::{AfterRequest, AfterSpec, AfterTarget};
use crate::attempt::Ending;
use crate::command::{Command, Reply};
use crate::event::{Event, TasksEnded};
use crate::id::{JobId, TaskId, TaskRef, WorkerId};
use crate::idset::{IdRange, IdSet};
use crate::limits;
use crate::state::gates::Aim;
use crate::task::{Condition, SubmitRequest};
use crate::view::{JobState, TaskCounts, TaskState};

pub(super) fn on_jobs(condition: Condition, jobs: IdSet) -> AfterSpec {
    AfterSpec { condition, jobs, ..AfterSpec::default() }
}

pub(super) fn on_job(condition: Condition, job: JobId) -> AfterSpec {
    on_jobs(condition, IdSet::single(job.0))
}

pub(super) fn on_tasks(condition: Condition, job: JobId, tasks: IdSet) -> AfterSpec {
    AfterSpec { on_tasks: Some(tasks), ..on_job(condition, job) }
}

pub(super) fn each(condition: Condition, job: JobId) -> AfterSpec {
    AfterSpec { each: true, ..on_job(condition, job) }
}

pub(super) fn behind(mut request: SubmitRequest, specs: impl IntoIterator<Item = AfterSpec>) -> SubmitRequest {
    request.after.extend(specs.into_iter().map(|spec| AfterRequest { tasks: IdSet::default(), spec }));
    request
}

/// An array of tasks 0 to `count - 1`.
fn tasks(count: u32) -> SubmitRequest {
    array(IdSet::range(0, count - 1), 1, 0)
}

fn state_of(scene: &Scene, job: JobId, task: u32) -> TaskState {
    scene.machine.state().task_state(TaskRef { job, task: TaskId(task) }).unwrap()
}

/// Ends a task that lies on some worker.
fn end(scene: &mut Scene, job: JobId, task: u32, ending: Ending) {
    let task = TaskRef { job, task: TaskId(task) };
    let place = scene
        .held
        .iter()
        .find_map(|(worker, held)| Some((*worker, held.iter().position(|(attempt, _)| attempt.task == task)?)));
    let (worker, position) = place.unwrap_or_else(|| panic!("{task} is on no worker"));
    scene.end(worker, position, ending);
}

fn held(scene: &Scene, job: JobId) -> Vec<u32> {
    let all = scene.held.values().flatten().filter(|(attempt, _)| attempt.task.job == job);
    all.map(|(attempt, _)| attempt.task.task.0).collect()
}

fn cancel(scene: &mut Scene, job: JobId) {
    scene.run(Command::Cancel { jobs: vec![job], reason: None });
}

fn refusal(scene: &mut Scene, request: SubmitRequest) -> String {
    match scene.run(Command::Submit(request)) {
        Reply::Refused(text) => text,
        other => panic!("{other:?}"),
    }
}

fn reasons(scene: &Scene, job: JobId) -> Vec<(String, String)> {
    let aborted = scene.log.iter().filter_map(|stamped| match &stamped.event {
        Event::TasksAborted(TasksEnded { job: of, tasks, reason }) if *of == job => {
            Some((tasks.to_string(), reason.clone()))
        }
        _ => None,
    });
    aborted.collect()
}

/// What two tasks of a job become, and what then has become of a task behind a gate: `Some(true)` it may run, `None` it
/// waits.
fn outcome(condition: Condition, shape: fn(JobId, Condition) -> AfterSpec, ends: [Option<Ending>; 2]) -> Option<bool> {
    let mut scene = Scene::new();
    scene.connect(8);
    let first = scene.submit(tasks(2));
    let second = scene.submit(behind(tasks(1), [shape(first, condition)]));
    for (task, ending) in (0..).zip(ends) {
        if let Some(ending) = ending {
            end(&mut scene, first, task, ending);
        }
    }
    let runs = !held(&scene, second).is_empty();
    match state_of(&scene, second, 0) {
        TaskState::Aborted => {
            assert_eq!(reasons(&scene, second).len(), 1);
            Some(false)
        }
        TaskState::Waiting if runs => Some(true),
        TaskState::Waiting => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_condition_with_every_outcome() {
    use Condition::{Any, Failed, Ok};
    let (good, bad) = (Some(Ending::Finished), Some(Ending::Failed));
    let whole: fn(JobId, Condition) -> AfterSpec = |job, condition| on_job(condition, job);
    let both: fn(JobId, Condition) -> AfterSpec = |job, condition| on_tasks(condition, job, IdSet::range(0, 1));
    let one: fn(JobId, Condition) -> AfterSpec = |job, condition| on_tasks(condition, job, IdSet::single(0));
    let partner: fn(JobId, Condition) -> AfterSpec = |job, condition| each(condition, job);
    // For the endings of two tasks: of the whole job or both tasks, and of the first task or the partner.
    for (condition, ends, together, alone) in [
        (Ok, [None, None], None, None),
        (Ok, [good, None], None, Some(true)),
        (Ok, [None, good], None, None),
        (Ok, [good, good], Some(true), Some(true)),
        (Ok, [bad, None], Some(false), Some(false)),
        (Ok, [None, bad], Some(false), None),
        (Ok, [good, bad], Some(false), Some(true)),
        (Any, [None, None], None, None),
        (Any, [bad, None], None, Some(true)),
        (Any, [good, None], None, Some(true)),
        (Any, [None, bad], None, None),
        (Any, [bad, good], Some(true), Some(true)),
        (Any, [good, good], Some(true), Some(true)),
        (Failed, [None, None], None, None),
        (Failed, [bad, None], None, Some(true)),
        (Failed, [good, None], None, Some(false)),
        (Failed, [bad, good], Some(true), Some(true)),
        (Failed, [good, bad], Some(true), Some(false)),
        (Failed, [good, good], Some(false), Some(false)),
    ] {
        for (name, shape, expected) in
            [("job", whole, together), ("tasks", both, together), ("task", one, alone), ("each", partner, alone)]
        {
            assert_eq!(outcome(condition, shape, ends), expected, "{condition:?} {ends:?} {name}");
        }
    }
}

#[test]
fn what_a_user_cancels_counts_as_ended_but_neither_as_finished_nor_as_failed() {
    for (condition, runs) in [(Condition::Ok, false), (Condition::Any, true), (Condition::Failed, false)] {
        for shape in
            [on_job(condition, JobId(1)), on_tasks(condition, JobId(1), IdSet::range(0, 3)), each(condition, JobId(1))]
        {
            let mut scene = Scene::new();
            let first = scene.submit(tasks(4));
            let second = scene.submit(behind(tasks(2), [shape.clone()]));
            cancel(&mut scene, first);
            scene.connect(4);
            let expected = if runs { TaskState::Waiting } else { TaskState::Aborted };
            assert_eq!(state_of(&scene, second, 1), expected, "{shape}");
            assert_eq!(held(&scene, second).len(), if runs { 2 } else { 0 }, "{shape}");
        }
    }
}

#[test]
fn a_gate_is_looked_at_when_it_is_submitted() {
    let mut scene = Scene::new();
    scene.connect(4);
    let good = scene.submit(tasks(1));
    end(&mut scene, good, 0, Ending::Finished);
    let bad = scene.submit(tasks(1));
    end(&mut scene, bad, 0, Ending::Failed);
    let mut counts = |specs: Vec<AfterSpec>| {
        let job = scene.submit(behind(tasks(1), specs));
        let counts = scene.counts(job);
        cancel(&mut scene, job);
        (counts.waiting, counts.aborted)
    };
    let (ok, any, failed) = (Condition::Ok, Condition::Any, Condition::Failed);
    let zero = IdSet::single(0);
    assert_eq!(counts(vec![on_job(ok, good), on_job(any, bad), on_job(failed, bad)]), (1, 0));
    assert_eq!(counts(vec![each(ok, good), each(any, bad), each(failed, bad)]), (1, 0));
    assert_eq!(counts(vec![on_tasks(ok, good, zero.clone()), on_tasks(failed, bad, zero.clone())]), (1, 0));
    assert_eq!(counts(vec![on_job(any, good), on_job(ok, bad)]), (0, 1));
    assert_eq!(counts(vec![on_tasks(failed, good, zero)]), (0, 1));
    assert_eq!(counts(vec![each(failed, good)]), (0, 1));
}

#[test]
fn several_gates_are_all_waited_for() {
    let mut scene = Scene::new();
    scene.connect(8);
    let jobs = [scene.submit(tasks(1)), scene.submit(tasks(1)), scene.submit(tasks(1))];
    let specs = [on_jobs(Condition::Any, IdSet::range(1, 2)), each(Condition::Ok, jobs[2])];
    let last = scene.submit(behind(tasks(1), specs));
    for job in jobs {
        assert_eq!(held(&scene, last), Vec::<u32>::new());
        end(&mut scene, job, 0, Ending::Finished);
    }
    end(&mut scene, last, 0, Ending::Finished);
    assert!(scene.machine.state().gates.is_empty());
}

#[test]
fn each_task_follows_its_own() {
    let mut scene = Scene::new();
    scene.connect(4);
    let first = scene.submit(array(IdSet::range(10, 13), 1, 0));
    let second = scene
        .submit(behind(array(IdSet { ranges: vec![IdRange::stepped(11, 13, 2)] }, 1, 0), [each(Condition::Ok, first)]));
    let third = scene.submit(behind(array(IdSet::single(13), 1, 0), [each(Condition::Ok, second)]));
    end(&mut scene, first, 13, Ending::Finished);
    assert_eq!(held(&scene, second), vec![13]);
    end(&mut scene, first, 11, Ending::Failed);
    assert_eq!(state_of(&scene, second, 11), TaskState::Aborted);
    let expected = "dependency each:ok:1 cannot be met: the task of the same id of job 1 failed";
    assert_eq!(reasons(&scene, second), vec![("11".to_owned(), expected.to_owned())]);
    end(&mut scene, second, 13, Ending::Finished);
    assert_eq!(held(&scene, third), vec![13]);
    end(&mut scene, third, 13, Ending::Finished);
    assert!(scene.machine.state().job(third).unwrap().completed.is_some());
}

#[test]
fn a_chain_of_jobs_breaks_to_its_end() {
    let mut scene = Scene::new();
    scene.connect(1);
    let first = scene.submit(tasks(3));
    let second = scene.submit(behind(tasks(1_000), [on_job(Condition::Ok, first)]));
    let third = scene.submit(behind(graph(3, &[(1, 0, Condition::Ok)]), [on_job(Condition::Ok, second)]));
    let fourth = scene.submit(behind(tasks(1), [on_job(Condition::Any, third)]));
    let fifth = scene.submit(behind(tasks(5), [on_job(Condition::Failed, fourth)]));
    end(&mut scene, first, 0, Ending::Failed);
    assert_eq!(scene.counts(second).aborted, 1_000);
    assert_eq!(scene.counts(third).aborted, 3);
    assert_eq!(scene.counts(first).waiting, 2, "the rest of the job goes on");
    assert_eq!(held(&scene, fourth), vec![0]);
    let expected = "dependency ok:1 cannot be met: 1 of the tasks of job 1 did not finish successfully";
    assert_eq!(reasons(&scene, second), vec![("0-999".to_owned(), expected.to_owned())]);
    cancel(&mut scene, first);
    end(&mut scene, fourth, 0, Ending::Finished);
    assert_eq!(scene.counts(fifth).aborted, 5);
    let completed = scene.machine.state().jobs.values().filter(|job| job.completed.is_some()).count();
    assert_eq!(completed, 5);
}

#[test]
fn max_fails_of_the_job_waited_for() {
    let mut scene = Scene::new();
    scene.connect(1);
    let first = scene.submit(SubmitRequest { max_fails: Some(0), ..tasks(100) });
    let any = scene.submit(behind(tasks(1), [on_job(Condition::Any, first)]));
    let failed = scene.submit(behind(tasks(1), [on_job(Condition::Failed, first)]));
    let last_ten = scene.submit(behind(tasks(1), [on_tasks(Condition::Any, first, IdSet::range(90, 99))]));
    let partners = scene.submit(behind(array(IdSet::range(5, 20), 1, 0), [each(Condition::Ok, first)]));
    end(&mut scene, first, 0, Ending::Failed);
    assert_eq!(scene.counts(first), TaskCounts { failed: 1, aborted: 99, ..TaskCounts::default() });
    for job in [any, failed, last_ten] {
        assert_eq!(scene.counts(job).waiting, 1);
    }
    assert_eq!(scene.counts(partners).aborted, 16);
    assert!(scene.machine.state().gates.is_empty());
}

#[test]
fn own_dependencies_and_gates_are_both_kept() {
    let mut scene = Scene::new();
    scene.connect(8);
    let first = scene.submit(tasks(1));
    let mut request = graph(3, &[(1, 0, Condition::Ok)]);
    request.after = vec![AfterRequest { tasks: IdSet::range(1, 2), spec: on_job(Condition::Ok, first) }];
    let second = scene.submit(request);
    assert_eq!(held(&scene, second), vec![0], "only the others wait for the job");
    end(&mut scene, second, 0, Ending::Finished);
    assert_eq!(held(&scene, second), Vec::<u32>::new());
    end(&mut scene, first, 0, Ending::Finished);
    assert_eq!(held(&scene, second), vec![1, 2]);
}

#[test]
fn what_waits_for_an_aborted_task_is_aborted_with_it() {
    let mut scene = Scene::new();
    scene.connect(8);
    let first = scene.submit(tasks(1));
    let mut request = graph(4, &[(1, 0, Condition::Ok), (2, 1, Condition::Ok), (3, 0, Condition::Failed)]);
    request.after = vec![AfterRequest { tasks: IdSet::single(0), spec: on_job(Condition::Ok, first) }];
    let second = scene.submit(request);
    end(&mut scene, first, 0, Ending::Failed);
    assert_eq!(scene.counts(second).aborted, 4);
    assert!(scene.machine.state().job(second).unwrap().completed.is_some());
}

#[test]
fn gates_outlive_the_server() {
    for early in [false, true] {
        let mut scene = Scene::new();
        let worker = scene.connect(4);
        let first = scene.submit(tasks(2));
        let second = scene.submit(behind(tasks(2), [on_job(Condition::Ok, first), each(Condition::Ok, first)]));
        let third = scene.submit(behind(tasks(1), [on_tasks(Condition::Failed, first, IdSet::range(0, 1))]));
        if early {
            end(&mut scene, first, 0, Ending::Finished);
        }
        scene.restart();
        scene.come_back(worker);
        if !early {
            end(&mut scene, first, 0, Ending::Finished);
        }
        assert_eq!(held(&scene, second), Vec::<u32>::new());
        end(&mut scene, first, 1, Ending::Finished);
        assert_eq!(held(&scene, second), vec![0, 1]);
        assert_eq!(scene.counts(third).aborted, 1);
    }
}

#[test]
fn an_end_of_which_the_journal_has_only_the_first_half_is_finished_at_the_start() {
    let mut scene = Scene::new();
    scene.connect(4);
    let first = scene.submit(tasks(1));
    let second = scene.submit(behind(tasks(2), [on_job(Condition::Ok, first)]));
    let third = scene.submit(behind(tasks(1), [on_job(Condition::Any, second)]));
    end(&mut scene, first, 0, Ending::Failed);
    let whole = scene.log.clone();
    let failed = whole.iter().position(|stamped| matches!(stamped.event, Event::TaskFailed(_))).unwrap();
    for kept in failed + 1..whole.len() {
        scene.log = whole[..kept].to_vec();
        scene.restart();
        assert_eq!(scene.counts(second).aborted, 2, "{kept}");
        assert_eq!(scene.counts(third).waiting, 1, "{kept}");
        let state = scene.machine.state();
        assert!(state.job(first).unwrap().completed.is_some() && state.job(second).unwrap().completed.is_some());
        assert!(state.gates.is_empty() && !state.ready.is_empty());
    }
}

#[test]
fn the_words_are_looked_up_in_the_turn_of_the_submit() {
    let mut scene = Scene::new();
    let spec = |target, name: &str| AfterSpec { target, name: name.into(), ..AfterSpec::default() };
    let last = || spec(AfterTarget::Last, "");
    assert!(refusal(&mut scene, behind(tasks(1), [last()])).contains("`last` means no job"));
    let named = |name: &str| SubmitRequest { name: name.into(), ..tasks(1) };
    let (one, two) = (scene.submit(named("train")), scene.submit(named("train")));
    scene.submit(named("other"));
    let after = |scene: &Scene, job: JobId| -> Vec<JobId> {
        scene.machine.state().job(job).unwrap().submits[0].desc.after.iter().map(|after| after.on).collect()
    };
    let job = scene.submit(behind(named("train"), [spec(AfterTarget::Name, "train"), last()]));
    assert_eq!(after(&scene, job), vec![two, JobId(3)]);
    let job = scene.submit(behind(named("x"), [last(), on_job(Condition::Any, one)]));
    assert_eq!(after(&scene, job), vec![JobId(4), one]);
    let text = refusal(&mut scene, behind(tasks(1), [spec(AfterTarget::Name, "tran")]));
    assert!(text.contains("there is no job with the name \"tran\""), "{text}");
    let text = refusal(&mut scene, behind(tasks(1), [spec(AfterTarget::Name, "fail:5")]));
    assert!(text.contains("conditions are `ok:`, `any:` and `failed:`"), "{text}");
}

#[test]
fn what_can_never_be_met_is_refused() {
    let mut scene = Scene::new();
    let first = scene.submit(array(IdSet { ranges: vec![IdRange::new(0, 9), IdRange::new(20, 29)] }, 1, 0));
    let stepped = scene.submit(array(IdSet { ranges: vec![IdRange::stepped(0, 100, 10)] }, 1, 0));
    let set = |text: &[(u32, u32, u32)]| IdSet {
        ranges: text.iter().map(|(start, end, step)| IdRange::stepped(*start, *end, *step)).collect(),
    };
    let ok = Condition::Ok;
    let before = scene.machine.state().canonical_bytes();
    for (request, expected) in [
        (behind(tasks(1), [on_job(ok, JobId(7))]), "there is no job 7"),
        (behind(tasks(1), [on_job(ok, JobId(0))]), "there is no job 0"),
        (behind(tasks(1), [on_tasks(ok, first, set(&[(5, 25, 1)]))]), "job 1 has no task 10"),
        (behind(tasks(1), [on_tasks(ok, first, set(&[(0, 29, 2)]))]), "job 1 has no task 10"),
        (behind(tasks(1), [on_tasks(ok, stepped, set(&[(0, 100, 20), (5, 5, 1)]))]), "job 2 has no task 5"),
        (behind(tasks(1), [on_tasks(ok, first, IdSet::default())]), "names no task"),
        (behind(tasks(1), [on_tasks(ok, first, set(&[(1, 1, 1), (1, 1, 1)]))]), "named twice"),
        (behind(tasks(30), [each(ok, first)]), "job 1 has no task 10 for task 10 to wait for"),
        (behind(array(IdSet::single(3), 1, 0), [each(ok, stepped)]), "job 2 has no task 3 for task 3"),
        (
            behind(tasks(1), [AfterSpec { on_tasks: Some(IdSet::single(0)), ..each(ok, first) }]),
            "tasks cannot be listed",
        ),
        (behind(tasks(1), [AfterSpec { target: AfterTarget::Own, ..on_tasks(ok, first, IdSet::single(0)) }]), "--job"),
        (behind(tasks(1), [on_jobs(ok, IdSet::range(1, u32::MAX))]), "at most"),
        (behind(tasks(1), [on_tasks(ok, first, set(&[(0, u32::MAX, 2)]))]), "stepped ranges"),
    ] {
        let text = refusal(&mut scene, request);
        assert!(text.contains(expected), "{text} / {expected}");
    }
    let mut request = tasks(2);
    request.after = vec![AfterRequest { tasks: IdSet::range(1, 2), spec: on_job(ok, first) }];
    let text = refusal(&mut scene, request);
    assert!(text.contains("task 2 is not part of the submit"), "{text}");
    assert!(scene.machine.state().canonical_bytes() == before);
    scene.submit(behind(array(set(&[(0, 100, 20)]), 1, 0), [each(ok, stepped)]));
    scene.submit(behind(tasks(1), [on_tasks(ok, first, set(&[(0, 8, 2), (20, 29, 3)]))]));
}

fn open(scene: &mut Scene) -> JobId {
    let command = Command::Open { name: "flow".into(), max_fails: None, tags: Default::default() };
    match scene.run(command) {
        Reply::Submitted(job) => job,
        other => panic!("{other:?}"),
    }
}

/// The request as one into an open job, with ids that follow those that the job has.
fn into(job: JobId, request: SubmitRequest) -> SubmitRequest {
    SubmitRequest { job: Some(job), free_ids_from: Some(0), ..request }
}

#[test]
fn an_open_job_is_waited_for_until_it_is_closed_and_never_in_a_circle() {
    let mut scene = Scene::new();
    scene.connect(8);
    let flow = open(&mut scene);
    scene.submit(into(flow, tasks(2)));
    let own = AfterSpec { target: AfterTarget::Own, on_tasks: Some(IdSet::range(0, 1)), ..AfterSpec::default() };
    scene.submit(into(flow, behind(tasks(1), [own])));
    assert_eq!(held(&scene, flow), vec![0, 1]);
    let whole = scene.submit(behind(tasks(1), [on_job(Condition::Ok, flow)]));
    let part = scene.submit(behind(tasks(2), [on_tasks(Condition::Ok, flow, IdSet::range(0, 1))]));
    let further = scene.submit(behind(tasks(1), [each(Condition::Any, whole)]));
    for on in [flow, whole, further] {
        let text = refusal(&mut scene, into(flow, behind(tasks(1), [on_job(Condition::Ok, on)])));
        assert!(text.contains("a cycle"), "{text}");
    }
    scene.submit(into(flow, behind(tasks(1), [on_job(Condition::Any, part)])));
    for task in 0..2 {
        end(&mut scene, flow, task, Ending::Finished);
    }
    assert_eq!((held(&scene, flow), held(&scene, part)), (vec![2], vec![0, 1]));
    end(&mut scene, flow, 2, Ending::Finished);
    end(&mut scene, part, 0, Ending::Finished);
    end(&mut scene, part, 1, Ending::Finished);
    end(&mut scene, flow, 3, Ending::Finished);
    assert_eq!(held(&scene, whole), Vec::<u32>::new(), "the job is open");
    scene.run(Command::Close { jobs: vec![flow] });
    assert_eq!(held(&scene, whole), vec![0]);
    let states = JobState::Finished;
    assert_eq!(scene.run(Command::Forget { jobs: vec![flow], states: vec![states] }), Reply::Forgotten(1, 0));
    scene.restart();
    assert!(scene.machine.state().gates.of_job(whole).next().is_none());
    let text = refusal(&mut scene, behind(tasks(1), [on_job(Condition::Ok, flow)]));
    assert!(text.contains("there is no job 1; it was forgotten"), "{text}");
}

#[test]
fn how_many_may_wait_for_one_job_is_bounded() {
    let mut scene = Scene::new();
    let first = scene.submit(tasks(1));
    for _ in 0..limits::JOB_TASK_GATES_MAX {
        scene.submit_quietly(behind(tasks(1), [each(Condition::Ok, first)]));
    }
    let text = refusal(&mut scene, behind(tasks(1), [each(Condition::Ok, first)]));
    assert!(text.contains("1001 dependencies on tasks of job 1 are too many; at most 1000"), "{text}");
    scene.submit(behind(tasks(1), [on_job(Condition::Ok, first)]));
}

#[test]
fn a_billion_tasks_behind_a_gate_are_ranges() {
    let mut scene = Scene::new();
    scene.connect(4);
    let all = IdSet::range(0, u32::MAX);
    let first = scene.submit(tasks(1));
    let second = scene.submit(behind(array(all.clone(), 1, 0), [on_job(Condition::Ok, first)]));
    let third = scene.submit(behind(array(all.clone(), 1, 0), [each(Condition::Any, second)]));
    let fourth = scene.submit(behind(array(all.clone(), 1, 0), [on_tasks(Condition::Any, second, all)]));
    for job in [second, third, fourth] {
        let job = scene.machine.state().job(job).unwrap();
        assert!(job.tasks.live.is_empty() && job.tasks.ended.is_empty());
        assert!(scene.machine.state().ready.runs_of(job.level_of(0).unwrap(), job.id).next().is_none());
    }
    end(&mut scene, first, 0, Ending::Finished);
    let runs = |scene: &Scene, job: JobId| {
        let level = scene.machine.state().job(job).unwrap().level_of(0).unwrap();
        scene.machine.state().ready.runs_of(level, job).count()
    };
    assert_eq!((runs(&scene, second), runs(&scene, third)), (1, 0));
    end(&mut scene, second, 0, Ending::Finished);
    assert_eq!(runs(&scene, third), 1, "one task of it");
    cancel(&mut scene, second);
    assert_eq!(runs(&scene, fourth), 1);
    assert!(runs(&scene, third) <= 2);
    let bytes = scene.machine.state().canonical_bytes().len();
    assert!(bytes < 50_000, "{bytes}");
}

#[test]
fn gates_that_look_at_tasks_are_the_only_ones_that_each_end_looks_at() {
    let mut scene = Scene::new();
    scene.connect(1);
    let first = scene.submit(tasks(3));
    scene.submit(behind(tasks(1), [on_job(Condition::Any, first)]));
    let state = scene.machine.state();
    assert!(state.gates.is_watched(first) && !state.gates.has_task_watchers(first));
    assert!(state.gates.of_job(JobId(2)).all(|gate| gate.aim == Aim::Job));
    let worker: WorkerId = *scene.held.keys().next().unwrap();
    scene.end(worker, 0, Ending::Finished);
    assert!(!scene.machine.state().gates.is_empty());
}
