//! What a server that was started again makes of workers that come back, and what it leaves alone until they do.

use super::retries::{any, with_policy};
use super::scene::*;
use crate::attempt::{Attempt, Ending, Outcome, WorkerReport};
use crate::command::{Command, Effect, Output, Reply};
use crate::event::Event;
use crate::id::{AttemptId, Fence, JobId, TaskId, TaskRef, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::task::Condition;
use crate::time::Span;

/// Two workers of one CPU, and a task that is given to the first.
fn two_workers() -> (Scene, WorkerId, WorkerId, JobId) {
    let mut scene = Scene::new();
    let (first, second) = (scene.connect(1), scene.connect(1));
    let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
    assert_eq!(scene.held[&first].len(), 1);
    (scene, first, second, job)
}

/// The server took the attempt from one worker, gave it to another under this number, and died before either was durable.
fn moved(scene: &mut Scene, from: WorkerId, to: WorkerId, number: u32) {
    let (attempt, _) = scene.held.get_mut(&from).unwrap().remove(0);
    let fence = Fence { attempt: AttemptId(number), ..attempt.fence };
    let now = scene.now;
    scene.held.entry(to).or_default().push((Attempt { fence, ..attempt }, Some(now)));
    scene.restart();
}

fn assignments(scene: &Scene) -> usize {
    scene.log.iter().filter(|stamped| matches!(stamped.event, Event::TasksAssigned(_))).count()
}

#[test]
fn a_restart_adopts_what_runs() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 5), 1, 0));
    scene.begin(worker, 0);
    scene.begin(worker, 1);
    scene.restart();
    assert_eq!(scene.counts(job).running, 2);
    assert_eq!(scene.held[&worker].len(), 2, "nothing is placed while a worker may come back");
    let reply = scene.come_back(worker);
    assert_eq!(reply, Reply::Registered { worker, drop: vec![] });
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
    assert_eq!(scene.held[&worker].len(), 4, "two have started, two lie ahead since tasks are short");
}

#[test]
fn a_lost_assignment_is_adopted() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 5), 1, 0));
    let first = scene.log.iter().position(|e| matches!(e.event, Event::TasksAssigned(_))).unwrap();
    scene.log.truncate(first);
    let now = scene.now;
    scene.held.get_mut(&worker).unwrap()[0].1 = Some(now);
    scene.restart();
    assert_eq!(scene.counts(job).waiting, 6);
    assert_eq!(scene.come_back(worker), Reply::Registered { worker, drop: vec![] });
    assert_eq!(scene.counts(job).running, 1);
    scene.end(worker, 0, Ending::Finished);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
}

#[test]
fn a_task_that_was_moved_stays_where_it_runs() {
    let (mut scene, first, second, job) = two_workers();
    moved(&mut scene, first, second, 0);
    assert_eq!(scene.come_back(second), Reply::Registered { worker: second, drop: vec![] });
    assert_eq!(scene.counts(job).running, 1);
    assert_eq!(scene.come_back(first), Reply::Registered { worker: first, drop: vec![] });
    assert_eq!(assignments(&scene), 1);
    scene.end(second, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 1);
}

#[test]
fn the_next_attempt_stays_where_it_runs() {
    let (mut scene, first, second, job) = two_workers();
    scene.begin(first, 0);
    let old = scene.held[&first].clone();
    moved(&mut scene, first, second, 1);
    assert_eq!(scene.come_back(second), Reply::Registered { worker: second, drop: vec![] });
    assert_eq!(scene.counts(job).running, 1);
    // What comes back with the attempt before it has it no more.
    let attempt = old[0].0;
    scene.held.insert(first, old);
    assert_eq!(scene.come_back(first), Reply::Registered { worker: first, drop: vec![attempt] });
    assert_eq!(assignments(&scene), 1);
}

#[test]
fn nobody_takes_what_another_has_come_back_with() {
    let (mut scene, first, second, job) = two_workers();
    let held = scene.held[&first].clone();
    let attempt = held[0].0;
    moved(&mut scene, first, second, 0);
    scene.held.insert(first, held);
    assert_eq!(scene.come_back(first), Reply::Registered { worker: first, drop: vec![] });
    assert_eq!(scene.come_back(second), Reply::Registered { worker: second, drop: vec![attempt] });
    assert_eq!(scene.counts(job).waiting, 1);
    assert_eq!(scene.held[&first].len(), 1);
}

