//! The commit thread: makes groups of events durable, then releases what waited for them.
//!
//! **Invariant:** acknowledged means durable. Answers to clients, acknowledgements to workers and everything else that
//! tells somebody about an event are [`Release`]s of the group that holds the event; only this file makes a
//! [`Released`] of them, after the sync.
//!
//! One sync covers all groups that queued up meanwhile. While nobody waits for an answer, a sync is delayed by up to
//! `limits::COMMIT_DELAY_SPAN`, so that a stream of completions does not cost a sync each.

use crate::wire::message::{Response, ToWorker};
use hq_core::limits;
use hq_journal::{Journal, RecordDraft};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

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
    },
    /// For a worker's session.
    Worker {
        /// The session.
        to: WorkerSender,
        /// What to say.
        message: ToWorker,
    },
    /// For whoever waits for the end of the server.
    Done(std::sync::mpsc::SyncSender<()>),
}

impl Release {
    /// Hands the message over. A worker whose queue is full is not reading: its session ends, and what it missed
    /// is told when it connects again. A client that does not read misses progress, of which there is more.
    fn release(self) {
        match self {
            Self::Answer { to, response } => drop(to.try_send(Released(response))),
            Self::Worker { to, message } => to.send(message),
            Self::Done(to) => drop(to.try_send(())),
        }
    }
}

/// Events of one turn with what waits for them.
#[derive(Debug, Default)]
pub struct Group {
    /// Number of the group, growing by one.
    pub ticket: u64,
    /// The events.
    pub drafts: Vec<RecordDraft>,
    /// What waits for them, in order.
    pub releases: Vec<Release>,
    /// Whether somebody waits: then the sync is not delayed.
    pub urgent: bool,
}

/// What the commit thread and its users share.
#[derive(Debug, Default)]
struct Shared {
    durable: AtomicU64,
    trouble: watch::Sender<Option<String>>,
}

/// What those learn who look on: how far the journal is durable, and whether it can be written.
#[derive(Debug, Clone)]
pub struct CommitWatch {
    /// Sequence of the last durable record; closed when the journal is.
    pub durable: watch::Receiver<u64>,
    /// Why nothing can be made durable at present, if so.
    pub trouble: watch::Receiver<Option<String>>,
}

/// The sending end; owned by the turn.
#[derive(Debug)]
pub struct Committer {
    queue: SyncSender<Group>,
    shared: Arc<Shared>,
}

impl Committer {
    /// Starts the thread. Without a journal groups are released at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(journal: Option<Journal>) -> std::io::Result<(Self, JoinHandle<()>, CommitWatch)> {
        let (queue, inbox) = sync_channel(limits::COMMIT_GROUPS_MAX);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let (seq, durable) = watch::channel(journal.as_ref().map_or(0, |journal| journal.durable().seq));
        let trouble = shared.trouble.subscribe();
        let thread = std::thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || Thread { journal, shared: theirs, seq }.run(&inbox))?;
        Ok((Self { queue, shared }, thread, CommitWatch { durable, trouble }))
    }

    /// Hands a group over; waits while too many are under way.
    pub fn submit(&self, group: Group) {
        // The thread ends only after this sender is gone.
        drop(self.queue.send(group));
    }

    /// Hands a message over at once if the group with this ticket is durable; gives it back otherwise.
    pub fn release_early(&self, ticket: u64, release: Release) -> Option<Release> {
        if self.shared.durable.load(Ordering::Acquire) < ticket {
            return Some(release);
        }
        release.release();
        None
    }

    /// Why nothing can be made durable at present, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.borrow().clone()
    }
}

struct Thread {
    journal: Option<Journal>,
    shared: Arc<Shared>,
    /// Dropped with the thread, when nothing more can become durable.
    seq: watch::Sender<u64>,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<Group>) {
        while let Ok(first) = inbox.recv() {
            let groups = gather(first, inbox);
            if let Some(last) = groups.last().map(|group| group.ticket) {
                self.persist(&groups);
                self.shared.durable.store(last, Ordering::Release);
            }
            for release in groups.into_iter().flat_map(|group| group.releases) {
                release.release();
            }
        }
        if let Some(journal) = self.journal.take()
            && let Err(error) = journal.close()
        {
            log::error!("The journal was not closed in order: {error}");
        }
    }

    /// Writes and syncs; repeats while the disk refuses, since memory has moved on and must be followed.
    fn persist(&mut self, groups: &[Group]) {
        let Some(journal) = self.journal.as_mut() else { return };
        let mut appended = 0;
        while let Err(error) = write(journal, groups, &mut appended) {
            let text = error.to_string();
            let is_new = self.shared.trouble.borrow().as_ref() != Some(&text);
            if is_new {
                log::error!("The journal cannot be written: {text}. Changes are refused until it can");
                self.shared.trouble.send_replace(Some(text));
            }
            std::thread::sleep(limits::COMMIT_RETRY_SPAN.to_duration());
        }
        if self.shared.trouble.send_if_modified(|trouble| trouble.take().is_some()) {
            log::info!("The journal can be written again");
        }
        self.seq.send_replace(journal.durable().seq);
    }
}

/// One attempt; `appended` counts the groups that need not be appended again.
fn write(journal: &mut Journal, groups: &[Group], appended: &mut usize) -> Result<(), hq_journal::Error> {
    if journal.stats().poisoned {
        journal.recover()?;
    }
    for group in groups.iter().skip(*appended) {
        if !group.drafts.is_empty() {
            journal.append(&group.drafts)?;
        }
        *appended += 1;
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
