//! Rules about what comes from others: where it may come from, and under which licence.
//!
//! A dependency runs with all rights of the user, so none may slip in from a repository of somebody, or without its checksum.
//! `cargo deny check` reads the same `deny.toml` and asks for advisories as well; this needs no network.
//!
//! What holds: every package of the lock file is ours or has the registry of crates.io and a checksum; every licence
//! expression is met by what `deny.toml` allows.

use std::process::Command;

/// The only place that packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages of the lock file from elsewhere, or whose content is not pinned.
pub fn sources(lock: &str, ours: &[&str]) -> Vec<String> {
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let value = |key: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
                Some(line.trim_matches('"'))
            };
            let name = value("name").unwrap_or("?");
            let pinned = value("source") == Some(REGISTRY) && value("checksum").is_some_and(|sum| sum.len() == 64);
            (!pinned && !ours.contains(&name)).then(|| {
                format!(
                    "Cargo.lock: {name} comes from {:?}; take it from crates.io",
                    value("source").unwrap_or("nowhere")
                )
            })
        })
        .collect()
}

/// The licences that `deny.toml` allows.
pub fn allowed(deny: &str) -> Vec<&str> {
    let list = deny.lines().find_map(|line| line.strip_prefix("allow = [")).unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// Name and licence of every package that is built for this machine's system.
pub fn licences() -> Vec<(String, String)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let words = ["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", &host];
    let output = Command::new(cargo).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |package: &serde_json::Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let packages = value["packages"].as_array().expect("packages");
    packages.iter().map(|package| (text(package, "name"), text(package, "license"))).collect()
}

/// Packages whose licence is not met by the allowed ones.
pub fn unlicensed(packages: &[(String, String)], allowed: &[&str]) -> Vec<String> {
    let is_bad = |licence: &str| !is_met(licence, allowed);
    let bad = packages.iter().filter(|(_, licence)| is_bad(licence));
    bad.map(|(name, licence)| format!("{name}: licence {licence:?} is not among {allowed:?} (deny.toml)")).collect()
}

/// Whether an SPDX expression, with `/` as the older `OR`, is met. A licence with an exception needs the licence itself.
fn is_met(expression: &str, allowed: &[&str]) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    any_of(&words, &mut at, allowed) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    let met = if word == "(" {
        let met = any_of(words, at, allowed);
        *at += 1;
        met
    } else {
        allowed.contains(&word)
    };
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    met
}

#[test]
fn sources_and_licences_are_understood() {
    let good = "[[package]]\nname = \"a\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let sum = format!("checksum = \"{}\"\n", "0".repeat(64));
    assert!(sources(&format!("{good}{sum}[[package]]\nname = \"ours\"\n"), &["ours"]).is_empty());
    assert_eq!(sources(good, &[]).len(), 1, "without a checksum");
    assert_eq!(sources(&format!("[[package]]\nname = \"b\"\nsource = \"git+https://x\"\n{sum}"), &[]).len(), 1);
    let allowed = ["MIT", "Unicode-3.0"];
    for met in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "MIT WITH x OR GPL-3.0"]
    {
        assert!(is_met(met, &allowed), "{met}");
    }
    for not in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR BSD) AND MIT", "MIT MIT", "MIT )"] {
        assert!(!is_met(not, &allowed), "{not}");
    }
}
