//! How a server starts, runs and ends.
//!
//! Order: probe for a running server; open and replay the journal (whose lock is what really excludes a second
//! server); listen; make the start durable; publish the access file; serve. At the end the access link is withdrawn
//! first, so that nobody finds a server that is about to go.

use super::checkpoint::Checkpoints;
use super::commit::Committer;
use super::session::client::ClientContext;
use super::turn::{Input, Turn};
use super::{Error, restore, session};
use crate::access::{self, AccessFile, ServerDir};
use crate::platform::{clock, host, random, signal};
use crate::wire::{self, Authenticated, Role, ServerUid};
use hq_core::command::Command;
use hq_core::id::Epoch;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::time::{Span, Time};
use hq_core::view::ServerView;
use hq_journal::Reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How a server shall run.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The server directory.
    pub server_dir: PathBuf,
    /// Host name for the access file.
    pub host: Option<String>,
    /// Port for clients; any when none.
    pub client_port: Option<u16>,
    /// Port for workers; any when none.
    pub worker_port: Option<u16>,
    /// The journal's directory; the one in the server directory when none.
    pub journal: Option<PathBuf>,
    /// Whether nothing is kept.
    pub no_journal: bool,
    /// Idle timeout of workers that have none of their own.
    pub idle_timeout: Option<Span>,
    /// Version of the program.
    pub version: String,
}

/// What the threads of a server have in common once it is set up.
struct Running {
    turn: Turn,
    threads: Vec<JoinHandle<()>>,
    reader: Option<Reader>,
    server_uid: String,
    journal_path: Option<String>,
}

/// Runs a server until it is told to end; `ready` gets its record and its directory once clients can connect.
///
/// # Errors
/// When it cannot start.
pub fn run(options: &ServerOptions, ready: impl FnOnce(&ServerView, &Path)) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("net")
        .enable_all()
        .build()
        .map_err(|cause| Error::Io { what: "start the network threads", cause })?;
    runtime.block_on(serve(options, ready))
}

async fn serve(options: &ServerOptions, ready: impl FnOnce(&ServerView, &Path)) -> Result<(), Error> {
    let mut signals = signal::Termination::listen().map_err(|cause| Error::Io { what: "listen to signals", cause })?;
    if let Err(error) = wire::raise_fd_limit() {
        log::warn!("The limit of open files could not be raised: {error}");
    }
    ServerDir::prepare(&options.server_dir)?;
    probe(options).await?;
    let running = set_up(options)?;
    let clients = listen("client", options.client_port.unwrap_or(0))?;
    let workers = listen("worker", options.worker_port.unwrap_or(0))?;
    let dir = ServerDir::create(&options.server_dir)?;
    let (access, record) = describe(options, &running, &clients, &workers)?;
    access.write(&dir.access_path())?;

    let (inbox, turn_inbox) = mpsc::channel(limits::INBOX_COMMANDS_MAX);
    let (done, ended) = sync_channel(1);
    let turn_thread = start_turn(running.turn, turn_inbox, done)?;
    let (busy, mut idle) = mpsc::channel(1);
    let context = ClientContext {
        inbox: inbox.clone(),
        record: Arc::new(record.clone()),
        reader: running.reader,
        busy: busy.downgrade(),
    };
    let serving = start_gates(&access, clients, workers, context, inbox.clone());
    dir.publish()?;
    ready(&record, dir.root());

    let ended = tokio::task::spawn_blocking(move || ended.recv().is_ok());
    tokio::pin!(ended);
    tokio::select! {
        _ = &mut ended => {}
        request = signals.next() => {
            log::info!("Received {}, attempting to stop", request.name());
            drop(dir.withdraw());
            drop(inbox.send(Input::Shutdown).await);
            drop(ended.await);
        }
    }
    if let Err(error) = dir.withdraw() {
        log::warn!("{error}");
    }
    serving.abort();
    drop(turn_thread.join());
    // Answers that were released a moment ago are still written; whoever waits for more is told nothing.
    drop(busy);
    drop(tokio::time::timeout(limits::SERVER_STOP_SPAN.to_duration(), idle.recv()).await);
    running.threads.into_iter().for_each(|thread| drop(thread.join()));
    log::info!("Server has stopped");
    Ok(())
}

/// Refuses to start where a server answers.
async fn probe(options: &ServerOptions) -> Result<(), Error> {
    let dir = std::path::absolute(&options.server_dir).unwrap_or_else(|_| options.server_dir.clone());
    if let Ok(peer) = access::load_client(&dir, &options.version) {
        let identity = peer.identity(&options.version);
        let dialled = wire::dial(&peer.endpoint.host, peer.endpoint.port, &identity);
        if let Ok(Ok(_)) = tokio::time::timeout(std::time::Duration::from_secs(5), dialled).await {
            return Err(Error::Online { dir });
        }
    }
    log::info!("No online server found, starting a new server");
    Ok(())
}

