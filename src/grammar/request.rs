//! Resource requests of tasks: `2`, `0.5 compact!`, `all`, `gpus=2 tight`, and by an older form `mem=2GB`.
//!
//! One reader for `--cpus`, `--resource`, directives and job files; printing is `core`'s, in the canonical form.
//!
//! Holds: a parsed request asks for `all` or for more than zero; parsing the printed form gives the request back.

use super::cursor::{Cursor, is_blank};
use super::{Error, pool};
use hq_core::resource::{Amount, AmountError, CPUS, Policy, RequestEntry};
use std::fmt;

/// The resource whose amounts are in MiB.
const MEMORY: &str = "mem";
/// What may stand behind an amount of memory, and its bytes.
const MEMORY_UNITS: &[(&str, u128)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

const POLICIES: &[Policy] =
    &[Policy::ForceCompact, Policy::Compact, Policy::ForceTight, Policy::Tight, Policy::Scatter];

/// How much of a resource is asked for, without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The amount; zero only with [`Policy::All`].
    pub amount: Amount,
    /// How to choose the indices.
    pub policy: Policy,
}

/// A request as it was read, with how it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRequest {
    /// What is asked for.
    pub entry: RequestEntry,
    /// The unit that stood behind an amount of memory.
    pub unit: Option<&'static str>,
}

/// Why requests that are fine one by one cannot be made together (an error at run time, not of usage).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// Both `--cpus` and `--resource cpus=...` were given.
    CpusTwice,
    /// A resource was named twice.
    Duplicate(String),
}

impl Quantity {
    /// The quantity of the resource called `name`.
    pub fn of(self, name: impl Into<String>) -> RequestEntry {
        RequestEntry { resource: name.into(), amount: self.amount, policy: self.policy }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of("").fmt(f)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpusTwice => {
                f.write_str("Parameters --cpus and --resource cpus=... cannot be combined; use one of them")
            }
            Self::Duplicate(name) => write!(f, "Resource '{name}' defined more than once; name each resource once"),
        }
    }
}

impl std::error::Error for RequestError {}

impl NamedRequest {
    /// What to tell a user who wrote an amount of memory with its unit.
    pub fn notice(&self) -> Option<String> {
        let (unit, entry) = (self.unit?, &self.entry);
        Some(format!(
            "Memory is requested in MiB: the unit {unit} was understood, `{MEMORY}={}` is the same",
            entry.amount
        ))
    }
}

/// Reads `"all" | amount [policy]`.
///
/// # Errors
/// A malformed amount, more than four decimals, a zero amount, or an unknown policy.
pub fn parse(text: &str) -> Result<Quantity, Error> {
    Ok(quantity(&mut Cursor::new(text), "")?.0)
}

/// Reads the request for the resource called `name`; an amount of memory (`mem`, in MiB) may have a unit.
///
/// # Errors
/// See [`parse`].
pub fn parse_of(name: &str, text: &str) -> Result<NamedRequest, Error> {
    of_name(name, &mut Cursor::new(text))
}

/// Reads `NAME=REQUEST`.
///
/// # Errors
/// A name that is not `letter { letter | digit | "/" }`, or what [`parse_of`] refuses.
pub fn parse_named(text: &str) -> Result<NamedRequest, Error> {
    let mut cursor = Cursor::new(text);
    let name = pool::name(&mut cursor)?;
    of_name(name, &mut cursor)
}

/// Checks a name that stands alone.
///
/// # Errors
/// It is not `letter { letter | digit | "/" }`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let mut cursor = Cursor::new(name);
    if !cursor.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        return Err(cursor.unexpected("the name of a resource, starting with a letter"));
    }
    cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '/');
    cursor.end("a letter, a digit or `/`")
}

/// Puts together what `--cpus` and `--resource` asked for; without CPUs, `cpus: 1 compact` comes first.
///
/// # Errors
/// See [`RequestError`].
pub fn combine(cpus: Option<Quantity>, others: Vec<RequestEntry>) -> Result<Vec<RequestEntry>, RequestError> {
    let mut entries = given(cpus, others)?;
    if !entries.iter().any(|entry| entry.resource == CPUS) {
        let one = Quantity { amount: Amount::units(1), policy: Policy::Compact };
        entries.insert(0, one.of(CPUS));
    }
    Ok(entries)
}

