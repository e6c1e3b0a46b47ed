//! Learns how children end, and sends them signals.
//!
//! One thread for all children: it looks at the next child that ended without reaping it (`waitid` with WNOWAIT),
//! and reaps it under the same lock under which signals are sent. So there is no moment at which a signal could go
//! to a process id that was reaped and given to somebody else.
//!
//! A child that is not in the table is one of three things. It is being started this moment: then its start ends
//! soon, and is waited for. It belongs to other code of this process, which is in this session: then that code is
//! left to wait for it. Or it is an orphan of a task that this process adopted, in another session: it is reaped.
//!
//! Invariants: each entry of the table is an unreaped child; `on_exit` is called once per entry and without the lock;
//! it is not called before the entry was opened; the end of a doomed child is told by those who hunt it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::guard::{self, Slot};
use super::{CHILDREN_MAX, Child, Exit, SpawnError, Status, hunt, mark};

/// How often the children of the table are looked at while a child of other code blocks the view.
const FOREIGN_LOOK: Duration = Duration::from_millis(1);

/// After this time a child of other code counts as forgotten by it and is reaped.
const FOREIGN_MAX: Duration = Duration::from_secs(10);

type OnExit = Box<dyn FnOnce(Exit) + Send>;

/// An end that has to be told, and to whom.
pub(super) type Ended = (OnExit, Exit);

struct Entry {
    ticket: u64,
    owner: u32,
    slot: Slot,
    open: bool,
    doomed: bool,
    on_exit: OnExit,
}

/// A child that was not reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leader {
    pub(super) ticket: u64,
    pub(super) owner: u32,
}

/// The children that were not reaped, by number.
pub(super) type Leaders = HashMap<libc::pid_t, Leader>;

#[derive(Default)]
struct Table {
    live: HashMap<libc::pid_t, Entry>,
    /// Tickets of the starts under way.
    starting: BTreeSet<u64>,
    next_ticket: u64,
    reaper_runs: bool,
}

#[derive(Default)]
struct Registry {
    table: Mutex<Table>,
    changed: Condvar,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, table: MutexGuard<'a, Table>) -> MutexGuard<'a, Table> {
        self.changed.wait(table).unwrap_or_else(PoisonError::into_inner)
    }
}

/// A start under way; dropping it gives it up.
pub(super) struct Start {
    ticket: u64,
    owner: u32,
    slot: Option<Slot>,
}

/// Announces a start, so that a child that ends before it is known is not taken for an orphan.
pub(super) fn begin(owner: u32) -> Result<Start, SpawnError> {
    let registry = registry();
    let mut table = registry.lock();
    if !table.reaper_runs {
        default_child_signal();
        let builder = std::thread::Builder::new().name("hq-reaper".into());
        let spawned = builder.spawn(move || reap_for_ever(registry));
        spawned.map_err(|source| SpawnError::Plumbing { doing: "starting a thread", source })?;
        table.reaper_runs = true;
    }
    let slot = guard::take_slot().ok_or(SpawnError::TooMany { children_max: CHILDREN_MAX })?;
    let ticket = table.next_ticket;
    table.next_ticket += 1;
    table.starting.insert(ticket);
    Ok(Start { ticket, owner, slot: Some(slot) })
}

/// With SIGCHLD ignored, which a parent may have bequeathed, the kernel would throw the statuses of children away.
fn default_child_signal() {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the first call only reads the disposition into `now`, which is used if that succeeded; the second
    // installs no code.
    unsafe {
        let known = libc::sigaction(libc::SIGCHLD, std::ptr::null(), now.as_mut_ptr()) == 0;
        if known && now.assume_init().sa_sigaction == libc::SIG_IGN {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

impl Start {
    /// The mark that the child shall carry.
    pub(super) fn mark(&self) -> String {
        mark::of_child(self.owner, self.ticket)
    }

    /// Enters the child. Its end is reported once the second value is dropped.
    pub(super) fn finish(mut self, pid: libc::pid_t, on_exit: OnExit) -> (Child, Opening) {
        let (ticket, owner) = (self.ticket, self.owner);
        let child = Child { pid, ticket, owner };
        if let Some(slot) = self.slot.take() {
            slot.set(pid);
            let entry = Entry { ticket, owner, slot, open: false, doomed: false, on_exit };
            registry().lock().live.insert(pid, entry);
        }
        (child, Opening(child))
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let registry = registry();
        registry.lock().starting.remove(&self.ticket);
        registry.changed.notify_all();
    }
}

/// Holds back the report of a child's end until it is dropped.
pub(super) struct Opening(Child);

impl Drop for Opening {
    fn drop(&mut self) {
        let registry = registry();
        if let Some(entry) = registry.lock().live.get_mut(&self.0.pid) {
            entry.open = true;
        }
        registry.changed.notify_all();
    }
}

/// Sends a signal to the group of a child. `false`: it was reaped before, or the group cannot be signalled.
pub(super) fn kill_group(child: Child, signal: i32) -> bool {
    let table = registry().lock();
    if table.live.get(&child.pid).is_none_or(|entry| entry.ticket != child.ticket) {
        return false;
    }
    // SAFETY: plain integers; the group is led by a child that is not reaped, so it is still the child's.
    unsafe { libc::kill(-child.pid, signal) == 0 }
}

/// Notes that a child shall end. `enter` is told whether it is still there, before that can change.
pub(super) fn doom(child: Child, enter: impl FnOnce(bool)) {
    let mut table = registry().lock();
    let entry = table.live.get_mut(&child.pid).filter(|entry| entry.ticket == child.ticket);
    let lives = entry.map(|entry| entry.doomed = true).is_some();
    enter(lives);
}

/// All children that were not reaped.
pub(super) fn leaders() -> Leaders {
    let table = registry().lock();
    let leader = |(pid, entry): (&libc::pid_t, &Entry)| (*pid, Leader { ticket: entry.ticket, owner: entry.owner });
    table.live.iter().map(leader).collect()
}

fn reap_for_ever(registry: &Registry) {
    loop {
        match look(None) {
            Look::Ended(pid) => settle(registry, pid),
            Look::Running | Look::Gone => {
                // No children at all: what the table still has was taken away by other code.
                let table = registry.lock();
                if table.live.is_empty() {
                    drop(registry.wait(table));
                } else {
                    drop(table);
                    reap_ready(registry);
                }
            }
        }
    }
}

/// What `waitid` tells without reaping.
enum Look {
    Ended(libc::pid_t),
    Running,
    /// There is no such child.
    Gone,
}

/// Looks at one child, or waits until any has ended.
fn look(child: Option<libc::pid_t>) -> Look {
    let (kind, id, flags) = match child {
        Some(pid) => (libc::P_PID, pid.unsigned_abs(), libc::WNOHANG),
        None => (libc::P_ALL, 0, 0),
    };
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is valid to write to.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT | flags) };
        if result == 0 {
            // SAFETY: all zero is a valid `siginfo_t`, and for this call its process id is the meaningful field.
            let pid = unsafe { info.assume_init().si_pid() };
            return if pid > 0 { Look::Ended(pid) } else { Look::Running };
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Look::Gone;
        }
    }
}

