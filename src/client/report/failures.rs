//! Failures by their cause.
//!
//! Every failed attempt counts, also one after which the task was tried again: such a failure costs time too.
//!
//! Holds: a bounded number of causes is told apart; the texts of errors are cut.

use crate::client::render::attempt::cause_word;
use crate::client::render::escape;
use hq_core::event::TaskFailed;
use hq_core::id::TaskRef;
use hq_core::retry::FailureCause;
use std::collections::BTreeMap;

/// Causes that are told apart.
const CAUSES_MAX: usize = 60;
/// Characters of an error's text.
const TEXT_CHARS: usize = 240;

/// Failures of one cause.
#[derive(Debug)]
pub struct Failure {
    /// How many.
    pub count: u64,
    /// After how many of them the task was tried again.
    pub retried: u64,
    /// The last one.
    pub example: TaskRef,
    /// What was said about it.
    pub text: String,
}

/// All failures.
#[derive(Debug, Default)]
pub struct Failures {
    by_cause: BTreeMap<String, Failure>,
    /// How many there were.
    pub count: u64,
    /// Tasks that lost their worker and ran, or will run, again.
    pub interrupted: u64,
}

fn words(failed: &TaskFailed) -> String {
    match (failed.cause, failed.exit_code, failed.signal) {
        (FailureCause::Exit, Some(code), _) => format!("exit code {code}"),
        (FailureCause::Signal, _, Some(signal)) => format!("signal {signal}"),
        (FailureCause::TimeLimit, _, _) => "time limit".to_owned(),
        (FailureCause::OutOfMemory, _, _) => "out of memory".to_owned(),
        (FailureCause::Node, _, _) => "worker lost too often".to_owned(),
        (FailureCause::Start, _, _) => "could not be started".to_owned(),
        (FailureCause::Output, _, _) => "output could not be written".to_owned(),
        (cause, _, _) => cause_word(cause).to_owned(),
    }
}

impl Failures {
    /// Counts a failure.
    pub fn add(&mut self, failed: &TaskFailed, is_retried: bool) {
        self.count += 1;
        let mut cause = words(failed);
        if self.by_cause.len() >= CAUSES_MAX && !self.by_cause.contains_key(&cause) {
            cause = "any other".to_owned();
        }
        let example = TaskRef { job: failed.job, task: failed.task };
        let text: String = escape::line(&failed.error).chars().take(TEXT_CHARS).collect();
        let failure =
            self.by_cause.entry(cause).or_insert(Failure { count: 0, retried: 0, example, text: String::new() });
        failure.count += 1;
        failure.retried += u64::from(is_retried);
        (failure.example, failure.text) = (example, text);
    }

    /// The causes, the most frequent first.
    pub fn by_count(&self) -> Vec<(&str, &Failure)> {
        let mut rows: Vec<(&str, &Failure)> = self.by_cause.iter().map(|(cause, row)| (cause.as_str(), row)).collect();
        rows.sort_by_key(|(cause, row)| (std::cmp::Reverse(row.count), *cause));
        rows
    }
}
