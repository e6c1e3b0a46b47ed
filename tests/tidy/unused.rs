//! Public items that nothing but tests names.
//!
//! The compiler tells of private ones only; whatever is public in a library it takes for used, also when the only users of
//! the library are the other crates of this repository.
//!
//! What holds: an item is found by its name, so one that has the name of another item may stay unnoticed; none is found that
//! is used.

use super::source::{Source, is_word};
use std::collections::BTreeMap;

/// Items for tests that are in the way of nothing else: names, or files with many of them.
const FOR_TESTS: &[&str] = &[
    // The disk of the tests of the journal, and of the simulator.
    "journal/src/disk/model.rs",
    "journal/src/disk/model/edit.rs",
    "journal/src/disk/model/step.rs",
    // What the simulator's oracle has to know of the machine.
    "is_claimed",
];

const KINDS: &[&str] = &["fn ", "const ", "struct ", "enum ", "type ", "trait ", "static "];

/// The code of a file without its tests; nothing for files of tests.
fn product(file: &Source) -> &str {
    let is_test = file.path.ends_with("tests.rs") || file.path.contains("tests/");
    let end = file.code.find("#[cfg(test)]\nmod tests {").unwrap_or(file.code.len());
    if is_test { "" } else { &file.code[..end] }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii() || !is_word(c as u8)).filter(|word| !word.is_empty())
}

/// The name that a line declares for others.
fn declared(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
    let rest = rest.strip_prefix(' ')?;
    let rest = ["const fn ", "async fn "]
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))
        .or_else(|| KINDS.iter().find_map(|kind| rest.strip_prefix(kind)))?;
    words(rest).next()
}

/// Public items of the libraries that only tests use, or nobody.
pub fn violations(files: &[Source]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in files.iter().flat_map(|file| words(product(file))) {
        *counts.entry(word).or_default() += 1;
    }
    let mut found = Vec::new();
    let libraries = files.iter().filter(|file| !file.path.starts_with("benches/") && !file.path.contains("/benches/"));
    for file in libraries.filter(|file| !FOR_TESTS.contains(&file.path.as_str())) {
        let mut before = "";
        for (index, line) in product(file).lines().enumerate() {
            let is_for_tests = before.trim() == "#[cfg(test)]";
            if let Some(name) = declared(line).filter(|name| !is_for_tests && !FOR_TESTS.contains(name))
                && counts.get(name) == Some(&1)
            {
                let text = "is used by nothing but tests: remove it, or put `#[cfg(test)]` before it";
                found.push(format!("{}`{name}` {text}", file.at(index + 1)));
            }
            before = if line.trim().is_empty() { before } else { line };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_only_tests_use_are_found() {
        let tests = "\n#[cfg(test)]\nmod tests {\n    fn all() { a(); b(); C; }\n}\n";
        let of = |text: &str| violations(&[Source::new("src/a.rs", &format!("{text}{tests}"))]);
        assert_eq!(of("pub fn a() { b() }\n/// Not a().\npub(crate) fn b() { a() }"), [""; 0]);
        assert_eq!(of("#[cfg(test)]\n/// For tests.\npub fn a() {}\n"), [""; 0]);
        assert_eq!(of("pub fn a() {}\n/// Calls a().\npub const fn b() {}\npub(super) const C: u8 = 1;").len(), 3);
        let bench = Source::new("benches/x.rs", "use hq::a;");
        assert_eq!(violations(&[Source::new("src/a.rs", "pub struct a;"), bench]), [""; 0]);
    }
}
