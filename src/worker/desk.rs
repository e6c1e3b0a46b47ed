//! Who carries out a turn: whichever thread has something new and finds nobody at it.
//!
//! A short task costs little more than its wake-ups. The thread that learns of a task's end therefore carries out the
//! turn that starts the next one by itself, instead of waking another thread for that; so do the threads that start
//! tasks. A thread of the turn's own handles the rest: what the server says, pipes, and timers.
//!
//! What holds: one thread at a time works on the turn, and inputs are handled in the order in which they were put;
//! an input that was put while somebody worked is seen by that one afterwards; threads that must not block do not
//! wait for the turn, and do not carry out one that may touch slow files.

use super::inbox::{Inbox, Input};
use super::turn::Turn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

/// See the module.
pub(super) struct Desk {
    turn: Mutex<Option<Turn>>,
    inbox: Arc<Inbox>,
}

/// Puts an input, and handles it at once if nobody else does.
pub(super) fn put(desk: &Weak<Desk>, input: Input) {
    // Without a desk the worker has ended, and nobody wants to know.
    if let Some(desk) = desk.upgrade() {
        desk.inbox.put_quietly(input);
        desk.work();
    }
}

impl Desk {
    /// A desk; the turn is made with a way back to it.
    pub(super) fn new(inbox: Arc<Inbox>, turn: impl FnOnce(Weak<Desk>) -> Turn) -> Arc<Self> {
        Arc::new_cyclic(|desk| Self { turn: Mutex::new(Some(turn(Weak::clone(desk)))), inbox })
    }

    fn work(&self) {
        loop {
            let mut guard = match self.turn.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Whoever works on it looks at the inbox again afterwards.
                Err(TryLockError::WouldBlock) => return,
            };
            let Some(turn) = guard.as_mut() else { return };
            if !turn.is_quick() || !turn.work() {
                drop(guard);
                return self.inbox.call();
            }
            let deadline = turn.deadline();
            drop(guard);
            if let Some(deadline) = deadline {
                self.inbox.call_by(deadline);
            }
            if self.inbox.is_empty() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread of the turn: runs until the agent ends, and takes everything down.
    pub(super) fn run(&self) {
        let mut deadline = None;
        loop {
            self.inbox.wait(deadline);
            let mut guard = self.lock();
            let Some(turn) = guard.as_mut() else { return };
            let goes_on = turn.work();
            deadline = turn.deadline();
            if !goes_on {
                let ended = guard.take();
                // Its threads are joined without the lock, since they may be about to look at the desk.
                drop(guard);
                if let Some(mut turn) = ended {
                    turn.end();
                }
                return;
            }
        }
    }
}