/// Opens the journal, replays it, and makes this start durable.
fn set_up(options: &ServerOptions) -> Result<Running, Error> {
    let fresh_uid = random::alphanumeric(6).map_err(Error::Random)?;
    let mut threads = Vec::new();
    let (machine, epoch, journal, journal_path) = if options.no_journal {
        (Machine::default(), 1, None, None)
    } else {
        let shown = options.journal.clone().unwrap_or_else(|| ServerDir::journal_path(&options.server_dir));
        let restored = restore::open(&shown)?;
        let name = shown.to_string_lossy().into_owned();
        (restored.machine, restored.epoch, Some((restored.journal, shown)), Some(name))
    };
    let reader = journal.as_ref().map(|(journal, _)| journal.reader());
    let checkpoints = match &journal {
        Some((journal, dir)) => {
            let started = Checkpoints::start(dir.clone(), journal.reader(), journal.checkpoint_writer());
            let (checkpoints, thread) = started.map_err(|cause| Error::Io { what: "start a thread", cause })?;
            threads.push(thread);
            Some(checkpoints)
        }
        None => None,
    };
    let started = Committer::start(journal.map(|(journal, _)| journal));
    let (committer, thread) = started.map_err(|cause| Error::Io { what: "start a thread", cause })?;
    threads.push(thread);
    let known = machine.state().server_uid.clone();
    let server_uid = if known.is_empty() { fresh_uid } else { known };
    let mut turn = Turn::new(machine, committer, checkpoints, options.idle_timeout);
    let start =
        Command::StartServer { server_uid: server_uid.clone(), epoch: Epoch(epoch), version: options.version.clone() };
    let (done, durable) = sync_channel(1);
    turn.begin(start, done);
    // An error means that the commit thread has ended; the first request will say so.
    let _ = durable.recv();
    Ok(Running { turn, threads, reader, server_uid, journal_path })
}

fn listen(what: &'static str, port: u16) -> Result<TcpListener, Error> {
    wire::listen(port).map_err(|cause| Error::Listen { what, port, cause })
}

fn describe(
    options: &ServerOptions,
    running: &Running,
    clients: &TcpListener,
    workers: &TcpListener,
) -> Result<(AccessFile, ServerView), Error> {
    let io = |cause| Error::Io { what: "find out about this machine", cause };
    let host = match &options.host {
        Some(host) => host.clone(),
        None => host::name().map_err(io)?,
    };
    let (client_port, worker_port) =
        (clients.local_addr().map_err(io)?.port(), workers.local_addr().map_err(io)?.port());
    let uid = ServerUid::parse(&running.server_uid).map_err(|error| Error::Inconsistent(error.to_string()))?;
    let access = AccessFile::generate(&options.version, uid, (&host, client_port), (&host, worker_port))?;
    let record = ServerView {
        server_uid: running.server_uid.clone(),
        client_host: host.clone(),
        client_port,
        worker_host: host,
        worker_port,
        version: options.version.clone(),
        pid: host::pid(),
        started: Time(clock::wall_us()),
        journal_path: running.journal_path.clone(),
    };
    Ok((access, record))
}

/// The machine gets a thread of its own, so that the network threads never wait for it.
fn start_turn(
    turn: Turn,
    inbox: mpsc::Receiver<Input>,
    done: std::sync::mpsc::SyncSender<()>,
) -> Result<JoinHandle<()>, Error> {
    let io = |cause| Error::Io { what: "start a thread", cause };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(io)?;
    std::thread::Builder::new()
        .name("turn".to_owned())
        .spawn(move || runtime.block_on(turn.run(inbox, done)))
        .map_err(io)
}

fn start_gates(
    access: &AccessFile,
    clients: TcpListener,
    workers: TcpListener,
    context: ClientContext,
    inbox: mpsc::Sender<Input>,
) -> tokio::task::JoinHandle<()> {
    let (client, worker) = (access.identity(Role::Client), access.identity(Role::Worker));
    let connections = Arc::new(AtomicU64::new(0));
    let serve_clients = wire::serve(clients, client, move |peer: Authenticated| {
        session::client::serve(peer.connection, context.clone())
    });
    let serve_workers = wire::serve(workers, worker, move |peer: Authenticated| {
        let number = connections.fetch_add(1, Ordering::Relaxed);
        session::worker::serve(peer.connection, peer.address, number, inbox.clone())
    });
    tokio::spawn(async move {
        tokio::join!(serve_clients, serve_workers);
    })
}
