//! Clients that ask to be told what happens, and then do not listen.
//!
//! A terminal is stopped by a key, a script hangs, a laptop sleeps: whoever listens may stop to listen at any time, and the
//! server cannot wait for them, nor keep everything for them.
//!
//! Holds: what waits for all of them together is bounded; everybody else goes on.

use crate::harness::Cluster;
use crate::meter::Meter;
use crate::peer::{Peer, all, job, registration, task};
use hq_core::attempt::{Attempt, Notice, Started, WorkerReport};
use hq_core::idset::IdSet;
use hq_core::limits::NOTICE_BYTES_MAX;
use hq_core::resource::PoolKind;
use hq_core::time::Time;
use hyperqueue::wire::message::{FollowRequest, Request, ToServer, ToWorker};
use serde_bytes::ByteBuf;

const LISTENERS: usize = 20;
/// Messages of the task, and how many are sent before it is seen that they are durable.
const NOTICES: u64 = 16_000;
const NOTICES_AT_ONCE: u64 = 250;
/// What all listeners together may cost, in KiB.
const LISTENERS_KIB_MAX: u64 = 32 * 1024;

/// A worker that speaks the wire itself and runs the only task there is.
fn talker(cluster: &Cluster) -> (Peer, Attempt) {
    let mut worker = Peer::worker(cluster);
    let registration = registration("talker", vec![("cpus", PoolKind::range(0, 0))]);
    worker.send(&ToServer::Register(registration)).unwrap();
    assert!(matches!(worker.next(), Ok(ToWorker::Registered(_))));
    let id = Peer::client(cluster).submit(job("talks", IdSet::range(0, 0), task()));
    let attempt = Attempt::new(id.0, 0, 1, 0);
    let started = vec![Started { attempt, at: Time(1), variant: 0 }];
    worker.report(WorkerReport { started, ..WorkerReport::default() });
    cluster.wait_job(id.0, "RUNNING");
    (worker, attempt)
}

/// What it costs the server, in KiB, when a task says all that it has to say while nobody of `count` listens.
fn cost_of(count: usize) -> u64 {
    let cluster = Cluster::start();
    let (mut worker, attempt) = talker(&cluster);
    let listeners: Vec<Peer> = (0..count)
        .map(|_| {
            let mut listener = Peer::client(&cluster);
            let follow = FollowRequest { selector: all(), notices: true, ..FollowRequest::default() };
            listener.send(&Request::Follow(follow)).unwrap();
            listener
        })
        .collect();
    let meter = Meter::start(&cluster);
    for number in 1..=NOTICES {
        let message = ByteBuf::from(vec![b'x'; NOTICE_BYTES_MAX]);
        worker.send(&ToServer::Notify(Notice { number, attempt, message })).unwrap();
        if number.is_multiple_of(NOTICES_AT_ONCE) {
            while !matches!(worker.next(), Ok(ToWorker::Noted(noted)) if noted >= number) {}
        }
    }
    let cost = meter.stop();
    println!("{count} listeners: {cost:?}");
    drop(listeners);
    cluster.hq(&["job", "list"]).ok();
    cost.memory_kib
}

#[test]
fn listeners_that_stall_cost_bounded_memory() {
    // The journal keeps in memory what was written last, whoever listens.
    let (nobody, all) = (cost_of(0), cost_of(LISTENERS));
    assert!(all < nobody + LISTENERS_KIB_MAX, "{nobody} KiB without, {all} KiB with listeners");
}
