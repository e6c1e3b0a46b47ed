//! How a server starts, runs and ends.
//!
//! Order: probe for a running server; open and replay the journal (whose lock is what really excludes a second
//! server); listen; make the start durable; publish the access file; serve. At the end the access link is withdrawn
//! first, so that nobody finds a server that is about to go.

use super::caller::Caller;
use super::checkpoint::Checkpoints;
use super::commit::{CommitWatch, Committer};
use super::entrance::{self, Entrance};
use super::probe::probe;
use super::retention::Keeper;
use super::session::client::ClientContext;
use super::session::inspect::JournalFiles;
use super::sign::Signs;
use super::turn::{Input, Setback, Turn};
use super::{Error, restore, session};
use crate::access::{AccessFile, ServerDir, SignWriter};
use crate::platform::{clock, host, random, signal};
use crate::wire::{self, Authenticated, Role};
use hq_core::command::Command;
use hq_core::id::Epoch;
use hq_core::limits;
use hq_core::machine::Machine;
use hq_core::retention::Keep;
use hq_core::time::{Span, Time};
use hq_core::view::{ForgottenDetails, ServerView};
use hq_journal::Reader;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
    /// For how long details of completed jobs are kept.
    pub journal_keep: Keep,
    /// Whether nothing is kept.
    pub no_journal: bool,
    /// Idle timeout of workers that have none of their own.
    pub idle_timeout: Option<Span>,
    /// Addresses to listen at; all of IPv4 when none.
    pub listen: Vec<IpAddr>,
    /// A prepared access file.
    pub access_file: Option<PathBuf>,
    /// Whether clients need no key.
    pub keyless_clients: bool,
    /// Whether workers need no key.
    pub keyless_workers: bool,
    /// Version of the program.
    pub version: String,
}

/// What the threads of a server have in common once it is set up.
struct Running {
    turn: Turn,
    threads: Vec<JoinHandle<()>>,
    reader: Option<Reader>,
    commit: CommitWatch,
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
    let prepared = entrance::prepared(options)?;
    probe(options).await?;
    let (inbox, turn_inbox) = mpsc::channel(limits::INBOX_COMMANDS_MAX);
    let mut running = set_up(options, prepared.as_ref(), &inbox)?;
    let entrance = entrance::open(options, prepared.as_ref(), &running.server_uid)?;
    let dir = ServerDir::create(&options.server_dir)?;
    let record = describe(&running, &entrance.access);
    entrance.access.write(&dir.access_path())?;

    let signs = SignWriter::create(&dir, &record.server_uid, record.pid);
    let signs = Signs::start(signs.map_err(|error| log::warn!("{error}")).ok());
    running.turn.watch_signs(signs.map_err(|cause| Error::Io { what: "start a thread", cause })?);
    let (done, ended) = sync_channel(1);
    let turn_thread = start_turn(running.turn, turn_inbox, done)?;
    let (busy, mut idle) = mpsc::channel(1);
    let context = ClientContext {
        inbox: inbox.clone(),
        record: Arc::new(record.clone()),
        reader: running.reader,
        commit: running.commit,
        files: JournalFiles::new(running.journal_path.map(PathBuf::from)),
        busy: busy.downgrade(),
    };
    let serving = start_gates(entrance, &context, &inbox, dir.numbered());
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
    drop(serving);
    drop(turn_thread.join());
    // Answers that were released a moment ago are still written; whoever waits for more is told nothing.
    drop(busy);
    drop(tokio::time::timeout(limits::SERVER_STOP_SPAN.to_duration(), idle.recv()).await);
    running.threads.into_iter().for_each(|thread| drop(thread.join()));
    log::info!("Server has stopped");
    Ok(())
}