#[test]
fn what_is_running_is_not_taken_by_the_same_attempt_of_another() {
    let (mut scene, first, second, job) = two_workers();
    scene.begin(first, 0);
    let attempt = scene.held[&first][0].0;
    moved(&mut scene, first, second, 0);
    assert_eq!(scene.come_back(second), Reply::Registered { worker: second, drop: vec![attempt] });
    assert_eq!(scene.counts(job).running, 1);
}

#[test]
fn what_an_outcome_makes_free_stays_where_it_runs() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(with_policy(array(IdSet::range(0, 0), 1, 0), &any(2)));
    scene.begin(worker, 0);
    let known = scene.log.len();
    let outcome = scene.outcome(worker, 0, Ending::Failed).unwrap();
    let report = WorkerReport { ended: vec![outcome.clone()], ..WorkerReport::default() };
    scene.run(Command::Report { worker, report });
    scene.begin(worker, 0);
    assert_eq!(scene.held[&worker][0].0.fence.attempt.0, 1);
    scene.log.truncate(known);
    scene.restart();
    let mut registration = scene.registration(worker);
    registration.outbox = vec![outcome];
    assert_eq!(scene.run(Command::Register(registration)), Reply::Registered { worker, drop: vec![] });
    assert_eq!(scene.counts(job).running, 1);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 1);
}

#[test]
fn what_is_older_waits_until_all_are_back_or_lost() {
    let mut scene = Scene::new();
    let (first, second) = (scene.connect(1), scene.connect(1));
    let jobs = [first, second].map(|worker| {
        let job = scene.submit(array(IdSet::single(0), 1, 0));
        scene.begin(worker, 0);
        job
    });
    let old = scene.submit(array(IdSet::range(0, 1), 1, 0));
    scene.restart();
    let started = scene.now;
    let before = assignments(&scene);
    scene.come_back(first);
    scene.end(first, 0, Ending::Finished);
    // What is new was given to nobody before, and comes first meanwhile.
    let new = scene.submit(array(IdSet::single(0), 1, 0));
    assert_eq!(scene.held[&first].first().map(|(attempt, _)| attempt.task.job), Some(new));
    scene.end(first, 0, Ending::Finished);
    let why = |scene: &Scene, job: JobId| scene.machine.why_task(scene.now, TaskRef::new(job.0, 0)).unwrap();
    let text = "waiting: the server was started again, and 1 worker has not come back";
    assert!(why(&scene, old).sentence.starts_with(text), "{}", why(&scene, old).sentence);
    assert_eq!(why(&scene, old).details, [format!("worker {second} (node) is missing")]);
    let large = scene.submit(array(IdSet::single(0), 8, 0));
    assert!(why(&scene, large).sentence.starts_with("waiting: needs 8 cpus"), "{}", why(&scene, large).sentence);
    scene.now = started.after(Span(limits::WORKER_RETURN_SPAN.0 - 1_000_000));
    scene.run(Command::Tick);
    assert_eq!(assignments(&scene), before + 1);
    scene.now = started.after(limits::WORKER_RETURN_SPAN);
    scene.run(Command::Tick);
    // The first to go on is the one that ran on the lost worker.
    assert_eq!(scene.held[&first].first().map(|(attempt, _)| attempt.task.job), Some(jobs[1]));
    // Who goes away later keeps nobody waiting.
    scene.run(Command::Disconnected { worker: first });
    let third = scene.connect(1);
    let newest = scene.submit(array(IdSet::single(0), 1, 1));
    assert_eq!(scene.held[&third].first().map(|(attempt, _)| attempt.task.job), Some(newest));
}

/// Two workers: one had a task, and its outcome for the one that waited for it was lost with the server, as was the
/// assignment of that one to the other. Gives the workers, the job and the outcome.
fn follower_comes_first(ending: Ending) -> (Scene, [WorkerId; 2], JobId, Outcome) {
    let mut scene = Scene::new();
    let (first, second) = (scene.connect(1), scene.connect(1));
    let job = scene.submit(graph(2, &[(1, 0, Condition::Ok)]));
    scene.begin(first, 0);
    let outcome = scene.outcome(first, 0, ending).unwrap();
    scene.held.insert(second, vec![(Attempt::new(job.0, 1, 1, 0), Some(scene.now))]);
    scene.restart();
    assert_eq!(scene.come_back(second), Reply::Registered { worker: second, drop: vec![] });
    assert_eq!((scene.counts(job).running, scene.counts(job).waiting), (1, 1));
    (scene, [first, second], job, outcome)
}

