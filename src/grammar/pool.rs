//! Definitions of what a worker offers: `gpus=[a,b]`, `cpus=2x4`, `mem=sum(100)`, `x=range(1-5)`.
//!
//! Definitions are read one by one (errors of usage) and then put together with what was detected (errors at
//! run time), because a name may be defined in several places.
//!
//! Holds: parsed pools are canonical: consecutive numbers from `NxM` and `range` are ranges, a single group is a
//! list. Assembled pools have distinct names and labels, are not empty, and are sorted by name.

use super::Error;
use super::cursor::Cursor;
use super::request::{amount, is_bare};
use hq_core::limits::RESOURCES_MAX;
use hq_core::resource::{Amount, CPUS, Coupling, Pool, PoolKind, WorkerResources};
use std::collections::BTreeSet;
use std::fmt;

/// Indices of one pool: bounds what `range(..)` and `NxM` make a worker and a server keep.
pub const POOL_INDICES_MAX: u64 = 1_000_000;

/// Why pools cannot be offered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolError {
    /// CPUs have identities, so they cannot be a sum.
    CpusAsSum,
    /// Two pools have this name.
    Duplicate(String),
    /// The pool has no index, or a sum of zero.
    Empty(String),
    /// A label occurs in two groups of this pool.
    RepeatedLabel {
        /// Name of the pool.
        name: String,
        /// The label.
        label: String,
    },
    /// More pools than [`RESOURCES_MAX`].
    TooMany(usize),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpusAsSum => f.write_str(
                "Resource kind `sum` cannot be used with CPUs; give a number above zero, a list, a range or groups",
            ),
            Self::Duplicate(name) => write!(f, "Resource {name} defined twice; define it once"),
            Self::Empty(name) => write!(f, "Resource {name} is empty; leave it out or give it a size"),
            Self::RepeatedLabel { name, label } => {
                write!(f, "Non unique indices in resource {name}: `{label}` stands in more than one group")
            }
            Self::TooMany(count) => write!(f, "{count} resources defined, at most {RESOURCES_MAX} are possible"),
        }
    }
}

impl std::error::Error for PoolError {}

/// Reads `NAME=KIND`.
///
/// # Errors
/// A wrong token, a backward range, repeated labels within a list or group, or more than [`POOL_INDICES_MAX`].
pub fn parse(text: &str) -> Result<Pool, Error> {
    let mut cursor = Cursor::new(text);
    let name = name(&mut cursor)?.to_owned();
    let kind = kind(&mut cursor)?;
    finish(&mut cursor)?;
    Ok(Pool { name, kind })
}

/// Reads the value of `--cpus`: a kind, or the bare number of CPUs.
///
/// # Errors
/// As [`parse`]. A bare `0` is read as an empty sum, which [`assemble`] refuses.
pub fn parse_cpus(text: &str) -> Result<PoolKind, Error> {
    let is_number =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let mut cursor = Cursor::new(text);
    if is_number {
        let count = cursor.uint()?;
        check_count(&cursor, 0, u64::from(count))?;
        return Ok(if count == 0 { PoolKind::Sum(Amount::ZERO) } else { PoolKind::range(0, count - 1) });
    }
    cursor.blanks();
    let kind = kind(&mut cursor)?;
    finish(&mut cursor)?;
    Ok(kind)
}

/// Puts pools together into what a worker offers, sorted by name.
///
/// # Errors
/// See [`PoolError`].
pub fn assemble(mut pools: Vec<Pool>) -> Result<WorkerResources, PoolError> {
    if pools.len() > RESOURCES_MAX {
        return Err(PoolError::TooMany(pools.len()));
    }
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    let mut earlier: Option<&str> = None;
    for pool in &pools {
        if earlier == Some(pool.name.as_str()) {
            return Err(PoolError::Duplicate(pool.name.clone()));
        }
        earlier = Some(&pool.name);
        if pool.name == CPUS && matches!(pool.kind, PoolKind::Sum(_)) {
            return Err(PoolError::CpusAsSum);
        }
        if pool.kind.size() == Amount::ZERO {
            return Err(PoolError::Empty(pool.name.clone()));
        }
        if let PoolKind::Groups(groups) = &pool.kind
            && let Some(label) = repeated(groups.iter().flatten())
        {
            return Err(PoolError::RepeatedLabel { name: pool.name.clone(), label: label.to_owned() });
        }
    }
    Ok(WorkerResources { pools, coupling: Coupling::default() })
}

/// Prints a kind in the form that [`parse`] reads: `[a,b]`, `[[a,b],[c]]`, `range(0-3)`, `sum(2.5)`.
pub fn full(kind: &PoolKind) -> String {
    let list = |labels: &[String]| format!("[{}]", labels.iter().map(|l| quoted(l)).collect::<Vec<_>>().join(","));
    match kind {
        PoolKind::Range(range) if range.start == range.end => format!("[{}]", range.start),
        PoolKind::Range(range) => format!("range({}-{})", range.start, range.end),
        PoolKind::List(labels) => list(labels),
        PoolKind::Groups(groups) => {
            format!("[{}]", groups.iter().map(|group| list(group)).collect::<Vec<_>>().join(","))
        }
        PoolKind::Sum(size) => format!("sum({size})"),
    }
}

