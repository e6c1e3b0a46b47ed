//! The gate of a listening port: what happens before a peer is known.
//!
//! Anyone in the site's network can connect. Here is decided how many may be unproven at once, for
//! how long, and what they can make the server write into its log.
//!
//! What holds:
//! * A place is free before a connection is accepted, and taken until its socket is closed.
//! * No error of accepting ends the loop.
//! * A line about refused peers appears at most once in [`GateLimits::log_ms_step`], and contains
//!   counts and an address, never a byte that a peer sent.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, recv};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::Connection;
use super::error::Error;
use super::frame::LENGTH_BYTES;
use super::handshake::{Identity, Stage, respond};
use super::limits::{FILES_RESERVED, UNPROVEN_MAX, UNPROVEN_PER_SOURCE_MAX};
use super::preamble::{PREAMBLE_BYTES, Role};
use super::slots::{Shown, Slot, Slots};
use super::stream::tcp_halves;

/// Waiting time after an error of accepting: doubled up to the greater one while they last.
const BACKOFF_MS_MIN: u64 = 5;
const BACKOFF_MS_MAX: u64 = 500;

/// Unproven connections of one port where files are short.
const UNPROVEN_MIN: usize = 4;

/// What a gate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Unproven connections at once.
    pub unproven_max: usize,
    /// Unproven connections at once from one source: an IPv4 address or an IPv6 /64.
    pub unproven_per_source_max: usize,
    /// Least time between two lines about refused peers, in milliseconds.
    pub log_ms_step: u64,
}

impl Default for GateLimits {
    fn default() -> Self {
        GateLimits { unproven_max: UNPROVEN_MAX, unproven_per_source_max: UNPROVEN_PER_SOURCE_MAX, log_ms_step: 10_000 }
    }
}

impl GateLimits {
    /// The limits of one of `doors` listening sockets in a process that may open so many files: strangers get at most
    /// half of what is not reserved, so that they cannot take the last file from the journal or from the owner.
    pub fn for_files(files_max: u64, doors: usize) -> Self {
        let usual = GateLimits::default();
        let parts = 2 * u64::try_from(doors.max(1)).unwrap_or(1);
        let share = usize::try_from(files_max.saturating_sub(FILES_RESERVED) / parts).unwrap_or(usize::MAX);
        let unproven_max = share.clamp(UNPROVEN_MIN, usual.unproven_max);
        let unproven_per_source_max = usual.unproven_per_source_max.min(unproven_max);
        GateLimits { unproven_max, unproven_per_source_max, ..usual }
    }
}

/// A peer that has proven itself.
#[derive(Debug)]
pub struct Authenticated {
    /// The sealed connection.
    pub connection: Connection,
    /// Where it comes from.
    pub address: SocketAddr,
}

/// A listening port with its identity.
#[derive(Debug)]
pub struct Gate {
    listener: TcpListener,
    identity: Arc<Identity>,
    slots: Arc<Slots>,
    refusals: Arc<Refusals>,
}

/// Accepts, proves and hands over peers until it is dropped: [`Gate::serve`] with the limits that the open files allow
/// to one of `doors` listening sockets.
pub async fn serve<F, S>(listener: TcpListener, doors: usize, identity: Identity, on_connection: F)
where
    F: Fn(Authenticated) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    // Without an answer nothing is known to be short.
    let files_max = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    Gate::new(listener, identity, GateLimits::for_files(files_max, doors)).serve(on_connection).await;
}

impl Gate {
    /// A gate in front of `listener` for peers of the identity's role.
    pub fn new(listener: TcpListener, identity: Identity, limits: GateLimits) -> Self {
        let slots = Slots::new(limits.unproven_max, limits.unproven_per_source_max);
        let refusals = Arc::new(Refusals::new(identity.role, limits.log_ms_step));
        Gate { listener, identity: Arc::new(identity), slots, refusals }
    }

