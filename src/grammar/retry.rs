//! After which failures a task is tried again, and after what delay: `exit=1,7,signal`, `10s..5m`.
//!
//! The words are those by which the worker says why an attempt failed, so that a rule means what is shown.
//!
//! Holds: parsing the printed form gives the value back.

use super::Error;
use super::cursor::Cursor;
use super::duration;
use hq_core::retry::{RetryOn, RetryPolicy};
use hq_core::time::Span;

/// What could stand in a list of causes.
const CAUSES: &str = "`exit=CODES`, `signal`, `timeout`, `oom`, `node` or `any`";

/// Time between a failure and the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delay {
    /// After the first failure; doubled each time.
    pub first: Span,
    /// What it grows to; zero: it does not grow.
    pub last: Span,
}

/// Reads causes separated by commas; numbers behind `exit=` belong to it.
///
/// # Errors
/// Another word, an exit code beyond 1 to 255, or nothing.
pub fn parse_on(text: &str) -> Result<RetryOn, Error> {
    let mut on = RetryOn::default();
    let mut cursor = Cursor::new(text);
    let mut in_exit = false;
    loop {
        let start = cursor.at();
        let is_number = cursor.peek().is_some_and(|c| c.is_ascii_digit());
        let word = if is_number { "" } else { cursor.take_while(|c| c.is_ascii_alphabetic()) };
        let target = match word {
            "" if is_number && in_exit => None,
            "exit" => {
                cursor.expect('=')?;
                None
            }
            "signal" => Some(&mut on.signal),
            "timeout" => Some(&mut on.time_limit),
            "oom" => Some(&mut on.out_of_memory),
            "node" => Some(&mut on.node),
            "any" => Some(&mut on.any),
            _ => return Err(Error::unexpected(CAUSES, text, start..cursor.at().max(start + usize::from(is_number)))),
        };
        in_exit = target.is_none();
        match target {
            Some(flag) => *flag = true,
            None => on.exit_codes.push(exit_code(&mut cursor)?),
        }
        if cursor.is_end() {
            on.exit_codes.sort_unstable();
            on.exit_codes.dedup();
            return Ok(on);
        }
        if !cursor.eat(',') {
            return Err(cursor.unexpected("`,` or the end"));
        }
    }
}

fn exit_code(cursor: &mut Cursor<'_>) -> Result<i32, Error> {
    let start = cursor.at();
    let code = i32::try_from(cursor.uint()?).ok().filter(|code| (1..=255).contains(code));
    code.ok_or_else(|| cursor.refused("the exit code of a failed program is between 1 and 255", start..cursor.at()))
}

/// Prints causes in the form that [`parse_on`] reads; nothing for no cause.
pub fn print_on(on: &RetryOn) -> String {
    let codes: Vec<String> = on.exit_codes.iter().map(i32::to_string).collect();
    let mut words: Vec<String> = Vec::new();
    if !codes.is_empty() {
        words.push(format!("exit={}", codes.join(",")));
    }
    let flags = [
        (on.signal, "signal"),
        (on.time_limit, "timeout"),
        (on.out_of_memory, "oom"),
        (on.node, "node"),
        (on.any, "any"),
    ];
    words.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| (*word).to_owned()));
    words.join(",")
}

/// The causes of several lists together; no list: any cause.
pub fn joined(lists: impl IntoIterator<Item = RetryOn>) -> RetryOn {
    let mut all = RetryOn::default();
    for on in lists {
        all.any |= on.any;
        all.signal |= on.signal;
        all.time_limit |= on.time_limit;
        all.out_of_memory |= on.out_of_memory;
        all.node |= on.node;
        all.exit_codes.extend(on.exit_codes);
    }
    all.exit_codes.sort_unstable();
    all.exit_codes.dedup();
    if all == RetryOn::default() { RetryOn { any: true, ..all } } else { all }
}