fn quoted(label: &str) -> String {
    if !label.is_empty() && label.chars().all(is_bare) { label.to_owned() } else { format!("\"{label}\"") }
}

/// Reads `NAME ws "=" ws`: the name of a resource, in a request or a definition.
pub(super) fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    if !cursor.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        return Err(cursor.unexpected("the name of a resource, starting with a letter"));
    }
    let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '/');
    cursor.blanks();
    if !cursor.eat('=') {
        return Err(cursor.unexpected("a letter, a digit, `/` or `=`"));
    }
    cursor.blanks();
    Ok(name)
}

fn finish(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    cursor.blanks();
    cursor.end("the end of the definition")
}

fn kind(cursor: &mut Cursor<'_>) -> Result<PoolKind, Error> {
    if cursor.peek() == Some('[') {
        return bracketed(cursor);
    }
    if cursor.eat_word("range(") {
        return range(cursor);
    }
    if cursor.eat_word("sum(") {
        cursor.blanks();
        let size = amount(cursor, "a number")?;
        cursor.blanks();
        cursor.expect(')')?;
        return Ok(PoolKind::Sum(size));
    }
    if cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        return grid(cursor);
    }
    Err(cursor.unexpected("`[`, `range(`, `sum(` or `<groups>x<size>`"))
}

/// `START - END )`, after `range(`.
fn range(cursor: &mut Cursor<'_>) -> Result<PoolKind, Error> {
    cursor.blanks();
    let begin = cursor.at();
    let start = cursor.uint()?;
    cursor.blanks();
    cursor.expect('-')?;
    cursor.blanks();
    let end = cursor.uint()?;
    if start > end {
        return Err(cursor.refused("invalid range: the start is larger than the end", begin..cursor.at()));
    }
    check_count(cursor, begin, u64::from(end - start) + 1)?;
    cursor.blanks();
    cursor.expect(')')?;
    Ok(PoolKind::range(start, end))
}

/// `N x M`: N groups of M consecutive numbers. A grid with a zero is an empty list, which [`assemble`] refuses.
fn grid(cursor: &mut Cursor<'_>) -> Result<PoolKind, Error> {
    let begin = cursor.at();
    let groups = cursor.uint()?;
    cursor.expect('x')?;
    let size = cursor.uint()?;
    check_count(cursor, begin, u64::from(groups) * u64::from(size))?;
    Ok(match (groups, size) {
        (0, _) | (_, 0) => PoolKind::List(Vec::new()),
        (1, _) => PoolKind::range(0, size - 1),
        _ => {
            let labels = |group: u32| (group * size..(group + 1) * size).map(|n| n.to_string()).collect();
            PoolKind::Groups((0..groups).map(labels).collect())
        }
    })
}

fn check_count(cursor: &Cursor<'_>, begin: usize, count: u64) -> Result<(), Error> {
    if count <= POOL_INDICES_MAX {
        return Ok(());
    }
    let reason = format!("a resource has at most {POOL_INDICES_MAX} indices, these are {count}");
    Err(cursor.refused(reason, begin..cursor.at()))
}

/// A list of labels or of groups, at its `[`.
fn bracketed(cursor: &mut Cursor<'_>) -> Result<PoolKind, Error> {
    let mut ahead = *cursor;
    ahead.eat('[');
    ahead.blanks();
    if ahead.peek() != Some('[') {
        return labels(cursor, "List").map(PoolKind::List);
    }
    cursor.expect('[')?;
    let mut groups = Vec::new();
    loop {
        cursor.blanks();
        groups.push(labels(cursor, "Group")?);
        cursor.blanks();
        if !cursor.eat(',') {
            break;
        }
    }
    if !cursor.eat(']') {
        return Err(cursor.unexpected("`,` or `]`"));
    }
    match <[Vec<String>; 1]>::try_from(groups) {
        Ok([only]) => Ok(PoolKind::List(only)),
        Err(groups) => Ok(PoolKind::Groups(groups)),
    }
}

/// `[ label , label ]`; `what` is `List` or `Group`.
fn labels(cursor: &mut Cursor<'_>, what: &str) -> Result<Vec<String>, Error> {
    let begin = cursor.at();
    cursor.expect('[')?;
    cursor.blanks();
    if cursor.eat(']') {
        let reason = match what {
            "Group" => "Each group has to contain at least a single element",
            _ => "A list has to contain at least a single element",
        };
        return Err(cursor.refused(reason, begin..cursor.at()));
    }
    let mut labels = Vec::new();
    loop {
        cursor.blanks();
        labels.push(label(cursor)?.to_owned());
        cursor.blanks();
        if !cursor.eat(',') {
            break;
        }
    }
    if !cursor.eat(']') {
        return Err(cursor.unexpected("`,` or `]`"));
    }
    match repeated(labels.iter()) {
        Some(label) => {
            Err(cursor.refused(format!("{what} items have to be unique, `{label}` is repeated"), begin..cursor.at()))
        }
        None => Ok(labels),
    }
}

fn label<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Error> {
    if cursor.eat('"') {
        let label = cursor.take_while(|c| c != '"');
        cursor.expect('"')?;
        return Ok(label);
    }
    match cursor.take_while(is_bare) {
        "" => Err(cursor.unexpected("a label")),
        label => Ok(label),
    }
}

fn repeated<'a>(labels: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    labels.map(String::as_str).find(|label| !seen.insert(*label))
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
