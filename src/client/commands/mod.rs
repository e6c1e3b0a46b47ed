//! The commands: each asks the server or reads files, and hands what it got to the renderers.
//!
//! One file a command, so that what a command does can be read in one place.
//!
//! Holds: every command that needs a server connects before it reads anything else.

mod act;
mod completion;
mod deploy_ssh;
mod doc;
mod doctor;
mod follow_output;
mod job_cancel;
mod job_cat;
mod job_close;
mod job_forget;
mod job_info;
mod job_list;
mod job_open;
mod job_report;
mod job_summary;
mod job_task_ids;
mod journal;
mod man;
mod notify;
mod on_notify;
mod output_log;
mod progress;
mod server;
mod submit;
mod submit_file;
pub(super) mod task;
mod task_feed;
mod why;
mod worker;

use super::arguments::{
    Command, GlobalOptions, JobCommand, JobSelectorArgs, JournalCommand, ServerCommand, TaskCommand, WaitArgs,
    WorkerCommand, WorkerGroup,
};
use super::console::Console;
use super::error::Error;
use super::link::{self, Link};
use super::render::OutputMode;
use super::render::error::{Exit, report, text};
use crate::platform::signal::{BrokenPipe, set_broken_pipe};
use hq_core::time::Time;
use std::io::Write;
use std::process::ExitCode;

/// Runs a client command and gives its exit code; `None` for the commands that are no client's:
/// `server start`, `worker start` and `worker hwdetect`.
pub fn run(global: &GlobalOptions, command: &Command) -> Option<ExitCode> {
    let looks_at_hardware = |group: &WorkerGroup| matches!(group.command, WorkerCommand::HwDetect(_));
    if command.is_service() || matches!(command, Command::Worker(group) if looks_at_hardware(group)) {
        return None;
    }
    set_broken_pipe(BrokenPipe::Ends);
    let mut console = Console::new(global.output_mode, global.colors);
    let done = dispatch(global, command, &mut console).and_then(|()| console.finish());
    Some(match done {
        Ok(()) => Exit::Success.into(),
        Err(Error::NoMatch) => match console.flush() {
            Ok(()) => Exit::Failure.into(),
            Err(error) => fail(console.error_mode(), &error),
        },
        Err(error) => {
            // What was printed before comes first; if that fails too, the first error is the one to tell.
            let _ = console.flush();
            let code = fail(console.error_mode(), &error);
            if matches!(error, Error::Search(_)) { Exit::Usage.into() } else { code }
        }
    })
}

/// Prints an error as the mode wants it and gives the exit code of a failure at run time.
pub fn fail(mode: OutputMode, error: &dyn std::error::Error) -> ExitCode {
    let printed = report(mode, &text(error));
    // There is nobody left to tell if this fails.
    let _ = std::io::stdout().write_all(printed.stdout.as_bytes());
    let _ = std::io::stderr().write_all(printed.stderr.as_bytes());
    Exit::Failure.into()
}

