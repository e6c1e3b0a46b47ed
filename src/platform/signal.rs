//! Signals: those that ask this process to end, and the names of those that ended a task.
//!
//! Server, worker and client react to a request to end in their own loops, as one more event of a stream.
//!
//! Invariants: after `Termination::listen` none of its signals kills the process; names follow Linux on x86 and ARM.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGINT, usually Ctrl-C.
    Interrupt,
    /// SIGTERM, usually `kill` or the batch system.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
    /// SIGTSTP, usually Ctrl-Z; only asked for by those that cannot be suspended.
    Suspend,
    /// SIGUSR1, by which batch systems announce the end; only asked for by those that can prepare for it.
    Announce,
}

impl Request {
    /// `SIGINT`, `SIGTERM`, `SIGHUP`, `SIGTSTP` or `SIGUSR1`.
    pub fn name(self) -> &'static str {
        match self {
            Request::Interrupt => "SIGINT",
            Request::Terminate => "SIGTERM",
            Request::HangUp => "SIGHUP",
            Request::Suspend => "SIGTSTP",
            Request::Announce => "SIGUSR1",
        }
    }
}

/// A stream of requests to end.
#[derive(Debug)]
pub struct Termination {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    suspend: Option<Signal>,
    announce: Option<Signal>,
}

impl Termination {
    /// Takes over SIGINT, SIGTERM and SIGHUP. To be called within a tokio runtime that has I/O enabled.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            suspend: None,
            announce: None,
        })
    }

    /// As [`listen`](Self::listen), and SIGTSTP and SIGUSR1 as well: a suspended worker would only look dead to its
    /// server, and one whose end is announced can see to it that nothing is lost.
    pub fn listen_as_worker() -> io::Result<Self> {
        let mut termination = Self::listen()?;
        termination.suspend = Some(signal(SignalKind::from_raw(libc::SIGTSTP))?);
        termination.announce = Some(signal(SignalKind::user_defined1())?);
        Ok(termination)
    }

    /// The next request; cancel-safe. Pending for ever when the runtime is being shut down.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Request::Interrupt,
            Some(()) = self.terminate.recv() => Request::Terminate,
            Some(()) = self.hang_up.recv() => Request::HangUp,
            () = received(&mut self.suspend) => Request::Suspend,
            () = received(&mut self.announce) => Request::Announce,
            else => std::future::pending().await,
        }
    }
}

/// Waits for a signal; for ever for one that was not asked for.
async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

/// What happens when this process writes to a pipe or socket that nobody reads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenPipe {
    /// The process ends silently: for client commands, as in `hq job list | head -1`.
    Ends,
    /// The write fails with an error value: for server and worker.
    IsAnError,
}

/// Sets the disposition of SIGPIPE.
pub fn set_broken_pipe(behaviour: BrokenPipe) {
    let disposition = match behaviour {
        BrokenPipe::Ends => libc::SIG_DFL,
        BrokenPipe::IsAnError => libc::SIG_IGN,
    };
    // SAFETY: SIG_DFL and SIG_IGN install no code of ours, so nothing can run in a signal context.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
}

/// The symbolic name of signals 1-15 and 17-19, else `unknown`.
pub fn name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        17 => "SIGCHLD",
        18 => "SIGCONT",
        19 => "SIGSTOP",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_the_platform() {
        for number in (1..=15).chain(17..=19) {
            let expected = nix::sys::signal::Signal::try_from(number).unwrap().as_str();
            assert_eq!(name(number), expected);
        }
        for number in [-1, 0, 16, 20, 31, 34, 64, i32::MAX] {
            assert_eq!(name(number), "unknown");
        }
    }

    #[tokio::test]
    async fn requests_arrive_in_the_stream() {
        let mut termination = Termination::listen_as_worker().unwrap();
        for (number, request) in [
            (libc::SIGINT, Request::Interrupt),
            (libc::SIGTERM, Request::Terminate),
            (libc::SIGHUP, Request::HangUp),
            (libc::SIGTSTP, Request::Suspend),
            (libc::SIGUSR1, Request::Announce),
        ] {
            let signal = nix::sys::signal::Signal::try_from(number).unwrap();
            nix::sys::signal::raise(signal).unwrap();
            assert_eq!(termination.next().await, request);
            assert_eq!(request.name(), signal.as_str());
        }
    }
}
