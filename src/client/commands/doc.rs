//! `hq doc`: where the manual is.
//!
//! Login nodes often have no way out, so the manual lies beside the program unless whoever built it named another place.
//!
//! Holds: every topic leads to a page of the manual.

use crate::client::arguments::{DocArgs, TopicWord};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::platform::{browser, host};
use std::path::{Path, PathBuf};

/// Where the manual is published; set when the program is built.
const PUBLISHED: Option<&str> = option_env!("HQ_DOC_ROOT");
/// Where the manual is installed, from the directory above that of the program.
const INSTALLED: &str = "share/doc/hyperqueue";

/// Runs the command.
///
/// # Errors
/// [`Error::System`] when the program cannot be found or no browser be started, and see [`Console::text`].
pub fn run(args: &DocArgs, console: &mut Console) -> Result<(), Error> {
    let page = page(args.topic);
    let url = match PUBLISHED {
        Some(root) => format!("{}/{page}", root.trim_end_matches('/')),
        None => installed(page)?,
    };
    if args.open {
        return browser::open(&url).map_err(|source| Error::System { doing: "open a browser", source });
    }
    console.text(&format!("{url}\n"))
}

fn installed(page: &str) -> Result<String, Error> {
    let program = host::executable().map_err(|source| Error::System { doing: "find this program", source })?;
    let path = beside(&program, page);
    // The part behind `#` is no part of the file's name.
    if !beside(&program, page.split('#').next().unwrap_or(page)).exists() {
        log::warn!("The manual is not installed there; copy the directory docs/guide and CHANGELOG.md of the sources");
    }
    Ok(file_url(&path))
}

fn beside(program: &Path, page: &str) -> PathBuf {
    let prefix = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    prefix.join(INSTALLED).join(page)
}

/// The path as an address (RFC 8089); characters that cannot stand there are written as `%XX`.
fn file_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'#' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                url.push(char::from(*byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

fn page(topic: Option<TopicWord>) -> &'static str {
    match topic {
        Some(TopicWord::Job) => "guide/jobs.md",
        Some(TopicWord::TaskArray | TopicWord::Cheatsheet) => "guide/submitting.md",
        Some(TopicWord::Resources) => "guide/submitting.md#resources",
        Some(TopicWord::Worker) => "guide/workers.md",
        Some(TopicWord::Changelog) => "CHANGELOG.md",
        // What has no page of its own yet is looked for from the list of all.
        None | Some(TopicWord::AutoAlloc | TopicWord::PythonApi | TopicWord::Faq) => "guide/README.md",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_topic_has_a_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for topic in TopicWord::value_variants().iter().copied().map(Some).chain([None]) {
            let page = page(topic);
            let (file, heading) = page.split_once('#').unwrap_or((page, ""));
            let path = if file == "CHANGELOG.md" { root.join(file) } else { root.join("docs").join(file) };
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let has_heading = text.lines().any(|line| line.to_lowercase() == format!("## {heading}"));
            assert!(heading.is_empty() || has_heading, "{page}");
        }
    }

    #[test]
    fn addresses_of_files() {
        let url = file_url(&beside(Path::new("/opt/my hq%/bin/hq"), "guide/submitting.md#resources"));
        assert_eq!(url, "file:///opt/my%20hq%25/share/doc/hyperqueue/guide/submitting.md#resources");
    }
}
