//! Everything that happens to a worker, in one queue for the thread that owns the agent.
//!
//! Starts and ends of processes are told on threads that must not block, so putting never waits; who can wait (the
//! connection, the pipes) asks for room first.
//!
//! What holds: inputs are taken in the order in which they were put; what cannot wait is bounded by the number of
//! attempts (two inputs each), what can by [`ROOM`].

use crate::platform::clock;
use crate::platform::process::{Exit, SpawnError, Spawned};
use crate::wire::message::ToWorker;
use hq_core::attempt::{Attempt, HeldAttempt, Outcome};
use hq_core::time::Time;
use hq_core::worker::LostReason;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Inputs in the queue beyond which those that can wait do.
const ROOM: usize = 4_096;

/// What a registration tells: attempts, and outcomes that are not acknowledged.
pub(super) type Holdings = (Vec<HeldAttempt>, Vec<Outcome>);

/// Something happened.
#[derive(Debug)]
pub(super) enum Input {
    /// A connection is there: what shall the registration tell? From now on reports are kept for it.
    Holdings(oneshot::Sender<Holdings>),
    /// The server accepted the registration.
    Registered {
        /// To kill and forget.
        drop: Vec<Attempt>,
        /// The number of this worker.
        worker: u32,
        /// Of the server.
        server_uid: String,
    },
    /// The server does not take this worker back.
    Disowned,
    /// The connection broke.
    Lost,
    /// The server said something.
    Server(ToWorker),
    /// The worker shall end.
    Leave(LostReason),
    /// A program was started, or not.
    Started(Attempt, Box<Result<Spawned, SpawnError>>, Time),
    /// A process ended.
    Exited(Attempt, Exit, Time),
    /// A stream directory can be used by a task that waits for it, or not.
    StreamReady(Attempt, Result<u32, String>),
    /// All output of a task was passed on and flushed, or not.
    Drained(Attempt, Option<String>),
}

#[derive(Debug, Default)]
struct Queue {
    inputs: Vec<Input>,
    waits: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Condvar,
    room: Notify,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an input; never waits.
    pub(super) fn put(&self, input: Input) {
        let mut queue = self.lock();
        queue.inputs.push(input);
        let wake = queue.waits;
        drop(queue);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Puts an input once there is room.
    pub(super) async fn put_when_room(&self, input: Input) {
        loop {
            let room = self.room.notified();
            if self.lock().inputs.len() < ROOM {
                return self.put(input);
            }
            room.await;
        }
    }

    /// Exchanges `taken`, which is empty, for all inputs; waits for one until the deadline of the monotonic clock.
    pub(super) fn take(&self, taken: &mut Vec<Input>, deadline: Option<Duration>) {
        let mut queue = self.lock();
        while queue.inputs.is_empty() {
            queue.waits = true;
            queue = match deadline.map(|deadline| deadline.saturating_sub(clock::monotonic())) {
                None => self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        queue.waits = false;
        std::mem::swap(&mut queue.inputs, taken);
        let was_full = taken.len() >= ROOM;
        drop(queue);
        if was_full {
            self.room.notify_waiters();
        }
    }
}
