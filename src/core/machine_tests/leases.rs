//! When the tasks of a worker that cannot be talked to go to others.
//!
//! The times are the server's part of a promise whose other part the worker keeps: never two copies at a time.

use super::scene::{Scene, array};
use crate::command::{Command, Effect};
use crate::id::WorkerId;
use crate::idset::IdSet;
use crate::limits;
use crate::time::{Span, Time};
use crate::worker::{LostReason, WorkerConfig};

/// A scene with one worker that runs one task.
fn scene() -> (Scene, WorkerId, Span) {
    let mut scene = Scene::new();
    scene.now = Time(3_600_000_000);
    let worker = scene.connect(1);
    scene.submit(array(IdSet::range(0, 0), 1, 0));
    scene.begin(worker, 0);
    let patience = scene.machine.state().workers[&worker].config.patience();
    (scene, worker, patience)
}

fn tick_at(scene: &mut Scene, at: Time) {
    scene.machine.handle(at, Command::Tick);
    scene.now = at;
}

fn just_under(span: Span) -> Span {
    Span(span.0 - 1)
}

fn is_lost(scene: &Scene, worker: WorkerId) -> bool {
    !scene.machine.state().workers.contains_key(&worker)
}

#[test]
fn a_silent_worker_keeps_its_tasks_until_its_lease_is_surely_over() {
    let (mut scene, worker, patience) = scene();
    let since = Span::from_secs(16);
    scene.run(Command::Silent { worker, since });
    let end = scene.now.after(Span(patience.0 - since.0));
    assert_eq!(scene.machine.next_deadline(), Some(end));
    tick_at(&mut scene, Time(end.0 - 1));
    assert!(!is_lost(&scene, worker));
    tick_at(&mut scene, end);
    let past = &scene.machine.state().past_workers[&worker];
    assert_eq!(past.end.reason, LostReason::HeartbeatLost);
}

#[test]
fn a_server_that_shows_no_sign_takes_nothing_back() {
    let (mut scene, worker, patience) = scene();
    scene.run(Command::Witnessed(None));
    scene.run(Command::Silent { worker, since: patience });
    let silent = scene.now;
    tick_at(&mut scene, silent.after(Span::from_secs(1_200)));
    assert!(!is_lost(&scene, worker));
    // It shows itself again: from now on the worker can know.
    let shown = scene.now;
    scene.run(Command::Witnessed(Some(shown)));
    tick_at(&mut scene, shown.after(just_under(patience)));
    assert!(!is_lost(&scene, worker));
    tick_at(&mut scene, shown.after(patience));
    assert!(is_lost(&scene, worker));
}

#[test]
fn the_long_lease_ends_even_without_signs() {
    let (mut scene, worker, patience) = scene();
    scene.run(Command::Witnessed(None));
    scene.run(Command::Silent { worker, since: patience });
    let end = scene.now.after(limits::SERVER_LOST_LEASE_SPAN);
    tick_at(&mut scene, Time(end.0 - 1));
    assert!(!is_lost(&scene, worker));
    tick_at(&mut scene, end);
    assert!(is_lost(&scene, worker));
}

#[test]
fn a_restart_waits_as_long_for_those_who_were_there() {
    let (mut scene, worker, patience) = scene();
    scene.restart();
    let started = scene.now;
    scene.run(Command::Witnessed(Some(started.after(Span::from_secs(25)))));
    let until = started.after(limits::WORKER_RETURN_SPAN.max(patience));
    tick_at(&mut scene, until);
    assert!(!is_lost(&scene, worker), "the signs began too late");
    tick_at(&mut scene, started.after(Span::from_secs(25)).after(patience));
    assert!(is_lost(&scene, worker));
}

#[test]
fn a_closed_connection_is_the_end_of_a_process() {
    let (mut scene, worker, _) = scene();
    scene.run(Command::Witnessed(None));
    scene.run(Command::Disconnected { worker });
    let end = scene.now.after(limits::WORKER_AWAY_SPAN);
    tick_at(&mut scene, end);
    assert!(is_lost(&scene, worker));
}

/// Its process may have been killed on the way; then its tasks run until its guardian has ended them.
#[test]
fn a_closed_connection_of_a_worker_that_was_told_to_stop_is_waited_for_as_well() {
    for stops_first in [true, false] {
        let (mut scene, worker, _) = scene();
        let stop = Command::StopWorkers { workers: vec![worker] };
        if stops_first {
            scene.run(stop.clone());
        }
        scene.run(Command::Disconnected { worker });
        let end = scene.now.after(limits::WORKER_AWAY_SPAN);
        if !stops_first {
            scene.run(stop);
        }
        tick_at(&mut scene, Time(end.0 - 1));
        assert!(!is_lost(&scene, worker));
        tick_at(&mut scene, end);
        assert!(is_lost(&scene, worker));
    }
}

#[test]
fn leases_follow_heartbeats() {
    let config = |ms| WorkerConfig { heartbeat: Span::from_ms(ms), ..WorkerConfig::default() };
    assert_eq!(config(8_000).lease(), Span::from_secs(20));
    assert_eq!(config(8_000).patience(), Span::from_ms(22_700));
    assert_eq!(config(200).lease(), limits::LEASE_MIN);
    for ms in [200, 3_000, 8_000, 3_600_000] {
        let (lease, patience) = (config(ms).lease(), config(ms).patience());
        assert!(lease.0 > 2 * Span::from_ms(ms).0, "one lost heartbeat is no reason");
        assert!(patience.0 >= lease.0 + limits::LEASE_MARGIN.0);
    }
}

#[test]
fn a_worker_that_was_told_to_stop_keeps_its_tasks_until_it_is_surely_gone() {
    for told_before in [true, false] {
        let (mut scene, worker, _) = scene();
        let stop = Command::StopWorkers { workers: vec![worker] };
        let mut steps = [stop, Command::Disconnected { worker }];
        if !told_before {
            steps.reverse();
        }
        let closed = scene.now;
        steps.into_iter().for_each(|step| drop(scene.run(step)));
        tick_at(&mut scene, closed.after(just_under(limits::WORKER_AWAY_SPAN)));
        // Another worker gets nothing that this one may still run.
        let other = scene.connect(1);
        assert!(!is_lost(&scene, worker) && !scene.held.contains_key(&other), "{told_before}");
        let later = scene.now.after(limits::WORKER_AWAY_SPAN);
        tick_at(&mut scene, later);
        let past = &scene.machine.state().past_workers[&worker];
        assert_eq!(past.end.reason, LostReason::Stopped);
    }
}

#[test]
fn a_worker_that_comes_back_is_told_to_stop_again() {
    let (mut scene, worker, _) = scene();
    scene.run(Command::Disconnected { worker });
    scene.run(Command::StopWorkers { workers: vec![worker] });
    let registration = scene.registration(worker);
    let output = scene.machine.handle(scene.now, Command::Register(registration));
    assert!(output.effects.contains(&Effect::StopWorker { worker }), "{:?}", output.effects);
}
