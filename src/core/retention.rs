//! What of completed jobs is kept: their summary for good, their details as long as the journal is to hold them.
//!
//! Details are what only the journal has: every attempt with its exit code and use, and the entries and standard input
//! with which tasks could run again. A job whose details are forgotten is listed as before, with states and times.
//!
//! What holds: jobs that are not completed keep everything, whatever the rule.

use crate::id::JobId;
use crate::idset::IdSet;
use crate::time::{Span, Time};

int_choice! {
    /// Why details of jobs were forgotten.
    pub enum ForgetCause {
        /// A user pruned the journal.
        0 => Pruned,
        /// The journal was larger than it may be.
        1 => Size,
        /// The jobs had been completed for longer than their details are kept.
        2 => Age,
    }
}

int_struct! {
    /// That details of a job were forgotten.
    #[derive(Copy, Eq)]
    pub struct DetailsGone {
        /// When.
        0 => pub at: Time,
        /// Why.
        1 => pub cause: ForgetCause,
    }
}

int_struct! {
    /// Details of completed jobs are not kept any longer.
    pub struct DetailsForgotten {
        /// The jobs.
        0 => pub jobs: IdSet,
        /// Why.
        1 => pub cause: ForgetCause,
    }
}

int_struct! {
    /// Some of the forgotten details: a sum for those who look at the journal as a whole.
    #[derive(Copy, Eq)]
    pub struct Forgotten {
        /// Jobs whose details were forgotten since the journal began.
        0 => pub jobs: u64,
        /// When the last of them were.
        1 => pub last: Option<DetailsGone>,
    }
}

impl ForgetCause {
    /// For sentences: "were forgotten: ...".
    pub fn words(self) -> &'static str {
        match self {
            Self::Pruned => "the journal was pruned",
            Self::Size => "the journal had grown beyond the size that it may have (--journal-keep)",
            Self::Age => "the job was completed longer ago than details are kept (--journal-keep)",
        }
    }
}

/// For how long the journal keeps details of completed jobs; without any limit for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// Bytes that the journal's directory may have before the oldest details go.
    pub bytes: Option<u64>,
    /// Time after the completion of a job.
    pub span: Option<Span>,
}

/// A job as retention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// When it was completed.
    pub completed: Time,
    /// Which.
    pub job: JobId,
}

/// Those that were completed more than `span` ago; the candidates come the oldest first.
pub fn older(candidates: &[Candidate], now: Time, span: Span) -> &[Candidate] {
    let count = candidates.partition_point(|candidate| now.since(candidate.completed) > span);
    candidates.split_at(count).0
}

/// The oldest that together have at least so many bytes; all of them when they have fewer.
pub fn oldest(candidates: &[Candidate], bytes: u64, bytes_of: impl Fn(JobId) -> u64) -> &[Candidate] {
    let mut sum = 0u64;
    let enough = candidates.iter().position(|candidate| {
        sum = sum.saturating_add(bytes_of(candidate.job));
        sum >= bytes
    });
    candidates.split_at(enough.map_or(candidates.len(), |at| at + 1)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let all: Vec<Candidate> =
            (1..=5).map(|n| Candidate { completed: Time(n * 1_000_000), job: JobId(10 - n as u32) }).collect();
        let jobs = |chosen: &[Candidate]| chosen.iter().map(|candidate| candidate.job.0).collect::<Vec<_>>();
        assert_eq!(jobs(older(&all, Time(5_000_000), Span::from_secs(2))), [9, 8]);
        assert!(older(&all, Time(0), Span::from_secs(0)).is_empty());
        let size = |job: JobId| u64::from(job.0);
        assert_eq!(jobs(oldest(&all, 1, size)), [9]);
        assert_eq!(jobs(oldest(&all, 10, size)), [9, 8]);
        assert_eq!(jobs(oldest(&all, 1_000, size)).len(), 5);
        assert_eq!(jobs(oldest(&[], 1_000, size)).len(), 0);
    }
}
