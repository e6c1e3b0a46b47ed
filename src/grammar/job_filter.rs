//! Which jobs to list: `running,failed`, `state=running`, `name=train-*`, `tag=project=x`, `since=2h`.
//!
//! Bare words are states, as scripts write them; everything else names what it speaks of.
//!
//! Holds: a comma ends a condition unless a backslash stands before it; printing conditions and reading them gives
//! them back, except for a span of time, which is printed in full.

use super::cursor::Cursor;
use super::{Error, duration, moment, tag};
use hq_core::limits::JOB_PATTERN_BYTES_MAX;
use hq_core::time::Time;
use hq_core::view::{JobState, TagWanted};
use std::fmt;
use std::time::Duration;

/// The states with their words.
const STATES: [JobState; 7] = [
    JobState::Waiting,
    JobState::Running,
    JobState::Finished,
    JobState::Failed,
    JobState::Canceled,
    JobState::Aborted,
    JobState::Opened,
];

/// Something that has to hold for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is in this state, or in another one of those named.
    State(JobState),
    /// Its name matches the pattern ([`hq_core::glob`]).
    Name(String),
    /// It has the tag.
    Tag(TagWanted),
    /// It was submitted then or later.
    Since(Since),
}

/// A moment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Time),
}

/// Conditions, as one option gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFilter(pub Vec<Condition>);

/// Reads conditions separated by commas.
///
/// # Errors
/// An unknown word, and a value that its own reader refuses.
pub fn parse(text: &str) -> Result<JobFilter, Error> {
    let mut conditions = Vec::new();
    let mut cursor = Cursor::new(text);
    loop {
        conditions.push(condition(&mut cursor)?);
        if cursor.is_end() {
            return Ok(JobFilter(conditions));
        }
        cursor.expect(',')?;
    }
}

fn condition(cursor: &mut Cursor<'_>) -> Result<Condition, Error> {
    let start = cursor.at();
    let word = cursor.take_while(|c| c != ',' && c != '=');
    let place = start..cursor.at();
    if !cursor.eat('=') {
        return state(word).map(Condition::State).ok_or_else(|| {
            let expected = "a state (waiting, running, finished, failed, canceled, aborted, opened), or one of `state=`, \
                            `name=`, `tag=`, `since=`";
            Error::unexpected(expected, cursor.text(), place)
        });
    }
    let from = cursor.at();
    let value = value(cursor);
    let refused = |reason: &str| Error::refused(reason, cursor.text(), from..cursor.at());
    match word {
        "state" => state(&value).map(Condition::State).ok_or_else(|| {
            refused("the states of jobs are waiting, running, finished, failed, canceled, aborted and opened")
        }),
        "name" if value.len() > JOB_PATTERN_BYTES_MAX => {
            Err(refused(&format!("a pattern has at most {JOB_PATTERN_BYTES_MAX} bytes")))
        }
        "name" => Ok(Condition::Name(value)),
        "tag" => wanted(&value).map(Condition::Tag).map_err(|_| refused("a tag is written `KEY` or `KEY=VALUE`")),
        "since" => since(&value).map(Condition::Since).ok_or_else(|| {
            refused("the time is a span such as `2h` or `1 day`, or a date such as `2030-01-31` or `2030-01-31 08:00` (UTC)")
        }),
        _ => Err(Error::unexpected("`state=`, `name=`, `tag=` or `since=`", cursor.text(), place)),
    }
}

/// Reads up to the comma that ends the condition.
fn value(cursor: &mut Cursor<'_>) -> String {
    let mut value = String::new();
    loop {
        value.push_str(cursor.take_while(|c| c != ',' && c != '\\'));
        if !cursor.eat('\\') {
            return value;
        }
        // Before anything but a comma a backslash is part of the value: patterns have a meaning for it.
        value.push(if cursor.eat(',') { ',' } else { '\\' });
    }
}

