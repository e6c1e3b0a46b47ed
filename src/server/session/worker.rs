//! The session of a worker: its registration, then messages both ways and the watch over its heartbeats.
//!
//! Heartbeats are counted here, on the tokio threads: a long turn does not make a worker look dead.

use super::overviews::Overviews;
use crate::platform::clock;
use crate::server::commit::{Released, WorkerQueueState, worker_queue};
use crate::server::turn::Input;
use crate::wire::message::{Empty, ToServer, ToWorker};
use crate::wire::{self, Connection, Receiver, Sender};
use hq_core::id::WorkerId;
use hq_core::time::Span;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Time for the registration to arrive.
const REGISTRATION_SPAN: Duration = Duration::from_secs(15);
/// How long a worker may take no byte of a write.
const WRITE_SPAN: Duration = Duration::from_secs(30);
/// Messages that are packed into one write.
const WRITE_BATCH_BYTES: usize = 256 * 1024;

/// Serves a worker until its connection ends.
pub async fn serve(connection: Connection, address: SocketAddr, number: u64, inbox: mpsc::Sender<Input>) {
    let (mut receiver, mut sender) = connection.split();
    let registration = tokio::time::timeout(REGISTRATION_SPAN, receiver.recv::<ToServer>()).await;
    let Ok(Ok(Some(ToServer::Register(registration)))) = registration else { return };
    let heartbeat = registration.config.heartbeat.to_duration();
    let mut overviews = Overviews::new(registration.config.overview_interval);
    let (to, messages, queue) = worker_queue();
    let (id, answer) = oneshot::channel();
    let input = Input::Register { registration: Box::new(registration), connection: number, address, to, id };
    if inbox.send(input).await.is_err() {
        return;
    }
    let worker = match answer.await {
        Ok(Ok(worker)) => worker,
        Ok(Err(reason)) => {
            log::warn!("A worker at {address} was refused: {reason}");
            drop(sender.send(&ToWorker::Refused(reason)).await);
            drop(sender.finish().await);
            return;
        }
        Err(_) => return,
    };
    log::info!("Worker {worker} connected from {address}");
    let beats = Arc::new(Beats::default());
    let echo = Arc::clone(&beats);
    let writing = tokio::spawn(async move {
        write(sender, messages, &queue, &echo).await;
        if queue.has_lost() {
            log::warn!("Worker {worker} does not read what it is sent; its connection is closed");
        }
    });
    let mut heard = clock::since_boot();
    let what = (&inbox, &*beats, &mut overviews);
    let end = read(&mut receiver, &mut heard, worker, number, heartbeat, what, &writing).await;
    // Only a peer whose connection was closed from its side is known not to be at the other end of a dead network.
    let silent = match end {
        End::Closed => None,
        End::Silent => Some(Span::from_duration(clock::since_boot().saturating_sub(heard))),
    };
    drop(inbox.send(Input::Gone { worker, connection: number, silent }).await);
    // What is on its way (the order to stop, say) is written before the connection is closed.
    drop(tokio::time::timeout(Duration::from_secs(1), writing).await);
}

/// Heartbeats that are to be answered.
#[derive(Debug, Default)]
struct Beats {
    count: AtomicU32,
    changed: Notify,
}

impl Beats {
    fn beat(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn take(&self) -> u32 {
        self.count.swap(0, Ordering::Relaxed)
    }
}

/// How the reading from a worker ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The other side closed the connection: it has ended, or it knows that it has to come back.
    Closed,
    /// Nothing comes any more, or nothing that makes sense; the worker may be alive and know nothing of it.
    Silent,
}

impl End {
    /// Only its own machine closes a connection. One over which nothing comes through is given up by the system; one that
    /// was reset may have been so by anything in between, and the worker hears of that when it sends something again.
    fn by(error: &wire::Error) -> Self {
        if matches!(error, wire::Error::Cut) { End::Closed } else { End::Silent }
    }
}

/// Reads until the connection ends. `heard` is when the last message came, by the clock since boot.
async fn read(
    receiver: &mut Receiver,
    heard: &mut Duration,
    worker: WorkerId,
    number: u64,
    heartbeat: Duration,
    (inbox, beats, overviews): (&mpsc::Sender<Input>, &Beats, &mut Overviews),
    writing: &tokio::task::JoinHandle<()>,
) -> End {
    // A message in the buffer beats the clock: after the server itself was frozen, nobody is called silent.
    let patience = heartbeat * 2;
    loop {
        match tokio::time::timeout(patience, receiver.recv::<ToServer>()).await {
            Ok(Ok(Some(ToServer::Heartbeat(_)))) => beats.beat(),
            Ok(Ok(Some(ToServer::Overview(_)))) if !overviews.admit(Instant::now()) => {}
            Ok(Ok(Some(message))) => {
                if inbox.send(Input::Worker { worker, connection: number, message }).await.is_err() {
                    return End::Closed;
                }
            }
            Ok(Err(wire::Error::Unknown { .. })) => {}
            Ok(Ok(None)) => return End::Closed,
            Ok(Err(error)) => return End::by(&error),
            Err(_) => {
                log::warn!("Worker {worker} has sent nothing for {patience:?}");
                return End::Silent;
            }
        }
        *heard = clock::since_boot();
        if writing.is_finished() {
            // It takes nothing, so that it will not see for a while that its connection was closed.
            return End::Silent;
        }
    }
}

/// Writes what the turn and the commit thread release, and answers heartbeats; whatever has queued up goes into one
/// write. Ends when a message was lost or the worker takes none for too long.
async fn write(
    mut sender: Sender,
    mut messages: mpsc::Receiver<Released<ToWorker>>,
    queue: &WorkerQueueState,
    beats: &Beats,
) {
    loop {
        let first = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => Some(message),
                None => break,
            },
            () = beats.changed.notified() => None,
        };
        let answers = (0..beats.take()).try_for_each(|_| sender.queue(&ToWorker::Heartbeat(Empty {})));
        let queued = match first {
            Some(message) => sender.queue(&message.into_inner()),
            None => Ok(()),
        };
        if queue.has_lost() || answers.and(queued).is_err() {
            return;
        }
        while sender.queued_bytes() < WRITE_BATCH_BYTES
            && let Ok(message) = messages.try_recv()
        {
            if sender.queue(&message.into_inner()).is_err() {
                return;
            }
        }
        if !matches!(tokio::time::timeout(WRITE_SPAN, sender.flush()).await, Ok(Ok(()))) {
            return;
        }
    }
    drop(tokio::time::timeout(WRITE_SPAN, sender.finish()).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_close_is_the_end_of_a_process() {
        assert_eq!(End::by(&wire::Error::Cut), End::Closed);
        for error in [wire::Error::Reset, wire::Error::Forged, wire::Error::Malformed { what: "report" }] {
            assert_eq!(End::by(&error), End::Silent, "{error}");
        }
    }
}
