//! The small rules of the house: names, queues, serde, unsafe code, words.
//!
//! Each of them was a defect somewhere once: an unbounded queue that ate the memory, an internal type that became a
//! file format, a module that nobody could name.
//!
//! What holds: exceptions stand in the lists at the top, with the reason beside them.

use super::source::{Source, word_ends};
use super::tree::TextFile;

/// File stems that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "misc", "helper", "helpers", "manager", "handler", "handlers", "stuff", "shared"];

/// Where serde may be derived: what crosses the boundary of the process. A path or the start of one.
const BOUNDARIES: &[&str] = &[
    "src/core/attempt.rs",
    "src/core/cbor.rs",
    "src/core/event.rs",
    "src/core/id.rs",
    "src/core/idset.rs",
    "src/core/resource/",
    "src/core/task.rs",
    "src/core/time.rs",
    "src/core/view/",
    "src/core/worker.rs",
    "src/wire/",
    "src/access/",
    "journal/src/",
];

/// Where `unsafe` may stand, with its SAFETY comment: the platform, and the bare system calls that it is compared with.
const UNSAFE: &[&str] = &["src/platform/", "benches/spawn.rs"];

/// Where `libc` and `nix` may be called: the platform; what guards the two doors (ports, directories) by calls that are
/// safe; and what measures or tests from outside.
const SYSTEM: &[&str] = &[
    "src/platform/",
    "src/wire/gate.rs",
    "src/wire/dial.rs",
    "src/wire/doors.rs",
    "src/wire/stream.rs",
    "src/access/guard.rs",
    "src/access/tests.rs",
    "journal/",
    "tests/",
    "benches/",
];

/// The files that are run by their name.
const EXECUTABLE: &[&str] =
    &[".ci/run", "examples/factors.sh", "scripts/build-static.sh", "scripts/install-deps.sh", "scripts/test.sh"];

/// Characters of a line of Rust.
const LINE_CHARS_MAX: usize = 130;

/// Files with longer lines, and how long: macros, which rustfmt leaves alone. May only shrink.
const LONG_LINES: &[(&str, usize)] = &[("src/core/cbor.rs", 168)];

/// Words that belong to a place of work and not to the program. Split, so that this file does not contain them.
const WORKPLACE: &[&[&str]] = &[
    &["/wo", "rk/main"],
    &["/wo", "rk/wt"],
    &["/wo", "rk/shared"],
    &["/wo", "rk/briefs"],
    &["the br", "ief"],
    &["this ses", "sion of work"],
    &["work ses", "sion"],
    &["hel", "per-"],
    &["sub", "agent"],
    &["crates-", "io mirror"],
    &["static.crates", ".io"],
];

fn starts_with_any(path: &str, list: &[&str]) -> bool {
    list.iter().any(|start| path.starts_with(start))
}

/// Files that do not open with `//!` and two sentences or clauses: what it is, and why or what holds. Small files, and the
/// tests of a module in a file beside it, need only the first.
pub fn module_docs(files: &[Source]) -> Vec<String> {
    let documented = |file: &Source| {
        let docs: Vec<&str> =
            file.raw.lines().map_while(|line| line.strip_prefix("//!")).flat_map(str::split_whitespace).collect();
        let letters: usize = docs.iter().map(|word| word.len()).sum();
        let clauses = docs.iter().filter(|word| word.ends_with(['.', ':', ';', ','])).count();
        let tests = file.path.ends_with("tests.rs") || file.path.contains("tests/");
        let small = file.raw.lines().count() <= 80;
        if tests || small { letters >= 25 } else { letters >= 50 && clauses >= 2 }
    };
    files
        .iter()
        .filter(|file| !documented(file))
        .map(|file| format!("{}open with `//!`: what it is, why, what holds", file.at(1)))
        .collect()
}

