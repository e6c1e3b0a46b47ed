//! From options to a running worker, and to its exit code.
//!
//! Everything that belongs to the whole process (signals, orphans, the guardian) is set up here, in the order that
//! each needs.
//!
//! What holds: nothing is dialled before the options and the resources are known to be right; at the end the
//! threads are joined and the temporary directory is gone.

use super::control;
use super::desk::Desk;
use super::error::Error;
use super::inbox::{Inbox, Input};
use super::link::Link;
use super::local::WorkDir;
use super::memory::MemoryWatch;
use super::options::WorkerOptions;
use super::outbound::{Departure, Outbound};
use super::output::Streams;
use super::profile;
use super::resources;
use super::sample;
use super::spawn::Launcher;
use super::temporary::Temporary;
use super::timers::Timers;
use super::turn::Turn;
use crate::batch;
use crate::platform::process::{CHILDREN_MAX, Spawner};
use crate::platform::{fs, hardware, host, process, signal};
use hq_core::agent::{Agent, AgentConfig, Awaited};
use hq_core::attempt::WorkerReport;
use hq_core::limits;
use hq_core::view::WorkerView;
use hq_core::worker::{LostReason, WorkerConfig};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Threads that start programs; more do not help.
const SPAWN_THREADS_MAX: usize = 4;
/// How long the threads may take to end after the agent did.
const JOIN_SPAN: Duration = Duration::from_secs(5);

/// Where a worker keeps its files.
struct Place<'a> {
    work_dir: WorkDir,
    temporary: &'a Temporary,
}

/// Runs a worker until it ends; gives back the exit code of the process. `on_registered` is called with each number
/// that the server gives this worker: once, unless the server forgets it.
///
/// To be called on the main thread while it is the only one. It takes over SIGINT, SIGTERM, SIGHUP and SIGTSTP.
///
/// # Errors
/// Whatever ends the worker with exit code 1; see [`Error`].
pub fn run(options: &WorkerOptions, on_registered: &dyn Fn(&WorkerView)) -> Result<u8, Error> {
    options.check()?;
    hardware::prepare();
    let temporary = Temporary::choose()?;
    prepare_process(&temporary)?;
    let allocation = batch::find(options.manager).map_err(Error::Manager)?;
    let resources = resources::offered(options, allocation.as_ref())?;
    let work_dir = WorkDir::create(options.work_dir.as_deref(), &temporary)?;
    // Nothing is served on this port; its address is part of what is shown about a worker.
    let listener = TcpListener::bind("0.0.0.0:0").map_err(Error::system("opening a port"))?;
    let port = listener.local_addr().map_err(Error::system("opening a port"))?.port();
    let hostname = match &options.hostname {
        Some(name) => name.clone(),
        None => host::name().map_err(Error::system("asking for the host name"))?,
    };
    let shown_dir = work_dir.path().to_string_lossy().into_owned();
    let place = profile::Place { hostname, port, work_dir: shown_dir, allocation };
    let config = profile::config(options, resources, place);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::system("starting a runtime"))?;
    // Pipes and the files behind them may hold up whoever serves them, which must not be who sends heartbeats.
    let pipes = Builder::new_multi_thread().worker_threads(1).thread_name("hq-pipes").enable_all().build();
    let pipes = pipes.map_err(Error::system("starting a runtime"))?;
    let ended = work((&runtime, &pipes), options, config, Place { work_dir, temporary: &temporary }, on_registered);
    runtime.shutdown_background();
    pipes.shutdown_background();
    temporary.remove();
    match ended? {
        Departure { code: 0, .. } => Ok(0),
        Departure { leaving: None, .. } => Err(Error::ServerLost),
        Departure { code, .. } => Ok(code),
    }
}

fn prepare_process(temporary: &Temporary) -> Result<(), Error> {
    signal::set_broken_pipe(signal::BrokenPipe::IsAnError);
    process::seal_inherited_descriptors().map_err(Error::system("closing inherited descriptors"))?;
    process::start_guardian(&[temporary.path().to_owned()])
        .map_err(Error::system("starting the guardian of the tasks"))?;
    process::become_subreaper().map_err(Error::system("becoming the parent of orphans"))
}