/// Reads `FIRST` or `FIRST..LAST`, each a clock time or a human time.
///
/// # Errors
/// What is no time, and a last delay that is shorter than the first.
pub fn parse_delay(text: &str) -> Result<Delay, Error> {
    let span = |part: &str| duration::parse_clock_or_human(part).map(Span::from_duration);
    let Some((first, last)) = text.split_once("..") else {
        return Ok(Delay { first: span(text)?, ..Delay::default() });
    };
    let delay = Delay { first: span(first)?, last: span(last)? };
    if delay.last < delay.first {
        let reason = "the longest delay is shorter than the first one";
        return Err(Error::refused(reason, text, first.len() + 2..text.len()));
    }
    Ok(delay)
}

/// Prints a delay in the form that [`parse_delay`] reads.
pub fn print_delay(delay: Delay) -> String {
    let shown = |span: Span| duration::full(span.to_duration());
    if delay.last <= delay.first {
        shown(delay.first)
    } else {
        format!("{}..{}", shown(delay.first), shown(delay.last))
    }
}

/// Prints a policy for people: `3 after exit=1,signal, 10s..5m apart`.
pub fn print_policy(policy: &RetryPolicy) -> String {
    let delay = Delay { first: policy.delay, last: policy.delay_max };
    let apart = if policy.delay.0 == 0 { String::new() } else { format!(", {} apart", print_delay(delay)) };
    format!("{} after {}{apart}", policy.max, print_on(&policy.on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_causes() {
        let on = parse_on("exit=7,1,signal,exit=2,timeout,oom,node").unwrap();
        assert_eq!(on.exit_codes, [1, 2, 7]);
        assert!(on.signal && on.time_limit && on.out_of_memory && on.node && !on.any);
        assert_eq!(print_on(&on), "exit=1,2,7,signal,timeout,oom,node");
        assert!(joined([]).any);
        assert!(!joined([parse_on("signal").unwrap()]).any);
    }

    #[test]
    fn refuses_and_points() {
        for (text, place) in [
            ("", 0..0),
            ("exit", 4..4),
            ("exit=", 5..5),
            ("exit=0", 5..6),
            ("exit=1,256", 7..10),
            ("signal,7", 7..8),
            ("signal,", 7..7),
            ("often", 0..5),
            ("any;oom", 3..4),
            ("any oom", 3..4),
        ] {
            assert_eq!(parse_on(text).unwrap_err().bytes(), place, "{text}");
        }
        assert_eq!(parse_delay("10s..5s").unwrap_err().bytes(), 5..7);
        for text in ["", "..", "1s..", "..1s", "x", "1s..2s..3s"] {
            assert!(parse_delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_delays() {
        let secs = Span::from_secs;
        assert_eq!(parse_delay("10s..5m"), Ok(Delay { first: secs(10), last: secs(300) }));
        assert_eq!(parse_delay("90"), Ok(Delay { first: secs(90), last: secs(0) }));
        let policy = RetryPolicy { max: 3, on: parse_on("any").unwrap(), delay: secs(10), delay_max: secs(300) };
        assert_eq!(print_policy(&policy), "3 after any, 10s..5m apart");
        assert_eq!(print_policy(&RetryPolicy { delay: secs(0), ..policy }), "3 after any");
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(
            codes in proptest::collection::btree_set(1i32..256, 0..9),
            flags in any::<[bool; 5]>(),
            first in 0u64..1 << 40,
            longer in 0u64..1 << 40,
        ) {
            let [any, signal, time_limit, out_of_memory, node] = flags;
            let exit_codes = codes.into_iter().collect();
            let on = RetryOn { any, exit_codes, signal, time_limit, out_of_memory, node };
            if on != RetryOn::default() {
                prop_assert_eq!(parse_on(&print_on(&on)), Ok(on));
            }
            let last = if longer == 0 { Span(0) } else { Span(first + longer) };
            let delay = Delay { first: Span(first), last };
            prop_assert_eq!(parse_delay(&print_delay(delay)), Ok(delay));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[a-z=,0-9.]{0,14}|\\PC{0,12}") {
            let _ = parse_on(&text);
            let _ = parse_delay(&text);
        }
    }
}
