//! `hq server start`, `hq worker start` and `hq worker hwdetect`.
//!
//! From arguments to a running server or worker, and what is printed then.
//!
//! Server and worker know nothing of the command line, and the client nothing of them; this is where they meet.

use crate::batch::{Manager, Wanted};
use crate::client::arguments::{
    GlobalOptions, HwDetectArgs, ManagerWord, MemEnforceWord, ServerStartArgs, WorkerStartArgs,
};
use crate::client::render::gauge::Pulse;
use crate::client::render::{
    OutputMode, error as error_view, hardware as hardware_view, server as server_view, worker as worker_view,
};
use crate::client::{Error as ClientError, console::Console, fail, link};
use crate::grammar::detection::Detection;
use crate::platform::daemon;
use crate::platform::signal::{BrokenPipe, set_broken_pipe};
use crate::platform::{hardware, host};
use crate::server::{self, ServerOptions};
use crate::worker::{self, MemEnforce, WorkerOptions};
use hq_core::limits;
use hq_core::retention::Keep;
use hq_core::time::Span;
use hq_core::view::{ServerView, WorkerView};
use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes a worker of the benchmark run no process at all.
const ZERO_WORKER_VARIABLE: &str = "HQ_BENCH_ZERO_WORKER";
/// Log of a server in the background, in the server directory.
const DAEMON_LOG_NAME: &str = "server.log";

/// Why nothing was started.
#[derive(Debug)]
enum Error {
    Client(ClientError),
    Server(server::Error),
    Worker(worker::Error),
    Daemon(daemon::Error),
    Access(crate::access::Error),
    Host(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::Server(error) => write!(f, "{error}"),
            Self::Worker(error) => write!(f, "{error}"),
            Self::Daemon(error) => write!(f, "{error}"),
            Self::Access(error) => write!(f, "{error}"),
            Self::Host(error) => write!(f, "Cannot find out how this program was started: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Server(error) => error.source(),
            Self::Worker(error) => error.source(),
            Self::Access(error) => error.source(),
            Self::Daemon(_) | Self::Host(_) => None,
        }
    }
}

/// Runs `hq server start`.
pub fn server(global: &GlobalOptions, args: &ServerStartArgs) -> ExitCode {
    set_broken_pipe(BrokenPipe::IsAnError);
    let error_mode = Cell::new(global.output_mode);
    let done = if args.daemon { in_background(global) } else { run_server(global, args, &error_mode) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error_mode.get(), &error),
    }
}

fn server_options(global: &GlobalOptions, args: &ServerStartArgs) -> Result<ServerOptions, Error> {
    Ok(ServerOptions {
        server_dir: absolute(link::server_dir(global).map_err(Error::Client)?),
        host: args.host.clone().map(|host| host.0),
        client_port: args.client_port,
        worker_port: args.worker_port,
        journal: args.journal.clone(),
        journal_keep: args.journal_keep.unwrap_or(Keep { bytes: Some(limits::JOURNAL_KEEP_BYTES), span: None }),
        no_journal: args.no_journal,
        idle_timeout: args.idle_timeout.map(Span::from_duration),
        listen: args.listen.clone(),
        access_file: args.access_file.clone(),
        keyless_clients: args.disable_client_authentication_and_encryption,
        keyless_workers: args.disable_worker_authentication_and_encryption,
        version: crate::VERSION.to_owned(),
    })
}

/// Runs until the server ends; what goes wrong after its record was printed is told as text.
fn run_server(global: &GlobalOptions, args: &ServerStartArgs, error_mode: &Cell<OutputMode>) -> Result<(), Error> {
    let options = server_options(global, args)?;
    let report =
        Cell::new(if args.in_background { Some(daemon::Report::take().map_err(Error::Daemon)?) } else { None });
    // A long journal takes its time.
    let pulse = Cell::new(Some(Pulse::new("Starting the server")));
    let ready = |record: &ServerView, dir: &Path| {
        drop(pulse.take());
        match report.take() {
            Some(report) => report.ready(&record_text(global.output_mode, record, dir)),
            None => {
                print_record(global, record, dir);
                error_mode.set(OutputMode::Quiet);
            }
        }
    };
    let result = server::run(&options, ready).map_err(Error::Server);
    if let (Err(error), Some(report)) = (&result, report.take()) {
        report.failed(&error_view::text(error));
    }
    result
}

/// Starts this program again in a session of its own, with the log in the server directory.
fn in_background(global: &GlobalOptions) -> Result<(), Error> {
    let dir = absolute(link::server_dir(global).map_err(Error::Client)?);
    crate::access::ServerDir::prepare(&dir).map_err(Error::Access)?;
    let daemon_word = OsString::from("--daemon");
    let arguments: Vec<OsString> = std::env::args_os()
        .skip(1)
        .map(|word| if word == daemon_word { OsString::from("--in-background") } else { word })
        .collect();
    let program = host::executable().map_err(Error::Host)?;
    let cwd = std::env::current_dir().map_err(Error::Host)?;
    let (_, answer) = daemon::start(&program, &arguments, &cwd, &dir.join(DAEMON_LOG_NAME)).map_err(Error::Daemon)?;
    let mut console = Console::new(global.output_mode, global.colors);
    console.text(&answer).and_then(|()| console.flush()).map_err(Error::Client)
}