/// Opens the journal, replays it, and makes this start durable.
fn set_up(
    options: &ServerOptions,
    prepared: Option<&AccessFile>,
    inbox: &mpsc::Sender<Input>,
) -> Result<Running, Error> {
    let fresh_uid = match prepared.filter(|file| !file.server_uid.is_any()) {
        Some(file) => file.server_uid.as_str().to_owned(),
        None => random::alphanumeric(6).map_err(Error::Random)?,
    };
    let mut threads = Vec::new();
    let (machine, epoch, latest, journal, journal_path) = if options.no_journal {
        (Machine::default(), 1, Time(0), None, None)
    } else {
        let shown = options.journal.clone().unwrap_or_else(|| ServerDir::journal_path(&options.server_dir));
        let restored = restore::open(&shown)?;
        let name = shown.to_string_lossy().into_owned();
        let covered_seq = restored.covered_seq;
        let journal = Some((restored.journal, shown, covered_seq));
        (restored.machine, restored.epoch, restored.latest, journal, Some(name))
    };
    let reader = journal.as_ref().map(|(journal, ..)| journal.reader());
    let setback = journal.as_ref().map(|(journal, ..)| {
        let version = options.version.clone();
        Setback { reader: journal.reader(), version }
    });
    let checkpoints = match &journal {
        Some((journal, dir, covered_seq)) => {
            let keeper = Keeper::new(dir.clone(), journal, *covered_seq, options.journal_keep, inbox.clone());
            let started = Checkpoints::start(keeper);
            let (checkpoints, thread) = started.map_err(|cause| Error::Io { what: "start a thread", cause })?;
            threads.push(thread);
            Some(checkpoints)
        }
        None => None,
    };
    let started = Committer::start(journal.map(|(journal, ..)| journal));
    let (committer, thread, commit) = started.map_err(|cause| Error::Io { what: "start a thread", cause })?;
    threads.push(thread);
    let known = machine.state().server_uid.clone();
    let server_uid = if known.is_empty() { fresh_uid } else { known };
    let mut turn = Turn::new(machine, committer, checkpoints, options.idle_timeout, latest);
    if let Some(setback) = setback {
        turn.fall_back_on(setback);
    }
    let start =
        Command::StartServer { server_uid: server_uid.clone(), epoch: Epoch(epoch), version: options.version.clone() };
    let (done, durable) = sync_channel(1);
    turn.begin(start, done);
    // An error means that the commit thread has ended; the first request will say so.
    let _ = durable.recv();
    if commit.health.borrow().life > 0 {
        return Err(Error::Unrecorded(commit.health.borrow().trouble.clone().unwrap_or_default()));
    }
    Ok(Running { turn, threads, reader, commit, server_uid, journal_path })
}

fn describe(running: &Running, access: &AccessFile) -> ServerView {
    ServerView {
        server_uid: running.server_uid.clone(),
        client_host: access.client.host.clone(),
        client_port: access.client.port,
        worker_host: access.worker.host.clone(),
        worker_port: access.worker.port,
        version: access.version.clone(),
        pid: host::pid(),
        started: Time(clock::wall_us()),
        journal_path: running.journal_path.clone(),
        now: Time::default(),
        trouble: None,
        forgotten: ForgottenDetails::default(),
    }
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

/// The doors of both ports: one task for each.
fn start_gates(entrance: Entrance, context: &ClientContext, inbox: &mpsc::Sender<Input>, dir: &Path) -> JoinSet<()> {
    let Entrance { clients, workers, access } = entrance;
    let (client, worker) = (access.identity(Role::Client), access.identity(Role::Worker));
    let connections = Arc::new(AtomicU64::new(0));
    let doors = clients.len() + workers.len();
    let mut serving = JoinSet::new();
    for listener in clients {
        let context = context.clone();
        serving.spawn(wire::serve(listener, doors, client.clone(), move |peer: Authenticated| {
            session::client::serve(peer.connection, context.clone())
        }));
    }
    for listener in workers {
        let (inbox, connections) = (inbox.clone(), Arc::clone(&connections));
        serving.spawn(wire::serve(listener, doors, worker.clone(), move |peer: Authenticated| {
            let number = connections.fetch_add(1, Ordering::Relaxed);
            session::worker::serve(peer.connection, peer.address, number, inbox.clone())
        }));
    }
    let (dir, inbox) = (dir.to_owned(), inbox.clone());
    serving.spawn(Caller { dir, identity: worker, connections, inbox }.run());
    serving
}
