//! What becomes of tasks that use more memory than they asked for.
//!
//! A request for `mem` is a promise that others rely on: the worker gives the rest of its memory to other tasks. Where
//! this process may make control groups, the kernel holds a task to it, and its words are exact; elsewhere tasks are
//! looked at from time to time, so that a short peak may be missed.
//!
//! What holds: with [`MemEnforce::Warn`] nothing is ever killed and each excess is said once; with [`MemEnforce::Kill`]
//! the error of a task that was killed names what it used and what it asked for; tasks that asked for no memory are
//! not looked at.

use super::desk::{self, Desk};
use super::inbox::Input;
use crate::platform::cgroup::{Group, Groups, Usage};
use crate::platform::process::{Child, memory_of};
use hq_core::attempt::Attempt;
use hq_core::resource::Amount;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two looks at the tasks.
const LOOK_SPAN: Duration = Duration::from_millis(250);
/// A look that took long is followed by a pause of so many times its duration.
const PAUSE_FACTOR: u32 = 50;
/// Bytes of a MiB, the unit of the resource `mem`.
const MIB: u64 = 1024 * 1024;

/// What becomes of a task that uses more memory than it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemEnforce {
    /// Nothing; nobody looks.
    Off,
    /// It is said in the worker's log, and in the error of the task if it fails.
    #[default]
    Warn,
    /// It is killed and fails.
    Kill,
}

/// Looks after the memory of tasks.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    policy: MemEnforce,
    groups: Option<Groups>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    desk: Weak<Desk>,
}

/// A task that asked for memory.
#[derive(Debug)]
pub(super) struct Guarded {
    attempt: Attempt,
    requested: Amount,
    group: Option<Arc<Group>>,
    /// Bytes that it used when it was seen above its request.
    exceeded: Option<u64>,
    killed: bool,
}

/// What is to be said at the end of a task.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Why it was killed.
    pub(super) error: Option<String>,
    /// What belongs to the text of a failure.
    pub(super) note: Option<String>,
    /// Most memory that it held, in KiB, if that is known exactly.
    pub(super) peak_kib: Option<u64>,
}

/// A task that is looked at.
#[derive(Debug, Clone)]
struct Watched {
    child: Child,
    limit_bytes: u64,
    group: Option<Arc<Group>>,
}

#[derive(Debug, Default)]
struct Table {
    tasks: BTreeMap<Attempt, Watched>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guarded {
    /// The group that its processes belong into, if there is one.
    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// Kills all of it, as far as a group can.
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Says once that it was seen above its request.
    fn say(&mut self, used: u64) {
        if self.exceeded.is_none() {
            log::warn!("Task {} {}", self.attempt.task, excess(used, self.requested));
        }
        self.exceeded = self.exceeded.max(Some(used));
    }
}

impl MemoryWatch {
    /// A watch; `desk` hears of tasks that use too much. Control groups are looked for below `root`.
    pub(super) fn new(policy: MemEnforce, root: &Path, desk: Weak<Desk>) -> Self {
        let groups = match policy {
            MemEnforce::Off => None,
            _ => Groups::open(root).inspect_err(|reason| log::debug!("Memory of tasks is sampled: {reason}")).ok(),
        };
        Self { policy, groups, shared: Arc::default(), thread: None, desk }
    }

    /// A task that asked for so many MiB is about to start.
    pub(super) fn begin(&self, attempt: Attempt, requested: Option<Amount>) -> Option<Guarded> {
        let requested = requested.filter(|_| self.policy != MemEnforce::Off)?;
        let limit = (self.policy == MemEnforce::Kill).then(|| bytes_of(requested));
        let fence = attempt.fence;
        let name = format!("hq-{}-{}-{}-{}", std::process::id(), attempt.task, fence.epoch, fence.attempt);
        let group = self.groups.as_ref().and_then(|groups| {
            let made = groups.create(&name, limit);
            made.inspect_err(|error| log::warn!("Cannot make the cgroup {name}, memory is sampled: {error}")).ok()
        });
        Some(Guarded { attempt, requested, group: group.map(Arc::new), exceeded: None, killed: false })
    }

