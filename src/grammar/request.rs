//! Resource requests of tasks: `2`, `0.5 compact!`, `all`, and `gpus=2 tight`.
//!
//! One reader for `--cpus`, `--resource`, directives and job files; printing is `core`'s, in the canonical form.
//!
//! Holds: a parsed request asks for `all` or for more than zero; parsing the printed form gives the request back.

use super::cursor::{Cursor, is_blank};
use super::{Error, pool};
use hq_core::resource::{Amount, AmountError, CPUS, Policy, RequestEntry};
use std::fmt;

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

/// Reads `"all" | amount [policy]`.
///
/// # Errors
/// A malformed amount, more than four decimals, a zero amount, or an unknown policy.
pub fn parse(text: &str) -> Result<Quantity, Error> {
    quantity(&mut Cursor::new(text))
}

/// Reads `NAME=REQUEST`.
///
/// # Errors
/// A name that is not `letter { letter | digit | "/" }`, or what [`parse`] refuses.
pub fn parse_named(text: &str) -> Result<RequestEntry, Error> {
    let mut cursor = Cursor::new(text);
    let name = pool::name(&mut cursor)?;
    Ok(quantity(&mut cursor)?.of(name))
}

/// Puts together what `--cpus` and `--resource` asked for; without CPUs, `cpus: 1 compact` comes first.
///
/// # Errors
/// See [`RequestError`].
pub fn combine(cpus: Option<Quantity>, others: Vec<RequestEntry>) -> Result<Vec<RequestEntry>, RequestError> {
    let names_cpus = others.iter().any(|entry| entry.resource == CPUS);
    if cpus.is_some() && names_cpus {
        return Err(RequestError::CpusTwice);
    }
    let mut entries = Vec::with_capacity(others.len() + 1);
    if !names_cpus {
        let one = Quantity { amount: Amount::units(1), policy: Policy::Compact };
        entries.push(cpus.unwrap_or(one).of(CPUS));
    }
    for entry in others {
        if entries.iter().any(|earlier: &RequestEntry| earlier.resource == entry.resource) {
            return Err(RequestError::Duplicate(entry.resource));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn quantity(cursor: &mut Cursor<'_>) -> Result<Quantity, Error> {
    cursor.blanks();
    if cursor.rest() == Policy::All.word() {
        return Ok(Quantity { amount: Amount::ZERO, policy: Policy::All });
    }
    let start = cursor.at();
    let amount = amount(cursor, "a number or `all`")?;
    if amount == Amount::ZERO {
        return Err(cursor.refused("Zero resources cannot be requested", start..cursor.at()));
    }
    cursor.blanks();
    let rest = cursor.rest();
    let policy = match rest {
        "" => Some(Policy::Compact),
        word => POLICIES.iter().copied().find(|policy| policy.word() == word),
    };
    let expected = "the end or a policy: compact, compact!, tight, tight! or scatter";
    let all = cursor.at()..cursor.text().len();
    policy.map(|policy| Quantity { amount, policy }).ok_or_else(|| Error::unexpected(expected, cursor.text(), all))
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
        let entry = parse_named("gpus/nvidia = 0.5 tight").unwrap();
        assert_eq!((entry.resource.as_str(), entry.to_string().as_str()), ("gpus/nvidia", "0.5 tight"));
        assert_eq!(parse_named("x=all").unwrap().policy, Policy::All);
        for text in ["=1", "x", "x=", "1x=1", "a_b=1", "x==1", " x=1"] {
            assert!(parse_named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn combines() {
        let named = |text| parse_named(text).unwrap();
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
