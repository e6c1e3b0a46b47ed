//! The commit thread: makes groups of events durable, then releases what waited for them.
//!
//! **Invariant:** acknowledged means durable. Answers to clients, acknowledgements to workers and everything else that
//! tells somebody about an event are [`Release`]s of the group that holds the event; only this file makes a
//! [`Released`] of them, after the sync.
//!
//! A disk that refuses is tried for `limits::COMMIT_PATIENCE_SPAN`. Then the groups that are not durable are *given up*: they
//! are taken back from the journal, who waits for them is refused, and the turn goes back to the durable state
//! (`docs/decisions/0014-disks-that-refuse.md`). Before it comes to that, the journal's ballast makes room for what is under
//! way, and changes are refused while it is gone.
//!
//! One sync covers all groups that queued up meanwhile. While nobody waits for an answer, a sync is delayed by up to
//! `limits::COMMIT_DELAY_SPAN`, so that a stream of completions does not cost a sync each.

use super::health::{Health, HealthWatch};
use super::listeners::{Batch, ListenerSender};
use super::turn::Recalled;
use crate::wire::message::{Response, ToWorker};
use hq_core::id::Epoch;
use hq_core::limits;
use hq_core::planted::{self, Planted};
use hq_journal::{Journal, RecordDraft};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

/// A message that may leave the process: what it tells is durable.
#[derive(Debug)]
pub struct Released<T>(T);

impl<T> Released<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Where a worker's messages go. Once one of them found no room none follows, so that a worker never acts on a sequence
/// with a gap; its session sees the loss and ends.
#[derive(Debug, Clone)]
pub struct WorkerSender {
    to: mpsc::Sender<Released<ToWorker>>,
    lost: Arc<AtomicBool>,
}

/// What a session learns about its queue of messages.
#[derive(Debug, Clone)]
pub struct WorkerQueueState {
    lost: Arc<AtomicBool>,
}

impl WorkerQueueState {
    /// Whether a message found no room.
    pub fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// A queue for the messages of one connection of a worker.
pub fn worker_queue() -> (WorkerSender, mpsc::Receiver<Released<ToWorker>>, WorkerQueueState) {
    let (to, messages) = mpsc::channel(limits::WORKER_QUEUE_MESSAGES_MAX);
    let lost = Arc::new(AtomicBool::new(false));
    (WorkerSender { to, lost: Arc::clone(&lost) }, messages, WorkerQueueState { lost })
}

impl WorkerSender {
    fn send(&self, message: ToWorker) {
        if !self.lost.load(Ordering::Acquire)
            && let Err(TrySendError::Full(_)) = self.to.try_send(Released(message))
        {
            self.lost.store(true, Ordering::Release);
        }
    }
}

/// A message that waits.
#[derive(Debug)]
pub enum Release {
    /// For a client's session.
    Answer {
        /// The session.
        to: mpsc::Sender<Released<Response>>,
        /// What to say.
        response: Response,
        /// Whether it is about a change; an answer from the state alone can be had again.
        is_change: bool,
    },
    /// For a worker's session.
    Worker {
        /// The session.
        to: WorkerSender,
        /// What to say.
        message: ToWorker,
    },
    /// For a session that reads what happened where no journal is kept.
    Recalled {
        /// The session.
        to: oneshot::Sender<Released<Recalled>>,
        /// What to say.
        answer: Box<Recalled>,
    },
    /// Events, for one that listens there.
    Events {
        /// The session.
        to: ListenerSender,
        /// The events.
        batch: Arc<Batch>,
    },
    /// For whoever waits for the end of the server.
    Done(std::sync::mpsc::SyncSender<()>),
}

impl Release {
    /// Hands the message over. A worker whose queue is full is not reading: its session ends, and what it missed
    /// is told when it connects again. A client that does not read misses progress, of which there is more.
    pub(super) fn release(self) {
        match self {
            Self::Answer { to, response, .. } => drop(to.try_send(Released(response))),
            Self::Worker { to, message } => to.send(message),
            Self::Recalled { to, answer } => drop(to.send(Released(*answer))),
            Self::Events { to, batch } => {
                let bytes = batch.bytes();
                to.send(Released(batch), bytes);
            }
            Self::Done(to) => drop(to.try_send(())),
        }
    }

