//! The session of a worker: its registration, then messages both ways and the watch over its heartbeats.
//!
//! Heartbeats are counted here, on the tokio threads: a long turn does not make a worker look dead.

use crate::server::commit::{Released, WorkerQueueState, worker_queue};
use crate::server::turn::Input;
use crate::wire::message::{ToServer, ToWorker};
use crate::wire::{Connection, Receiver, Sender};
use hq_core::id::WorkerId;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

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
    let (to, messages, queue) = worker_queue();
    let (id, answer) = oneshot::channel();
    let input = Input::Register { registration: Box::new(registration), connection: number, to, id };
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
    let writing = tokio::spawn(async move {
        write(sender, messages, &queue).await;
        if queue.has_lost() {
            log::warn!("Worker {worker} does not read what it is sent; its connection is closed");
        }
    });
    let silent = read(&mut receiver, worker, number, heartbeat, &inbox, &writing).await;
    drop(inbox.send(Input::Gone { worker, connection: number, silent }).await);
    // What is on its way (the order to stop, say) is written before the connection is closed.
    drop(tokio::time::timeout(Duration::from_secs(1), writing).await);
}

/// Reads until the connection ends; true when the worker fell silent.
async fn read(
    receiver: &mut Receiver,
    worker: WorkerId,
    number: u64,
    heartbeat: Duration,
    inbox: &mpsc::Sender<Input>,
    writing: &tokio::task::JoinHandle<()>,
) -> bool {
    // A message in the buffer beats the clock: after the server itself was frozen, nobody is called silent.
    let patience = heartbeat * 2;
    loop {
        match tokio::time::timeout(patience, receiver.recv::<ToServer>()).await {
            Ok(Ok(Some(ToServer::Heartbeat(_)))) => {}
            Ok(Ok(Some(message))) => {
                if inbox.send(Input::Worker { worker, connection: number, message }).await.is_err() {
                    return false;
                }
            }
            Ok(Err(crate::wire::Error::Unknown { .. })) => {}
            Ok(_) => return false,
            Err(_) => {
                log::warn!("Worker {worker} has sent nothing for {patience:?}");
                return true;
            }
        }
        if writing.is_finished() {
            return false;
        }
    }
}

/// Writes what the turn and the commit thread release; whatever has queued up goes into one write. Ends when a message
/// was lost or the worker takes none for too long.
async fn write(mut sender: Sender, mut messages: mpsc::Receiver<Released<ToWorker>>, queue: &WorkerQueueState) {
    while let Some(message) = messages.recv().await {
        if queue.has_lost() || sender.queue(&message.into_inner()).is_err() {
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
