//! Batch systems: Slurm and PBS, as far as a worker inside of a job sees them.
//!
//! Runs their commands and reads what these print; decides nothing.
//!
//! Holds: a command that is missing, hangs or answers nonsense costs a warning and a bounded time; texts of batch systems
//! are read by total functions.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod pbs;
mod slurm;

use crate::platform::capture;
use hq_core::time::Span;
use std::fmt;
use std::time::Duration;

/// How long a command of a batch system may take.
const QUERY_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of the answer to one question.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// PBS Pro, OpenPBS.
    Pbs,
    /// Slurm.
    Slurm,
}

/// In which batch system a worker shall look for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// In PBS, else in Slurm, else in none.
    Detect,
    /// In none.
    None,
    /// In this one, and it has to be there.
    Only(Manager),
}

/// The job of a batch system in which this process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The batch system.
    pub manager: Manager,
    /// The id of the job.
    pub id: String,
    /// Time that is left to the job; none: unlimited or not known.
    pub remaining: Option<Span>,
    /// Memory that the job has on this node, MiB; none: not limited or not known.
    pub memory_mib: Option<u64>,
}

/// A variable without which a job is not in its batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The batch system that was asked for.
    pub manager: Manager,
    /// The variable.
    pub variable: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manager, variable } = self;
        write!(
            f,
            "The environment variable {variable} is not set, so this is not a job of {manager}; \
             start the worker inside a job, or without `--manager`"
        )
    }
}

impl std::error::Error for Missing {}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pbs => "PBS",
            Self::Slurm => "Slurm",
        })
    }
}

impl Manager {
    /// The word in the facts about a worker.
    pub fn fact(self) -> &'static str {
        match self {
            Self::Pbs => "Pbs",
            Self::Slurm => "Slurm",
        }
    }
}

/// Variables of the environment by name.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The job in which this process runs, as the environment and the batch system say.
///
/// # Errors
/// [`Missing`] where a batch system is wanted and this is none of its jobs.
pub fn find(wanted: Wanted) -> Result<Option<Allocation>, Missing> {
    find_with(wanted, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn find_with(wanted: Wanted, variables: Variables<'_>) -> Result<Option<Allocation>, Missing> {
    match wanted {
        Wanted::None => Ok(None),
        Wanted::Only(Manager::Pbs) => pbs::find(variables).map(Some),
        Wanted::Only(Manager::Slurm) => slurm::find(variables).map(Some),
        Wanted::Detect => Ok(pbs::find(variables).or_else(|_| slurm::find(variables)).ok()),
    }
}

/// Asks a command; what it printed, or none with a warning.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    match capture::output(program, arguments, QUERY_LIMIT, ANSWER_BYTES_MAX) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            let words = arguments.join(" ");
            log::warn!("The remaining time of the job is not known, since `{program} {words}` failed: {error}");
            None
        }
    }
}

/// `[D-][[HH:]MM:]SS` in seconds; none for anything else, such as `UNLIMITED`.
fn seconds(text: &str) -> Option<u64> {
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse::<u64>().ok()?, clock),
        None => (0, text),
    };
    let mut sum: u64 = 0;
    let mut count = 0;
    for part in clock.split(':') {
        let number: u32 = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()?;
        sum = sum.checked_mul(60)?.checked_add(u64::from(number))?;
        count += 1;
    }
    let days = days.checked_mul(24 * 60 * 60)?;
    if count > 3 { None } else { days.checked_add(sum) }
}

/// What is left of a limit.
fn left(limit_s: u64, used_s: u64) -> Span {
    Span::from_duration(Duration::from_secs(limit_s.saturating_sub(used_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_times() {
        let table = [
            ("30", Some(30)),
            ("01:30", Some(90)),
            ("01:12:34", Some(4_354)),
            ("2-00:00:01", Some(172_801)),
            ("1-02", Some(86_402)),
            ("100:00:00", Some(360_000)),
            ("UNLIMITED", None),
            ("", None),
            ("1:2:3:4", None),
            ("-1", None),
            ("1:-1", None),
            ("1:+1", None),
            ("99999999999999999999-00", None),
            ("18446744073709551615-00", None),
        ];
        for (text, expected) in table {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
        assert_eq!(left(4_354, 825), Span::from_secs(3_529));
        assert_eq!(left(1, 2), Span::from_secs(0));
    }

    #[test]
    fn the_environment_decides() {
        let none = |_: &str| None;
        assert_eq!(find_with(Wanted::Detect, &none), Ok(None));
        let missing = find_with(Wanted::Only(Manager::Slurm), &none).unwrap_err();
        assert!(missing.to_string().contains("SLURM_JOB_ID"), "{missing}");
        let pbs = find_with(Wanted::Only(Manager::Pbs), &none).unwrap_err();
        assert!(pbs.to_string().contains("PBS_ENVIRONMENT"), "{pbs}");
        // Half of what a job of PBS has; the original program died of that.
        let half = |name: &str| (name == "PBS_ENVIRONMENT").then(|| "PBS_BATCH".to_owned());
        assert_eq!(find_with(Wanted::Only(Manager::Pbs), &half).unwrap_err().variable, "PBS_JOBID");
        assert_eq!(find_with(Wanted::Detect, &half), Ok(None));
        let slurm = |name: &str| (name == "SLURM_JOB_ID").then(|| "7".to_owned());
        assert_eq!(find_with(Wanted::None, &slurm), Ok(None));
    }
}
