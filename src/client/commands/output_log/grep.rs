//! `hq output-log DIR grep`: lines of outputs that match a pattern.
//!
//! Holds: a line is found wherever it was cut into chunks; what is longer than [`LINE_BYTES_MAX`] counts as several lines,
//! so that memory is bounded; tasks come in the order of job and id.

use super::lines::Lines;
use super::{Directory, choose, passing};
use crate::client::arguments::StreamGrepArgs;
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::color::Palette;
use crate::client::render::gauge::{Gauge, Unit};
use hq_journal::stream::{CHANNEL_STDERR, CHANNEL_STDOUT, Instance, Key};
use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a line that are held to be searched.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What is to be found.
///
/// # Errors
/// [`Error::Invalid`] with the place of the mistake in the pattern.
pub(super) fn pattern(args: &StreamGrepArgs) -> Result<Regex, Error> {
    let built = RegexBuilder::new(&args.pattern).case_insensitive(args.ignore_case).build();
    built.map_err(|error| Error::Invalid(format!("The pattern cannot be used: {error}")))
}

/// Takes lines as chunks come.
struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    /// Calls `f` with each line that is complete, without its newline.
    fn add(&mut self, bytes: &[u8], f: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_end) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            if is_end && self.begun.is_empty() && text.len() <= LINE_BYTES_MAX {
                f(text)?;
                continue;
            }
            for part in text.chunks(LINE_BYTES_MAX) {
                if self.begun.len() + part.len() > LINE_BYTES_MAX {
                    f(&self.begun)?;
                    self.begun.clear();
                }
                self.begun.extend_from_slice(part);
            }
            if is_end {
                f(&self.begun)?;
                self.begun.clear();
            }
        }
        Ok(())
    }

    /// The last line may have no newline.
    fn end(self, f: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if self.begun.is_empty() { Ok(()) } else { f(&self.begun) }
    }
}

/// Prints what matches; whether anything did.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(
    dir: &mut Directory,
    args: &StreamGrepArgs,
    pattern: &Regex,
    console: &mut Console,
) -> Result<bool, Error> {
    console.is_raw();
    let mut lines = Lines::new(if args.count { Palette::OFF } else { console.palette() });
    if !args.list {
        // The numbers are as wide as those of `show`.
        dir.streams
            .for_each_task(None, &mut |all| {
                all.iter().for_each(|instance| lines.widen(instance.key));
                true
            })
            .map_err(super::broken)?;
    }
    let mut gauge = Gauge::beside_output("Searching", Unit::Things, None);
    let mut any = false;
    let scope = &args.scope;
    choose::for_each_in_scope(&dir.streams, scope, &mut |all| {
        let Some(newest) = all.last() else { return Ok(true) };
        gauge.add(1);
        let mut is_in_task = false;
        for channel in [CHANNEL_STDOUT, CHANNEL_STDERR] {
            if scope.channel.is_some_and(|only| only.number() != channel) || (args.list && is_in_task) {
                continue;
            }
            let mut count = 0u64;
            search(dir, newest, channel, pattern, &mut |line| {
                count += 1;
                if args.list || args.count {
                    return Ok(());
                }
                console.text(&lines.line(newest.key, channel, line))
            })?;
            is_in_task |= count > 0;
            if args.count && count > 0 {
                console.text(&lines.line(newest.key, channel, count.to_string().as_bytes()))?;
            }
        }
        if args.list && is_in_task {
            console.text(&listed(newest.key, scope.job.is_some()))?;
        }
        any |= is_in_task;
        Ok(true)
    })?;
    Ok(any)
}

fn listed(key: Key, of_one_job: bool) -> String {
    if of_one_job { format!("{}\n", key.task) } else { format!("{}.{}\n", key.job, key.task) }
}

fn search(
    dir: &Directory,
    instance: &Instance,
    channel: u8,
    pattern: &Regex,
    f: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut f = |line: &[u8]| if pattern.is_match(line) { f(line) } else { Ok(()) };
    let mut splitter = Splitter { begun: Vec::new() };
    passing(|verdict| dir.streams.read(instance, channel, &mut |_, bytes| verdict(splitter.add(bytes, &mut f))))?;
    splitter.end(&mut f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut splitter = Splitter { begun: Vec::new() };
        let mut keep = |line: &[u8]| {
            lines.push(line.to_vec());
            Ok(())
        };
        for chunk in chunks {
            splitter.add(chunk, &mut keep).unwrap();
        }
        splitter.end(&mut keep).unwrap();
        lines
    }

    #[test]
    fn lines_are_found_wherever_they_were_cut() {
        let text = b"one\n\ntwo three\nfour";
        let whole = split(&[text]);
        assert_eq!(whole, [&b"one"[..], b"", b"two three", b"four"]);
        for size in 1..text.len() {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(split(&chunks), whole, "{size}");
        }
        assert!(split(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_line_without_end_needs_bounded_memory() {
        let chunk = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        let lines = split(&[&chunk, &chunk, &chunk, b"\nend\n"]);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(lines.iter().map(Vec::len).sum::<usize>(), 3 * chunk.len() + 3);
    }
}
