//! Holders of the worker's key who lie about what they have, what they run and what became of it.
//!
//! The key lies on every compute node, so a broken or hostile node must not be able to spoil the work of the others.
//!
//! Holds: an absurd registration is refused and leaves no event; words about attempts of others are ignored; a worker
//! that claims much or reads nothing costs bounded memory.

use crate::harness::{Cluster, wait_until};
use crate::meter::{Meter, PEER_KIB_MAX};
use crate::peer::{End, Peer, all, job, registration, task};
use hq_core::attempt::{Attempt, Ending, HeldAttempt, Outcome, Started, WorkerReport};
use hq_core::id::{Fence, TaskRef};
use hq_core::idset::IdSet;
use hq_core::resource::{Amount, CouplingWeight, PoolKind};
use hq_core::time::{Span, Time};
use hyperqueue::wire::message::{CancelRequest, Request, Response, ToServer, ToWorker};

/// Absurd registrations, by what is absurd about them.
fn absurd() -> Vec<(&'static str, hq_core::attempt::Registration)> {
    let cpus = || vec![("cpus", PoolKind::range(0, 3))];
    let with = |pools: Vec<(&str, PoolKind)>| registration("absurd", pools);
    let kind = |kind: PoolKind| with(vec![("cpus", kind)]);
    let mut list: Vec<(&'static str, hq_core::attempt::Registration)> = vec![
        ("the whole range", kind(PoolKind::range(0, u32::MAX))),
        ("a reversed range", kind(PoolKind::range(5, 1))),
        ("groups of nothing", kind(PoolKind::Groups(vec![Vec::new(); 10]))),
        ("no groups", kind(PoolKind::Groups(Vec::new()))),
        ("no labels", kind(PoolKind::List(Vec::new()))),
        ("the same label twice", kind(PoolKind::List(vec!["1".to_owned(); 2]))),
        ("the same label in two groups", kind(PoolKind::Groups(vec![vec!["1".to_owned()]; 2]))),
        ("a sum of nothing", kind(PoolKind::Sum(Amount::ZERO))),
        ("an endless sum", kind(PoolKind::Sum(Amount(u64::MAX)))),
        ("a name twice", with([cpus(), cpus()].concat())),
        ("a pool without a name", with(vec![("", PoolKind::range(0, 3))])),
        ("many labels", kind(PoolKind::List((0..200_000).map(|n| n.to_string()).collect()))),
        ("a label of a megabyte", kind(PoolKind::List(vec!["x".repeat(1 << 20)]))),
    ];
    let names: Vec<String> = (0..300).map(|number| format!("r{number}")).collect();
    list.push(("many pools", with(names.iter().map(|name| (name.as_str(), PoolKind::range(0, 1))).collect())));
    type Change = fn(&mut hq_core::worker::WorkerConfig);
    let changes: [(&'static str, Change); 13] = [
        ("no heartbeat", |config| config.heartbeat = Span(0)),
        ("a fast heartbeat", |config| config.heartbeat = Span::from_ms(100)),
        ("an endless heartbeat", |config| config.heartbeat = Span(u64::MAX)),
        ("more than all CPUs in use", |config| config.min_utilization_parts = 10_001),
        ("a coupling with nothing", |config| {
            config.resources.coupling.weights = vec![CouplingWeight { resource2: 1, ..CouplingWeight::default() }];
        }),
        ("many couplings", |config| {
            let item = |group2| CouplingWeight { group2, ..CouplingWeight::default() };
            config.resources.coupling.weights = (0..100_000).map(item).collect();
        }),
        ("a coupling twice", |config| {
            config.resources.coupling.weights = vec![CouplingWeight::default(); 2];
        }),
        ("a long host name", |config| config.hostname = "x".repeat(1 << 20)),
        ("two host names in one", |config| config.hostname = "a\nb".to_owned()),
        ("a long group", |config| config.group = "x".repeat(1 << 20)),
        ("a long directory", |config| config.work_dir = "x".repeat(1 << 20)),
        ("a long address", |config| config.listen_address = "x".repeat(1 << 20)),
        ("many further facts", |config| {
            config.extra = (0..100_000).map(|number| (number.to_string(), String::new())).collect();
        }),
    ];
    for (what, change) in changes {
        let mut registration = with(cpus());
        change(&mut registration.config);
        list.push((what, registration));
    }
    let mut token = with(cpus());
    token.token = "x".repeat(1 << 20);
    list.push(("a long token", token));
    list
}

#[test]
fn absurd_registrations_are_refused() {
    let mut cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let before = owner.events();
    let meter = Meter::start(&cluster);
    for (what, registration) in absurd() {
        let mut peer = Peer::worker(&cluster);
        peer.send(&ToServer::Register(registration)).unwrap();
        let answer: Result<ToWorker, End> = peer.next();
        assert!(matches!(answer, Ok(ToWorker::Refused(_))), "{what}: {answer:?}");
    }
    for first in [ToServer::Heartbeat(Default::default()), ToServer::Report(WorkerReport::default())] {
        let mut peer = Peer::worker(&cluster);
        peer.send(&first).unwrap();
        let answer: Result<ToWorker, End> = peer.next();
        assert!(matches!(answer, Err(End::Closed | End::Broken(_))), "{answer:?}");
    }
    meter.peers();
    assert_eq!(owner.events(), before);
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
}

fn attempts_of(job: u32, tasks: u32) -> Vec<Attempt> {
    let fences = (0..4).flat_map(|epoch| (0..3).map(move |attempt| (epoch, attempt)));
    fences.flat_map(|(epoch, attempt)| (0..tasks).map(move |task| Attempt::new(job, task, epoch, attempt))).collect()
}

/// Everything a worker could say about attempts that are not its own.
fn lies(job: u32) -> Vec<WorkerReport> {
    let mut attempts = attempts_of(job, 4);
    attempts.push(Attempt { task: TaskRef::new(u32::MAX, u32::MAX), fence: Fence::default() });
    attempts.push(Attempt::new(job, u32::MAX, 1, u32::MAX));
    let started = |attempt: &Attempt| Started { attempt: *attempt, at: Time(u64::MAX), variant: u32::MAX };
    let ended = |ending: Ending| {
        move |(number, attempt): (usize, &Attempt)| Outcome {
            number: number as u64,
            attempt: *attempt,
            ended: Time(u64::MAX),
            started: Some(Time(0)),
            ending,
            error: "\u{1b}[2Jno".to_owned(),
            ..Outcome::default()
        }
    };
    let mut reports = vec![
        WorkerReport { started: attempts.iter().map(started).collect(), ..WorkerReport::default() },
        WorkerReport { returned: attempts.clone(), ..WorkerReport::default() },
    ];
    for ending in [Ending::Finished, Ending::Failed, Ending::Canceled, Ending::Interrupted] {
        let ended = attempts.iter().enumerate().map(ended(ending)).collect();
        reports.push(WorkerReport { ended, ..WorkerReport::default() });
    }
    reports
}

#[test]
fn words_about_attempts_of_others_are_ignored() {
    let mut cluster = Cluster::with_worker(1);
    let script = "while ! test -e go; do sleep 0.01; done";
    let running = cluster.submit(&["--array=0-3", "--", "sh", "-c", script]);
    cluster.wait_job(running, "RUNNING");
    let mut owner = Peer::client(&cluster);
    let mut liar = Peer::worker(&cluster);
    // It has nothing that the tasks need, so nothing of the job is ever its own.
    let pools = vec![("other", PoolKind::range(0, 3))];
    liar.send(&ToServer::Register(registration("liar", pools.clone()))).unwrap();
    let Ok(ToWorker::Registered(registered)) = liar.next() else { panic!("not registered") };
    let before = owner.events();
    for report in lies(running) {
        liar.report(report);
    }
    // Registering once more on the same connection means nothing.
    liar.send(&ToServer::Register(registration("liar", pools.clone()))).unwrap();
    let last = WorkerReport { ended: vec![Outcome { number: 77, ..Outcome::default() }], ..WorkerReport::default() };
    liar.report(last);
    loop {
        match liar.next() {
            Ok(ToWorker::Acknowledge(77)) => break,
            Ok(ToWorker::Acknowledge(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(owner.events(), before, "no word of the liar became an event");

    // Coming back with the attempts of others in its hands does not make them its own.
    let mut returning = registration("liar", pools);
    returning.server_uid = registered.server_uid;
    returning.held =
        attempts_of(running, 4).into_iter().map(|attempt| HeldAttempt { attempt, ..HeldAttempt::default() }).collect();
    let mut again = Peer::worker(&cluster);
    again.send(&ToServer::Register(returning)).unwrap();
    let answer: Result<ToWorker, End> = again.next();
    let Ok(ToWorker::Registered(answer)) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.worker, registered.worker);
    assert!(answer.drop.len() >= 4, "it must let go of them: {:?}", answer.drop);
    assert_eq!(cluster.job_state(running).as_deref(), Some("RUNNING"));
    cluster.write("go", "");
    cluster.wait_job(running, "FINISHED");
    drop((liar, again));
    cluster.start_worker(1);
}

#[track_caller]
fn register(peer: &mut Peer, token: &str, pools: Vec<(&str, PoolKind)>) {
    peer.send(&ToServer::Register(registration(token, pools))).unwrap();
    let answer: Result<ToWorker, End> = peer.next();
    assert!(matches!(answer, Ok(ToWorker::Registered(_))), "{answer:?}");
}

fn assigned(owner: &mut Peer) -> u32 {
    match owner.ask(&Request::Workers(all())) {
        Response::Workers((workers, _)) => workers.iter().map(|worker| worker.assigned_tasks).sum(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_that_claims_billions_of_cpus_gets_a_bounded_share() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let id = owner.submit(job("array", IdSet::range(0, 4_000_000_000), task()));
    let meter = Meter::start(&cluster);
    let mut glutton = Peer::worker(&cluster);
    register(&mut glutton, "glutton", vec![("cpus", PoolKind::range(0, 4_000_000_000))]);
    let most = hq_core::limits::WORKER_TASKS_MAX;
    wait_until("it has all it can get", || assigned(&mut owner) >= most);
    // Whatever makes the server place again gives it no more.
    for _ in 0..20 {
        owner.submit(job("other", IdSet::single(0), task()));
        assert_eq!(assigned(&mut owner), most);
    }
    match owner.ask(&Request::Cancel(CancelRequest { selector: all(), reason: None })) {
        Response::Canceled(results) => assert!(results.iter().any(|result| result.job == id && result.found)),
        other => panic!("{other:?}"),
    }
    // The share itself is what an honest worker of this size would cost.
    meter.within(2 * PEER_KIB_MAX);
}

#[test]
fn an_array_of_billions_whose_worker_was_lost_can_be_cancelled() {
    let mut cluster = Cluster::start();
    let id = Peer::client(&cluster).submit(job("array", IdSet::range(0, 4_000_000_000), task()));
    let mut lost = Peer::worker(&cluster);
    register(&mut lost, "lost", vec![("cpus", PoolKind::range(0, 9))]);
    let Ok(ToWorker::Assign(message)) = lost.next() else { panic!("no task") };
    let fence = Fence { epoch: message.assignment.epoch, attempt: message.assignment.tasks[4].attempt };
    let attempt = Attempt { task: TaskRef { job: id, task: message.assignment.tasks[4].task }, fence };
    let started = vec![Started { attempt, ..Started::default() }];
    lost.report(WorkerReport { started, ..WorkerReport::default() });
    cluster.wait_job(id.0, "RUNNING");
    let meter = Meter::start(&cluster);
    drop(lost);
    cluster.wait_job(id.0, "WAITING");
    let done = cluster.hq(&["job", "cancel", "all"]).ok();
    done.says("4000000001 tasks canceled");
    assert_eq!(cluster.job_state(id.0).as_deref(), Some("CANCELED"));
    meter.peers();
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
}

fn numbered(number: u64) -> WorkerReport {
    WorkerReport { ended: vec![Outcome { number, ..Outcome::default() }], ..WorkerReport::default() }
}

#[test]
fn a_worker_that_reads_nothing_costs_bounded_memory() {
    let mut cluster = Cluster::start();
    let meter = Meter::start(&cluster);
    let mut deaf = Peer::worker(&cluster);
    register(&mut deaf, "deaf", vec![("other", PoolKind::range(0, 3))]);
    for round in 0..50_000 {
        if deaf.send(&ToServer::Report(numbered(round))).is_err() {
            break;
        }
    }
    meter.peers();
    cluster.start_worker(1);
    cluster.hq(&["submit", "--wait", "true"]).ok();
}

/// A job with a description of two megabytes.
fn large() -> hq_core::task::SubmitRequest {
    let mut desc = task();
    desc.args.push("x".repeat(1_900_000));
    job("large", IdSet::single(0), desc)
}

#[test]
fn a_worker_whose_messages_were_lost_is_not_left_with_tasks_that_it_never_got() {
    let cluster = Cluster::start();
    let mut owner = Peer::client(&cluster);
    let mut deaf = Peer::worker(&cluster);
    register(&mut deaf, "deaf", vec![("cpus", PoolKind::range(0, 99))]);
    // Large messages fill the way to the worker, many small ones its queue, while it reads nothing.
    for _ in 0..8 {
        owner.submit(large());
    }
    let queued = u64::try_from(hq_core::limits::WORKER_QUEUE_MESSAGES_MAX).unwrap();
    for round in 0..2 * queued {
        if deaf.send(&ToServer::Report(numbered(round))).is_err() {
            break;
        }
    }
    let last = owner.submit(job("last", IdSet::single(0), task()));
    // It reads again: either the task is among the messages, or the connection ends and the worker can come back.
    loop {
        match deaf.next() {
            Ok(ToWorker::Assign(message)) if message.assignment.key.job == last => break,
            Ok(_) => {}
            Err(End::Silence) => panic!("the task was lost on its way and nobody knows"),
            Err(_) => break,
        }
    }
    wait_until("the worker has the task or is lost", || {
        let Response::Workers((workers, _)) = owner.ask(&Request::Workers(all())) else { panic!("no workers") };
        workers.iter().all(|worker| worker.ended.is_some() || worker.away || worker.assigned_tasks == 9)
    });
}
