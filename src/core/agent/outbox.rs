//! Outcomes that the server has not acknowledged.
//!
//! A server that dies between hearing of an outcome and making it durable hears of it again.
//!
//! What holds: numbers start with 1 and grow by one; nothing leaves before its acknowledgement.

use crate::attempt::Outcome;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    last: u64,
    waiting: VecDeque<Outcome>,
}

impl Outbox {
    /// Numbers an outcome and keeps it; gives back what shall be sent.
    pub(super) fn put(&mut self, mut outcome: Outcome) -> Outcome {
        self.last += 1;
        outcome.number = self.last;
        self.waiting.push_back(outcome.clone());
        outcome
    }

    /// Forgets what is durable. An acknowledgement of something that was never sent changes no more than that.
    pub(super) fn acknowledge(&mut self, number: u64) {
        while self.waiting.front().is_some_and(|outcome| outcome.number <= number) {
            self.waiting.pop_front();
        }
    }

    /// Forgets everything; numbers go on.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// What is not acknowledged, by number.
    pub(super) fn waiting(&self) -> &VecDeque<Outcome> {
        &self.waiting
    }
}
