//! Streamed output: from the pipes of tasks into the stream files of this worker.
//!
//! One thread writes all files, since a slow file system must hold up neither the connection nor other tasks' starts;
//! the pipes are read by small asynchronous tasks that wait for it, so that a slow disk slows the programs down.
//!
//! What holds:
//! * at most [`QUEUE_MAX`] chunks are on their way, of at most [`CHUNK_BYTES`] each;
//! * a task's end is told when its output was flushed, with how it ended, or when it is known to be lost;
//! * output of a running task is visible to readers after [`FLUSH_SPAN`] at the latest;
//! * a file that could not be written is given up, its tasks are ended, and the next task gets a new one; or, for tasks that
//!   wait, nothing more is read from their pipes until it can be written, and other files are none the worse.

use super::inbox::{Inbox, Input};
use super::stream_file::Slot;
use crate::platform::clock;
use hq_core::attempt::Attempt;
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Key, Outcome};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Requests on their way to the writing thread.
const QUEUE_MAX: usize = 128;
/// Most bytes of one read of a pipe.
const CHUNK_BYTES: usize = 16 * 1024;

/// Which file a stream belongs into: one for each directory, server and number of this worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// The stream directory, absolute.
    pub(super) dir: String,
    /// The server whose task it is.
    pub(super) server_uid: String,
    /// This worker's number.
    pub(super) worker: u32,
    /// Whether its tasks wait while it cannot be written.
    pub(super) waits: bool,
}

/// A stream file that a task uses.
#[derive(Debug, Clone)]
pub(super) struct OpenStream {
    pub(super) id: u32,
    /// Whether it cannot be written at present.
    pub(super) stalled: watch::Receiver<bool>,
}

impl OpenStream {
    /// Whether it cannot be written at present.
    pub(super) fn is_stalled(&self) -> bool {
        *self.stalled.borrow()
    }
}

pub(super) enum Request {
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
    /// The task did not start.
    Release {
        stream: u32,
        attempt: Attempt,
    },
    /// The task does not wait for a stalled stream any more.
    Abandon {
        stream: u32,
        attempt: Attempt,
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
    pub(super) fn release(&self, attempt: Attempt, stream: &OpenStream) {
        self.send(Request::Release { stream: stream.id, attempt });
    }

    /// The task does not wait for a stalled stream any more; answered by [`Input::Drained`] unless that has been.
    pub(super) fn abandon(&self, attempt: Attempt, stream: &OpenStream) {
        self.send(Request::Abandon { stream: stream.id, attempt });
    }

    /// Reads the pipes until both ended, and waits until [`Pump::ended`]; answered by [`Input::Drained`].
    pub(super) fn pump(
        &self,
        attempt: Attempt,
        OpenStream { id: stream, stalled }: &OpenStream,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> Pump {
        let (stream, stalled) = (*stream, stalled.clone());
        let (abandon, mut abandoned) = watch::channel(false);
        let (ended, mut end) = watch::channel(None);
        let Some(requests) = self.requests.clone() else { return Pump { abandon, ended } };
        let key = key_of(attempt);
        let inbox = Arc::clone(&self.inbox);
        self.runtime.spawn(async move {
            let read = async {
                tokio::try_join!(
                    read_channel(&requests, (stream, stalled.clone()), key, CHANNEL_STDOUT, stdout),
                    read_channel(&requests, (stream, stalled.clone()), key, CHANNEL_STDERR, stderr)
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
    (stream, mut stalled): (u32, watch::Receiver<bool>),
    key: Key,
    channel: u8,
    pipe: Option<OwnedFd>,
) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let gone = |_| io::Error::other("the worker ends");
    loop {
        // The program waits for room in its pipe meanwhile. Without a writing thread there is nothing to wait for.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let read = pipe.read_buf(&mut bytes).await?;
        if read == 0 {
            return requests.send(Request::ChannelEnd { stream, key, channel }).await.map_err(gone);
        }
        let chunk = Request::Chunk { stream, key, channel, time_us: clock::wall_us(), bytes };
        requests.send(chunk).await.map_err(gone)?;
    }
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
        std::mem::take(&mut self.slots).into_values().for_each(Slot::close);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.slots.values().filter_map(Slot::next_deadline).min()
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for slot in self.slots.values_mut() {
            slot.look_at_clock(now);
        }
        let closing: Vec<u32> =
            self.slots.iter().filter(|(_, slot)| slot.is_idle(now)).map(|(stream, _)| *stream).collect();
        closing.into_iter().filter_map(|stream| self.slots.remove(&stream)).for_each(Slot::close);
    }

    fn handle(&mut self, request: Request) {
        let stream = match &request {
            Request::Open(..) => None,
            Request::Chunk { stream, .. }
            | Request::ChannelEnd { stream, .. }
            | Request::Finish { stream, .. }
            | Request::Release { stream, .. }
            | Request::Abandon { stream, .. } => Some(*stream),
        };
        if let Request::Open(attempt, target) = request {
            let opened = self.open(attempt, target);
            return self.inbox.put(Input::StreamReady(attempt, opened));
        }
        let Some(stream) = stream else { return };
        match self.slots.get_mut(&stream) {
            Some(slot) => {
                slot.take(request);
                if slot.is_spent() {
                    self.slots.remove(&stream);
                }
            }
            None => {
                if let Request::Finish { attempt, error, .. } = request {
                    self.inbox.put(Input::Drained(attempt, error));
                }
            }
        }
    }

    fn open(&mut self, attempt: Attempt, target: Target) -> Result<OpenStream, String> {
        let usable = |slot: &Slot| slot.is_usable_for(&target);
        if let Some((stream, slot)) = self.slots.iter_mut().find(|(_, slot)| usable(slot)) {
            return Ok(slot.join(*stream, attempt));
        }
        let mut slot = Slot::new(target, self.hostname.clone(), Arc::clone(&self.inbox))?;
        self.next = self.next.wrapping_add(1);
        let opened = slot.join(self.next, attempt);
        self.slots.insert(self.next, slot);
        Ok(opened)
    }
}
