//! Files that hold what is expected, and the one way to change them.
//!
//! Holds: without `HQ_BLESS=1` nothing is written.

use std::path::Path;

/// Lines that are shown before the first one that differs.
const CONTEXT_LINES: usize = 3;
/// Lines that are shown from the first one that differs.
const SHOWN_LINES: usize = 12;

/// Whether the expected files are to be written anew.
pub fn is_blessing() -> bool {
    std::env::var("HQ_BLESS").is_ok_and(|value| value == "1")
}

/// Fails where a file of the repository is not `text`, or writes it when that was asked for.
#[track_caller]
pub fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if expected == text {
        return;
    }
    if is_blessing() {
        let dir = file.parent().expect("a directory");
        std::fs::create_dir_all(dir).expect("a directory");
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    panic!("{}", difference(path, &expected, text));
}

fn difference(path: &str, expected: &str, text: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.split('\n').collect(), text.split('\n').collect());
    let at = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let from = at.saturating_sub(CONTEXT_LINES);
    let part = |lines: &[&str]| {
        let shown = &lines[from.min(lines.len())..(at + SHOWN_LINES).min(lines.len())];
        shown.iter().map(|line| format!("    {line}\n")).collect::<String>()
    };
    format!(
        "{path} differs from line {}; if the change is meant, run this test with HQ_BLESS=1\n--- expected\n{}--- is\n{}",
        at + 1,
        part(&old),
        part(&new)
    )
}

#[test]
fn a_difference_is_shown_where_it_begins() {
    let text = difference("a.txt", "1\n2\n3\n4\n5\n6", "1\n2\n3\n4\nx\n6");
    assert!(text.starts_with("a.txt differs from line 5;"), "{text}");
    assert!(
        text.contains("--- expected\n    2\n    3\n    4\n    5\n    6\n--- is\n    2\n    3\n    4\n    x\n"),
        "{text}"
    );
    assert!(difference("a", "1", "1\n2").contains("--- is\n    1\n    2\n"));
}