/// Files and directories whose names say nothing.
pub fn file_names(paths: &[String]) -> Vec<String> {
    let empty = |path: &&String| {
        path.ends_with(".rs")
            && path.split('/').any(|part| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or_default()))
    };
    paths.iter().filter(empty).map(|path| format!("{path}: name it after the concept inside")).collect()
}

/// Queues that can grow without limit.
pub fn unbounded_queues(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            let std_queue =
                line.contains("mpsc::channel()") || line.contains("mpsc::channel::<") && line.contains(">()");
            if !word_ends(line, "unbounded_channel").is_empty() || std_queue {
                found.push(format!("{}an unbounded queue: give it a limit from `limits`", file.at(number)));
            }
        }
    }
    found
}

/// Serde derives outside the boundary files.
pub fn serde_derives(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !starts_with_any(&file.path, BOUNDARIES)) {
        for (number, line) in file.lines().filter(|(_, line)| line.contains("derive(")) {
            if !word_ends(line, "Serialize").is_empty() || !word_ends(line, "Deserialize").is_empty() {
                let text = "only boundary types derive serde: convert by hand, or list the file as a boundary";
                found.push(format!("{}{text}", file.at(number)));
            }
        }
    }
    found
}

/// `unsafe` elsewhere than in the platform, or without its reason.
pub fn unsafe_code(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let raw: Vec<&str> = file.raw.lines().collect();
        for (number, line) in file.lines().filter(|(_, line)| !word_ends(line, "unsafe").is_empty()) {
            let said = raw[number.saturating_sub(8)..number].iter().any(|line| line.contains("SAFETY"));
            if !starts_with_any(&file.path, UNSAFE) {
                found.push(format!("{}`unsafe` belongs into src/platform", file.at(number)));
            } else if line.contains("unsafe {") && !said {
                found.push(format!("{}write `// SAFETY:` above, with the reason", file.at(number)));
            }
        }
    }
    found
}

/// Calls of the operating system's own interface from elsewhere than the platform.
pub fn system_calls(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !starts_with_any(&file.path, SYSTEM)) {
        for (number, line) in file.lines() {
            let calls = |name: &str| word_ends(line, name).iter().any(|&end| line[end..].starts_with("::"));
            if calls("libc") || calls("nix") {
                found.push(format!("{}only src/platform calls libc and nix", file.at(number)));
            }
        }
    }
    found
}

/// Tests that are ignored, or pass by panicking anywhere at all.
pub fn switched_off_tests(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            let start = line.trim_start();
            if start.starts_with("#[ignore") || start.starts_with("#[should_panic") {
                found.push(format!("{}a test runs and says what it expects", file.at(number)));
            }
        }
    }
    found
}

/// Marks of unfinished work that nobody can look up.
pub fn unnumbered_work(files: &[TextFile]) -> Vec<String> {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("tests/tidy")) {
        for (index, line) in file.text.lines().enumerate() {
            for mark in &marks {
                let open = word_ends(line, mark).iter().any(|&end| !line[end..].starts_with("(#"));
                if open {
                    found.push(format!(
                        "{}:{}: {mark} without a number: do it, or `{mark}(#12)`",
                        file.path,
                        index + 1
                    ));
                }
            }
        }
    }
    found
}

/// Words that a reader who never saw our desks cannot understand.
pub fn workplace_words(files: &[TextFile]) -> Vec<String> {
    let words: Vec<String> = WORKPLACE.iter().map(|parts| parts.concat()).collect();
    let mut found = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            let low = line.to_lowercase();
            for word in words.iter().filter(|word| low.contains(word.as_str())) {
                found.push(format!("{}:{}: `{word}` is about the workplace: say it otherwise", file.path, index + 1));
            }
        }
    }
    found
}

