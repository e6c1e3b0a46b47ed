//! Ends whole tasks: the group of a child, and what left the group.
//!
//! A child that shall end is asked to, with its group, by a signal. When its time is over, everything that belongs to
//! it is killed, and counted again until nothing is left. What belongs to it is seen by its session, by its mark, and
//! by descent from something that was seen before; so it is looked at before the first signal, while the family is
//! still together. One thread does this for all children that are to end, since counting takes milliseconds.
//!
//! Invariants: the end of a child that was to end is reported once nothing of it is left, or [`GIVE_UP`] after it was
//! killed; nothing else is ever signalled; the lock of the hunts is taken after the one of the children, if both are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::census::{self, Name, Process};
use super::kin::Kin;
use super::reap::{self, Ended, Leaders};
use super::{Child, GIVE_UP, guard, is_subreaper, mark};

/// Shortest and longest pause between two counts.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(500);
/// Pause without a hunt; a new one ends it.
const IDLE: Duration = Duration::from_secs(3_600);

/// A child that shall end.
struct Hunt {
    child: Child,
    /// Everybody who was ever seen to belong to it.
    known: HashSet<Name>,
    /// The signal that asks to end.
    signal: i32,
    asked: bool,
    kill_at: Instant,
    killed: Option<Instant>,
    /// The leader has ended, when; and what is told once the rest has too, if nobody was told before.
    ended: Option<(Instant, Option<Ended>)>,
    /// When it is to be looked at again.
    look_at: Instant,
}

impl Hunt {
    /// When to look again at something that did not end by now.
    fn next_look(&self, now: Instant) -> Instant {
        let since = match (self.killed, &self.ended) {
            (None, None) => return self.kill_at,
            (Some(killed), _) => killed,
            (None, Some((ended, _))) => *ended,
        };
        // What takes longer is looked at less often.
        let next = now + (now.saturating_duration_since(since) / 8).clamp(LOOK_MIN, LOOK_MAX);
        if self.killed.is_some() { next } else { next.min(self.kill_at) }
    }
}

#[derive(Default)]
struct Hunts {
    hunts: Mutex<BTreeMap<u64, Hunt>>,
    changed: Condvar,
}

fn hunts() -> &'static Hunts {
    static HUNTS: OnceLock<Hunts> = OnceLock::new();
    HUNTS.get_or_init(Hunts::default)
}

impl Hunts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Hunt>> {
        self.hunts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread once. Without it, which is logged, children are not ended.
fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let started = std::thread::Builder::new().name("hq-hunter".into()).spawn(|| {
            loop {
                round(hunts());
            }
        });
        if let Err(error) = started {
            log::error!("Cannot start the thread that ends tasks: {error}");
        }
    });
}

/// The child shall end: asked now by the signal, killed after `grace`. Said again, the first signal and the earlier time
/// count.
pub(super) fn begin(child: Child, signal: i32, grace: Duration) {
    start();
    let now = Instant::now();
    let kill_at = now + grace;
    reap::doom(child, |lives| {
        let mut hunts = hunts().lock();
        let hunt = hunts.entry(child.ticket).or_insert_with(|| Hunt {
            child,
            known: HashSet::new(),
            signal,
            asked: false,
            kill_at,
            killed: None,
            ended: (!lives).then_some((now, None)),
            look_at: now,
        });
        hunt.kill_at = hunt.kill_at.min(kill_at);
        hunt.look_at = hunt.look_at.min(kill_at);
    });
    hunts().changed.notify_all();
}

/// The leader of a hunted child has ended and was reaped. Called with the lock of the children held. Gives everything
/// back if nobody hunts it.
pub(super) fn leader_ended(ticket: u64, ended: Ended) -> Option<Ended> {
    let mut hunts = hunts().lock();
    match hunts.get_mut(&ticket) {
        Some(hunt) => {
            hunt.look_at = Instant::now();
            hunt.ended = Some((hunt.look_at, Some(ended)));
        }
        None => return Some(ended),
    }
    drop(hunts);
    self::hunts().changed.notify_all();
    None
}