    /// The events that it waited for never happened: who changed something hears that; who only asked hears nothing, and
    /// its session asks again; a worker's connection is closed by the turn.
    fn refuse(self, reason: &str) {
        match self {
            Self::Answer { to, is_change: true, .. } => {
                drop(to.try_send(Released(Response::Refused(reason.to_owned()))))
            }
            Self::Answer { .. } | Self::Worker { .. } | Self::Recalled { .. } | Self::Events { .. } => {}
            Self::Done(to) => drop(to.try_send(())),
        }
    }
}

/// Events of one turn with what waits for them.
#[derive(Debug, Default)]
pub struct Group {
    /// Number of the group, growing by one.
    pub ticket: u64,
    /// The life of the journal in which it was made.
    pub life: u32,
    /// The events.
    pub drafts: Vec<RecordDraft>,
    /// What waits for them, in order.
    pub releases: Vec<Release>,
    /// Whether somebody waits: then the sync is not delayed.
    pub urgent: bool,
}

/// What those learn who look on: how far the journal is durable, and how it is.
#[derive(Debug, Clone)]
pub struct CommitWatch {
    /// Sequence of the last durable record; closed when the journal is.
    pub durable: watch::Receiver<u64>,
    /// How the journal is.
    pub health: HealthWatch,
}

/// The sending end; owned by the turn.
#[derive(Debug)]
pub struct Committer {
    queue: SyncSender<Group>,
    /// Ticket of the last durable group.
    durable: Arc<AtomicU64>,
    health: HealthWatch,
}

impl Committer {
    /// Starts the thread. Without a journal groups are released at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(journal: Option<Journal>) -> std::io::Result<(Self, JoinHandle<()>, CommitWatch)> {
        let (committer, commits) = Self::stepped(journal);
        let watch = CommitWatch { durable: commits.seq.subscribe(), health: committer.health() };
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(move || commits.run())?;
        Ok((committer, thread, watch))
    }

    /// Without a thread: whoever has the other half commits step by step.
    pub fn stepped(journal: Option<Journal>) -> (Self, Commits) {
        let (queue, inbox) = sync_channel(limits::COMMIT_GROUPS_MAX);
        let durable = Arc::new(AtomicU64::default());
        let (seq, _) = watch::channel(journal.as_ref().map_or(0, |journal| journal.durable().seq));
        let commits = Commits {
            journal,
            seq,
            inbox,
            durable: Arc::clone(&durable),
            health: watch::Sender::default(),
            groups: Vec::new(),
            appended: Vec::new(),
            refused_since: None,
            looked: Instant::now(),
        };
        commits.look_at_space();
        let health = commits.health.subscribe();
        (Self { queue, durable, health }, commits)
    }

    /// Hands a group over; waits while too many are under way.
    pub fn submit(&self, group: Group) {
        // The thread ends only after this sender is gone.
        drop(self.queue.send(group));
    }

    /// Hands a message over at once if the group with this ticket is durable; gives it back otherwise.
    pub fn release_early(&self, ticket: u64, release: Release) -> Option<Release> {
        if self.durable.load(Ordering::Acquire) < ticket {
            return Some(release);
        }
        release.release();
        None
    }

    /// How the journal is.
    pub fn health(&self) -> HealthWatch {
        self.health.clone()
    }
}

