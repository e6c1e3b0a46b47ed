//! Workers that outlive their server.
//!
//! What holds: a task is never started twice, and no outcome is lost, whatever happens to the connection.

use super::*;
use std::io::Write;

/// A description whose task waits for a file.
fn waits_for(dir: &Path) -> Option<SharedDesc> {
    plain(dir, &["/bin/sh", "-c", "echo >> runs; until test -e go-$HQ_TASK_ID; do sleep 0.02; done"])
}

fn let_go(server: &FakeServer, task: u32) {
    std::fs::File::create(server.path(&format!("go-{task}"))).unwrap().write_all(b"x").unwrap();
}

#[tokio::test]
async fn a_broken_connection_costs_nothing() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, registrations) = start(server.options());
    let (mut peer, first) = server.accept("aaaaaa").await;
    peer.assign(1, waits_for(server.temp.path()), &[0, 1, 2]).await;
    peer.started(0).await;
    peer.started(1).await;
    drop(peer);
    // One ends and another starts while nobody is there to hear it.
    let (peer, second) = server.greet().await;
    assert_eq!((&second.token, second.server_uid.as_str()), (&first.token, "aaaaaa"));
    drop(peer);
    let_go(&server, 0);
    let (mut peer, third) = loop {
        let (peer, registration) = server.greet().await;
        if !registration.outbox.is_empty() {
            break (peer, registration);
        }
    };
    assert_eq!((third.outbox[0].attempt, third.outbox[0].ending), (attempt(1, 0), Ending::Finished));
    assert_eq!(third.held.iter().map(|held| held.attempt).collect::<Vec<_>>(), vec![attempt(1, 1), attempt(1, 2)]);
    assert!(third.held[0].started.is_some());
    peer.welcome("aaaaaa", vec![attempt(1, 1)]).await;
    peer.send(ToWorker::Acknowledge(third.outbox[0].number)).await;
    let_go(&server, 2);
    assert_eq!(peer.outcome(2).await.ending, Ending::Finished);
    let seen = peer.stop(worker).await;
    assert!(seen.ended.iter().all(|outcome| outcome.attempt == attempt(1, 2)), "{:?}", seen.ended);
    assert_eq!(std::fs::read_to_string(server.path("runs")).unwrap().lines().count(), 3);
    assert_eq!(registrations.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_was_started_again_is_found() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, _) = start(server.options());
    let (mut peer, first) = server.accept("aaaaaa").await;
    peer.assign(1, waits_for(server.temp.path()), &[0]).await;
    peer.started(0).await;
    let temp = server.die();
    drop(peer);
    let mut server = FakeServer::start_in(temp, "aaaaaa").await;
    let (mut peer, again) = server.accept("aaaaaa").await;
    assert_eq!((again.token, again.held.len()), (first.token, 1));
    let_go(&server, 0);
    assert_eq!(peer.outcome(0).await.ending, Ending::Finished);
    peer.stop(worker).await;
}

#[tokio::test]
async fn a_server_that_forgot_the_worker_gets_a_new_one() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, registrations) = start(server.options());
    let (mut peer, first) = server.accept("aaaaaa").await;
    peer.assign(1, waits_for(server.temp.path()), &[0]).await;
    peer.started(0).await;
    drop(peer);
    let (mut peer, _) = server.greet().await;
    peer.send(ToWorker::Refused("this worker was declared lost".into())).await;
    let (mut peer, fresh) = server.accept("bbbbbb").await;
    assert_ne!(fresh.token, first.token);
    assert_eq!((fresh.server_uid.as_str(), fresh.held.len(), fresh.outbox.len()), ("", 0, 0));
    // What the worker ran before is not heard of again; both CPUs are free once it is dead.
    peer.assign(1, plain(server.temp.path(), &["/bin/true"]), &[5, 6]).await;
    peer.outcome(5).await;
    peer.outcome(6).await;
    assert_eq!(peer.stop(worker).await.ended.len(), 2);
    assert_eq!(registrations.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refused_worker_ends() {
    let mut server = FakeServer::start("aaaaaa").await;
    let (worker, registrations) = start(server.options());
    let (mut peer, _) = server.greet().await;
    peer.send(ToWorker::Refused("no more workers".into())).await;
    let error = soon("exit", worker).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "Worker registration failed: no more workers");
    assert_eq!(registrations.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_server_there_is_no_worker() {
    let temp = tempfile::tempdir().unwrap();
    let (worker, _) = start(WorkerOptions::new(temp.path().to_owned(), VERSION));
    assert!(matches!(soon("exit", worker).await.unwrap(), Err(Error::Access(_))));
    let mut options = WorkerOptions::new(temp.path().to_owned(), VERSION);
    options.heartbeat = hq_core::time::Span::from_ms(100);
    let (worker, _) = start(options);
    assert!(matches!(soon("exit", worker).await.unwrap(), Err(Error::Heartbeat { .. })));
}

#[tokio::test]
async fn heartbeats_come_while_nothing_happens() {
    let mut server = FakeServer::start("aaaaaa").await;
    let mut options = server.options();
    options.heartbeat = hq_core::time::Span::from_ms(200);
    let (worker, _) = start(options);
    let (mut peer, _) = server.accept("aaaaaa").await;
    for _ in 0..3 {
        let message = soon("heartbeat", peer.connection.recv()).await.unwrap();
        assert!(matches!(message, Some(ToServer::Heartbeat(_))), "{message:?}");
    }
    peer.stop(worker).await;
}