fn come_back_with(scene: &mut Scene, worker: WorkerId, outcome: &Outcome) {
    let mut registration = scene.registration(worker);
    registration.outbox = vec![outcome.clone()];
    assert_eq!(scene.run(Command::Register(registration)), Reply::Registered { worker, drop: vec![] });
}

#[test]
fn what_waits_for_a_lost_outcome_stays_where_it_runs() {
    let (mut scene, [first, second], job, outcome) = follower_comes_first(Ending::Finished);
    let before = assignments(&scene);
    come_back_with(&mut scene, first, &outcome);
    assert_eq!((scene.counts(job).running, scene.counts(job).finished), (1, 1));
    scene.end(second, 0, Ending::Finished);
    assert_eq!(scene.counts(job).finished, 2);
    assert_eq!(assignments(&scene), before);
}

#[test]
fn the_end_of_what_waits_for_a_lost_outcome_counts() {
    let (mut scene, [first, second], job, outcome) = follower_comes_first(Ending::Finished);
    let end = scene.outcome(second, 0, Ending::Finished).unwrap();
    let number = end.number;
    let report = WorkerReport { ended: vec![end], ..WorkerReport::default() };
    let told = scene.machine.handle(scene.now, Command::Report { worker: second, report });
    let acknowledges = |output: &Output| {
        let is_it = |effect: &Effect| *effect == Effect::Acknowledge { worker: second, number };
        output.effects.iter().any(is_it)
    };
    assert!(!acknowledges(&told));
    let mut registration = scene.registration(first);
    registration.outbox = vec![outcome];
    let told = scene.machine.handle(scene.now, Command::Register(registration));
    assert!(acknowledges(&told));
    assert_eq!(scene.counts(job).finished, 2);
    assert!(scene.machine.state().job(job).unwrap().completed.is_some());
}

#[test]
fn an_outcome_is_given_up_before_many_wait_behind_it() {
    let (mut scene, [first, second], job, outcome) = follower_comes_first(Ending::Finished);
    let mut end = scene.outcome(second, 0, Ending::Finished).unwrap();
    let mut tell = |scene: &mut Scene, number: u64| {
        end.number = number;
        let report = WorkerReport { ended: vec![end.clone()], ..WorkerReport::default() };
        end.attempt.task.task = TaskId(77);
        let told = scene.machine.handle(scene.now, Command::Report { worker: second, report });
        told.effects.contains(&Effect::Acknowledge { worker: second, number })
    };
    assert!(!tell(&mut scene, 1));
    assert!(!tell(&mut scene, 1 + limits::WITHHELD_OUTCOMES_MAX));
    assert!(tell(&mut scene, 2 + limits::WITHHELD_OUTCOMES_MAX));
    let before = assignments(&scene);
    come_back_with(&mut scene, first, &outcome);
    assert_eq!((scene.counts(job).finished, assignments(&scene)), (1, before + 1));
}

#[test]
fn what_waits_for_an_outcome_that_was_none_is_dropped() {
    let (mut scene, [first, second], job, outcome) = follower_comes_first(Ending::Failed);
    come_back_with(&mut scene, first, &outcome);
    assert_eq!((scene.counts(job).failed, scene.counts(job).aborted), (1, 1));
    assert_eq!(scene.held[&second], []);
}

#[test]
fn who_waits_for_a_lost_outcome_is_not_idle() {
    let mut scene = Scene::new();
    let first = scene.connect(1);
    let mut config = config(1);
    config.idle_timeout = Some(Span::from_secs(5));
    let second = scene.connect_with(config.clone());
    let job = scene.submit(graph(2, &[(1, 0, Condition::Ok)]));
    scene.begin(first, 0);
    scene.held.insert(second, vec![(Attempt::new(job.0, 1, 1, 0), Some(scene.now))]);
    scene.restart();
    let mut registration = scene.registration(second);
    registration.config = config;
    scene.run(Command::Register(registration));
    scene.come_back(first);
    scene.now = scene.now.after(Span::from_secs(60));
    scene.run(Command::Tick);
    assert!(scene.machine.state().workers.contains_key(&second));
    assert!(scene.machine.next_deadline().is_none_or(|at| at > scene.now));
    scene.end(first, 0, Ending::Finished);
    assert_eq!(scene.counts(job).running, 1);
}
