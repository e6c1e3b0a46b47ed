//! Which module may use which.
//!
//! The table is the architecture: it says what a part can possibly depend on, and so what a change can possibly break.
//! The compiler holds the borders of the two crates; this file holds the rest.
//!
//! What holds: a path `crate::x`, `super::..::x`, `hq_core::x`, `hq_journal::x` or `hyperqueue::x` anywhere in the
//! sources, grouped or not, is an edge; an edge that no entry allows is a violation.

use super::source::{Source, is_word};

/// Every module with the prefixes of what it may use. `core` and `journal` are crates of their own.
pub const DIRECTIONS: &[(&str, &[&str])] = &[
    // Level 0: neither knows the other.
    ("core", &[]),
    ("journal", &[]),
    // Level 1.
    ("grammar", &["core"]),
    ("platform", &["core::resource", "core::overview"]),
    // Level 2.
    ("eventlog", &["core", "journal"]),
    ("wire", &["core", "platform"]),
    ("batch", &["core", "grammar", "platform"]),
    // Names and secrets of peers, which the access file holds; nothing about connections.
    ("access", &["wire::key", "wire::SecretKey", "wire::Role", "wire::Identity", "wire::ServerUid", "platform"]),
    // Level 3. Placeholders are resolved where a task starts, hence worker -> grammar.
    ("server", &["core", "journal", "eventlog", "wire", "batch", "access", "platform"]),
    ("worker", &["core", "batch", "journal::disk", "journal::stream", "grammar", "wire", "access", "platform"]),
    // The client reads journals and streams; it never writes one.
    (
        "client",
        &[
            "core",
            "journal::reading",
            "journal::Error",
            "journal::ReplayError",
            "journal::disk",
            "journal::journal",
            "journal::lock",
            "journal::read_dir",
            "journal::salvage",
            "journal::scan",
            "journal::stream",
            "eventlog",
            "grammar",
            "wire",
            "access",
            "platform",
        ],
    ),
    ("web", &["core::view", "server::session"]),
    // Level 4: from the arguments to the mode that they ask for.
    ("launch", &["client", "server", "worker", "web", "batch", "access", "wire", "grammar", "platform", "core"]),
    ("main", &["launch", "client", "server", "worker", "web", "access", "grammar", "platform", "core"]),
];

/// Parts of the core that only some may touch: who decides, and who keeps the state. Part, users.
const INNER: &[(&str, &[&str])] = &[
    ("core::state", &["core", "eventlog", "server", "main"]),
    ("core::machine", &["core", "server", "main"]),
    ("core::decide", &["core"]),
    ("core::place", &["core"]),
    ("core::agent", &["core", "worker"]),
];

/// Inside the core: the state interprets events and decides nothing; the worker's agent knows no server. Start of the
/// path, parts of the core that it must not use.
const INSIDE_CORE: &[(&str, &[&str])] = &[
    ("src/core/state", &["decide", "place", "machine", "agent"]),
    ("src/core/place", &["decide", "machine", "agent"]),
    ("src/core/decide", &["machine", "agent"]),
    ("src/core/agent", &["state", "decide", "place", "machine"]),
    ("src/core/event.rs", &["state", "decide", "place", "machine", "agent"]),
];