/// Lines of Rust that do not fit a screen; rustfmt does not break literals and comments.
pub fn long_lines(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let listed = LONG_LINES.iter().find(|(path, _)| *path == file.path).map(|(_, chars)| *chars);
        let most = listed.unwrap_or(LINE_CHARS_MAX);
        let longest = file.raw.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        for (index, line) in file.raw.lines().enumerate() {
            let chars = line.chars().count();
            if chars > most {
                found.push(format!("{}{chars} characters; at most {most}", file.at(index + 1)));
            }
        }
        if listed.is_some_and(|listed| longest < listed) {
            found.push(format!("{}: its longest line has {longest}: lower or remove the list entry", file.path));
        }
    }
    found
}

/// Files with an executable bit that are not listed, and listed files without one.
pub fn executables(have: &[String]) -> Vec<String> {
    let unlisted = have.iter().filter(|path| !EXECUTABLE.contains(&path.as_str()));
    let missing = EXECUTABLE.iter().filter(|listed| !have.iter().any(|path| path == *listed));
    unlisted
        .map(|path| format!("{path}: is executable but not listed: chmod -x, or list it"))
        .chain(missing.map(|path| format!("{path}: is listed as executable and is not: chmod +x, or unlist it")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects no violation in `good` and one in `bad`, both at `path`.
    fn check(rule: fn(&[Source]) -> Vec<String>, path: &str, good: &str, bad: &str) {
        assert_eq!(rule(&[Source::new(path, good)]), Vec::<String>::new());
        assert_eq!(rule(&[Source::new(path, bad)]).len(), 1, "{bad}");
    }

    fn check_text(rule: fn(&[TextFile]) -> Vec<String>, good: &str, bad: &str) {
        let file = |text: &str| [TextFile { path: "a.md".to_owned(), text: text.to_owned() }];
        assert_eq!(rule(&file(good)), Vec::<String>::new());
        assert_eq!(rule(&file(bad)).len(), 1, "{bad}");
    }

    #[test]
    fn rules_about_rust() {
        let docs = "//! The widget of the frob: turns it.\n//!\n//! Without it nothing turns, hence it is here.\n";
        check(module_docs, "a.rs", docs, "use std::fmt;\n");
        check(module_docs, "a.rs", "//! How a widget is turned in the end.\n", "//! Widget.\n");
        let long = "fn f() {}\n".repeat(100);
        check(module_docs, "a.rs", &format!("{docs}{long}"), &format!("//! How a widget is turned.\n{long}"));
        check(unbounded_queues, "a.rs", "mpsc::channel(8); // unbounded_channel", "mpsc::unbounded_channel();");
        check(unbounded_queues, "a.rs", "mpsc::sync_channel::<u8>(8)", "mpsc::channel::<u8>()");
        check(serde_derives, "a.rs", "#[derive(Debug)]", "#[derive(Debug, Serialize)]");
        check(unsafe_code, "src/server/a.rs", "#![forbid(unsafe_code)]", "unsafe { x() }");
        check(unsafe_code, "src/platform/a.rs", "// SAFETY: x is y.\nunsafe { x() }", "unsafe { x() }");
        check(system_calls, "src/wire/a.rs", "use std::io;", "libc::getpid();");
        check(switched_off_tests, "a.rs", "#[test]", "#[ignore]");
        check(long_lines, "a.rs", "fn f() {}", &"x".repeat(200));
    }

    #[test]
    fn rules_about_text() {
        let mark = ["TO", "DO"].concat();
        check_text(unnumbered_work, &format!("{mark}(#3): more"), &format!("{mark}: more"));
        check_text(workplace_words, "the session keys", &["see /wo", "rk/shared/x.md"].concat());
    }

    #[test]
    fn rules_about_files() {
        let paths = |list: &[&str]| list.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
        assert!(file_names(&paths(&["src/core/lease.rs", "docs/common.md"])).is_empty());
        assert_eq!(file_names(&paths(&["src/util.rs", "src/helpers/x.rs"])).len(), 2);
        assert!(executables(&paths(EXECUTABLE)).is_empty());
        assert_eq!(executables(&paths(&["src/main.rs"])).len(), EXECUTABLE.len() + 1);
    }
}
