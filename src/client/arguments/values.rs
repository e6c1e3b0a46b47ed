//! Bridges from the parsers of `grammar` to the command line, and the few values that only it knows.
//!
//! Each option names one of these, so that a refusal is a usage error (exit code 2) with the parser's own sentence.
//!
//! Holds: nothing here interprets a text itself where `grammar` has a parser for it.

use crate::client::render::event_json::TYPES;
use crate::grammar::{self, duration};
use hq_core::limits;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Why a value of the command line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nothing was given where something has to be.
    Empty,
    /// A name has line breaks or other characters that nobody sees.
    ControlCharacter,
    /// It does not have the form of its kind.
    Malformed(grammar::Error),
    /// An interval of heartbeats that would make a server busy or blind.
    Heartbeat,
    /// An interval of overviews that would make a server busy.
    OverviewInterval,
    /// It is no address of a network.
    Address,
    /// It is no way to a server.
    Way,
    /// No event has this type.
    EventType,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the value cannot be empty"),
            Self::ControlCharacter => f.write_str("a name has no line breaks and no other control characters"),
            Self::Malformed(error) => error.fmt(f),
            Self::EventType => write!(f, "the types of events are {}", TYPES.join(", ")),
            Self::Way => f.write_str("a way has the form ssh:HOST"),
            Self::Address => f.write_str("an address has the form 10.0.0.1 or fd00::1 (with brackets or without)"),
            Self::Heartbeat => write!(
                f,
                "the interval has to be between {} and {}",
                duration::full(limits::HEARTBEAT_MIN.to_duration()),
                duration::full(limits::HEARTBEAT_MAX.to_duration())
            ),
            Self::OverviewInterval => {
                let min = duration::full(limits::OVERVIEW_INTERVAL_MIN.to_duration());
                write!(f, "the interval has to be at least {min}, or 0s for no overviews")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// A text of the command line that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonEmpty(pub String);

/// Reads a text that is not empty.
///
/// # Errors
/// [`Refused::Empty`].
pub fn non_empty(text: &str) -> Result<NonEmpty, Refused> {
    if text.is_empty() { Err(Refused::Empty) } else { Ok(NonEmpty(text.to_owned())) }
}

/// Reads a name that stands in a line of its own, such as that of a host in a node file.
///
/// # Errors
/// [`Refused::Empty`], [`Refused::ControlCharacter`].
pub fn name(text: &str) -> Result<NonEmpty, Refused> {
    if text.chars().any(char::is_control) { Err(Refused::ControlCharacter) } else { non_empty(text) }
}

/// Reads a type of events.
///
/// # Errors
/// [`Refused::EventType`].
pub fn event_type(text: &str) -> Result<String, Refused> {
    if TYPES.contains(&text) { Ok(text.to_owned()) } else { Err(Refused::EventType) }
}

/// Reads a way through another machine, `ssh:HOST`; gives the host.
///
/// # Errors
/// [`Refused::Way`]; also for what ssh would take for an option.
pub fn ssh_host(text: &str) -> Result<NonEmpty, Refused> {
    let host = text.strip_prefix("ssh:").filter(|host| !host.is_empty() && !host.starts_with('-'));
    host.map(|host| NonEmpty(host.to_owned())).ok_or(Refused::Way)
}

/// Reads an address of this machine; one of IPv6 may stand in brackets.
///
/// # Errors
/// [`Refused::Address`].
pub fn address(text: &str) -> Result<IpAddr, Refused> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| Refused::Address)
}

/// Reads the interval of a check that costs little; shorter ones than 100 ms are taken as that.
///
/// # Errors
/// What is no duration.
pub fn check_interval(text: &str) -> Result<Duration, Refused> {
    let interval = duration::parse_clock_or_human(text).map_err(Refused::Malformed)?;
    Ok(interval.max(Duration::from_millis(100)))
}

/// Reads an interval of heartbeats.
///
/// # Errors
/// What is no duration, and one beyond [`limits::HEARTBEAT_MIN`] and [`limits::HEARTBEAT_MAX`].
pub fn heartbeat(text: &str) -> Result<Duration, Refused> {
    let interval = duration::parse_clock_or_human(text).map_err(Refused::Malformed)?;
    let allowed = limits::HEARTBEAT_MIN.to_duration()..=limits::HEARTBEAT_MAX.to_duration();
    if allowed.contains(&interval) { Ok(interval) } else { Err(Refused::Heartbeat) }
}

/// Reads an interval of overviews; zero means none.
///
/// # Errors
/// What is no human time, and one above zero below [`limits::OVERVIEW_INTERVAL_MIN`].
pub fn overview_interval(text: &str) -> Result<Duration, Refused> {
    let interval = duration::parse_human(text).map_err(Refused::Malformed)?;
    let is_allowed = interval.is_zero() || interval >= limits::OVERVIEW_INTERVAL_MIN.to_duration();
    if is_allowed { Ok(interval) } else { Err(Refused::OverviewInterval) }
}
