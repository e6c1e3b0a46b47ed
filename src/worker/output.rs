//! Streamed output: from the pipes of tasks into the stream files of this worker.
//!
//! One thread writes all files, since a slow file system must hold up neither the connection nor other tasks' starts;
//! the pipes are read by small asynchronous tasks that wait for it, so that a slow disk slows the programs down.
//!
//! What holds:
//! * at most [`QUEUE_MAX`] chunks are on their way, of at most [`CHUNK_BYTES`] each;
//! * a task's end is told when its output was flushed, with how it ended, or when it is known to be lost;
//! * output of a running task is visible to readers after [`FLUSH_SPAN`] at the latest;
//! * a file that could not be written is given up, and the next task gets a new one.

use super::inbox::{Inbox, Input};
use crate::platform::{clock, random};
use hq_core::attempt::Attempt;
use hq_journal::disk::RealDisk;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Key, Outcome, StreamHead, StreamWriter};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Requests on their way to the writing thread.
const QUEUE_MAX: usize = 128;
/// Most bytes of one read of a pipe.
const CHUNK_BYTES: usize = 16 * 1024;
/// Longest time for which output of a running task stays in the buffer.
const FLUSH_SPAN: Duration = Duration::from_millis(1_500);
/// A file that no task used for so long is closed.
const IDLE_SPAN: Duration = Duration::from_secs(60);

/// Which file a stream belongs into: one for each directory, server and number of this worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// The stream directory, absolute.
    pub(super) dir: String,
    /// The server whose task it is.
    pub(super) server_uid: String,
    /// This worker's number.
    pub(super) worker: u32,
}

enum Request {
    Open(Attempt, Target),
    Chunk {
        stream: u32,
        key: Key,
        channel: u8,
        time_us: u64,
        bytes: Vec<u8>,
    },
    ChannelEnd {
        stream: u32,
        key: Key,
        channel: u8,
    },
    /// The last word of a task; told back unless it never ran.
    Finish {
        stream: u32,
        key: Key,
        attempt: Attempt,
        /// How the attempt ended; `None`: its output is not complete.
        outcome: Option<Outcome>,
        error: Option<String>,
    },
    Release {
        stream: u32,
    },
}

/// The way to the writing thread.
#[derive(Debug)]
pub(super) struct Streams {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    runtime: Handle,
    inbox: Arc<Inbox>,
}

/// The pipes of one task being read. Dropping it changes nothing; see [`Pump::abandon`].
#[derive(Debug)]
pub(super) struct Pump {
    abandon: watch::Sender<bool>,
    ended: watch::Sender<Option<Outcome>>,
}

impl Pump {
    /// Stops reading: what has not been read is lost, and the stream stays without an end.
    pub(super) fn abandon(&self) {
        self.abandon.send_replace(true);
    }

    /// The program has ended so; the stream tells it behind the output.
    pub(super) fn ended(&self, outcome: Outcome) {
        self.ended.send_replace(Some(outcome));
    }
}