/// Puts together what `--cpus` and `--resource` asked for, and nothing else.
///
/// # Errors
/// See [`RequestError`].
pub fn given(cpus: Option<Quantity>, others: Vec<RequestEntry>) -> Result<Vec<RequestEntry>, RequestError> {
    if cpus.is_some() && others.iter().any(|entry| entry.resource == CPUS) {
        return Err(RequestError::CpusTwice);
    }
    let mut entries: Vec<RequestEntry> = cpus.map(|cpus| cpus.of(CPUS)).into_iter().collect();
    for entry in others {
        if entries.iter().any(|earlier| earlier.resource == entry.resource) {
            return Err(RequestError::Duplicate(entry.resource));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn of_name(name: &str, cursor: &mut Cursor<'_>) -> Result<NamedRequest, Error> {
    let (quantity, unit) = quantity(cursor, name)?;
    Ok(NamedRequest { entry: quantity.of(name), unit })
}

fn quantity(cursor: &mut Cursor<'_>, name: &str) -> Result<(Quantity, Option<&'static str>), Error> {
    cursor.blanks();
    if cursor.rest() == Policy::All.word() {
        return Ok((Quantity { amount: Amount::ZERO, policy: Policy::All }, None));
    }
    let start = cursor.at();
    let mut amount = amount(cursor, "a number or `all`")?;
    if amount == Amount::ZERO {
        return Err(cursor.refused("Zero resources cannot be requested", start..cursor.at()));
    }
    cursor.blanks();
    let mut unit = None;
    if name == MEMORY
        && let Some((word, bytes)) = MEMORY_UNITS.iter().find(|(word, _)| cursor.eat_word(word))
    {
        let mib = in_mib(amount, *bytes);
        amount = mib.ok_or_else(|| cursor.refused("the amount is larger than 4294967295 MiB", start..cursor.at()))?;
        unit = Some(*word);
        cursor.blanks();
    }
    let rest = cursor.rest();
    let policy = match rest {
        "" => Some(Policy::Compact),
        word => POLICIES.iter().copied().find(|policy| policy.word() == word),
    };
    let expected = "the end or a policy: compact, compact!, tight, tight! or scatter";
    let all = cursor.at()..cursor.text().len();
    let policy = policy.ok_or_else(|| Error::unexpected(expected, cursor.text(), all))?;
    Ok((Quantity { amount, policy }, unit))
}

/// An amount of a unit in MiB, rounded up to what can be told apart.
fn in_mib(amount: Amount, unit_bytes: u128) -> Option<Amount> {
    let parts = (u128::from(amount.0) * unit_bytes).div_ceil(1 << 20);
    u64::try_from(parts).ok().map(Amount).filter(|amount| *amount <= Amount::units(u32::MAX))
}

/// Reads an amount at the cursor: a number with at most four decimals.
pub(super) fn amount(cursor: &mut Cursor<'_>, expected: &str) -> Result<Amount, Error> {
    if !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Err(cursor.unexpected(expected));
    }
    let start = cursor.at();
    let text = cursor.take_while(|c| c.is_ascii_digit() || c == '_' || c == '.');
    Amount::parse(text).map_err(|error| match error {
        AmountError::Malformed => Error::unexpected(error_text(error), cursor.text(), start..cursor.at()),
        _ => cursor.refused(error.to_string(), start..cursor.at()),
    })
}

fn error_text(error: AmountError) -> String {
    let text = error.to_string();
    text.strip_prefix("expected ").unwrap_or(&text).to_owned()
}

/// Whether `c` can stand in a bare label or word of a resource.
pub(super) fn is_bare(c: char) -> bool {
    !is_blank(c) && !matches!(c, ',' | '[' | ']' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_requests() {
        for (text, printed) in [
            ("1", "1 compact"),
            ("0.5", "0.5 compact"),
            ("8 compact!", "8 compact!"),
            ("2compact!", "2 compact!"),
            (" 2.50 tight", "2.5 tight"),
            ("3 ", "3 compact"),
            ("1_000 scatter", "1000 scatter"),
            ("all", "all"),
            ("0.0001", "0.0001 compact"),
            ("4 tight!", "4 tight!"),
        ] {
            assert_eq!(parse(text).map(|q| q.to_string()), Ok(printed.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_requests() {
        for text in [
            "",
            "-1",
            ".5",
            "1.",
            "1.2.3",
            "all compact",
            "all cpus compact",
            "2 all",
            "2 compact ",
            "2 Compact",
            "2 scatter!",
            "2 2",
            "x",
            "4294967296",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let message = |text| parse(text).unwrap_err().to_string();
        assert!(message("0").contains("Zero resources cannot be requested"));
        assert!(message("0.0000 compact").contains("Zero resources cannot be requested"));
        assert!(message("1.00001").contains("precision exceeded"));
        assert_eq!(parse("2 compakt").unwrap_err().bytes(), 2..9);
    }

    #[test]
    fn reads_named_requests() {
        let entry = parse_named("gpus/nvidia = 0.5 tight").unwrap().entry;
        assert_eq!((entry.resource.as_str(), entry.to_string().as_str()), ("gpus/nvidia", "0.5 tight"));
        assert_eq!(parse_named("x=all").unwrap().entry.policy, Policy::All);
        for text in ["=1", "x", "x=", "1x=1", "a_b=1", "x==1", " x=1"] {
            assert!(parse_named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_may_have_a_unit() {
        for (text, printed, unit) in [
            ("mem=100MiB", "100 compact", Some("MiB")),
            ("mem=2GB", "1907.3487 compact", Some("GB")),
            ("mem=1.5 GiB tight", "1536 tight", Some("GiB")),
            ("mem=1B", "0.0001 compact", Some("B")),
            ("mem=4TiB", "4194304 compact", Some("TiB")),
            ("mem=100", "100 compact", None),
        ] {
            let read = parse_named(text).unwrap();
            assert_eq!((read.entry.to_string().as_str(), read.unit), (printed, unit), "{text}");
            assert_eq!(read.notice().is_some(), unit.is_some());
        }
        assert!(parse_named("mem=2GB").unwrap().notice().unwrap().contains("`mem=1907.3487`"));
        for text in ["x=100MiB", "mem=1XB", "mem=0GB", "mem=GB", "mem=4294967295GiB", "mem=1mib"] {
            assert!(parse_named(text).is_err(), "{text}");
        }
        assert!(parse("100MiB").is_err());
    }

    #[test]
    fn names() {
        for good in ["x", "gpus/nvidia", "a1"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for (bad, place) in [("", 0..0), ("1x", 0..1), ("a_b", 1..2), ("a b", 1..2), ("a=", 1..2)] {
            assert_eq!(check_name(bad).unwrap_err().bytes(), place, "{bad}");
        }
    }

    #[test]
    fn combines() {
        let named = |text| parse_named(text).unwrap().entry;
        let shown = |entries: Vec<RequestEntry>| {
            entries.iter().map(|entry| format!("{}: {entry}", entry.resource)).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(combine(None, vec![named("x=2")]).map(shown), Ok("cpus: 1 compact; x: 2 compact".into()));
        let swapped = combine(None, vec![named("x=2"), named("cpus=3")]);
        assert_eq!(swapped.map(shown), Ok("x: 2 compact; cpus: 3 compact".into()));
        let both = combine(parse("2").ok(), vec![named("cpus=3")]).unwrap_err().to_string();
        assert!(both.contains("--cpus and --resource cpus=... cannot be combined"));
        let twice = combine(None, vec![named("x=2"), named("x=3")]).unwrap_err().to_string();
        assert!(twice.contains("Resource 'x' defined more than once"));
    }

    proptest! {
        #[test]
        fn print_then_parse_is_identity(
            parts in 1u64..=(u32::MAX as u64 * Amount::UNIT),
            policy in proptest::sample::select(POLICIES),
        ) {
            let quantity = Quantity { amount: Amount(parts), policy };
            prop_assert_eq!(parse(&quantity.to_string()), Ok(quantity));
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text in "[a-z0-9_.=! /]{0,14}|\\PC{0,14}") {
            let _ = parse(&text);
            let _ = parse_named(&text);
        }
    }
}