/// Deals with a child that ended.
fn settle(registry: &Registry, pid: libc::pid_t) {
    let mut table = registry.lock();
    let seen_at = table.next_ticket;
    loop {
        let pending = match table.live.get(&pid) {
            Some(entry) if entry.open => {
                let ended = reap_entry(&mut table, pid);
                drop(table);
                ended.into_iter().for_each(report);
                return;
            }
            Some(_) => true,
            None => table.starting.first().is_some_and(|oldest| *oldest < seen_at),
        };
        if !pending {
            break;
        }
        table = registry.wait(table);
    }
    drop(table);
    settle_foreign(registry, pid);
}

/// Deals with a child that is not in the table and is not being started.
fn settle_foreign(registry: &Registry, pid: libc::pid_t) {
    // SAFETY: plain integers. A process that was not reaped still has its session.
    let in_our_session = unsafe { libc::getsid(pid) == libc::getsid(0) };
    let patience = if in_our_session { FOREIGN_MAX } else { Duration::ZERO };
    let since = Instant::now();
    while since.elapsed() < patience {
        if !matches!(look(Some(pid)), Look::Ended(_)) {
            return;
        }
        reap_ready(registry);
        std::thread::sleep(FOREIGN_LOOK);
    }
    let table = registry.lock();
    if !table.live.contains_key(&pid) {
        wait_now(pid);
    }
}

/// Reaps every open child of the table that ended, without looking at others.
fn reap_ready(registry: &Registry) {
    let mut ended = Vec::new();
    let mut table = registry.lock();
    let open: Vec<_> = table.live.iter().filter(|(_, entry)| entry.open).map(|(pid, _)| *pid).collect();
    for pid in open {
        ended.push(match look(Some(pid)) {
            Look::Running => None,
            Look::Ended(_) => reap_entry(&mut table, pid),
            Look::Gone => table.live.remove(&pid).map(|entry| (entry.on_exit, lost(pid))),
        });
    }
    drop(table);
    ended.into_iter().flatten().for_each(report);
}

/// Reaps a child of the table that ended. Gives back what has to be told now.
fn reap_entry(table: &mut Table, pid: libc::pid_t) -> Option<Ended> {
    let entry = table.live.remove(&pid)?;
    // The guardian must not keep a number that may be given to somebody else.
    entry.slot.clear();
    let exit = wait_now(pid).unwrap_or_else(|| lost(pid));
    let ended = (entry.on_exit, exit);
    if entry.doomed { hunt::leader_ended(entry.ticket, ended) } else { Some(ended) }
}

fn lost(pid: libc::pid_t) -> Exit {
    Exit { pid: pid.unsigned_abs(), status: Status::Lost, utime_us: 0, stime_us: 0, maxrss_kib: 0 }
}

/// Reaps `pid` if it ended.
fn wait_now(pid: libc::pid_t) -> Option<Exit> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both places are valid to write to; all zero is a valid `rusage`.
    let (waited, usage) = unsafe {
        let waited = libc::wait4(pid, &mut status, libc::WNOHANG, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    let status = if libc::WIFSIGNALED(status) {
        Status::Signal(libc::WTERMSIG(status))
    } else {
        Status::Code(libc::WEXITSTATUS(status))
    };
    (waited == pid).then_some(Exit {
        pid: pid.unsigned_abs(),
        status,
        utime_us: microseconds(usage.ru_utime),
        stime_us: microseconds(usage.ru_stime),
        maxrss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

fn microseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// A callback that panics must not end the thread that learns of all ends.
pub(super) fn report((on_exit, exit): Ended) {
    if catch_unwind(AssertUnwindSafe(|| on_exit(exit))).is_err() {
        log::error!("The end of process {} could not be passed on", exit.pid);
    }
}
