//! Attempts of tasks: how each ended, and what it used.
//!
//! The same keys tell of an attempt in `task info`, in reports and in exported journals.
//!
//! Holds: what is not known is left out of the JSON.

use super::{size, time};
use crate::grammar::duration;
use hq_core::retry::{FailureCause, Usage};
use hq_core::time::{Span, Time};
use hq_core::view::{AttemptView, TaskState};
use serde_json::{Map, Value, json};

/// The word for why an attempt failed.
pub fn cause_word(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Other => "other",
        FailureCause::Exit => "exit",
        FailureCause::Signal => "signal",
        FailureCause::TimeLimit => "timeout",
        FailureCause::OutOfMemory => "oom",
        FailureCause::Node => "node",
        FailureCause::Start => "start",
        FailureCause::Output => "output",
    }
}

/// Seconds of CPU time and bytes of memory.
pub fn usage_json(usage: &Usage) -> Map<String, Value> {
    Map::from_iter([
        ("cpu_time".to_owned(), json!(time::seconds(Span::from_ms(usage.cpu_ms)))),
        ("max_memory".to_owned(), json!(usage.memory_kib.saturating_mul(1_024))),
    ])
}

/// Why an attempt ended, as far as it is known.
pub fn how_json(cause: FailureCause, exit_code: Option<i32>, signal: Option<i32>) -> Map<String, Value> {
    let mut map = Map::new();
    if cause != FailureCause::Other {
        map.insert("cause".to_owned(), json!(cause_word(cause)));
    }
    map.extend(exit_code.map(|code| ("exit_code".to_owned(), json!(code))));
    map.extend(signal.map(|signal| ("signal".to_owned(), json!(signal))));
    map
}

/// The object of an attempt.
pub fn to_json(attempt: &AttemptView) -> Value {
    let mut map = Map::from_iter([
        ("instance".to_owned(), json!(attempt.attempt)),
        ("state".to_owned(), json!(outcome_word(attempt))),
        ("started_at".to_owned(), json!(attempt.started.map(time::rfc3339))),
        ("finished_at".to_owned(), json!(attempt.ended.map(time::rfc3339))),
    ]);
    match attempt.workers.as_slice() {
        [] => {}
        [one] => drop(map.insert("worker".to_owned(), json!(one))),
        several => drop(map.insert("workers".to_owned(), json!(several))),
    }
    if !attempt.error.is_empty() {
        map.insert("error".to_owned(), json!(attempt.error));
    }
    map.extend(attempt.waited.map(|waited| ("waited".to_owned(), json!(time::seconds(waited)))));
    map.extend(how_json(attempt.cause, attempt.exit_code, attempt.signal));
    map.extend(attempt.usage.iter().flat_map(usage_json));
    Value::Object(map)
}

/// How the attempt ended: a failure after which the task waits again is one too.
fn outcome_word(attempt: &AttemptView) -> &'static str {
    match (attempt.state, attempt.cause) {
        (TaskState::Waiting, FailureCause::Node) if attempt.exit_code.is_none() => "interrupted",
        (TaskState::Waiting, _) => "retried",
        (state, _) => state.word(),
    }
}

/// One line for people: `1: retried after 2s (exit code 7, CPU 1s 500ms, 20.00 MiB)`.
pub fn line(attempt: &AttemptView, now: Time) -> String {
    let mut facts: Vec<String> = how_words(attempt).into_iter().collect();
    if let Some(usage) = attempt.usage {
        facts.push(format!("CPU {}", cpu_time(&usage)));
        facts.push(peak_memory(&usage));
    }
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let span = attempt.started.map_or_else(String::new, |started| {
        let word = if attempt.ended.is_some() { "after" } else { "for" };
        format!(" {word} {}", duration::makespan(attempt.ended.unwrap_or(now).since(started).to_duration()))
    });
    format!("{}: {}{span}{facts}", attempt.attempt, outcome_word(attempt))
}

/// Exit code, signal or cause in words; none when there is nothing to say.
pub fn how_words(attempt: &AttemptView) -> Option<String> {
    match (attempt.cause, attempt.exit_code, attempt.signal) {
        (FailureCause::TimeLimit, _, _) => Some("time limit".to_owned()),
        (FailureCause::OutOfMemory, _, _) => Some("out of memory".to_owned()),
        (FailureCause::Node, None, None) => Some("worker lost".to_owned()),
        (FailureCause::Start, _, _) => Some("not started".to_owned()),
        (FailureCause::Output, _, _) => Some("output not written".to_owned()),
        (_, _, Some(signal)) => Some(format!("signal {signal}")),
        (_, Some(0), _) | (_, None, None) => None,
        (_, Some(code), _) => Some(format!("exit code {code}")),
    }
}

/// User and system time, as spans are shown.
pub fn cpu_time(usage: &Usage) -> String {
    duration::makespan(Span::from_ms(usage.cpu_ms).to_duration())
}

/// The largest resident size.
pub fn peak_memory(usage: &Usage) -> String {
    size::bytes(usage.memory_kib.saturating_mul(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hq_core::id::{AttemptId, WorkerId};

    fn attempt() -> AttemptView {
        AttemptView {
            attempt: AttemptId(1),
            workers: vec![WorkerId(4)],
            started: Some(Time(1_000_000)),
            ended: Some(Time(3_000_000)),
            state: TaskState::Waiting,
            cause: FailureCause::Exit,
            exit_code: Some(7),
            usage: Some(Usage { cpu_ms: 1_500, memory_kib: 20 * 1_024 }),
            ..AttemptView::default()
        }
    }

    #[test]
    fn lines() {
        let now = Time(9_000_000);
        assert_eq!(line(&attempt(), now), "1: retried after 2s (exit code 7, CPU 1s 500ms, 20.00 MiB)");
        let lost = AttemptView { cause: FailureCause::Node, exit_code: None, usage: None, ..attempt() };
        assert_eq!(line(&lost, now), "1: interrupted after 2s (worker lost)");
        let running = AttemptView { state: TaskState::Running, ended: None, cause: FailureCause::Other, ..lost };
        assert_eq!(line(&running, now), "1: running for 8s");
        let never = AttemptView { started: None, state: TaskState::Failed, cause: FailureCause::Start, ..attempt() };
        assert_eq!(line(&never, now), "1: failed (not started, CPU 1s 500ms, 20.00 MiB)");
    }

    #[test]
    fn objects() {
        assert_eq!(
            to_json(&attempt()),
            json!({
                "instance": 1, "state": "retried", "worker": 4, "cause": "exit", "exit_code": 7,
                "started_at": "1970-01-01T00:00:01Z", "finished_at": "1970-01-01T00:00:03Z",
                "cpu_time": 1.5, "max_memory": 20_971_520
            })
        );
    }
}