    /// Accepts, proves and hands over peers. Never returns; dropping the call ends all unproven
    /// connections, while sessions that were handed over go on.
    ///
    /// `on_connection` gets each proven peer; its future is the session and runs in a task of its
    /// own.
    pub async fn serve<F, S>(self, on_connection: F)
    where
        F: Fn(Authenticated) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let on_connection = Arc::new(on_connection);
        let mut backoff_ms = BACKOFF_MS_MIN;
        loop {
            self.slots.room().await;
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.refusals.due() => {
                    self.refusals.report();
                    continue;
                }
            };
            match accepted {
                Ok((stream, address)) => {
                    backoff_ms = BACKOFF_MS_MIN;
                    self.admit(stream, address, &on_connection);
                    // A flood must not keep the admitted from being served.
                    tokio::task::yield_now().await;
                }
                Err(_) => {
                    self.refusals.note(Refused::Accept, None);
                    self.refusals.report();
                    sleep(Duration::from_millis(backoff_ms)).await;
                    backoff_ms = (2 * backoff_ms).min(BACKOFF_MS_MAX);
                }
            }
        }
    }

    /// Gives a new connection a place and a task, or closes it.
    fn admit<F, S>(&self, stream: TcpStream, address: SocketAddr, on_connection: &Arc<F>)
    where
        F: Fn(Authenticated) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let shown = if has_started(&stream) { Shown::Started } else { Shown::Nothing };
        let Some(slot) = self.slots.enter(address.ip(), shown) else {
            self.refusals.note(Refused::Crowd, Some(address.ip()));
            self.refusals.report();
            return;
        };
        let pushed_out = self.slots.take_pushed_out();
        if pushed_out > 0 {
            self.refusals.note_many(Refused::Crowd, pushed_out, Some(address.ip()));
            self.refusals.report();
        }
        let id = slot.id();
        let identity = Arc::clone(&self.identity);
        let refusals = Arc::clone(&self.refusals);
        let on_connection = Arc::clone(on_connection);
        let task = tokio::spawn(async move {
            match prove(stream, &identity, &slot, &refusals, address.ip()).await {
                Ok(connection) => {
                    drop(slot);
                    on_connection(Authenticated { connection, address }).await;
                }
                Err(_) => drop(slot),
            }
        });
        self.slots.set_task(id, task.abort_handle());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.slots.close();
        self.refusals.report();
    }
}

/// True where the kernel already holds as much as an honest peer sends before it waits.
fn has_started(stream: &TcpStream) -> bool {
    let mut bytes = [0; LENGTH_BYTES + PREAMBLE_BYTES];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(stream.as_raw_fd(), &mut bytes, flags) == Ok(bytes.len())
}

async fn prove(
    stream: TcpStream,
    identity: &Identity,
    slot: &Slot,
    refusals: &Refusals,
    source: IpAddr,
) -> Result<Connection, Error> {
    let (reader, writer) = tcp_halves(stream);
    let watch = |stage| {
        slot.show(match stage {
            Stage::Proven => Shown::Proven,
            Stage::Refused => Shown::Refused,
        });
    };
    let proven = respond(reader, writer, identity, watch).await;
    if let Err(error) = &proven {
        refusals.note(Refused::Peer(error.kind()), Some(source));
        refusals.report();
    }
    proven
}

/// Raises the soft limit of open files to the hard one; returns the limit that holds then.
///
/// # Errors
/// [`Error::Io`] where the system refuses; the old limit holds then.
pub fn raise_fd_limit() -> Result<u64, Error> {
    let failed = |errno| Error::Io { doing: "raise the limit of open files", source: std::io::Error::from(errno) };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(failed)?;
    }
    Ok(soft.max(hard))
}

/// Why a connection did not become a session.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// The system could not accept it.
    Accept,
    /// Its source had too many unproven ones.
    Crowd,
    /// It failed by itself, by [`Error::kind`].
    Peer(usize),
}

const REFUSED_KINDS: usize = Error::KINDS.len() + 2;

