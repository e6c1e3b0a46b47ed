//! The worker against a server that the test plays, over a real connection and with real processes.
//!
//! The parts are tested where they are; here it is what a server sees of the whole.
//!
//! What holds: tests wait for what they expect, up to a deadline that is far beyond need; nothing is left behind.

mod reconnect;
mod run_tasks;
mod stream;

use super::*;
use crate::access::{AccessFile, ServerDir};
use crate::wire::message::{AssignMessage, Empty, Registered, ToServer, ToWorker};
use crate::wire::{self, Authenticated, Connection, Role, ServerUid};
use hq_core::attempt::{
    AssignedTask, Assignment, Attempt, DescKey, Ending, Outcome, Registration, SharedDesc, WorkerReport,
};
use hq_core::id::{AttemptId, Epoch, JobId, TaskId, WorkerId};
use hq_core::resource::{Amount, PoolKind, ResourceRequest};
use hq_core::task::{Destination, DestinationKind, TaskDesc};
use hq_core::view::WorkerView;
use hq_core::worker::LostReason;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const VERSION: &str = "0.0.0-test";
const DEADLINE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// A server: a directory with an access file, and connections of proven workers.
struct FakeServer {
    temp: Arc<tempfile::TempDir>,
    connections: mpsc::Receiver<Connection>,
    gate: JoinHandle<()>,
}

impl FakeServer {
    async fn start(uid: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), uid).await
    }

    /// One more start in the same server directory: other port, other keys.
    async fn start_in(temp: Arc<tempfile::TempDir>, uid: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = ("127.0.0.1", listener.local_addr().unwrap().port());
        let uid = ServerUid::parse(uid).unwrap();
        let access = AccessFile::generate(VERSION, uid, endpoint, endpoint).unwrap();
        let dir = ServerDir::create(&temp.path().join("server")).unwrap();
        access.write(&dir.access_path()).unwrap();
        dir.publish().unwrap();
        let (sender, connections) = mpsc::channel(8);
        let gate =
            tokio::spawn(wire::serve(listener, 1, access.identity(Role::Worker), move |proven: Authenticated| {
                let sender = sender.clone();
                async move { sender.send(proven.connection).await.unwrap() }
            }));
        Self { temp, connections, gate }
    }

    fn options(&self) -> WorkerOptions {
        let mut options = WorkerOptions::new(self.temp.path().join("server"), VERSION);
        options.cpus = Some(PoolKind::range(0, 1));
        // A wake-up that is missing would else be made up for by the next heartbeat.
        options.heartbeat = hq_core::limits::HEARTBEAT_MAX;
        options
    }

    fn path(&self, name: &str) -> String {
        self.temp.path().join(name).to_str().unwrap().to_owned()
    }

    /// The next worker's first message.
    async fn greet(&mut self) -> (Peer, Registration) {
        let mut connection = soon("connection", self.connections.recv()).await.unwrap();
        match soon("registration", connection.recv()).await.unwrap() {
            Some(ToServer::Register(registration)) => {
                (Peer { connection, seen: WorkerReport::default(), heartbeats: 0, drains: 0 }, registration)
            }
            other => panic!("{other:?} instead of a registration"),
        }
    }

    async fn accept(&mut self, uid: &str) -> (Peer, Registration) {
        let (mut peer, registration) = self.greet().await;
        peer.welcome(uid, vec![]).await;
        (peer, registration)
    }

    /// Ends the port, as a server that was killed.
    fn die(self) -> Arc<tempfile::TempDir> {
        self.gate.abort();
        self.temp
    }
}

/// A worker that registered, as its server sees it.
struct Peer {
    connection: Connection,
    seen: WorkerReport,
    heartbeats: usize,
    /// How often it said that it takes nothing new.
    drains: usize,
}

impl Peer {
    async fn send(&mut self, message: ToWorker) {
        self.connection.send(&message).await.unwrap();
    }

    async fn welcome(&mut self, uid: &str, drop: Vec<Attempt>) {
        let registered = Registered { worker: WorkerId(7), server_uid: uid.into(), drop, ..Registered::default() };
        self.send(ToWorker::Registered(registered)).await;
    }

