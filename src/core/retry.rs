//! When a failed attempt is followed by another one, and why attempts fail.
//!
//! The policy travels with the description of a task; the server decides by it (`decide`), the worker only says what
//! happened.

use crate::event::TaskFailed;
use crate::time::Span;

int_choice! {
    /// Why an attempt failed, for rules and statistics; the text for users stands beside it.
    pub enum FailureCause {
        /// Not known, or none of the others.
        0 => Other,
        /// The program exited with another code than 0.
        1 => Exit,
        /// A signal ended the program that nobody here had sent.
        2 => Signal,
        /// The time limit was reached.
        3 => TimeLimit,
        /// It used more memory than it may.
        4 => OutOfMemory,
        /// Its worker was lost too often.
        5 => Node,
        /// The program could not be started.
        6 => Start,
        /// Its output could not be written.
        7 => Output,
    }
}

int_struct! {
    /// Failures after which a task is tried again. Nothing chosen: none.
    #[derive(Eq)]
    pub struct RetryOn {
        /// After each failure.
        0 => pub any: bool,
        /// After these exit codes.
        1 => pub exit_codes: Vec<i32>,
        /// After [`FailureCause::Signal`].
        2 => pub signal: bool,
        /// After [`FailureCause::TimeLimit`].
        3 => pub time_limit: bool,
        /// After [`FailureCause::OutOfMemory`].
        4 => pub out_of_memory: bool,
        /// After [`FailureCause::Node`].
        5 => pub node: bool,
    }
}

int_struct! {
    /// How often, when and after what delay a failed task is tried again.
    #[derive(Eq)]
    pub struct RetryPolicy {
        /// Further attempts after the first; loss of a worker below the crash limit is not one of them.
        0 => pub max: u32,
        /// After which failures.
        1 => pub on: RetryOn,
        /// Time between a failure and the next attempt; doubled each time.
        2 => pub delay: Span,
        /// What the delay grows to at most; below `delay`: it does not grow.
        3 => pub delay_max: Span,
    }
}

int_struct! {
    /// What an attempt used.
    #[derive(Copy, Eq)]
    pub struct Usage {
        /// User and system time in milliseconds.
        0 => pub cpu_ms: u64,
        /// Largest resident size in KiB.
        1 => pub memory_kib: u64,
    }
}

impl RetryOn {
    /// Whether a task is tried again after this failure.
    pub fn covers(&self, failed: &TaskFailed) -> bool {
        let by_cause = match failed.cause {
            FailureCause::Exit => failed.exit_code.is_some_and(|code| self.exit_codes.contains(&code)),
            FailureCause::Signal => self.signal,
            FailureCause::TimeLimit => self.time_limit,
            FailureCause::OutOfMemory => self.out_of_memory,
            FailureCause::Node => self.node,
            FailureCause::Other | FailureCause::Start | FailureCause::Output => false,
        };
        self.any || by_cause
    }
}

impl RetryPolicy {
    /// Time between a failure and the next attempt, after so many retries: doubled each time, up to the largest one.
    pub fn delay_after(&self, retries: u32) -> Span {
        if self.delay_max <= self.delay {
            return self.delay;
        }
        let factor = 1u64.checked_shl(retries).unwrap_or(u64::MAX);
        Span(self.delay.0.saturating_mul(factor)).min(self.delay_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_largest() {
        let policy = RetryPolicy { delay: Span(10), delay_max: Span(50), ..RetryPolicy::default() };
        let delays: Vec<u64> = [0, 1, 2, 3, 70].iter().map(|retries| policy.delay_after(*retries).0).collect();
        assert_eq!(delays, [10, 20, 40, 50, 50]);
        let constant = RetryPolicy { delay: Span(10), ..RetryPolicy::default() };
        assert_eq!(constant.delay_after(9), Span(10));
    }

    #[test]
    fn causes_are_covered_as_chosen() {
        let exit = |code| TaskFailed { cause: FailureCause::Exit, exit_code: Some(code), ..TaskFailed::default() };
        let on = RetryOn { exit_codes: vec![1, 7], time_limit: true, ..RetryOn::default() };
        assert!(on.covers(&exit(7)) && !on.covers(&exit(2)));
        for (cause, covered) in [
            (FailureCause::TimeLimit, true),
            (FailureCause::Signal, false),
            (FailureCause::OutOfMemory, false),
            (FailureCause::Node, false),
            (FailureCause::Start, false),
        ] {
            let failed = TaskFailed { cause, ..TaskFailed::default() };
            assert_eq!(on.covers(&failed), covered, "{cause:?}");
            assert!(RetryOn { any: true, ..RetryOn::default() }.covers(&failed));
        }
    }
}
