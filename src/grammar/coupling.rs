//! Couplings of groups as people declare them: `cpus[0]:gpus/nvidia[0],cpus[1]:gpus/nvidia[1]=512`.
//!
//! Names and groups mean something only beside the pools of a worker, so a text is read together with these.
//!
//! Holds: what is read names pools by their place in the given order, the smaller place first, and is sorted; the
//! printed form gives the same coupling back.

use super::Error;
use super::cursor::is_blank;
use hq_core::limits::WORKER_COUPLINGS_MAX;
use hq_core::resource::{Coupling, CouplingWeight, Pool, PoolKind};
use std::collections::BTreeSet;

/// One end of a pair: place of the pool, and group within it.
type End = (u32, u32);

/// Reads a declaration for these pools, which have to be in their final order.
///
/// # Errors
/// A wrong token, a resource or group that is not there, a weight above 65535, a pair that occurs twice, or more than
/// [`WORKER_COUPLINGS_MAX`] pairs; each points at the place.
pub fn parse(text: &str, pools: &[Pool]) -> Result<Coupling, Error> {
    let mut weights = Vec::new();
    let mut seen = BTreeSet::new();
    let mut rest = Some(Part { text, start: 0, end: text.len() });
    while let Some(part) = rest {
        let item;
        (item, rest) = match part.split(',') {
            Some((item, rest)) => (item, Some(rest)),
            None => (part, None),
        };
        let found = pair(item, pools)?;
        if !seen.insert((found.resource1, found.group1, found.resource2, found.group2)) {
            return Err(item.trim().refused("Repeated coupling definition"));
        }
        if seen.len() > WORKER_COUPLINGS_MAX {
            return Err(item.trim().refused(format!("a worker has at most {WORKER_COUPLINGS_MAX} couplings")));
        }
        weights.push(found);
    }
    weights.sort_unstable();
    Ok(Coupling { weights })
}

/// Prints a coupling of these pools in the form that [`parse`] reads; pairs of pools that are not there are left out.
pub fn print(coupling: &Coupling, pools: &[Pool]) -> String {
    let name = |place: u32| pools.get(place as usize).map(|pool| pool.name.as_str());
    let items = coupling.weights.iter().filter_map(|item| {
        let (first, second) = (name(item.resource1)?, name(item.resource2)?);
        let weight = match item.weight {
            Coupling::WEIGHT_DEFAULT => String::new(),
            weight => format!("={weight}"),
        };
        Some(format!("{first}[{}]:{second}[{}]{weight}", item.group1, item.group2))
    });
    items.collect::<Vec<_>>().join(",")
}

fn pair(item: Part<'_>, pools: &[Pool]) -> Result<CouplingWeight, Error> {
    let (first, second) = item.split(':').ok_or_else(|| item.trim().refused("Missing ':'"))?;
    let (second, weight) = match second.split('=') {
        Some((second, weight)) => (second, weigh(weight.trim())?),
        None => (second, Coupling::WEIGHT_DEFAULT),
    };
    let (first, second) = (end(first, pools)?, end(second, pools)?);
    let ((resource1, group1), (resource2, group2)) =
        if first.0 <= second.0 { (first, second) } else { (second, first) };
    Ok(CouplingWeight { resource1, group1, resource2, group2, weight })
}

fn weigh(part: Part<'_>) -> Result<u32, Error> {
    let weight = part.is_number().then(|| part.as_str().parse::<u16>().ok()).flatten();
    weight.map(u32::from).ok_or_else(|| {
        part.refused(format!("Invalid weight: {}; it has to be a number from 0 to 65535", part.as_str()))
    })
}

/// `NAME [ GROUP ]` with blanks anywhere between.
fn end(part: Part<'_>, pools: &[Pool]) -> Result<End, Error> {
    let part = part.trim();
    let (name, rest) = part.split('[').ok_or_else(|| part.refused("Missing '['"))?;
    let (group, rest) = rest.split(']').ok_or_else(|| part.refused("Missing ']'"))?;
    if !rest.trim().as_str().is_empty() {
        return Err(Error::unexpected("`:`, `,`, `=` or the end", part.text, rest.trim().range()));
    }
    let (name, group) = (name.trim(), group.trim());
    let number = group.is_number().then(|| group.as_str().parse::<u8>().ok()).flatten();
    let number = number.ok_or_else(|| {
        group.refused(format!("Invalid group index: {}; it has to be a number from 0 to 255", group.as_str()))
    })?;
    let shown = name.as_str();
    let place = pools.iter().position(|pool| pool.name == shown);
    let (place, pool) = place
        .and_then(|place| Some((place, pools.get(place)?)))
        .ok_or_else(|| name.refused(format!("Resource not found: {shown}")))?;
    let PoolKind::Groups(groups) = &pool.kind else {
        return Err(name.refused(format!("Resource '{shown}' has only a single group")));
    };
    if usize::from(number) >= groups.len() {
        let last = groups.len().saturating_sub(1);
        return Err(group.refused(format!("Invalid group id {number} for resource '{shown}'; the last one is {last}")));
    }
    Ok((u32::try_from(place).unwrap_or(u32::MAX), u32::from(number)))
}