/// The receiving end: what the commit thread owns.
pub struct Commits {
    journal: Option<Journal>,
    /// Dropped with the thread, when nothing more can become durable.
    seq: watch::Sender<u64>,
    inbox: Receiver<Group>,
    durable: Arc<AtomicU64>,
    health: watch::Sender<Health>,
    /// Groups that are not durable.
    groups: Vec<Group>,
    /// The last sequence of each of them that the journal has, in order.
    appended: Vec<u64>,
    /// Since when the disk refuses them.
    refused_since: Option<Instant>,
    /// When it was last looked whether the trouble is over.
    looked: Instant,
}

impl Commits {
    fn run(mut self) {
        while let Some(first) = self.next() {
            self.groups = gather(first, &self.inbox);
            while !self.persist() {
                if self.refused_since.is_some_and(|since| since.elapsed() >= limits::COMMIT_PATIENCE_SPAN.to_duration())
                {
                    self.give_up();
                } else {
                    std::thread::sleep(limits::COMMIT_RETRY_SPAN.to_duration());
                }
            }
        }
        if let Some(journal) = self.journal.take()
            && let Err(error) = journal.close()
        {
            log::error!("The journal was not closed in order: {error}");
        }
    }

    /// The next group; meanwhile it is looked now and then whether trouble is over. None when the turn has ended.
    fn next(&mut self) -> Option<Group> {
        let pause = limits::COMMIT_LOOK_SPAN.to_duration();
        loop {
            if self.health.borrow().trouble.is_none() {
                return self.inbox.recv().ok();
            }
            if self.looked.elapsed() >= pause {
                self.look();
                self.looked = Instant::now();
                continue;
            }
            match self.inbox.recv_timeout(pause) {
                Ok(group) => return Some(group),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes what has queued up, unless something waits for the disk, and tries once to make all of it durable. `false`:
    /// the disk refuses.
    pub fn step(&mut self) -> bool {
        if self.groups.is_empty() {
            self.groups.extend(self.inbox.try_iter());
        }
        self.groups.is_empty() || self.persist()
    }

    /// The journal, for looking at and for what stands outside the commits.
    pub fn journal(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }

    /// Writes and syncs the groups, and releases what waits for them. `false`: the disk refuses.
    fn persist(&mut self) -> bool {
        if planted::is(Planted::ReleaseEarly) {
            self.groups.iter_mut().flat_map(|group| group.releases.drain(..)).for_each(Release::release);
        }
        self.refuse_stale();
        let cut_off = self.health.borrow().is_cut_off();
        let written = match self.journal.as_mut() {
            Some(journal) if !cut_off => write(journal, &self.groups, &mut self.appended),
            _ => Ok(()),
        };
        if let Err(error) = written {
            self.refused_since.get_or_insert_with(Instant::now);
            self.trouble(error.to_string(), false);
            return false;
        }
        // What was decided before the turn knew was refused above; since then it has recorded nothing.
        self.release(self.groups.len());
        self.refused_since = None;
        self.look_at_space();
        true
    }

    /// Releases what waits for the first groups.
    fn release(&mut self, count: usize) {
        let count = count.min(self.groups.len());
        if let Some(last) = count.checked_sub(1).and_then(|last| self.groups.get(last)) {
            self.durable.store(last.ticket, Ordering::Release);
        }
        self.groups.drain(..count).flat_map(|group| group.releases).for_each(Release::release);
        self.appended.clear();
        if let Some(journal) = &self.journal {
            self.seq.send_replace(journal.durable().seq);
        }
    }

    /// Refuses groups of a life that has ended.
    fn refuse_stale(&mut self) {
        let health = self.health.borrow();
        let stale = self.groups.iter().take_while(|group| group.life < health.life).count();
        if stale > 0 {
            let reason =
                health.refusal().unwrap_or_else(|| "the journal could not be written; please try again".to_owned());
            self.groups.drain(..stale).flat_map(|group| group.releases).for_each(|release| release.refuse(&reason));
        }
    }

    /// Nothing that is not durable by now has happened: takes it back from the journal and refuses who waits for it.
    pub fn give_up(&mut self) {
        let Some(journal) = self.journal.as_mut() else { return };
        // What was appended before a group that found no space may still become durable, or is so since a recovery.
        let _may_fail = journal.commit();
        let durable = journal.durable().seq;
        let kept = self.appended.partition_point(|last| *last <= durable);
        let taken_back = if planted::is(Planted::KeepRefused) { Ok(()) } else { journal.take_back() };
        self.release(kept);
        self.refused_since = None;
        self.health.send_modify(|health| {
            (health.life, health.epoch, health.is_short) = (health.life + 1, None, false);
            if let (Err(error), Some(trouble)) = (taken_back, health.trouble.as_mut()) {
                trouble.push_str(&format!("; {error}, so that what was refused just now may appear after a restart"));
            }
        });
        log::error!("What could not be recorded was taken back and refused");
        self.refuse_stale();
    }

    fn trouble(&self, text: String, is_short: bool) {
        self.health.send_if_modified(|health| {
            let is_new = health.trouble.as_ref() != Some(&text);
            if is_new {
                log::error!("The journal cannot be written: {text}. Changes are refused until it can");
                (health.trouble, health.is_short) = (Some(text), is_short);
            }
            is_new
        });
    }

    /// Looks whether trouble is over.
    pub fn look(&mut self) {
        let Some(journal) = self.journal.as_mut() else { return };
        if !self.health.borrow().is_cut_off() {
            journal.restore_ballast();
            self.look_at_space();
            return;
        }
        match journal.renew() {
            Ok(epoch) => {
                self.health.send_modify(|health| (health.epoch, health.trouble) = (Some(Epoch(epoch)), None));
                log::info!("The journal can be written again");
            }
            Err(error) => log::debug!("The journal still cannot be written: {error}"),
        }
    }

    /// Refuses changes while the ballast is given up, so that what runs can still be recorded.
    fn look_at_space(&self) {
        let Some(journal) = &self.journal else { return };
        if self.health.borrow().is_cut_off() {
            return;
        }
        if journal.is_short_of_space() {
            let kib = journal.wanted_bytes() / 1024;
            self.trouble(format!("its disk is full; once {kib} KiB are free, changes are taken again"), true);
        } else if self.health.borrow().trouble.is_some() {
            self.health.send_modify(|health| health.trouble = None);
            log::info!("The journal can be written again");
        }
        self.seq.send_replace(journal.durable().seq);
    }
}

/// One attempt; `appended` has the groups that need not be appended again, by their last sequence.
fn write(journal: &mut Journal, groups: &[Group], appended: &mut Vec<u64>) -> Result<(), hq_journal::Error> {
    if journal.stats().poisoned {
        journal.recover()?;
    }
    for group in groups.iter().skip(appended.len()) {
        let before = appended.last().copied().unwrap_or(journal.durable().seq);
        let last = if group.drafts.is_empty() { before } else { journal.append(&group.drafts)?.last.seq };
        appended.push(last);
    }
    journal.commit().map(|_| ())
}

/// Everything that has queued up; more of it while nobody waits.
fn gather(first: Group, inbox: &Receiver<Group>) -> Vec<Group> {
    let deadline = Instant::now() + limits::COMMIT_DELAY_SPAN.to_duration();
    let (mut events, mut urgent) = (first.drafts.len(), first.urgent);
    let mut groups = vec![first];
    loop {
        while events < limits::COMMIT_EVENTS_MAX
            && let Ok(group) = inbox.try_recv()
        {
            events += group.drafts.len();
            urgent |= group.urgent;
            groups.push(group);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if urgent || events >= limits::COMMIT_EVENTS_MAX || left.is_zero() {
            return groups;
        }
        match inbox.recv_timeout(left) {
            Ok(group) => {
                events += group.drafts.len();
                urgent |= group.urgent;
                groups.push(group);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return groups,
        }
    }
}
