//! Everything that happens to a worker, in one queue for whoever works on the turn.
//!
//! Starts and ends of processes are told on threads that must not block, so putting never waits; who can wait (the
//! connection, the pipes) asks for room first.
//!
//! What holds: inputs are taken in the order in which they were put; what cannot wait is bounded by the number of
//! attempts (two inputs each), what can by [`ROOM`].

use super::output::OpenStream;
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
    /// The server may have given the tasks to others.
    LeaseOver,
    /// The connection broke.
    Lost,
    /// The server said something.
    Server(ToWorker),
    /// The worker shall end.
    Leave(LostReason),
    /// The worker shall take nothing new, and end when nothing runs any more.
    Drain,
    /// A program was started, or not.
    Started(Attempt, Box<Result<Spawned, SpawnError>>, Time),
    /// A process ended.
    Exited(Attempt, Exit, Time),
    /// A stream directory can be used by a task that waits for it, or not.
    StreamReady(Attempt, Result<OpenStream, String>),
    /// The stream of a running task is broken, so that the task is to end.
    StreamBroken(Attempt),
    /// A task uses so many bytes of memory, which is more than it asked for. Told at each look.
    MemoryExceeded(Attempt, u64),
    /// All output of a task was passed on and flushed, or not.
    Drained(Attempt, Option<String>),
}

#[derive(Debug, Default)]
struct Queue {
    inputs: Vec<Input>,
    /// The thread of the turn waits.
    waits: bool,
    called: bool,
    /// It shall not wait for longer than this.
    by: Option<Duration>,
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

    /// Puts an input and wakes the thread of the turn; never waits.
    pub(super) fn put(&self, input: Input) {
        let mut queue = self.lock();
        queue.inputs.push(input);
        self.wake(queue);
    }

    /// Puts an input for somebody who looks at the queue next.
    pub(super) fn put_quietly(&self, input: Input) {
        self.lock().inputs.push(input);
    }

    /// Whether nothing is in the queue.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().inputs.is_empty()
    }

    /// Wakes the thread of the turn.
    pub(super) fn call(&self) {
        let mut queue = self.lock();
        queue.called = true;
        self.wake(queue);
    }

    /// Sees to it that the thread of the turn wakes at this time of the monotonic clock, or before.
    pub(super) fn call_by(&self, deadline: Duration) {
        let mut queue = self.lock();
        if queue.by.is_none_or(|by| by > deadline) {
            queue.by = Some(deadline);
            self.wake(queue);
        }
    }

    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let waits = queue.waits;
        drop(queue);
        if waits {
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

    /// Waits for an input or a call, until the deadline of the monotonic clock or one that comes meanwhile.
    pub(super) fn wait(&self, deadline: Option<Duration>) {
        let mut queue = self.lock();
        queue.by = queue.by.into_iter().chain(deadline).min();
        while queue.inputs.is_empty() && !queue.called {
            queue.waits = true;
            queue = match queue.by.map(|by| by.saturating_sub(clock::monotonic())) {
                None => self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        (queue.waits, queue.called, queue.by) = (false, false, None);
    }

    /// Exchanges `taken`, which is empty, for all inputs. `false`: there are none.
    pub(super) fn take(&self, taken: &mut Vec<Input>) -> bool {
        let mut queue = self.lock();
        std::mem::swap(&mut queue.inputs, taken);
        drop(queue);
        if taken.len() >= ROOM {
            self.room.notify_waiters();
        }
        !taken.is_empty()
    }
}
