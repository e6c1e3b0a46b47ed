//! Workers that drain: nothing new, nothing lost, and then the end.

use super::scene::*;
use crate::attempt::Ending;
use crate::command::{Command, Effect, Reply, WorkerStop};
use crate::event::Event;
use crate::id::{TaskId, WorkerId};
use crate::idset::IdSet;
use crate::limits;
use crate::time::Span;
use crate::worker::{Drain, LostReason};

fn drain(scene: &mut Scene, worker: WorkerId, timeout: Option<Span>) {
    let reply = scene.run(Command::DrainWorkers { workers: vec![worker], timeout });
    assert_eq!(reply, Reply::WorkersStopped(vec![(worker, WorkerStop::Stopped)]));
}

/// How often the worker was told to stop.
fn stops(scene: &Scene, worker: WorkerId) -> usize {
    scene.log.iter().filter(|at| matches!(&at.event, Event::WorkerStopping(event) if event.worker == worker)).count()
}

#[test]
fn a_drained_worker_ends_when_its_tasks_have() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    let job = scene.submit(array(IdSet::range(0, 3), 1, 0));
    scene.begin(worker, 0);
    scene.begin(worker, 1);
    drain(&mut scene, worker, None);
    assert_eq!(stops(&scene, worker), 0);
    scene.end(worker, 0, Ending::Finished);
    assert_eq!((scene.held[&worker].len(), stops(&scene, worker)), (1, 0), "nothing new");
    scene.restart();
    assert_eq!(scene.come_back(worker), Reply::Registered { worker, drop: vec![] });
    let view = scene.machine.state().view_worker(worker).unwrap();
    assert_eq!(view.draining, Some(Drain::default()));
    scene.end(worker, 0, Ending::Finished);
    assert_eq!(stops(&scene, worker), 1);
    assert_eq!((scene.counts(job).finished, scene.counts(job).waiting), (2, 2));
    let other = scene.connect(2);
    assert_eq!(scene.held[&other].len(), 2);
}

#[test]
fn what_has_not_started_is_asked_back() {
    let mut scene = Scene::new();
    let worker = scene.connect(2);
    scene.submit(array(IdSet::range(0, 1), 1, 0));
    scene.begin(worker, 0);
    let not_started = scene.held[&worker][1].0;
    let now = scene.now;
    let output = scene.machine.handle(now, Command::DrainWorkers { workers: vec![worker], timeout: None });
    assert_eq!(output.effects, [Effect::Retract { worker, attempts: vec![not_started] }]);
}

#[test]
fn a_drain_with_a_timeout_interrupts_what_still_runs() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
    scene.begin(worker, 0);
    drain(&mut scene, worker, Some(Span::from_secs(10)));
    assert_eq!(scene.machine.next_deadline(), Some(scene.now.after(Span::from_secs(10))));
    scene.now = scene.now.after(Span::from_secs(9));
    scene.run(Command::Tick);
    assert_eq!(stops(&scene, worker), 0);
    scene.now = scene.now.after(Span::from_secs(1));
    scene.run(Command::Tick);
    assert_eq!(stops(&scene, worker), 1);
    scene.end(worker, 0, Ending::Interrupted);
    scene.run(Command::Leaving { worker, reason: LostReason::Stopped });
    let live = scene.machine.state().job(job).unwrap().tasks.live[&TaskId(0)];
    assert_eq!((scene.counts(job).waiting, live.crashes), (1, 0));
    // Who is told that it is too late has nothing to do.
    let reply = scene.run(Command::DrainWorkers { workers: vec![worker, WorkerId(7)], timeout: None });
    let expected = vec![(worker, WorkerStop::AlreadyStopped), (WorkerId(7), WorkerStop::NotFound)];
    assert_eq!(reply, Reply::WorkersStopped(expected));
}

#[test]
fn an_announced_end_is_no_crash() {
    for announced in [true, false] {
        let mut scene = Scene::new();
        let worker = scene.connect(1);
        let job = scene.submit(array(IdSet::range(0, 0), 1, 0));
        scene.begin(worker, 0);
        if announced {
            scene.run(Command::Draining { worker });
            // The last word of a user does not undo what the worker said.
            drain(&mut scene, worker, None);
        }
        scene.run(Command::Disconnected { worker });
        scene.now = scene.now.after(limits::WORKER_AWAY_SPAN);
        scene.run(Command::Tick);
        let live = scene.machine.state().job(job).unwrap().tasks.live[&TaskId(0)];
        assert_eq!((scene.counts(job).waiting, live.crashes), (1, u32::from(!announced)));
        let end = scene.machine.state().view_worker(worker).unwrap().ended.unwrap();
        assert_eq!(end.reason, if announced { LostReason::Stopped } else { LostReason::ConnectionLost });
    }
}

#[test]
fn an_idle_worker_that_drains_is_stopped_at_once() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    let now = scene.now;
    let output = scene.machine.handle(now, Command::DrainWorkers { workers: vec![worker], timeout: None });
    assert_eq!(output.effects, [Effect::StopWorker { worker }]);
    // One that wants to end does so by itself.
    let worker = scene.connect(1);
    scene.run(Command::Draining { worker });
    assert_eq!(stops(&scene, worker), 0);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    assert!(scene.held.get(&worker).is_none_or(Vec::is_empty));
}

#[test]
fn an_order_that_was_lost_is_repeated() {
    let mut scene = Scene::new();
    let worker = scene.connect(1);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    scene.begin(worker, 0);
    scene.run(Command::StopWorkers { workers: vec![worker] });
    scene.restart();
    let registration = crate::attempt::Registration {
        token: format!("token-{worker}"),
        config: config(1),
        server_uid: "abcdef".into(),
        ..Default::default()
    };
    let now = scene.now;
    let output = scene.machine.handle(now, Command::Register(Box::new(registration)));
    assert!(output.effects.contains(&Effect::StopWorker { worker }), "{:?}", output.effects);
}