impl Streams {
    /// Starts the writing thread. Pipes are read on the given runtime.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(runtime: Handle, inbox: Arc<Inbox>, hostname: String) -> io::Result<Self> {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let own = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let told = Arc::clone(&inbox);
        let run = move || own.block_on(Writer::new(told, hostname).run(queue));
        let thread = std::thread::Builder::new().name("hq-streams".into()).spawn(run)?;
        Ok(Self { requests: Some(requests), thread: Some(thread), runtime, inbox })
    }

    fn send(&self, request: Request) {
        let Some(requests) = self.requests.clone() else { return };
        // The thread ends after all senders, so that it receives this.
        self.runtime.spawn(async move { requests.send(request).await });
    }

    /// Asks for a file; answered by [`Input::StreamReady`].
    pub(super) fn open(&self, attempt: Attempt, target: Target) {
        self.send(Request::Open(attempt, target));
    }

    /// The task that asked for the stream did not start.
    pub(super) fn release(&self, stream: u32) {
        self.send(Request::Release { stream });
    }

    /// Reads the pipes until both ended, and waits until [`Pump::ended`]; answered by [`Input::Drained`].
    pub(super) fn pump(&self, attempt: Attempt, stream: u32, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> Pump {
        let (abandon, mut abandoned) = watch::channel(false);
        let (ended, mut end) = watch::channel(None);
        let Some(requests) = self.requests.clone() else { return Pump { abandon, ended } };
        let key = key_of(attempt);
        let inbox = Arc::clone(&self.inbox);
        self.runtime.spawn(async move {
            let read = async {
                tokio::try_join!(
                    read_channel(&requests, stream, key, CHANNEL_STDOUT, stdout),
                    read_channel(&requests, stream, key, CHANNEL_STDERR, stderr)
                )?;
                // A program may close its output before it ends. Without a sender there is no worker any more.
                Ok::<_, io::Error>(end.wait_for(Option::is_some).await.ok().and_then(|end| *end))
            };
            let (outcome, error) = tokio::select! {
                read = read => match read {
                    Ok(outcome) => (outcome, None),
                    Err(error) => (None, Some(format!("Streaming: Cannot read the output of the task: {error}"))),
                },
                _ = abandoned.wait_for(|abandoned| *abandoned) => (None, None),
            };
            let finish = Request::Finish { stream, key, attempt, outcome, error };
            if requests.send(finish).await.is_err() {
                inbox.put(Input::Drained(attempt, Some("Streaming: the worker ends".into())));
            }
        });
        Pump { abandon, ended }
    }
}

impl Drop for Streams {
    /// Waits until all files are closed.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // The thread's panics were printed where they happened.
            let _ = thread.join();
        }
    }
}

fn key_of(attempt: Attempt) -> Key {
    let (task, fence) = (attempt.task, attempt.fence);
    Key { job: task.job.0, task: task.task.0, epoch: fence.epoch.0, attempt: fence.attempt.0 }
}

async fn read_channel(
    requests: &mpsc::Sender<Request>,
    stream: u32,
    key: Key,
    channel: u8,
    pipe: Option<OwnedFd>,
) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let gone = |_| io::Error::other("the worker ends");
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let read = pipe.read_buf(&mut bytes).await?;
        if read == 0 {
            return requests.send(Request::ChannelEnd { stream, key, channel }).await.map_err(gone);
        }
        let chunk = Request::Chunk { stream, key, channel, time_us: clock::wall_us(), bytes };
        requests.send(chunk).await.map_err(gone)?;
    }
}

/// One stream file.
struct Slot {
    target: Target,
    writer: StreamWriter,
    error: Option<String>,
    users: usize,
    used: Instant,
    buffered_since: Option<Instant>,
}

/// The writing thread's own.
struct Writer {
    inbox: Arc<Inbox>,
    hostname: String,
    slots: BTreeMap<u32, Slot>,
    next: u32,
}