fn state(word: &str) -> Option<JobState> {
    STATES.into_iter().find(|state| state.word() == word)
}

fn wanted(text: &str) -> Result<TagWanted, Error> {
    let mut cursor = Cursor::new(text);
    let key = tag::key(&mut cursor)?;
    if cursor.is_end() {
        return Ok(TagWanted { key, value: None });
    }
    tag::parse(text).map(|(key, value)| TagWanted { key, value: Some(value) })
}

fn since(text: &str) -> Option<Since> {
    let ago = duration::parse_human(text).ok().map(Since::Ago);
    ago.or_else(|| moment::parse(text).ok().map(Since::At))
}

impl fmt::Display for JobFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text: &str| text.replace(',', "\\,");
        for (number, condition) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            match condition {
                Condition::State(state) => f.write_str(state.word())?,
                Condition::Name(pattern) => write!(f, "name={}", escaped(pattern))?,
                Condition::Tag(TagWanted { key, value: None }) => write!(f, "tag={key}")?,
                Condition::Tag(TagWanted { key, value: Some(value) }) => write!(f, "tag={key}={}", escaped(value))?,
                Condition::Since(Since::Ago(span)) => write!(f, "since={}", duration::full(*span))?,
                Condition::Since(Since::At(time)) => write!(f, "since={}", moment::print(*time))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<Condition> {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).0
    }

    #[test]
    fn reads() {
        use Condition::{Name, Since as From, State, Tag};
        let tag = |key: &str, value: Option<&str>| Tag(TagWanted { key: key.into(), value: value.map(str::to_owned) });
        assert_eq!(read("running,failed"), [State(JobState::Running), State(JobState::Failed)]);
        assert_eq!(read("state=opened"), [State(JobState::Opened)]);
        assert_eq!(
            read("waiting,name=a\\,b*\\*,tag=k,tag=k=v=w,since=1h 30m"),
            [
                State(JobState::Waiting),
                Name("a,b*\\*".into()),
                tag("k", None),
                tag("k", Some("v=w")),
                From(Since::Ago(Duration::from_secs(5_400))),
            ]
        );
        assert_eq!(read("since=1970-01-02"), [From(Since::At(Time(86_400_000_000)))]);
        assert_eq!(read("name="), [Name(String::new())]);
    }

    #[test]
    fn refuses_and_points() {
        for (text, place) in [
            ("", 0..0),
            ("x", 0..1),
            ("running,", 8..8),
            ("running,what=1", 8..12),
            ("state=x", 6..7),
            ("tag==v", 4..6),
            ("tag=", 4..4),
            ("running,since=5", 14..15),
            ("since=2030-02-31", 6..16),
            ("Running", 0..7),
        ] {
            assert_eq!(parse(text).unwrap_err().bytes(), place, "{text}");
        }
        assert!(parse("paused").unwrap_err().to_string().contains("expected a state (waiting, running"));
    }

    fn conditions() -> impl Strategy<Value = Vec<Condition>> {
        let seconds = (0u64..4_000_000_000).prop_map(|seconds| Since::At(Time(seconds * 1_000_000)));
        let one = prop_oneof![
            (0usize..7).prop_map(|at| Condition::State(STATES[at])),
            // A backslash at the end of a pattern would take the next comma.
            "[a-z*?, =]{0,12}".prop_map(Condition::Name),
            ("[a-z.]{1,8}", proptest::option::of("[a-z, =é]{0,12}"))
                .prop_map(|(key, value)| Condition::Tag(TagWanted { key, value })),
            any::<u32>().prop_map(|ms| Condition::Since(Since::Ago(Duration::from_millis(ms.into())))),
            seconds.prop_map(Condition::Since),
        ];
        proptest::collection::vec(one, 1..6)
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(conditions in conditions()) {
            let filter = JobFilter(conditions);
            prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "\\PC{0,30}|(tag|name|since|state|,|=|a|1h){0,9}") {
            let _ = parse(&text);
        }
    }
}