    /// Its process is there.
    pub(super) fn started(&mut self, guarded: &Guarded, child: Child) {
        // What the kernel holds to its limit need not be looked at.
        if guarded.group.is_some() && self.policy == MemEnforce::Kill {
            return;
        }
        let limit_bytes = bytes_of(guarded.requested);
        let watched = Watched { child, limit_bytes, group: guarded.group() };
        self.shared.lock().tasks.insert(guarded.attempt, watched);
        self.shared.changed.notify_one();
        if self.thread.is_none() {
            let (shared, desk) = (Arc::clone(&self.shared), Weak::clone(&self.desk));
            let thread = std::thread::Builder::new().name("hq-memory".into()).spawn(move || shared.look_on(&desk));
            self.thread = thread.inspect_err(|error| log::warn!("Memory of tasks is not looked at: {error}")).ok();
        }
    }

    /// It was seen with so many bytes. `true`: it has to be killed.
    pub(super) fn exceeded(&self, guarded: &mut Guarded, used: u64) -> bool {
        guarded.say(used);
        guarded.killed |= self.policy == MemEnforce::Kill;
        guarded.killed
    }

    /// It has ended, or never started.
    pub(super) fn end(&self, mut guarded: Guarded) -> Verdict {
        self.shared.lock().tasks.remove(&guarded.attempt);
        let mut usage = None;
        if let (Some(groups), Some(group)) = (&self.groups, &guarded.group) {
            usage = Some(group.usage());
            groups.remove(group);
        }
        let peak = usage.map_or(0, |usage| usage.peak_bytes);
        if self.policy == MemEnforce::Warn && peak > bytes_of(guarded.requested) {
            guarded.say(peak);
        }
        Verdict {
            error: killed_text(&guarded, usage.unwrap_or_default()),
            note: guarded.exceeded.map(|used| format!("The task {}.", excess(used, guarded.requested))),
            peak_kib: Some(peak / 1_024).filter(|kib| *kib > 0),
        }
    }

    /// Ends the thread and gives back what was taken over.
    pub(super) fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends after the look that it may be at.
            drop(thread.join());
        }
        if let Some(groups) = &mut self.groups {
            groups.close();
        }
    }
}

impl Shared {
    /// Looks at the tasks until the watch is closed.
    fn look_on(&self, desk: &Weak<Desk>) {
        let mut pause = LOOK_SPAN;
        while let Some(tasks) = self.next(pause) {
            let begun = Instant::now();
            for (attempt, used) in above(&tasks) {
                desk::put(desk, Input::MemoryExceeded(attempt, used));
            }
            pause = LOOK_SPAN.max(begun.elapsed().saturating_mul(PAUSE_FACTOR));
        }
    }

    /// The tasks, after a pause and when there are some; none at the end.
    fn next(&self, pause: Duration) -> Option<BTreeMap<Attempt, Watched>> {
        let until = Instant::now() + pause;
        let mut table = self.lock();
        loop {
            if table.closed {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            if table.tasks.is_empty() {
                table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
            } else if left.is_zero() {
                return Some(table.tasks.clone());
            } else {
                let waited = self.changed.wait_timeout(table, left);
                table = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(table, _)| table);
            }
        }
    }
}

/// Those that use more than they may, with the bytes that they use.
fn above(tasks: &BTreeMap<Attempt, Watched>) -> Vec<(Attempt, u64)> {
    let (grouped, sampled): (Vec<_>, Vec<_>) = tasks.iter().partition(|(_, task)| task.group.is_some());
    let peaks = grouped.iter().map(|(_, task)| task.group.as_ref().map_or(0, |group| group.usage().peak_bytes));
    let mut used: Vec<u64> = peaks.collect();
    let children: Vec<Child> = sampled.iter().map(|(_, task)| task.child).collect();
    let limits: Vec<u64> = sampled.iter().map(|(_, task)| task.limit_bytes).collect();
    if !children.is_empty() {
        used.extend(memory_of(&children, &limits));
    }
    let all = grouped.into_iter().chain(sampled).zip(used);
    all.filter(|((_, task), used)| *used > task.limit_bytes).map(|((attempt, _), used)| (*attempt, used)).collect()
}

