//! When a failed attempt is followed by another one, and why attempts fail.
//!
//! The policy travels with the description of a task; the server decides by it (`decide`), the worker only says what
//! happened.

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
