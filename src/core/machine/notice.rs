//! Messages by which running tasks notify whoever listens.
//!
//! What holds: only a task that the worker has now is heard; each message is recorded once at most, however often
//! it is told over connections that break; the worker hears of it when it is recorded or never will be.

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
        let known = self.state().workers.get(&worker);
        let recorded = number != 0 && known.is_some_and(|worker| number <= worker.noticed);
        let is_long = message.len() > limits::NOTICE_BYTES_MAX;
        if !recorded && !is_long && register::holds(self.state(), worker, &attempt) {
            self.emit(Event::TaskNotified(TaskNotified {
                job: attempt.task.job,
                task: attempt.task.task,
                worker,
                attempt: attempt.fence.attempt,
                message,
                number,
            }));
        }
        self.output.effects.push(Effect::Noted { worker, number });
    }
}