impl Refused {
    fn index(self) -> usize {
        match self {
            Refused::Peer(kind) => kind.min(Error::KINDS.len() - 1),
            Refused::Accept => Error::KINDS.len(),
            Refused::Crowd => Error::KINDS.len() + 1,
        }
    }
}

/// Counts of refused peers since the last line about them.
#[derive(Debug)]
struct Refusals {
    role: Role,
    step: Duration,
    counts: Mutex<Counts>,
    /// Wakes [`Refusals::due`] when a quiet time begins.
    reported: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    by_kind: [u64; REFUSED_KINDS],
    last_source: Option<IpAddr>,
    /// No line before this time.
    quiet_until: Option<Instant>,
}

impl Refusals {
    fn new(role: Role, log_ms_step: u64) -> Self {
        let step = Duration::from_millis(log_ms_step);
        Refusals { role, step, counts: Mutex::default(), reported: Notify::new() }
    }

    fn note(&self, refused: Refused, source: Option<IpAddr>) {
        self.note_many(refused, 1, source);
    }

    fn note_many(&self, refused: Refused, times: u64, source: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.by_kind.get_mut(refused.index()) {
            *count = count.saturating_add(times);
        }
        counts.last_source = source.or(counts.last_source);
    }

    /// Waits until something may be reported that could not be when it happened.
    async fn due(&self) {
        let wake = {
            let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            // A refusal outside a quiet time is reported by whoever notes it.
            counts.quiet_until
        };
        match wake {
            Some(wake) => sleep_until(wake).await,
            None => self.reported.notified().await,
        }
    }

    fn report(&self) {
        if let Some(line) = self.line(Instant::now()) {
            log::warn!("{line}");
            self.reported.notify_one();
        }
    }

    /// The line that may be written now, if any.
    fn line(&self, now: Instant) -> Option<String> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let total: u64 = counts.by_kind.iter().sum();
        if total == 0 {
            counts.quiet_until = None;
            return None;
        }
        let names = Error::KINDS.iter().copied().chain(["could not be accepted", "had to leave a crowd"]);
        let kinds = counts.by_kind.iter().zip(names).filter(|(count, _)| **count > 0);
        let kinds = kinds.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>();
        let port = match self.role {
            Role::Client => "client",
            Role::Worker => "worker",
        };
        let from = counts.last_source.map(|source| format!(", last from {source}")).unwrap_or_default();
        let line = format!("Refused {total} connection(s) at the {port} port: {}{from}", kinds.join(", "));
        counts.by_kind = Default::default();
        counts.quiet_until = Some(now + self.step);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_make_few_lines() {
        let refusals = Refusals::new(Role::Worker, 10_000);
        let mut lines = Vec::new();
        for round in 0..10_000u64 {
            let kind = if round % 3 == 0 { Error::WrongKey } else { Error::Cut };
            refusals.note(Refused::Peer(kind.kind()), Some(IpAddr::from([10, 0, 0, 1])));
            lines.extend(refusals.line(Instant::now()));
            tokio::time::advance(Duration::from_millis(3)).await;
        }
        refusals.due().await;
        lines.extend(refusals.line(Instant::now()));
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "Refused 1 connection(s) at the worker port: 1 had a wrong key, last from 10.0.0.1");
        let count = |line: &String| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
        assert_eq!(lines.iter().map(count).sum::<u64>(), 10_000);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(refusals.line(Instant::now()), None);
        assert!(refusals.counts.lock().unwrap().quiet_until.is_none());
    }

    #[test]
    fn strangers_get_a_share_of_the_files() {
        assert_eq!(GateLimits::for_files(u64::MAX, 2), GateLimits::default());
        assert_eq!(GateLimits::for_files(1_024, 2), GateLimits::default());
        let few = GateLimits::for_files(96, 2);
        assert_eq!((few.unproven_max, few.unproven_per_source_max), (8, 8));
        assert_eq!(GateLimits::for_files(10, 2).unproven_max, UNPROVEN_MIN);
    }

    #[test]
    fn the_soft_limit_of_files_reaches_the_hard_one() {
        let limit = raise_fd_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (limit, limit));
    }
}