/// The module that a file belongs to; none for the lists of modules, tests and benchmarks.
fn module_of(path: &str) -> Option<&str> {
    if path.starts_with("journal/src/") {
        return Some("journal");
    }
    let rest = path.strip_prefix("src/")?;
    if rest == "lib.rs" {
        return None;
    }
    let first = rest.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// Depth of a file's module below its crate's root: 1 for `src/wire/mod.rs`, 2 for `src/wire/frame.rs`.
fn depth_of(path: &str) -> usize {
    let inside = ["src/core/", "journal/src/", "src/"].iter().find_map(|root| path.strip_prefix(root));
    let parts = inside.unwrap_or(path).split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// A used path with the line where it stands: `["core", "view"]`.
type Use = (usize, Vec<String>);

/// What a file uses of other modules, as paths from the root of the whole.
fn uses(file: &Source) -> Vec<Use> {
    let own_crate = match module_of(&file.path) {
        Some(name @ ("core" | "journal")) => vec![name.to_owned()],
        _ => Vec::new(),
    };
    let roots = [
        ("crate::", own_crate.clone()),
        ("hyperqueue::", Vec::new()),
        ("hq_core::", vec!["core".to_owned()]),
        ("hq_journal::", vec!["journal".to_owned()]),
    ];
    let mut found = Vec::new();
    for (word, prefix) in &roots {
        for (start, _) in file.code.match_indices(word) {
            if !follows_word(&file.code, start) {
                collect(file, start, start + word.len(), prefix, &mut found);
            }
        }
    }
    for (start, _) in file.code.match_indices("super::") {
        if follows_word(&file.code, start) || file.code[..start].ends_with("super::") {
            continue;
        }
        let chain = file.code[start..].split("super::").skip(1).take_while(|rest| rest.is_empty()).count() + 1;
        if chain >= depth_of(&file.path) {
            collect(file, start, start + chain * "super::".len(), &own_crate, &mut found);
        }
    }
    found
}

fn follows_word(code: &str, start: usize) -> bool {
    start.checked_sub(1).is_some_and(|before| is_word(code.as_bytes()[before]) || code.as_bytes()[before] == b':')
}

fn collect(file: &Source, start: usize, tree: usize, prefix: &[String], found: &mut Vec<Use>) {
    let line = file.code[..start].matches('\n').count() + 1;
    let mut at = tree;
    let mut paths = Vec::new();
    use_tree(file.code.as_bytes(), &mut at, prefix.to_vec(), &mut paths);
    found.extend(paths.into_iter().map(|path| (line, path)));
}

/// Reads `a::b`, `a::{b, c::d}`, `*`, `self` from `at` on.
fn use_tree(code: &[u8], at: &mut usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    loop {
        while code.get(*at).is_some_and(u8::is_ascii_whitespace) {
            *at += 1;
        }
        if code.get(*at) == Some(&b'{') {
            *at += 1;
            while !matches!(code.get(*at), None | Some(b'}')) {
                let before = *at;
                use_tree(code, at, path.clone(), paths);
                while code.get(*at).is_some_and(|byte| !matches!(byte, b',' | b'}')) {
                    *at += 1;
                }
                if code.get(*at) == Some(&b',') || *at == before {
                    *at += 1;
                }
            }
            *at += 1;
            return;
        }
        let word: Vec<u8> = code[(*at).min(code.len())..].iter().copied().take_while(|&byte| is_word(byte)).collect();
        *at += word.len();
        let word = String::from_utf8_lossy(&word).into_owned();
        if !word.is_empty() && word != "self" {
            path.push(word);
        }
        if code.get(*at..*at + 2) != Some(b"::") {
            if !path.is_empty() {
                paths.push(path);
            }
            return;
        }
        *at += 2;
    }
}

fn allows(entries: &[&str], path: &[String]) -> bool {
    entries.iter().any(|entry| {
        let wanted: Vec<&str> = entry.split("::").collect();
        path.len() >= wanted.len() && wanted.iter().zip(path).all(|(want, have)| want == have)
    })
}

/// Edges that the tables do not allow.
pub fn violations(files: &[Source]) -> Vec<String> {
    let names: Vec<&str> = DIRECTIONS.iter().map(|(name, _)| *name).collect();
    let mut found = Vec::new();
    for file in files {
        let Some(module) = module_of(&file.path) else { continue };
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| *name == module) else {
            found.push(format!("{}module `{module}` has no place in the table of directions", file.at(1)));
            continue;
        };
        for (line, path) in uses(file) {
            let Some(first) = path.first().filter(|first| names.contains(&first.as_str())) else { continue };
            let shown = path.iter().take(2).cloned().collect::<Vec<_>>().join("::");
            // A macro of the core stands at its root: `hq_core::int_struct!`.
            if first != module && !allows(allowed, &path) {
                found.push(format!("{}{module} -> {shown} is not an allowed direction", file.at(line)));
            }
            let inner = INNER.iter().find(|(part, _)| allows(&[part], &path));
            if inner.is_some_and(|(_, users)| !users.contains(&module)) {
                found.push(format!("{}{module} must not use {shown}", file.at(line)));
            }
            if first == "core" && module == "core" {
                let own = INSIDE_CORE.iter().filter(|(start, _)| file.path.starts_with(start));
                if own.flat_map(|(_, parts)| parts.iter()).any(|part| path.get(1).is_some_and(|have| have == part)) {
                    found.push(format!("{}this part of the core must not use {shown}", file.at(line)));
                }
            }
        }
    }
    found
}

/// Entries of the table that name no module, or that close a circle.
pub fn table_violations(table: &[(&str, &[&str])]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (name, entries)) in table.iter().enumerate() {
        for entry in *entries {
            let target = entry.split("::").next().unwrap_or_default();
            match table.iter().position(|(other, _)| *other == target) {
                None => found.push(format!("{name} -> {entry}: no such module")),
                Some(place) if place >= index => {
                    found.push(format!("{name} -> {entry}: a module uses only what stands above it"));
                }
                Some(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expect: &[&str]) {
        let found = violations(&[Source::new(path, text)]);
        assert_eq!(found.len(), expect.len(), "{path} {text}: {found:?}");
        for (line, part) in found.iter().zip(expect) {
            assert!(line.contains(part), "{line} lacks {part}");
        }
    }

    #[test]
    fn allowed_edges_pass() {
        check("src/wire/seal.rs", "use crate::platform::random;\nuse hq_core::{id::JobId, time};", &[]);
        check("src/worker/output.rs", "use hq_journal::stream::Writer;", &[]);
        check("src/platform/hardware.rs", "use hq_core::resource::{Pool, Amount};", &[]);
        check("src/client/render/job.rs", "use super::table;\nuse super::super::link;", &[]);
        check("src/core/decide/submit.rs", "use crate::{state::State, event::Event};", &[]);
        check("src/main.rs", "use hyperqueue::{client, server::Options};", &[]);
        check("src/access/mod.rs", "use crate::wire::key::SecretKey; // crate::server", &[]);
    }

    #[test]
    fn forbidden_edges_fail() {
        check("src/wire/seal.rs", "use crate::grammar::duration;", &["wire -> grammar::duration"]);
        check("src/worker/output.rs", "use hq_journal::{stream, log::Log};", &["worker -> journal::log"]);
        check("src/access/file.rs", "use crate::{wire::{key, frame}};", &["access -> wire::frame"]);
        check("src/platform/clock.rs", "fn f() { hq_core::id::x(); }", &["platform -> core::id"]);
        check("src/client/wait.rs", "use hq_core::machine::Machine;", &["client must not use core::machine"]);
        check("src/client/a/b.rs", "use super::super::super::server::x;", &["client -> server::x"]);
        check("src/core/state/jobs.rs", "use crate::decide::submit;", &["must not use core::decide"]);
        check("src/extra/mod.rs", "", &["no place in the table"]);
        check("journal/src/log.rs", "use hq_core::id;", &["journal -> core::id"]);
    }

    #[test]
    fn the_table_goes_downwards_only() {
        assert_eq!(table_violations(DIRECTIONS), Vec::<String>::new());
        assert_eq!(table_violations(&[("a", &["b"]), ("b", &["c"])]).len(), 2);
    }
}