/// The server's record without colours, for the log's reader or the starter of a daemon.
fn record_text(mode: OutputMode, record: &ServerView, dir: &Path) -> String {
    let shown = dir.to_string_lossy();
    match mode {
        OutputMode::Cli => server_view::table(record, Some(&shown), crate::client::render::color::Palette::OFF),
        OutputMode::Json => crate::client::render::json::pretty(&server_view::to_json(record, Some(&shown))),
        OutputMode::Quiet => format!("{shown}\n"),
    }
}

fn print_record(global: &GlobalOptions, record: &ServerView, dir: &Path) {
    let mut console = Console::new(global.output_mode, global.colors);
    let text = match global.output_mode {
        OutputMode::Cli => server_view::table(record, Some(&dir.to_string_lossy()), console.palette()),
        mode => record_text(mode, record, dir),
    };
    // The server serves whether or not somebody reads its standard output.
    drop(console.text(&text).and_then(|()| console.flush()));
}

/// Runs `hq worker start`.
pub fn worker(global: &GlobalOptions, args: &WorkerStartArgs) -> ExitCode {
    hardware::prepare();
    set_broken_pipe(BrokenPipe::IsAnError);
    let error_mode = Cell::new(global.output_mode);
    match run_worker(global, args, &error_mode) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(error_mode.get(), &error),
    }
}

fn run_worker(global: &GlobalOptions, args: &WorkerStartArgs, error_mode: &Cell<OutputMode>) -> Result<u8, Error> {
    let dir = absolute(link::server_dir(global).map_err(Error::Client)?);
    let mut options = WorkerOptions::new(dir, crate::VERSION);
    options.reverse = args.reverse;
    options.via_ssh = args.via.clone().map(|host| host.0);
    options.cpus.clone_from(&args.cpus);
    options.resources.clone_from(&args.resource);
    options.detect = args.detect_resources;
    if args.no_detect_resources {
        log::warn!("`--no-detect-resources` is an older form of `--detect-resources=none`; use the new one");
        options.detect = Detection::NONE;
    }
    options.coupling.clone_from(&args.coupling);
    options.no_hyper_threading = args.no_hyper_threading;
    options.manager = match args.manager {
        ManagerWord::Detect => Wanted::Detect,
        ManagerWord::None => Wanted::None,
        ManagerWord::Pbs => Wanted::Only(Manager::Pbs),
        ManagerWord::Slurm => Wanted::Only(Manager::Slurm),
    };
    options.group = args.group.clone().map(|name| name.0);
    options.min_utilization_parts = args.min_utilization;
    let overviews = args.overview_interval.filter(|interval| !interval.is_zero());
    options.overview_interval = overviews.map(Span::from_duration);
    options.hostname = args.hostname.clone().map(|name| name.0);
    options.heartbeat = Span::from_duration(args.heartbeat);
    options.idle_timeout = args.idle_timeout.map(Span::from_duration);
    options.time_limit = args.time_limit.map(Span::from_duration);
    options.on_server_lost = args.on_server_lost.policy();
    options.mem_enforce = match args.mem_enforce {
        MemEnforceWord::Off => MemEnforce::Off,
        MemEnforceWord::Warn => MemEnforce::Warn,
        MemEnforceWord::Kill => MemEnforce::Kill,
    };
    options.retract_check = Span::from_duration(args.retract_check_interval);
    options.work_dir.clone_from(&args.work_dir);
    options.zero = std::env::var_os(ZERO_WORKER_VARIABLE).is_some_and(|value| value == "1");
    let ready = |view: &WorkerView| {
        print_worker(global, view);
        error_mode.set(OutputMode::Quiet);
    };
    worker::run(&options, &ready).map_err(Error::Worker)
}

/// Runs `hq worker hwdetect`.
pub fn hwdetect(global: &GlobalOptions, args: HwDetectArgs) -> ExitCode {
    hardware::prepare();
    set_broken_pipe(BrokenPipe::Ends);
    let mut options = WorkerOptions::new(PathBuf::new(), crate::VERSION);
    options.no_hyper_threading = args.no_hyper_threading;
    let worker::Hardware { resources, topology, gpus } = worker::look(&options);
    let machine = args.topology.then_some(hardware_view::Machine { topology: &topology, gpus: &gpus });
    let mut console = Console::new(global.output_mode, global.colors);
    let shown = match global.output_mode {
        OutputMode::Cli => console.text(&hardware_view::text(&resources, machine)),
        OutputMode::Json => console.json(&hardware_view::to_json(&resources, machine)),
        OutputMode::Quiet => Ok(()),
    };
    match shown.and_then(|()| console.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(global.output_mode, &error),
    }
}

fn print_worker(global: &GlobalOptions, view: &WorkerView) {
    let mut console = Console::new(global.output_mode, global.colors);
    let text = match global.output_mode {
        OutputMode::Cli => worker_view::info(view, false, console.palette()),
        OutputMode::Json => crate::client::render::json::pretty(&worker_view::to_json(view, false)),
        OutputMode::Quiet => String::new(),
    };
    // The worker works whether or not somebody reads its standard output.
    drop(console.text(&text).and_then(|()| console.flush()));
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