fn dispatch(global: &GlobalOptions, command: &Command, console: &mut Console) -> Result<(), Error> {
    match command {
        Command::Submit(args) => submit::run(global, args, console),
        Command::Jobs(args) => {
            log::warn!("`hq jobs` is an older form of `hq job list`; use the new one");
            job_list::run(&mut Link::open(global)?, args, console)
        }
        Command::Job(group) => dispatch_job(global, &group.command, console),
        Command::Task(group) => match &group.command {
            TaskCommand::List(args) => task::list(&mut Link::open(global)?, args, console),
            TaskCommand::Cancel(args) => act::cancel_tasks(&mut Link::open(global)?, args, console),
            TaskCommand::Cat(args) => follow_output::cat(&mut Link::open(global)?, args, console),
            TaskCommand::Attach(args) => follow_output::attach(&mut Link::open(global)?, args, console),
            TaskCommand::Why(args) => why::task(&mut Link::open(global)?, args, console),
            TaskCommand::Hold(args) => act::hold_tasks(&mut Link::open(global)?, args, console),
            TaskCommand::Release(args) => act::release_tasks(&mut Link::open(global)?, args, console),
            TaskCommand::Notify(args) => notify::run(args),
            TaskCommand::Info(args) => task::info(&mut Link::open(global)?, args, console),
            TaskCommand::Explain(args) => task::explain(&mut Link::open(global)?, args, console),
        },
        Command::Worker(group) => match &group.command {
            WorkerCommand::DeploySsh(args) => deploy_ssh::run(global, args),
            WorkerCommand::Stop(args) => worker::stop(&mut Link::open(global)?, args),
            WorkerCommand::Drain(args) => worker::drain(&mut Link::open(global)?, args),
            WorkerCommand::List(args) => worker::list(&mut Link::open(global)?, args, console),
            WorkerCommand::Address(args) => worker::address(&mut Link::open(global)?, *args, console),
            WorkerCommand::Wait(args) => worker::wait(&mut Link::open(global)?, *args),
            WorkerCommand::Info(args) => worker::info(&mut Link::open(global)?, args, console),
            WorkerCommand::Start(_) | WorkerCommand::HwDetect(_) => Err(Error::Unexpected),
        },
        Command::Server(group) => match &group.command {
            ServerCommand::Stop => server::stop(&mut Link::open(global)?),
            ServerCommand::Info => server::info(&mut Link::open(global)?, console),
            ServerCommand::Doctor => doctor::run(global, console),
            ServerCommand::Wait(args) => server::wait(global, args),
            ServerCommand::GenerateAccess(args) => server::generate_access(args),
            ServerCommand::DebugDump(args) => server::debug_dump(&mut Link::open(global)?, args),
            ServerCommand::Start(_) => Err(Error::Unexpected),
        },
        Command::Doc(args) => doc::run(args, console),
        Command::GenerateCompletion(args) => completion::run(args, console),
        Command::GenerateMan(args) => man::run(args),
        Command::OutputLog(args) => output_log::run(args, console),
        Command::Journal(group) => match &group.command {
            JournalCommand::Export(args) => journal::export(global, args, console),
            JournalCommand::Replay(args) => journal::replay(global, args, console),
            JournalCommand::Stream(args) => journal::stream(global, args, console),
            JournalCommand::Info(args) => journal::info(global, args, console),
            JournalCommand::Verify(args) => journal::verify(global, args, console),
            JournalCommand::Repair(args) => journal::repair(args, console),
            JournalCommand::Flush => journal::flush(&mut Link::open(global)?),
            JournalCommand::Report(args) => journal::report(global, args, console),
            JournalCommand::Prune => journal::prune(&mut Link::open(global)?),
        },
    }
}

/// The commands on jobs.
fn dispatch_job(global: &GlobalOptions, command: &JobCommand, console: &mut Console) -> Result<(), Error> {
    match command {
        JobCommand::List(args) => job_list::run(&mut Link::open(global)?, args, console),
        JobCommand::Info(args) => job_info::run(&mut Link::open(global)?, args, console),
        JobCommand::Cancel(args) => job_cancel::run(&mut Link::open(global)?, args),
        JobCommand::Hold(args) => act::hold_jobs(&mut Link::open(global)?, args, console),
        JobCommand::Modify(args) => act::modify(&mut Link::open(global)?, args, console),
        JobCommand::Why(args) => why::jobs(&mut Link::open(global)?, args, console),
        JobCommand::Report(args) => job_report::run(&mut Link::open(global)?, args, console),
        JobCommand::Retry(args) => act::retry_jobs(&mut Link::open(global)?, args, console),
        JobCommand::Resubmit(args) => {
            log::warn!("`hq job resubmit` is an older name of `hq job retry`; use the new one");
            act::retry_jobs(&mut Link::open(global)?, args, console)
        }
        JobCommand::Release(args) => act::release_jobs(&mut Link::open(global)?, args, console),
        JobCommand::Cat(args) => job_cat::run(&mut Link::open(global)?, args, console),
        JobCommand::Submit(args) => submit::run(global, args, console),
        JobCommand::SubmitFile(args) => submit_file::run(global, args, console),
        JobCommand::Wait(WaitArgs { jobs, without_close }) => {
            Link::open(global)?.wait(link::selector(jobs.clone()), *without_close)
        }
        JobCommand::Summary => job_summary::run(&mut Link::open(global)?, console),
        JobCommand::Forget(args) => job_forget::run(&mut Link::open(global)?, args),
        JobCommand::TaskIds(args) => job_task_ids::run(&mut Link::open(global)?, args, console),
        JobCommand::Open(args) => job_open::run(&mut Link::open(global)?, args, console),
        JobCommand::Close(args) => job_close::run(&mut Link::open(global)?, args),
        JobCommand::Progress(JobSelectorArgs { jobs }) => {
            progress::run(&mut Link::open(global)?, link::selector(jobs.clone()), console)
        }
    }
}

/// The time now, for spans that have not ended.
fn now() -> Time {
    Time(crate::platform::clock::wall_us())
}