impl Writer {
    fn new(inbox: Arc<Inbox>, hostname: String) -> Self {
        Self { inbox, hostname, slots: BTreeMap::new(), next: 0 }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        loop {
            let next = self.next_deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let request = match next {
                None => queue.recv().await,
                Some(left) => match tokio::time::timeout(left, queue.recv()).await {
                    Ok(request) => request,
                    Err(_) => {
                        self.look_at_clock();
                        continue;
                    }
                },
            };
            let Some(request) = request else { break };
            self.handle(request);
            // A steady flow of requests must not put off what is due.
            self.look_at_clock();
        }
        for (_, slot) in std::mem::take(&mut self.slots) {
            close(slot);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let of = |slot: &Slot| {
            let flush = slot.buffered_since.map(|since| since + FLUSH_SPAN);
            let close = (slot.users == 0).then(|| slot.used + IDLE_SPAN);
            flush.into_iter().chain(close).min()
        };
        self.slots.values().filter_map(of).min()
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for slot in self.slots.values_mut() {
            if slot.buffered_since.is_some_and(|since| since + FLUSH_SPAN <= now) {
                slot.flush();
            }
        }
        let idle = |slot: &Slot| slot.users == 0 && slot.used + IDLE_SPAN <= now;
        let closing: Vec<u32> = self.slots.iter().filter(|(_, slot)| idle(slot)).map(|(stream, _)| *stream).collect();
        closing.into_iter().filter_map(|stream| self.slots.remove(&stream)).for_each(close);
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Open(attempt, target) => {
                let opened = self.open(target);
                self.inbox.put(Input::StreamReady(attempt, opened));
            }
            Request::Chunk { stream, key, channel, time_us, bytes } => {
                self.write(stream, |writer| writer.append_chunk(time_us, key, channel, &bytes));
            }
            Request::ChannelEnd { stream, key, channel } => {
                self.write(stream, |writer| writer.append_end(clock::wall_us(), key, channel));
            }
            Request::Finish { stream, key, attempt, outcome, error } => {
                if let Some(outcome) = outcome {
                    self.write(stream, |writer| writer.append_outcome(clock::wall_us(), key, outcome));
                }
                let failed = self.slots.get_mut(&stream).and_then(|slot| {
                    slot.flush();
                    slot.error.clone()
                });
                self.release(stream);
                self.inbox.put(Input::Drained(attempt, failed.or(error)));
            }
            Request::Release { stream } => self.release(stream),
        }
    }

    fn open(&mut self, target: Target) -> Result<u32, String> {
        let usable = |slot: &Slot| slot.target == target && slot.error.is_none();
        if let Some((stream, slot)) = self.slots.iter_mut().find(|(_, slot)| usable(slot)) {
            slot.users += 1;
            return Ok(*stream);
        }
        let file_id = random::alphanumeric(12).map_err(|error| format!("Error: {error}"))?;
        let head = StreamHead {
            server_uid: target.server_uid.clone(),
            worker_id: target.worker,
            file_id,
            meta: vec![("hostname".to_owned(), self.hostname.clone())],
            ..StreamHead::default()
        };
        let writer = StreamWriter::create(&RealDisk, Path::new(&target.dir), &head, clock::wall_us());
        let writer = writer.map_err(|error| format!("Error: {error}"))?;
        self.next = self.next.wrapping_add(1);
        let slot = Slot { target, writer, error: None, users: 1, used: Instant::now(), buffered_since: None };
        self.slots.insert(self.next, slot);
        Ok(self.next)
    }

    fn write<E: std::fmt::Display>(&mut self, stream: u32, write: impl FnOnce(&mut StreamWriter) -> Result<(), E>) {
        let Some(slot) = self.slots.get_mut(&stream) else { return };
        if slot.error.is_some() {
            return;
        }
        let written = write(&mut slot.writer);
        slot.note(written);
    }

    fn release(&mut self, stream: u32) {
        let Some(slot) = self.slots.get_mut(&stream) else { return };
        slot.users = slot.users.saturating_sub(1);
        slot.used = Instant::now();
        if slot.users == 0 && slot.error.is_some() {
            self.slots.remove(&stream);
        }
    }
}

impl Slot {
    fn flush(&mut self) {
        if self.error.is_none() {
            let flushed = self.writer.flush();
            self.note(flushed);
        }
    }

    fn note<E: std::fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(error) = result {
            log::error!("Stream failed: {error}");
            self.error = Some(format!("Streaming: {error}"));
        }
        let buffered = self.writer.buffered_bytes() > 0 && self.error.is_none();
        self.buffered_since = if buffered { Some(self.buffered_since.unwrap_or_else(Instant::now)) } else { None };
    }
}

fn close(slot: Slot) {
    if slot.error.is_none()
        && let Err(error) = slot.writer.close()
    {
        log::error!("Stream failed: {error}");
    }
}
