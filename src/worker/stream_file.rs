//! One stream file as the writing thread has it: who uses it, what waits in it, and what becomes of it when it cannot be
//! written.
//!
//! What holds:
//! * output of a running task is visible to readers after [`FLUSH_SPAN`] at the latest;
//! * where tasks fail, a broken file ends them, and each hears the reason;
//! * where tasks wait, the file stalls: what has arrived stays in order, nothing more is read from the pipes, and it is
//!   tried again with growing pauses. What was written in part is written again in the same place.

use super::inbox::{Inbox, Input};
use super::output::{OpenStream, Request, Target};
use crate::platform::{clock, random};
use hq_core::attempt::Attempt;
use hq_journal::disk::RealDisk;
use hq_journal::stream::{StreamHead, StreamWriter};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Longest time for which output of a running task stays in the buffer.
pub(super) const FLUSH_SPAN: Duration = Duration::from_millis(1_500);
/// A file that no task used for so long is closed.
const IDLE_SPAN: Duration = Duration::from_secs(60);
/// First pause before a file that could not be written is tried again; it doubles up to the second one.
const RETRY_SPAN: Duration = Duration::from_millis(100);
const RETRY_SPAN_MAX: Duration = Duration::from_secs(3);

/// A file that cannot be written at present.
struct Stall {
    pause: Duration,
    next: Instant,
}

/// See the module.
pub(super) struct Slot {
    target: Target,
    hostname: String,
    inbox: Arc<Inbox>,
    /// None while it could not be created.
    writer: Option<StreamWriter>,
    error: Option<String>,
    /// Who uses it.
    attempts: BTreeSet<Attempt>,
    /// Those of them that do not wait for it any more.
    gone: BTreeSet<Attempt>,
    used: Instant,
    buffered_since: Option<Instant>,
    stall: Option<Stall>,
    /// What came meanwhile; bounded, since nothing more is read.
    backlog: VecDeque<Request>,
    stalled: watch::Sender<bool>,
}

impl Slot {
    /// A new file.
    ///
    /// # Errors
    /// What a task is told that does not wait.
    pub(super) fn new(target: Target, hostname: String, inbox: Arc<Inbox>) -> Result<Self, String> {
        let mut slot = Self {
            target,
            hostname,
            inbox,
            writer: None,
            error: None,
            attempts: BTreeSet::new(),
            gone: BTreeSet::new(),
            used: Instant::now(),
            buffered_since: None,
            stall: None,
            backlog: VecDeque::new(),
            stalled: watch::Sender::new(false),
        };
        match slot.create() {
            Err(error) if slot.target.waits => slot.begin_stall(&error),
            Err(error) => return Err(format!("Error: {error}")),
            Ok(()) => {}
        }
        Ok(slot)
    }

    fn create(&mut self) -> Result<(), String> {
        let file_id = random::alphanumeric(12).map_err(|error| error.to_string())?;
        let head = StreamHead {
            server_uid: self.target.server_uid.clone(),
            worker_id: self.target.worker,
            file_id,
            meta: vec![("hostname".to_owned(), self.hostname.clone())],
            ..StreamHead::default()
        };
        let writer = StreamWriter::create(&RealDisk, Path::new(&self.target.dir), &head, clock::wall_us());
        self.writer = Some(writer.map_err(|error| error.to_string())?);
        Ok(())
    }

    pub(super) fn is_usable_for(&self, target: &Target) -> bool {
        self.target == *target && self.error.is_none()
    }

    /// Another task uses the file.
    pub(super) fn join(&mut self, id: u32, attempt: Attempt) -> OpenStream {
        self.attempts.insert(attempt);
        OpenStream { id, stalled: self.stalled.subscribe() }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if let Some(stall) = &self.stall {
            return Some(stall.next);
        }
        let flush = self.buffered_since.map(|since| since + FLUSH_SPAN);
        let close = self.attempts.is_empty().then(|| self.used + IDLE_SPAN);
        flush.into_iter().chain(close).min()
    }

    pub(super) fn look_at_clock(&mut self, now: Instant) {
        if self.stall.as_ref().is_some_and(|stall| stall.next <= now) {
            self.try_again();
        } else if self.buffered_since.is_some_and(|since| since + FLUSH_SPAN <= now) {
            self.flush();
        }
    }

