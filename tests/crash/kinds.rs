//! The kinds of jobs that the load is made of, and what each must have left behind.
//!
//! What a user trusts is not only that a job is known: it is that its output is there, that a failure was tried again,
//! that what waits for a job waits, and that a message which a task was told is sent has been sent.
//!
//! Holds: every attempt writes a line before anything else, so that each execution is counted.

use crate::harness::{Cluster, Done};
use crate::ledger::{elements, number};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Directory of the streams, in the working directory.
pub const STREAM: &str = "stream";
/// Attempts of a task that fails at first.
const ATTEMPTS: u64 = 3;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It sleeps.
    Plain,
    /// Its output is collected.
    Stream,
    /// Its first attempts fail.
    Retry,
    /// It waits for another job.
    After,
    /// It says something to whoever listens.
    Notice,
}

/// All of them.
pub const KINDS: [Kind; 5] = [Kind::Plain, Kind::Stream, Kind::Retry, Kind::After, Kind::Notice];

impl Kind {
    /// Name of the jobs of this kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Retry => "retry",
            Self::After => "after",
            Self::Notice => "notice",
        }
    }

    fn of(name: &str) -> Self {
        KINDS.into_iter().find(|kind| kind.name() == name).unwrap_or_else(|| panic!("no kind of job: {name}"))
    }

    /// How often a task runs that nothing disturbs.
    pub fn attempts(self) -> u64 {
        if self == Self::Retry { ATTEMPTS } else { 1 }
    }

    /// The first attempt of a task that may succeed.
    pub fn first_success(self) -> u64 {
        self.attempts() - 1
    }

    /// Options of the submit; `after` is the job that it waits for.
    pub fn options(self, after: u64) -> Vec<String> {
        let outputs = || vec!["--stdout=none".to_owned(), "--stderr=none".to_owned()];
        match self {
            Self::Plain | Self::Notice => outputs(),
            Self::Stream => vec![format!("--stream={STREAM}")],
            Self::Retry => [outputs(), vec!["--retries=20".into(), "--retry-on=exit=7".into()]].concat(),
            Self::After => [outputs(), vec![format!("--after={after}")]].concat(),
        }
    }

    /// The script of its tasks. `$0` is a time in seconds; `$1` to `$3` are what [`Kind::words`] gives.
    pub fn script(self) -> String {
        let rest = match self {
            Self::Plain => r#"test "$0" = 0 || exec sleep "$0""#,
            Self::Stream => {
                r#"echo "begin $HQ_JOB_ID $HQ_TASK_ID $HQ_INSTANCE_ID"; seq "$1"; sleep "$0"; echo end; echo err >&2"#
            }
            Self::Retry => r#"sleep "$0"; test "$HQ_INSTANCE_ID" -ge 2 || exit 7"#,
            Self::After => {
                r#"n=0
while read -r _ instance; do test "$instance" -lt "$3" || n=$((n+1)); done < "runs/$1"
test "$n" -ge "$2" || echo "$HQ_JOB_ID began before $1 had ended" >> broken"#
            }
            Self::Notice => {
                r#""$1" task notify "said $HQ_JOB_ID $HQ_TASK_ID" && echo "said $HQ_JOB_ID $HQ_TASK_ID" >> told; sleep "$0""#
            }
        };
        format!(r#"echo "$HQ_TASK_ID $HQ_INSTANCE_ID" >> "runs/$HQ_JOB_ID"; {rest}"#)
    }

    /// What the script finds in `$1` to `$3`, in a job of `count` tasks; `after` is the job that it waits for, how many tasks
    /// that has, and from which attempt on they may succeed.
    pub fn words(self, count: u64, program: &str, after: (u64, u64, u64)) -> Vec<String> {
        match self {
            Self::Stream => vec![numbers(count).to_string()],
            Self::After => vec![after.0.to_string(), after.1.to_string(), after.2.to_string()],
            Self::Plain | Self::Retry | Self::Notice => vec![program.to_owned()],
        }
    }
}

/// Lines of numbers in the output of each task of a job: some outputs have one chunk, some have many.
fn numbers(count: u64) -> u64 {
    if count == 2 { 20_000 } else { 3 }
}