fn bytes_of(mebibytes: Amount) -> u64 {
    let bytes = u128::from(mebibytes.0) * u128::from(MIB) / u128::from(Amount::UNIT);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn excess(used: u64, requested: Amount) -> String {
    format!("used {} of memory, {requested} MiB were requested (mem)", mebibytes(used))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

/// Why a task was killed, if that had to do with memory.
fn killed_text(guarded: &Guarded, usage: Usage) -> Option<String> {
    let requested = guarded.requested;
    if guarded.killed {
        let used = guarded.exceeded.unwrap_or(0);
        return Some(format!("Memory limit exceeded: the task {} and was killed.", excess(used, requested)));
    }
    if usage.kills == 0 {
        return None;
    }
    let peak = mebibytes(usage.peak_bytes);
    Some(if usage.own_limit_hits > 0 {
        format!(
            "Memory limit exceeded: the task needed more than the {requested} MiB that it requested (mem; it used \
             {peak}), and the kernel killed it (OOM kill)."
        )
    } else {
        format!(
            "The machine or the batch job ran out of memory, and the kernel killed the task (OOM kill), which used \
             {peak}; {requested} MiB were requested (mem)."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(killed: bool, exceeded: Option<u64>) -> Guarded {
        Guarded { attempt: Attempt::new(1, 2, 1, 0), requested: Amount(1_005_000), group: None, exceeded, killed }
    }

    fn watch(policy: MemEnforce) -> MemoryWatch {
        let nothing = tempfile::tempdir().unwrap();
        MemoryWatch::new(policy, nothing.path(), Weak::new())
    }

    #[test]
    fn amounts_are_mebibytes() {
        assert_eq!(bytes_of(Amount::units(2)), 2 * MIB);
        assert_eq!(bytes_of(Amount(5_000)), MIB / 2);
        assert_eq!(bytes_of(Amount(u64::MAX)), u64::MAX);
    }

    #[test]
    fn only_requests_for_memory_are_looked_at() {
        let attempt = Attempt::new(1, 2, 1, 0);
        assert!(watch(MemEnforce::Kill).begin(attempt, None).is_none());
        assert!(watch(MemEnforce::Off).begin(attempt, Some(Amount::units(1))).is_none());
        assert!(watch(MemEnforce::Warn).begin(attempt, Some(Amount::units(1))).is_some());
    }

    #[test]
    fn texts() {
        let end = |killed, exceeded| watch(MemEnforce::Warn).end(guarded(killed, exceeded));
        assert_eq!(end(false, None), Verdict::default());
        let note = "The task used 200.0 MiB of memory, 100.5 MiB were requested (mem).";
        assert_eq!(end(false, Some(200 * MIB)), Verdict { note: Some(note.into()), ..Verdict::default() });
        let error =
            "Memory limit exceeded: the task used 200.0 MiB of memory, 100.5 MiB were requested (mem) and was killed.";
        assert_eq!(end(true, Some(200 * MIB)).error.as_deref(), Some(error));
        let usage = |own_limit_hits| Usage { peak_bytes: 100 * MIB, kills: 1, own_limit_hits };
        let own = killed_text(&guarded(false, None), usage(3)).unwrap();
        assert!(
            own.contains("100.5 MiB that it requested (mem; it used 100.0 MiB)") && own.contains("OOM kill"),
            "{own}"
        );
        let machine = killed_text(&guarded(false, None), usage(0)).unwrap();
        assert!(machine.contains("ran out of memory") && machine.contains("OOM kill"), "{machine}");
        assert_eq!(killed_text(&guarded(false, None), Usage::default()), None);
    }

    #[test]
    fn what_is_above_is_told_until_it_ends() {
        let mut watch = watch(MemEnforce::Warn);
        let mut seen = guarded(false, None);
        assert!(!watch.exceeded(&mut seen, 5) && !watch.exceeded(&mut seen, 4));
        assert_eq!(seen.exceeded, Some(5));
        watch.close();
        watch.policy = MemEnforce::Kill;
        assert!(watch.exceeded(&mut seen, 7));
        assert!(watch.end(seen).error.unwrap().contains("0.0 MiB"));
    }
}