fn work(
    (runtime, pipes): (&Runtime, &Runtime),
    options: &WorkerOptions,
    config: WorkerConfig,
    place: Place<'_>,
    on_registered: &dyn Fn(&WorkerView),
) -> Result<Departure, Error> {
    let Place { work_dir, temporary } = place;
    let (inbox, outbound) = (Arc::new(Inbox::default()), Arc::new(Outbound::with_socket(temporary.socket())));
    let agent = Agent::new(AgentConfig {
        resources: config.resources.clone(),
        on_server_lost: config.on_server_lost,
        time_limit: config.time_limit,
        retract_check: options.retract_check,
    });
    let sampler = sample::start(options, &config, &outbound)?;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get()).min(SPAWN_THREADS_MAX);
    let streams = Streams::start(pipes.handle().clone(), Arc::clone(&inbox), config.hostname.clone());
    let streams = streams.map_err(Error::system("starting a thread"))?;
    let spawner = Spawner::start(threads, CHILDREN_MAX).map_err(Error::system("starting a thread"))?;
    let owner = spawner.owner();
    let desk = Desk::new(Arc::clone(&inbox), |desk| Turn {
        agent,
        inbox: Arc::clone(&inbox),
        outbound: Arc::clone(&outbound),
        spawner,
        launcher: Launcher::new(host::executable().ok(), work_dir, &config.resources),
        streams,
        zero: options.zero,
        timers: Timers::default(),
        running: BTreeMap::new(),
        worker: 0,
        server_uid: String::new(),
        report: WorkerReport::default(),
        memory: MemoryWatch::new(options.mem_enforce, Path::new("/"), Weak::clone(&desk)),
        desk,
        quick: true,
        awaited: Awaited::Nothing,
        ended: false,
        term: process::lease_term(),
        inputs: Vec::new(),
    });
    let thread = std::thread::Builder::new().name("hq-turn".into()).spawn(move || desk.run());
    let thread = thread.map_err(Error::system("starting a thread"))?;
    runtime.block_on(async {
        let signals = listen(Arc::clone(&inbox));
        open_control(pipes, temporary, &outbound);
        let mut link = Link::new(options, config, Arc::clone(&inbox), outbound, on_registered)?;
        let ended = match signals {
            Ok(()) => link.run().await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            inbox.put(Input::Leave(LostReason::Stopped));
        }
        // The last words of tasks are still read from their pipes.
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if timeout(JOIN_SPAN, joined).await.is_err() {
            log::warn!("Some tasks or their output did not end in time");
        }
        owner.end_all(limits::KILL_GRACE_SPAN.to_duration());
        drop(sampler);
        log::info!("Worker stopping");
        ended
    })
}

/// Opens the control socket. Without it, which is logged, tasks run, but nobody hears what they say.
fn open_control(runtime: &Runtime, temporary: &Temporary, outbound: &Arc<Outbound>) {
    let _context = runtime.enter();
    let socket = temporary.socket();
    let open = || {
        temporary.make().map_err(io::Error::other)?;
        let listener = UnixListener::bind(&socket)?;
        fs::make_private(&socket).map_err(io::Error::other)?;
        Ok::<_, io::Error>(listener)
    };
    match open() {
        Ok(listener) => drop(runtime.spawn(control::serve(listener, Arc::clone(outbound)))),
        Err(error) => log::warn!("Tasks cannot notify: {}: {error}", socket.display()),
    }
}

/// Makes requests to end one more input.
fn listen(inbox: Arc<Inbox>) -> Result<(), Error> {
    let requests = signal::Termination::listen_as_worker();
    let mut requests = requests.map_err(Error::system("taking over signals"))?;
    tokio::spawn(async move {
        loop {
            let request = requests.next().await;
            if request == signal::Request::Announce {
                log::info!("Received {}, the worker drains: it ends when its tasks have", request.name());
                inbox.put(Input::Drain);
            } else {
                log::info!("Received {}, the worker ends", request.name());
                inbox.put(Input::Leave(LostReason::Stopped));
            }
        }
    });
    Ok(())
}