/// Who belongs to each hunt, by ticket.
type Members = BTreeMap<u64, Vec<Process>>;

fn round(all: &Hunts) {
    let mut hunts = all.lock();
    loop {
        let now = Instant::now();
        let due = hunts.values().map(|hunt| hunt.look_at).min();
        if due.is_some_and(|due| due <= now) {
            break;
        }
        let pause = due.map_or(IDLE, |due| due.saturating_duration_since(now));
        hunts = all.changed.wait_timeout(hunts, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
    drop(hunts);
    let everybody = census::take().unwrap_or_else(|error| {
        log::warn!("Cannot look at the processes in /proc: {error}");
        Vec::new()
    });
    let leaders = reap::leaders();
    let found = members(all, &everybody, &leaders);
    for (ticket, members) in &found {
        act(all, *ticket, members, &leaders);
    }
    for (ticket, members) in found {
        if let Some(ended) = conclude(all, ticket, &members) {
            reap::report(ended);
        }
    }
}

/// Finds out who belongs to which hunt.
fn members(all: &Hunts, everybody: &[Process], leaders: &Leaders) -> Members {
    let mut by_name: HashMap<Name, u64> = HashMap::new();
    let mut by_session: HashMap<libc::pid_t, u64> = HashMap::new();
    let mut marks: Vec<(String, u64)> = Vec::new();
    let mut members = Members::new();
    for (ticket, hunt) in all.lock().iter() {
        by_name.extend(hunt.known.iter().map(|name| (*name, *ticket)));
        marks.push((mark::of_child(hunt.child.owner, *ticket), *ticket));
        // The number of a leader that was reaped may be another child's by now.
        if leaders.get(&hunt.child.pid).is_none_or(|current| current.ticket == *ticket) {
            by_session.insert(hunt.child.pid, *ticket);
        }
        members.insert(*ticket, Vec::new());
    }
    let kin = Kin::new(everybody);
    let (own, own_session) = own_process();
    let known = |process: &Process| {
        if process.session == own_session || process.is_dead || guard::is_guardian(process.pid) {
            return None;
        }
        if let Some(ticket) = by_name.get(&process.name()) {
            return Some(*ticket);
        }
        let is_ours = kin.descends(process, own);
        let leads = leaders.get(&process.session).map(|leader| leader.ticket);
        // Without its leader a session could be anybody's, by its number alone.
        if let Some(ticket) = by_session.get(&process.session)
            && (leads.is_some() || is_ours)
        {
            return Some(*ticket);
        }
        if leads.is_some() || (is_subreaper() && !is_ours) {
            return None;
        }
        let mark = census::mark_of(process)?;
        marks.iter().find(|(wanted, _)| mark.contains(wanted)).map(|(_, ticket)| *ticket)
    };
    for (process, ticket) in kin.belonging(known) {
        if let Some(members) = members.get_mut(&ticket) {
            members.push(*process);
        }
    }
    for (ticket, hunt) in all.lock().iter_mut() {
        hunt.known.extend(members.get(ticket).into_iter().flatten().map(Process::name));
    }
    members
}

/// Sends the signals that are due.
fn act(all: &Hunts, ticket: u64, members: &[Process], leaders: &Leaders) {
    let now = Instant::now();
    let mut hunts = all.lock();
    let Some(hunt) = hunts.get_mut(&ticket) else { return };
    let (child, signal) = (hunt.child, hunt.signal);
    let asked = std::mem::replace(&mut hunt.asked, true);
    let kills = now >= hunt.kill_at;
    if kills {
        hunt.killed.get_or_insert(now);
    }
    hunt.look_at = hunt.next_look(now);
    drop(hunts);
    if !asked {
        ask(child, signal, members);
    }
    if kills {
        // The group of a leader that is not reaped is killed as one.
        reap::kill_group(child, libc::SIGKILL);
        let group = leaders.get(&child.pid).filter(|leader| leader.ticket == ticket).map(|_| child.pid);
        for member in members.iter().filter(|member| Some(member.group) != group) {
            census::kill_with_group(member);
        }
    }
}

/// Asks the group to end. What is stopped cannot hear it before it goes on.
fn ask(child: Child, signal: i32, members: &[Process]) {
    if reap::kill_group(child, signal) {
        reap::kill_group(child, libc::SIGCONT);
        return;
    }
    // The leader was gone before.
    for member in members.iter().filter(|member| member.group == child.pid) {
        census::signal(member, signal);
        census::signal(member, libc::SIGCONT);
    }
}

/// Ends a hunt when nothing is left, or nothing can be done; gives back what has to be told.
fn conclude(all: &Hunts, ticket: u64, members: &[Process]) -> Option<Ended> {
    let mut hunts = all.lock();
    let hunt = hunts.get(&ticket)?;
    hunt.ended.as_ref()?;
    if !members.is_empty() {
        hunt.killed.filter(|since| since.elapsed() >= GIVE_UP)?;
        let pids: Vec<_> = members.iter().map(|member| member.pid).take(8).collect();
        log::warn!("{} processes of a task that was killed are still there, among them {pids:?}", members.len());
    }
    hunts.remove(&ticket)?.ended?.1
}

/// Number and session of this process.
fn own_process() -> (libc::pid_t, libc::pid_t) {
    // SAFETY: the calls take plain integers and cannot fail for this process.
    unsafe { (libc::getpid(), libc::getsid(0)) }
}

/// Ends everybody whom `find` finds in a census, given those found before: by SIGTERM, and after `grace` by SIGKILL.
/// Returns once nobody was found for `quiet`, with the number of those who were left after [`GIVE_UP`] more.
pub(super) fn end_everybody(
    grace: Duration,
    quiet: Duration,
    mut find: impl FnMut(&[Process], &HashSet<Name>) -> Vec<Process>,
) -> usize {
    let (since, mut pause, mut known) = (Instant::now(), LOOK_MIN, HashSet::new());
    let mut seen = since;
    while let Ok(everybody) = census::take() {
        let left = find(&everybody, &known);
        let now = Instant::now();
        if left.is_empty() && now.duration_since(seen) >= quiet || now >= since + grace + GIVE_UP {
            return left.len();
        }
        seen = if left.is_empty() { seen } else { now };
        for process in &left {
            let is_new = known.insert(process.name());
            if now >= since + grace {
                census::kill_with_group(process);
            } else if is_new {
                census::signal(process, libc::SIGTERM);
                census::signal(process, libc::SIGCONT);
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOK_MAX / 10);
    }
    0
}

/// Ends everything that the children of an owner have left behind.
pub(super) fn end_all_of(owner: u32, grace: Duration) {
    let left = end_everybody(grace, Duration::ZERO, |everybody, known| left_behind(everybody, owner, known));
    if left > 0 {
        log::warn!("{left} processes of tasks are still there although they were killed");
    }
}

fn left_behind(everybody: &[Process], owner: u32, before: &HashSet<Name>) -> Vec<Process> {
    let (kin, leaders) = (Kin::new(everybody), reap::leaders());
    let (own, own_session) = own_process();
    let (of_owner, of_process) = (mark::of_owner(owner), mark::of_process());
    let known = |process: &Process| {
        if process.session == own_session || process.is_dead || guard::is_guardian(process.pid) {
            return None;
        }
        if before.contains(&process.name()) {
            return Some(());
        }
        if let Some(leader) = leaders.get(&process.session) {
            return (leader.owner == owner).then_some(());
        }
        let is_ours = kin.descends(process, own);
        if is_subreaper() && !is_ours {
            return None;
        }
        match census::mark_of(process) {
            Some(mark) if mark.contains(&of_process) => mark.contains(&of_owner).then_some(()),
            // It hides its mark, but it cannot be anything else than what a child has left.
            _ => is_ours.then_some(()),
        }
    };
    kin.belonging(known).into_iter().map(|(process, ())| *process).collect()
}
