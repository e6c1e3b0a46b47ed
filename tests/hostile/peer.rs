//! Peers that hold a key and speak the wire themselves, so that they can say what the program never would.
//!
//! The command line refuses most nonsense before it is sent; an enemy uses no command line.
//!
//! Holds: every wait has a deadline; what the server did to the connection is a value, not a panic.

use crate::harness::{Cluster, DEADLINE};
use hq_core::attempt::{Registration, WorkerReport};
use hq_core::id::JobId;
use hq_core::resource::{Amount, PoolKind, ResourceRequest};
use hq_core::task::{SubmitDesc, SubmitRequest, TaskDesc};
use hq_core::time::Span;
use hq_core::worker::WorkerConfig;
use hyperqueue::VERSION;
use hyperqueue::access::{self, PeerAccess};
use hyperqueue::wire::message::{Empty, HistoryRequest, Request, Response, Selector, SelectorKind, ToServer};
use hyperqueue::wire::{self, Connection, DialError, Identity, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// How the server ended a conversation.
#[derive(Debug)]
#[allow(dead_code, reason = "the reason is for the messages of failing tests")]
pub enum End {
    /// It said goodbye.
    Closed,
    /// It closed the connection without a word, or sent something else.
    Broken(wire::Error),
    /// It did not answer within the time that the peer was willing to wait.
    Silence,
}

/// A runtime for one thread.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What the access file of a server tells a role.
pub fn access_of(server_dir: &Path, role: Role) -> PeerAccess {
    let loaded = match role {
        Role::Client => access::load_client(server_dir, VERSION),
        Role::Worker => access::load_worker(server_dir, VERSION),
    };
    loaded.expect("an access file")
}

/// Dials `port` of this machine.
pub async fn dial(port: u16, identity: &Identity) -> Result<Connection, DialError> {
    wire::dial("127.0.0.1", port, identity).await
}

/// One sealed connection with a runtime of its own.
pub struct Peer {
    runtime: Runtime,
    connection: Connection,
}

impl Peer {
    /// A client or worker of the cluster's server.
    #[track_caller]
    pub fn connect(cluster: &Cluster, role: Role) -> Self {
        let access = access_of(&cluster.server_dir(), role);
        Self::dial(&access.identity(VERSION), access.endpoint.port).expect("a connection")
    }

    /// A client of the cluster's server.
    #[track_caller]
    pub fn client(cluster: &Cluster) -> Self {
        Self::connect(cluster, Role::Client)
    }

    /// A worker of the cluster's server, not registered yet.
    #[track_caller]
    pub fn worker(cluster: &Cluster) -> Self {
        Self::connect(cluster, Role::Worker)
    }

    /// Anybody at `port` with this identity.
    pub fn dial(identity: &Identity, port: u16) -> Result<Self, DialError> {
        let runtime = runtime();
        let connection = runtime.block_on(dial(port, identity))?;
        Ok(Self { runtime, connection })
    }

    /// Sends a message of any form; the server may already have closed the connection.
    pub fn send(&mut self, message: &impl Serialize) -> Result<(), wire::Error> {
        self.runtime.block_on(self.connection.send(message))
    }

    /// The next message.
    pub fn next<M: DeserializeOwned>(&mut self) -> Result<M, End> {
        let received = self.runtime.block_on(async { timeout(DEADLINE, self.connection.recv()).await });
        match received {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(End::Closed),
            Ok(Err(error)) => Err(End::Broken(error)),
            Err(_) => Err(End::Silence),
        }
    }

    /// Sends a request of any form and waits for the answer.
    pub fn try_ask(&mut self, request: &impl Serialize) -> Result<Response, End> {
        // A request that the server does not read to its end may still have been answered.
        let sent = self.send(request);
        match (self.next(), sent) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(End::Broken(error)),
            (Err(end), Ok(())) => Err(end),
        }
    }

    /// As [`Peer::try_ask`], where there must be an answer.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Response {
        self.try_ask(request).unwrap_or_else(|end| panic!("no answer: {end:?}"))
    }

    /// Submits and gives the id.
    #[track_caller]
    pub fn submit(&mut self, request: SubmitRequest) -> JobId {
        match self.ask(&Request::Submit(request)) {
            Response::Submitted(job) => job,
            other => panic!("not submitted: {other:?}"),
        }
    }

    /// How many events the journal has.
    #[track_caller]
    pub fn events(&mut self) -> usize {
        let mut count = 0;
        let mut page = self.ask(&Request::History(HistoryRequest { from_seq: 0, jobs: None }));
        loop {
            match page {
                Response::Events(records) if records.is_empty() => return count,
                Response::Events(records) => count += records.len(),
                other => panic!("no history: {other:?}"),
            }
            page = self.next().unwrap_or_else(|end| panic!("no page: {end:?}"));
        }
    }

    /// Reports as a worker.
    #[track_caller]
    pub fn report(&mut self, report: WorkerReport) {
        self.send(&ToServer::Report(report)).expect("a sent report");
    }
}

/// A registration as an honest worker would send it, with these pools.
pub fn registration(token: &str, pools: Vec<(&str, PoolKind)>) -> Registration {
    let mut config = WorkerConfig { heartbeat: Span::from_secs(60), ..WorkerConfig::default() };
    config.hostname = "elsewhere".to_owned();
    config.resources.pools =
        pools.into_iter().map(|(name, kind)| hq_core::resource::Pool { name: name.to_owned(), kind }).collect();
    Registration { token: token.to_owned(), config: Box::new(config), ..Registration::default() }
}

/// A task that runs `true` on one CPU.
pub fn task() -> TaskDesc {
    TaskDesc { args: vec!["true".to_owned()], request: ResourceRequest::cpus(Amount::units(1)), ..TaskDesc::default() }
}

/// A task that gets a directory of its own and stays.
pub fn staying_task() -> TaskDesc {
    TaskDesc { args: ["sleep", "600"].map(str::to_owned).to_vec(), task_dir: true, ..task() }
}

/// A job of one kind of task with these ids.
pub fn job(name: &str, ids: hq_core::idset::IdSet, desc: TaskDesc) -> SubmitRequest {
    let submit = SubmitDesc { ids, descs: vec![Arc::new(desc)], submit_dir: "/".to_owned(), ..SubmitDesc::default() };
    SubmitRequest { name: name.to_owned(), max_fails: None, submit: Arc::new(submit), ..SubmitRequest::default() }
}

/// Everything of a kind.
pub fn all() -> Selector {
    Selector { kind: SelectorKind::All, ..Selector::default() }
}

/// A look at the list of jobs, which only the thread of the state can answer.
pub async fn look(port: u16, identity: &Identity) -> Result<usize, String> {
    let mut connection = dial(port, identity).await.map_err(|error| error.to_string())?;
    connection.send(&Request::JobList(Empty {})).await.map_err(|error| error.to_string())?;
    match connection.recv().await {
        Ok(Some(Response::Jobs(jobs))) => Ok(jobs.len()),
        other => Err(format!("{other:?}")),
    }
}

/// As [`look`], from ordinary code.
#[track_caller]
pub fn jobs_known(cluster: &Cluster) -> usize {
    let access = access_of(&cluster.server_dir(), Role::Client);
    let looked = runtime().block_on(async {
        timeout(Duration::from_secs(30), look(access.endpoint.port, &access.identity(VERSION))).await
    });
    looked.expect("an answer in time").expect("a list of jobs")
}