    async fn assign(&mut self, job: u32, shared: Option<SharedDesc>, tasks: &[u32]) {
        let task = |task: &u32| AssignedTask { task: TaskId(*task), attempt: AttemptId(0), entry: None };
        let tasks = tasks.iter().map(task).collect();
        let assignment = Assignment { key: key(job), epoch: Epoch(1), variant: 0, tasks, nodes: Vec::new() };
        self.send(ToWorker::Assign(AssignMessage { shared, assignment })).await;
    }

    /// Takes messages until something is so.
    async fn until(&mut self, what: &str, so: impl Fn(&WorkerReport) -> bool) {
        while !so(&self.seen) {
            match soon(what, self.connection.recv()).await.unwrap() {
                Some(ToServer::Report(mut report)) => {
                    self.seen.append(&mut report);
                }
                Some(ToServer::Heartbeat(_)) => self.heartbeats += 1,
                Some(ToServer::Draining(_)) => self.drains += 1,
                other => panic!("{other:?} while waiting for {what}"),
            }
        }
    }

    async fn started(&mut self, task: u32) {
        self.until("start", |seen| seen.started.iter().any(|started| started.attempt.task.task.0 == task)).await;
    }

    async fn outcome(&mut self, task: u32) -> Outcome {
        let of = move |outcome: &&Outcome| outcome.attempt.task.task.0 == task;
        self.until("outcome", |seen| seen.ended.iter().any(|outcome| of(&outcome))).await;
        self.seen.ended.iter().find(of).unwrap().clone()
    }

    /// Ends the worker and checks that it goes in peace.
    async fn stop(mut self, worker: Ended) -> WorkerReport {
        self.send(ToWorker::Stop(Empty {})).await;
        self.farewell(LostReason::Stopped, worker).await
    }

    async fn farewell(mut self, reason: LostReason, worker: Ended) -> WorkerReport {
        loop {
            match soon("farewell", self.connection.recv()).await.unwrap() {
                Some(ToServer::Report(mut report)) => {
                    self.seen.ended.append(&mut report.ended);
                    self.seen.returned.append(&mut report.returned);
                }
                Some(ToServer::Heartbeat(_)) => {}
                Some(ToServer::Draining(_)) => self.drains += 1,
                Some(ToServer::Leaving(told)) => break assert_eq!(told, reason),
                other => panic!("{other:?} instead of a farewell"),
            }
        }
        assert!(matches!(soon("end", self.connection.recv::<ToServer>()).await, Ok(None)), "no end mark");
        assert_eq!(soon("exit", worker).await.unwrap().unwrap(), 0);
        self.seen
    }
}

fn key(job: u32) -> DescKey {
    DescKey { job: JobId(job), submit: 0, index: 0 }
}

fn attempt(job: u32, task: u32) -> Attempt {
    Attempt::new(job, task, 1, 0)
}

/// A description in a directory; outputs go nowhere unless it is changed.
fn desc(dir: &Path, args: &[&str]) -> (TaskDesc, SharedDesc) {
    let nowhere = || Destination { kind: DestinationKind::Discard, ..Destination::default() };
    let desc = TaskDesc {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        request: ResourceRequest::cpus(Amount::units(1)),
        stdout: nowhere(),
        stderr: nowhere(),
        ..TaskDesc::default()
    };
    let submit_dir = dir.to_str().unwrap().to_owned();
    (desc, SharedDesc { desc: Arc::default(), submit_dir, ..SharedDesc::default() })
}

/// As [`desc`], unchanged.
fn plain(dir: &Path, args: &[&str]) -> Option<SharedDesc> {
    let (desc, shared) = desc(dir, args);
    Some(SharedDesc { desc: Arc::new(desc), ..shared })
}

/// The end of a worker.
type Ended = oneshot::Receiver<Result<u8, Error>>;

/// Starts a worker on a thread of its own, which a test that fails does not wait for; the counter counts its numbers.
fn start(options: WorkerOptions) -> (Ended, Arc<AtomicUsize>) {
    let registrations = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&registrations);
    let (ended, worker) = oneshot::channel();
    std::thread::spawn(move || {
        let result = run(&options, &|view: &WorkerView| {
            assert_eq!(view.id, WorkerId(7));
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let _ = ended.send(result);
    });
    (worker, registrations)
}