/// A part of the text, by its bytes.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    fn as_str(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or("")
    }

    /// Where it stands; one character at least, so that an empty part can be pointed at.
    fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end.max(self.start + 1)
    }

    /// What is before and after the first such character, which is one byte long.
    fn split(&self, separator: char) -> Option<(Self, Self)> {
        let at = self.start + self.as_str().find(separator)?;
        Some((Self { end: at, ..*self }, Self { start: at + separator.len_utf8(), ..*self }))
    }

    fn trim(&self) -> Self {
        let shown = self.as_str();
        let lead = shown.len() - shown.trim_start_matches(is_blank).len();
        let start = self.start + lead;
        Self { start, end: start + shown.trim_matches(is_blank).len(), ..*self }
    }

    fn is_number(&self) -> bool {
        !self.as_str().is_empty() && self.as_str().bytes().all(|byte| byte.is_ascii_digit())
    }

    fn refused(&self, reason: impl Into<String>) -> Error {
        Error::refused(reason, self.text, self.range())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool;
    use super::*;
    use proptest::prelude::*;

    fn pools() -> Vec<Pool> {
        let definitions = ["gpus/x=[[a,b],[c,d],[e,f]]", "cpus=3x4", "foo=range(0-3)", "mem=sum(100)"];
        pool::assemble(definitions.map(|text| pool::parse(text).unwrap()).into()).unwrap().pools
    }

    fn weight(ends: [u32; 4], weight: u32) -> CouplingWeight {
        let [resource1, group1, resource2, group2] = ends;
        CouplingWeight { resource1, group1, resource2, group2, weight }
    }

    #[test]
    fn declarations() {
        let read = |text: &str| parse(text, &pools()).unwrap().weights;
        // Sorted by name: cpus, foo, gpus/x, mem.
        assert_eq!(read("cpus[0]:gpus/x[1]"), [weight([0, 0, 2, 1], 256)]);
        assert_eq!(read(" gpus/x [ 2 ] : cpus[1] = 7 "), [weight([0, 1, 2, 2], 7)]);
        let both = [weight([0, 0, 0, 2], 0), weight([0, 1, 2, 0], 65_535)];
        assert_eq!(read("cpus[1]:gpus/x[0]=65535, cpus[0]:cpus[2]=0"), both);
        // The mirrored pair within one resource is another one.
        assert_eq!(read("cpus[0]:cpus[2],cpus[2]:cpus[0]").len(), 2);
        let coupling = parse("cpus[1]:gpus/x[0]=12,cpus[0]:gpus/x[2]", &pools()).unwrap();
        assert_eq!(print(&coupling, &pools()), "cpus[0]:gpus/x[2],cpus[1]:gpus/x[0]=12");
    }

    #[test]
    fn refusals_point_at_the_place() {
        let table = [
            ("gpus[0]:cpus[0]", "Resource not found: gpus", 0..4),
            ("cpus[0]:mem[0]", "Resource 'mem' has only a single group", 8..11),
            ("cpus[0]:foo[0]", "Resource 'foo' has only a single group", 8..11),
            ("cpus[3]:gpus/x[0]", "Invalid group id 3 for resource 'cpus'", 5..6),
            ("cpus[0]:gpus/x[0]=x", "Invalid weight: x", 18..19),
            ("cpus[0]:gpus/x[0]=65536", "Invalid weight: 65536", 18..23),
            ("cpus[0]:gpus/x[0]=+1", "Invalid weight: +1", 18..20),
            ("cpus[a]:gpus/x[0]", "Invalid group index: a", 5..6),
            ("cpus[256]:gpus/x[0]", "Invalid group index: 256", 5..8),
            ("cpus[]:gpus/x[0]", "Invalid group index: ", 5..6),
            ("cpus[0]", "Missing ':'", 0..7),
            ("", "Missing ':'", 0..1),
            ("cpus[0]:gpus/x[0],", "Missing ':'", 18..19),
            ("cpus:gpus/x[0]", "Missing '['", 0..4),
            ("cpus[0:gpus/x[0]", "Missing ']'", 0..6),
            ("cpus[0]:gpus/x[0]a", "unexpected token", 17..18),
            ("cpus[0]:gpus/x[0], gpus/x[0]:cpus[0]=3", "Repeated coupling definition", 19..38),
        ];
        for (text, message, place) in table {
            let error = parse(text, &pools()).unwrap_err();
            assert!(error.to_string().starts_with(message), "{text}: {error}");
            assert_eq!(error.bytes(), place, "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_coupling_or_an_error(text in "([a-z/,:=\\[\\]0-9 é]|cpus\\[|gpus/x\\[|\\]){0,40}") {
            if let Ok(coupling) = parse(&text, &pools()) {
                prop_assert_eq!(parse(&print(&coupling, &pools()), &pools()), Ok(coupling));
            }
        }
    }
}
