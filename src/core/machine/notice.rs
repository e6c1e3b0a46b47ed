//! Messages by which running tasks notify whoever listens.
//!
//! What holds: only a task that the worker has now is heard; the worker hears of each message once, when it is recorded
//! or never will be.

use super::Turn;
use crate::attempt::Notice;
use crate::command::Effect;
use crate::decide::register;
use crate::event::{Event, TaskNotified};
use crate::id::WorkerId;
use crate::limits;

impl Turn<'_> {
    pub(super) fn notify(&mut self, worker: WorkerId, notice: Notice) {
        let Notice { number, attempt, message } = notice;
        if register::holds(self.state(), worker, &attempt) && message.len() <= limits::NOTICE_BYTES_MAX {
            self.emit(Event::TaskNotified(TaskNotified {
                job: attempt.task.job,
                task: attempt.task.task,
                worker,
                attempt: attempt.fence.attempt,
                message,
            }));
        }
        self.output.effects.push(Effect::Noted { worker, number });
    }
}
