//! How tasks are ended, as users write it: names of signals (`TERM`, `SIGUSR1`, `10`), and warnings (`USR1@120s`).
//!
//! The form of a warning is the one that users know from batch systems.
//!
//! Holds: parsing the printed form gives the value back; numbers are those of Linux on x86 and ARM.

use super::Error;
use super::cursor::Cursor;
use super::duration;
use hq_core::limits;
use hq_core::task::{StopPlan, Warning};
use hq_core::time::Span;
use std::time::Duration;

/// Names of the signals, without `SIG`, the name of signal 1 first.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// Signals that no program can hear.
const UNHEARD: [i32; 2] = [9, 19];
/// How long before the end a warning comes that does not say so itself.
const BEFORE_DEFAULT: Span = Span::from_secs(60);

/// Reads the signal by which tasks are asked to end: a name with or without `SIG`, or a number from 1 to 64.
///
/// # Errors
/// Anything else, and SIGSTOP, which asks nothing.
pub fn parse_signal(text: &str) -> Result<i32, Error> {
    let mut cursor = Cursor::new(text);
    let signal = signal(&mut cursor)?;
    cursor.end("the end of the name")?;
    if signal == 19 {
        return Err(cursor.refused("SIGSTOP does not ask a program to end", 0..text.len()));
    }
    Ok(signal)
}

/// Reads a warning: a signal, and behind `@` how long before the end it comes (60 s if that is left out), as clock time or
/// human time.
///
/// # Errors
/// Anything else, a signal that programs cannot handle, and no time at all.
pub fn parse_warning(text: &str) -> Result<Warning, Error> {
    let mut cursor = Cursor::new(text);
    let number = signal(&mut cursor)?;
    if UNHEARD.contains(&number) {
        return Err(
            cursor.refused("a program cannot be warned by this signal, since it cannot handle it", 0..cursor.at())
        );
    }
    if cursor.is_end() {
        return Ok(Warning { signal: number, before: BEFORE_DEFAULT });
    }
    if !cursor.eat('@') {
        return Err(cursor.unexpected("`@` or the end"));
    }
    let start = cursor.at();
    let before = duration::parse_clock_or_human(cursor.rest()).map_err(|error| error.within(text, start))?;
    if before < Duration::from_micros(1) {
        return Err(cursor.refused("a warning comes before the end, not with it", start..text.len()));
    }
    Ok(Warning { signal: number, before: Span::from_duration(before) })
}

/// Reads how long after the first signal a task is killed, as clock time or human time.
///
/// # Errors
/// Anything else, and more than [`limits::KILL_GRACE_MAX`].
pub fn parse_grace(text: &str) -> Result<Duration, Error> {
    let grace = duration::parse_clock_or_human(text).map_err(|error| error.within(text, 0))?;
    let max = limits::KILL_GRACE_MAX.to_duration();
    if grace > max {
        let reason = format!("the longest grace is {}", duration::full(max));
        return Err(Error::refused(reason, text, 0..text.len()));
    }
    Ok(grace)
}

/// The plan that the three settings make; none where nothing is set, so that tasks with the defaults are of one kind.
pub fn stop_plan(warning: Option<Warning>, signal: Option<i32>, grace: Option<Span>) -> Option<Box<StopPlan>> {
    let is_set = warning.is_some() || signal.is_some() || grace.is_some();
    is_set.then(|| Box::new(StopPlan { warning, signal: signal.unwrap_or(0), grace }))
}

/// Prints a signal in the form that [`parse_signal`] reads: `TERM`, or a number where there is no name.
pub fn print_signal(signal: i32) -> String {
    let name = usize::try_from(signal).ok().and_then(|number| NAMES.get(number.checked_sub(1)?));
    name.map_or_else(|| signal.to_string(), |name| (*name).to_owned())
}

/// Prints a warning in the form that [`parse_warning`] reads.
pub fn print_warning(warning: &Warning) -> String {
    format!("{}@{}", print_signal(warning.signal), duration::full(warning.before.to_duration()))
}

/// A name or a number, up to what cannot belong to it.
fn signal(cursor: &mut Cursor<'_>) -> Result<i32, Error> {
    let start = cursor.at();
    let word = cursor.take_while(|c| c.is_ascii_alphanumeric());
    if word.is_empty() {
        return Err(cursor.unexpected("a signal such as `TERM` or `15`"));
    }
    let here = *cursor;
    let refused = |reason: &str| here.refused(reason, start..here.at());
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let number = word.parse().ok().filter(|number| (1..=limits::SIGNAL_MAX).contains(number));
        return number.ok_or_else(|| refused("signals have the numbers 1 to 64"));
    }
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let position = NAMES.iter().position(|known| *known == name).and_then(|at| i32::try_from(at + 1).ok());
    position.ok_or_else(|| refused("there is no signal of this name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_signals() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigusr1", 10),
            ("2", 2),
            ("64", 64),
            ("kill", 9),
            ("HUP", 1),
            ("CONT", 18),
            ("XCPU", 24),
            ("SYS", 31),
        ] {
            assert_eq!(parse_signal(text), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "SIG", "SIGSIGINT", "TERM ", " TERM", "-9", "+9", "STOP", "19", "99999999999", "ä"]
        {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_warnings_and_points_at_mistakes() {
        let read = |text: &str| parse_warning(text).map(|warning| (warning.signal, warning.before));
        assert_eq!(read("USR1@120s"), Ok((10, Span::from_secs(120))));
        assert_eq!(read("10@2:00"), Ok((10, Span::from_secs(120))));
        assert_eq!(read("SIGUSR2@1m 30s"), Ok((12, Span::from_secs(90))));
        assert_eq!(read("TERM"), Ok((15, Span::from_secs(60))));
        for (bad, place) in [
            ("", 0..0),
            ("@5s", 0..1),
            ("USR3@5s", 0..4),
            ("KILL@5s", 0..4),
            ("USR1@", 5..5),
            ("USR1@5x", 6..7),
            ("USR1@0", 5..6),
            ("USR1 @5s", 4..5),
        ] {
            assert_eq!(parse_warning(bad).unwrap_err().bytes(), place, "{bad}");
        }
    }

    #[test]
    fn a_grace_has_an_end() {
        assert_eq!(parse_grace("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_grace("0"), Ok(Duration::ZERO));
        assert_eq!(parse_grace("1h"), Ok(Duration::from_secs(3_600)));
        assert!(parse_grace("1:00:01").unwrap_err().to_string().contains("the longest grace is 1h"));
    }

    fn heard() -> impl Strategy<Value = i32> {
        let signals: Vec<i32> = (1..=limits::SIGNAL_MAX).filter(|signal| !UNHEARD.contains(signal)).collect();
        proptest::sample::select(signals)
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(signal in heard(), before in 1..=u64::MAX) {
            let warning = Warning { signal, before: Span(before) };
            prop_assert_eq!(parse_warning(&print_warning(&warning)), Ok(warning));
            prop_assert_eq!(parse_signal(&print_signal(signal)), Ok(signal));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "\\PC{0,30}") {
            let _ = (parse_signal(&text), parse_warning(&text), parse_grace(&text));
        }
    }
}