    /// Whether nobody has needed it for long.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.attempts.is_empty() && self.stall.is_none() && self.used + IDLE_SPAN <= now
    }

    /// Whether it is broken and nobody has to hear of it any more.
    pub(super) fn is_spent(&self) -> bool {
        self.error.is_some() && self.attempts.is_empty()
    }

    pub(super) fn take(&mut self, request: Request) {
        match request {
            Request::Abandon { attempt, .. } => self.abandon(attempt),
            Request::Finish { attempt, outcome, error, .. }
                if self.stall.is_some() && (outcome.is_none() || self.gone.contains(&attempt)) =>
            {
                self.leave(attempt, error);
            }
            request if self.stall.is_some() => self.backlog.push_back(request),
            request => self.write(request),
        }
    }

    /// A task does not wait any more; what it has written is kept.
    fn abandon(&mut self, attempt: Attempt) {
        let waits = |request: &Request| matches!(request, Request::Finish { attempt: other, .. } if *other == attempt);
        if self.stall.is_none() || !self.attempts.contains(&attempt) {
            return;
        }
        self.gone.insert(attempt);
        if self.backlog.iter().any(waits) {
            self.leave(attempt, None);
        }
    }

    /// A task has ended; it is told unless it has been.
    fn leave(&mut self, attempt: Attempt, error: Option<String>) {
        self.used = Instant::now();
        if self.attempts.remove(&attempt) {
            self.gone.remove(&attempt);
            self.inbox.put(Input::Drained(attempt, error));
        }
    }

    fn write(&mut self, request: Request) {
        let now_us = clock::wall_us();
        match request {
            Request::Chunk { key, channel, time_us, bytes, .. } => {
                self.append(|writer| writer.append_chunk(time_us, key, channel, &bytes));
            }
            Request::ChannelEnd { key, channel, .. } => {
                self.append(|writer| writer.append_end(now_us, key, channel));
            }
            Request::Finish { stream, key, attempt, outcome, error } => {
                if let Some(outcome) = outcome {
                    self.append(|writer| writer.append_outcome(now_us, key, outcome));
                }
                self.flush();
                if self.stall.is_some() && outcome.is_some() {
                    // Its end is in the buffer; only the word to the task has to wait.
                    self.backlog.push_back(Request::Finish { stream, key, attempt, outcome: None, error });
                } else {
                    self.leave(attempt, self.error.clone().or(error));
                }
            }
            Request::Release { attempt, .. } => {
                self.attempts.remove(&attempt);
                self.used = Instant::now();
            }
            Request::Open(..) | Request::Abandon { .. } => {}
        }
    }

    fn append<E: std::fmt::Display>(&mut self, append: impl FnOnce(&mut StreamWriter) -> Result<(), E>) {
        if let Some(writer) = self.writer.as_mut().filter(|_| self.error.is_none()) {
            let appended = append(writer).map_err(|error| error.to_string());
            self.note(appended);
        }
    }

    fn flush(&mut self) {
        if let Some(writer) = self.writer.as_mut().filter(|_| self.error.is_none() && self.stall.is_none()) {
            let flushed = writer.flush().map_err(|error| error.to_string());
            self.note(flushed);
        }
    }

    fn note(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {}
            Err(error) if self.target.waits => self.begin_stall(&error),
            Err(error) => {
                log::error!("Stream failed: {error}");
                self.error = Some(format!("Streaming: {error}"));
                for attempt in &self.attempts {
                    self.inbox.put(Input::StreamBroken(*attempt));
                }
            }
        }
        let fine = self.error.is_none() && self.stall.is_none();
        let buffered = fine && self.writer.as_ref().is_some_and(|writer| writer.buffered_bytes() > 0);
        self.buffered_since = if buffered { Some(self.buffered_since.unwrap_or_else(Instant::now)) } else { None };
    }

    fn begin_stall(&mut self, error: &str) {
        if self.stall.is_none() {
            log::warn!("Tasks wait for their stream: {error}");
            self.stall = Some(Stall { pause: RETRY_SPAN, next: Instant::now() + RETRY_SPAN });
            self.stalled.send_replace(true);
        }
    }

    fn try_again(&mut self) {
        let tried = match self.writer.as_mut() {
            Some(writer) => {
                writer.mend();
                writer.flush().map_err(|error| error.to_string())
            }
            None => self.create(),
        };
        if let (Err(_), Some(stall)) = (&tried, self.stall.as_mut()) {
            stall.pause = (stall.pause * 2).min(RETRY_SPAN_MAX);
            stall.next = Instant::now() + stall.pause;
            return;
        }
        self.stall = None;
        while self.stall.is_none()
            && let Some(request) = self.backlog.pop_front()
        {
            self.write(request);
        }
        if self.stall.is_none() {
            log::info!("The stream in {} can be written again", self.target.dir);
            self.note(Ok(()));
            self.stalled.send_replace(false);
        }
    }

    /// Closes the file; what cannot be written now is lost, and said to be.
    pub(super) fn close(mut self) {
        if self.stall.is_some() {
            self.try_again();
        }
        let Some(writer) = self.writer.filter(|_| self.error.is_none()) else { return };
        if self.stall.is_some() {
            return log::error!("Output is lost, since the stream in {} cannot be written", self.target.dir);
        }
        if let Err(error) = writer.close() {
            log::error!("Stream failed: {error}");
        }
    }
}
