//! Rules about the documents: one title, links that lead somewhere, invariants with their tests.
//!
//! A document that names a test which is gone promises something that nobody checks any more.
//!
//! What holds: every paragraph of `docs/architecture.md` that starts with `**Invariant:**` ends with `Held by` and
//! the names, in backquotes, of tests or files that exist.

use super::lengths::functions;
use super::source::Source;
use super::tree::TextFile;

/// What marks a promise of the architecture.
const MARK: &str = "**Invariant:**";

/// Lines outside fenced blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// Markdown files without a title, or with several.
pub fn titles(files: &[TextFile]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .filter_map(|file| {
            let count = prose(&file.text).iter().filter(|(_, line)| line.starts_with("# ")).count();
            (count != 1).then(|| format!("{}: {count} titles (`# `); one wanted", file.path))
        })
        .collect()
}

/// Links to files that are not there. Only relative links are looked at.
pub fn dead_links(files: &[TextFile], paths: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (number, line) in prose(&file.text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let wanted = resolve(dir, target.trim_end_matches('/'));
                let there = paths.iter().any(|path| *path == wanted || path.starts_with(&format!("{wanted}/")));
                if !there {
                    found.push(format!("{}:{number}: {target} is not there", file.path));
                }
            }
        }
    }
    found
}

fn resolve(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Invariants that name no test, or one that is gone.
pub fn invariants(text: &str, files: &[Source], paths: &[String]) -> Vec<String> {
    let names: Vec<String> = files.iter().flat_map(functions).map(|(name, _)| name).collect();
    let exists = |token: &str| {
        let last = token.rsplit("::").next().unwrap_or_default();
        names.iter().any(|name| name == last) || paths.iter().any(|path| path == token)
    };
    let mut found = Vec::new();
    let mut count = 0;
    for paragraph in text.split("\n\n") {
        for promise in paragraph.split(MARK).skip(1) {
            count += 1;
            let start: String = promise.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
            let Some((_, held)) = promise.split_once("Held by") else {
                found.push(format!("`{start} ...`: say `Held by` and the name of the test"));
                continue;
            };
            let end = held.find(". ").or_else(|| held.find(".\n")).unwrap_or(held.len());
            let tokens: Vec<&str> = held[..end].split('`').skip(1).step_by(2).collect();
            if tokens.is_empty() {
                found.push(format!("`{start} ...`: name the test in backquotes"));
            }
            for token in tokens.iter().filter(|token| !exists(token)) {
                found.push(format!("`{start} ...`: there is no test or file `{token}`"));
            }
        }
    }
    if count == 0 {
        found.push(format!("no paragraph starts with {MARK}"));
    }
    found
}

/// Rows of the tables of `docs/guarantees.md` whose last column names no test, or one that is gone.
pub fn guarantees(text: &str, files: &[Source]) -> Vec<String> {
    let names: Vec<String> = files.iter().flat_map(functions).map(|(name, _)| name).collect();
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let numbered = cells[0].len() >= 2 && cells[0].starts_with(['G', 'T']);
        if cells.len() < 3 || !numbered {
            continue;
        }
        let tests: Vec<&str> = cells[cells.len() - 1].split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            found.push(format!("docs/guarantees.md:{number}: {} names no test", cells[0]));
        }
        for test in tests.iter().filter(|test| !names.iter().any(|name| name == *test)) {
            found.push(format!("docs/guarantees.md:{number}: {} names `{test}`, which is not there", cells[0]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<TextFile> {
        vec![TextFile { path: path.to_owned(), text: text.to_owned() }]
    }

    #[test]
    fn a_document_has_one_title() {
        assert!(titles(&file("a.md", "# A\n\n```sh\n# comment\n```\n## B\n")).is_empty());
        assert_eq!(titles(&file("a.md", "# A\n# B\n")).len(), 1);
        assert_eq!(titles(&file("a.md", "text\n")).len(), 1);
    }

    #[test]
    fn links_are_followed_from_their_document() {
        let paths = vec!["docs/guide/a.md".to_owned(), "README.md".to_owned()];
        let check = |text: &str, expect: usize| {
            assert_eq!(dead_links(&file("docs/b.md", text), &paths).len(), expect, "{text}");
        };
        check("[a](guide/a.md) [r](../README.md#x) [w](https://example.org) [d](guide)", 0);
        check("[a](a.md) and [b](../docs/none.md)", 2);
    }

    #[test]
    fn an_invariant_names_a_test() {
        let files = [Source::new("tests/a.rs", "fn it_holds() {}\n")];
        let paths = vec!["src/core/clippy.toml".to_owned()];
        let check = |text: &str, expect: usize| {
            assert_eq!(invariants(text, &files, &paths).len(), expect, "{text}");
        };
        check("**Invariant:** A holds. Held by `tests::it_holds` and `src/core/clippy.toml`.", 0);
        check("**Invariant:** A holds. Held by `it_holds`. Also see `that`.", 0);
        check("**Invariant:** A holds.\n\n**Invariant:** B. Held by people.", 2);
        check("**Invariant:** A holds. Held by `it_held`.", 1);
        check("nothing", 1);
    }

    #[test]
    fn a_guarantee_names_a_test() {
        let files = [Source::new("tests/a.rs", "fn it_holds() {}\n")];
        let check = |row: &str, expect: usize| assert_eq!(guarantees(row, &files).len(), expect, "{row}");
        check("| G1 | It holds. | `it_holds` |", 0);
        check("| | Promise | Held by |", 0);
        check("| G1 | It holds. | people |", 1);
        check("| T1 | It holds. | `it_holds`, `it_held` |", 1);
    }
}