/// The attempts of each task of a job that wrote their line.
pub fn attempts_of(work: &Path, job: u64) -> BTreeMap<u64, Vec<u64>> {
    let path = work.join(format!("runs/{job}"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut runs: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let (task, instance) = line.split_once(' ').unwrap_or_else(|| panic!("job {job}: {line}"));
        runs.entry(task.parse().expect("a task")).or_default().push(instance.parse().expect("an instance"));
    }
    runs.values_mut().for_each(|attempts| attempts.sort_unstable());
    runs
}

/// Whether tasks can be interrupted, so that they run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruptions {
    /// No worker ends: each attempt is there for a reason.
    None,
    /// Workers end.
    Some,
}

/// Fails the test unless a job of `count` tasks, all of which have finished, left what it must; gives its executions.
#[track_caller]
pub fn check_job(cluster: &Cluster, kind: Kind, job: u64, count: u64, interruptions: Interruptions) -> usize {
    let runs = attempts_of(&cluster.work(), job);
    let ids: Vec<u64> = runs.keys().copied().collect();
    assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "tasks of job {job} that ran\n{}", cluster.logs());
    for (task, attempts) in &runs {
        match interruptions {
            Interruptions::None => {
                let expected: Vec<u64> = (0..kind.attempts()).collect();
                assert_eq!(attempts, &expected, "attempts of task {job}@{task}\n{}", cluster.logs());
            }
            Interruptions::Some => {
                let distinct = attempts.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(distinct, "an attempt of task {job}@{task} ran twice: {attempts:?}\n{}", cluster.logs());
            }
        }
    }
    if kind == Kind::Stream {
        check_stream(|words| cluster.hq(words), &runs, job);
    }
    runs.values().map(Vec::len).sum()
}

/// Fails the test unless the stream holds all that the last attempts of a finished job printed.
#[track_caller]
pub fn check_stream(hq: impl Fn(&[&str]) -> Done, runs: &BTreeMap<u64, Vec<u64>>, job: u64) {
    let count = runs.len() as u64;
    let numbers: String = (1..=numbers(count)).map(|number| format!("{number}\n")).collect();
    let expected = runs.iter().map(|(task, attempts)| {
        let last = attempts.last().expect("an attempt");
        format!("begin {job} {task} {last}\n{numbers}end\n")
    });
    let (id, tasks) = (job.to_string(), format!("1-{count}"));
    let cat = |channel: &str| hq(&["output-log", STREAM, "cat", &id, channel, "--task", &tasks]).ok().stdout;
    let (stdout, expected) = (cat("stdout"), expected.collect::<String>());
    assert!(stdout == expected, "job {job}: {} bytes of output, expected {}", stdout.len(), expected.len());
    assert_eq!(cat("stderr"), "err\n".repeat(runs.len()), "job {job}");
}

/// Fails the test unless the journal has every message of which a task was told that it is sent; if it was pruned, those
/// of the jobs of which it still has the beginning.
#[track_caller]
pub fn check_notices(cluster: &Cluster, exported: &[String], is_pruned: bool) -> usize {
    let Ok(told) = std::fs::read_to_string(cluster.work().join("told")) else { return 0 };
    let (mut sent, mut begun): (BTreeSet<String>, BTreeSet<u64>) = (BTreeSet::new(), BTreeSet::new());
    for line in exported.iter().filter(|line| line.contains("said ") || line.contains("\"job-created\"")) {
        let event: Value = serde_json::from_str(line).expect("an event");
        let event = &event["event"];
        sent.extend(event["text"].as_str().map(str::to_owned));
        begun.extend(event["job"].as_u64());
    }
    let job = |line: &str| line.split(' ').nth(1).and_then(|job| job.parse().ok()).expect("the number of a job");
    for line in told.lines().filter(|line| !is_pruned || begun.contains(&job(line))) {
        assert!(sent.contains(line), "`{line}` was sent, and is not in the journal\n{}", cluster.logs());
    }
    told.lines().count()
}

/// Kind and number of tasks of each job of an answer of `job list`; fails the test unless all tasks have finished.
#[track_caller]
pub fn finished(jobs: &Value) -> BTreeMap<u64, (Kind, u64)> {
    let one = |job: &Value| {
        let count = number(&job["task_count"]);
        assert_eq!(number(&job["task_stats"]["finished"]), count, "{job}");
        (number(&job["id"]), (Kind::of(job["name"].as_str().expect("a name")), count))
    };
    elements(jobs).map(one).collect()
}
