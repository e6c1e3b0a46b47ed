//! Entry files: one entry a task, from the lines of a file or the elements of a JSON array.
//!
//! Files may be larger than what is wanted of them, so they are read piece by piece and only chosen entries are kept.
//!
//! Holds: memory is bounded by the limits on entries, however large the file is; an entry's position in the file is its
//! task's id.

use super::error::Error;
use super::render::gauge::Counted;
use super::render::{escape, json};
use hq_core::idset::{IdRange, IdSet};
use hq_core::limits;
use hq_core::task::Entries;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

/// Size of an entry file from which on a warning is given, in bytes.
const LARGE_FILE_BYTES: u64 = 100 * 1_000 * 1_000;
/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// The entries that were chosen, with the ids of their tasks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chosen {
    /// The entries.
    pub entries: Entries,
    /// Position of each in the file, ascending.
    pub ids: IdSet,
}

/// Reads the lines of a file; with `filter`, only those whose number (from 0) is listed.
///
/// # Errors
/// [`Error::File`], and [`Error::Invalid`] beyond the limits.
pub fn read_lines(path: &Path, filter: Option<&IdSet>) -> Result<Chosen, Error> {
    let mut reader = open(path)?;
    let mut collector = Collector::new(path, filter);
    let mut line = Vec::new();
    while !collector.is_done() {
        let wanted = collector.wants_next();
        if !read_line(&mut reader, &mut line, wanted).map_err(|source| unreadable(path, source))? {
            break;
        }
        collector.add(&line)?;
    }
    Ok(collector.finish())
}

/// Reads the elements of the JSON array in a file, each printed compactly with sorted keys.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`] for a file that is no JSON array and beyond the limits.
pub fn read_json(path: &Path, filter: Option<&IdSet>) -> Result<Chosen, Error> {
    let mut reader = open(path)?;
    let first = first_character(&mut reader).map_err(|source| unreadable(path, source))?;
    let mut collector = Collector::new(path, filter);
    let mut refusal = None;
    let room = Rc::new(Cell::new(limits::ENTRY_TEXT_BYTES_MAX));
    let mut parser = serde_json::Deserializer::from_reader(Bounded { reader, room: Rc::clone(&room) });
    let parsed = match first {
        // An object or a scalar gets the sentence below, anything else what the parser says.
        Some(b'{' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => Err(None),
        _ => {
            let elements = Elements { collector: &mut collector, refusal: &mut refusal, room };
            elements.deserialize(&mut parser).and_then(|()| parser.end()).map_err(Some)
        }
    };
    match (parsed, refusal) {
        (_, Some(refusal)) => Err(refusal),
        (Ok(()), None) => Ok(collector.finish()),
        (Err(None), None) => Err(Error::Invalid(format!(
            "The top element of the provided JSON file has to be an array ({})",
            escape::path(path)
        ))),
        (Err(Some(error)), None) => Err(Error::Invalid(format!("Cannot read {} as JSON: {error}", escape::path(path)))),
    }
}

fn open(path: &Path) -> Result<BufReader<Counted<File>>, Error> {
    log::info!("Reading file: {}", escape::path(path));
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let bytes = file.metadata().map_err(|source| unreadable(path, source))?.len();
    if bytes > LARGE_FILE_BYTES {
        log::warn!("Reading a file of {} MB; consider a smaller one", bytes / 1_000_000);
    }
    // What tells no length, such as a pipe, has none to compare with.
    let total = (bytes > 0).then_some(bytes);
    Ok(BufReader::with_capacity(READ_BYTES, Counted::new(file, "Reading entries", total)))
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::File { doing: "read", path: path.to_owned(), source }
}

/// Reads up to the next newline, which is not kept; of a line that is not wanted, nothing is kept, and one that is too
/// long is not read beyond what shows that. False at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, wanted: bool) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = match reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if wanted {
            let room = (limits::ENTRY_BYTES_MAX + 1).saturating_sub(line.len());
            line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
            if line.len() > limits::ENTRY_BYTES_MAX {
                return Ok(true);
            }
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The first byte that is no blank, without taking it.
fn first_character(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(position) => return Ok(bytes.get(position).copied()),
            None => {
                let blanks = bytes.len();
                reader.consume(blanks);
            }
        }
    }
}

/// Puts chosen entries together within the limits.
struct Collector<'a> {
    path: &'a Path,
    wanted: Option<Ascending>,
    position: u64,
    entries: Entries,
    ids: Vec<u32>,
}

impl<'a> Collector<'a> {
    fn new(path: &'a Path, filter: Option<&IdSet>) -> Self {
        Self { path, wanted: filter.map(Ascending::new), position: 0, entries: Entries::default(), ids: Vec::new() }
    }

    /// Whether no later entry can be chosen.
    fn is_done(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.next().is_none())
    }

    fn wants_next(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.next().map(u64::from) == Some(self.position))
    }

    /// Takes the entry at the next position, if it is chosen.
    fn add(&mut self, entry: &[u8]) -> Result<(), Error> {
        let position = self.position;
        let wanted = self.wants_next();
        self.position += 1;
        if !wanted {
            return Ok(());
        }
        if let Some(ascending) = &mut self.wanted {
            ascending.advance();
        }
        let id = u32::try_from(position).map_err(|_| self.refuse("more entries than there are task ids"))?;
        if entry.len() > limits::ENTRY_BYTES_MAX {
            let limit = limits::ENTRY_BYTES_MAX;
            return Err(self.refuse(&format!("entry {position} is longer than the {limit} bytes that are allowed")));
        }
        if self.entries.len() >= limits::SUBMIT_ENTRIES_MAX {
            let limit = limits::SUBMIT_ENTRIES_MAX;
            return Err(
                self.refuse(&format!("it has more than the {limit} entries that are allowed; submit it in parts"))
            );
        }
        if self.entries.bytes.len() + entry.len() > limits::SUBMIT_ENTRIES_BYTES_MAX {
            let limit = limits::SUBMIT_ENTRIES_BYTES_MAX;
            return Err(self.refuse(&format!("all entries together are larger than {limit} bytes; submit it in parts")));
        }
        self.entries.bytes.extend_from_slice(entry);
        let end = u32::try_from(self.entries.bytes.len()).map_err(|_| self.refuse("the entries are too large"))?;
        self.entries.ends.push(end);
        self.ids.push(id);
        Ok(())
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::Invalid(format!("{} cannot be used: {reason}", escape::path(self.path)))
    }

    fn finish(self) -> Chosen {
        Chosen { entries: self.entries, ids: IdSet::from_sorted(self.ids) }
    }
}

/// The members of a set in ascending order, whatever the order of its ranges.
struct Ascending {
    /// The next member of each range, with the range.
    heads: BinaryHeap<Reverse<(u32, u64, usize)>>,
    ranges: Vec<IdRange>,
}

impl Ascending {
    fn new(ids: &IdSet) -> Self {
        let heads = ids.ranges.iter().enumerate().filter_map(|(at, range)| Some(Reverse((range.nth(0)?, 0, at))));
        Self { heads: heads.collect(), ranges: ids.ranges.clone() }
    }

    fn next(&self) -> Option<u32> {
        self.heads.peek().map(|Reverse((id, _, _))| *id)
    }

    fn advance(&mut self) {
        let Some(Reverse((_, position, at))) = self.heads.pop() else { return };
        if let Some(id) = self.ranges.get(at).and_then(|range| range.nth(position + 1)) {
            self.heads.push(Reverse((id, position + 1, at)));
        }
    }
}

/// Takes the elements of an array one by one.
struct Elements<'a, 'b> {
    collector: &'a mut Collector<'b>,
    refusal: &'a mut Option<Error>,
    room: Rc<Cell<usize>>,
}

/// A reader that ends with an error where an element is too long, before all of it is in memory.
struct Bounded<R> {
    reader: R,
    /// Bytes that may still be read; the taker of the elements sets it anew for each.
    room: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        let left = self.room.get().checked_sub(read).ok_or_else(|| {
            let limit = limits::ENTRY_TEXT_BYTES_MAX;
            io::Error::other(format!("an element is longer than the {limit} bytes that are allowed"))
        })?;
        self.room.set(left);
        Ok(read)
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        use serde::de::Error as _;
        while let Some(element) = elements.next_element::<Value>()? {
            self.room.set(limits::ENTRY_TEXT_BYTES_MAX);
            let text = if self.collector.wants_next() { json::compact(&element) } else { String::new() };
            if let Err(refusal) = self.collector.add(text.as_bytes()) {
                *self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::array;
    use std::io::Write;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn texts(chosen: &Chosen) -> Vec<&[u8]> {
        (0..chosen.entries.len()).map(|position| chosen.entries.get(position).unwrap()).collect()
    }

    fn lines(content: &[u8], filter: Option<&str>) -> Chosen {
        let filter = filter.map(|text| array::parse(text).unwrap());
        read_lines(file(content).path(), filter.as_ref()).unwrap()
    }

    #[test]
    fn lines_are_kept_as_they_are() {
        let chosen = lines(b"a\r\n\n\xff b\n", None);
        assert_eq!(texts(&chosen), [&b"a\r"[..], b"", b"\xff b"]);
        assert_eq!(chosen.ids.to_string(), "0-2");
        assert_eq!(lines(b"", None), Chosen::default());
        assert_eq!(texts(&lines(b"a\nb", None)), [b"a", b"b"]);
    }

    #[test]
    fn a_filter_chooses_by_position() {
        let chosen = lines(b"a\nb\nc\nd\ne\n", Some("4,1-3:2,100-4294967295"));
        assert_eq!(texts(&chosen), [b"b", b"d", b"e"]);
        assert_eq!(chosen.ids.to_string(), "1,3-4");
        assert_eq!(lines(b"a\n", Some("7")), Chosen::default());
        // What is not chosen is not held against the limits.
        let long = [vec![b'x'; limits::ENTRY_BYTES_MAX + 1], b"\nok\n".to_vec()].concat();
        assert_eq!(texts(&lines(&long, Some("1"))), [b"ok"]);
        let refused = read_lines(file(&long).path(), None).unwrap_err().to_string();
        assert!(refused.contains("entry 0 is longer than the 122880 bytes"), "{refused}");
    }

    #[test]
    fn elements_are_printed_compactly() {
        let text = r#" [ {"b": 1e3, "a": [1, 2 ]}, "é\n", null, 5] "#;
        let chosen = read_json(file(text.as_bytes()).path(), None).unwrap();
        let expected = [r#"{"a":[1,2],"b":1000.0}"#, r#""é\n""#, "null", "5"];
        assert_eq!(texts(&chosen), expected.map(str::as_bytes));
        let only = array::parse("3,0").unwrap();
        let chosen = read_json(file(text.as_bytes()).path(), Some(&only)).unwrap();
        assert_eq!(texts(&chosen), [expected[0].as_bytes(), b"5"]);
        assert_eq!(chosen.ids.to_string(), "0,3");
        assert_eq!(read_json(file(b"[]").path(), None).unwrap(), Chosen::default());
    }

    #[test]
    fn what_is_too_long_is_not_read_to_its_end() {
        let huge = tempfile::NamedTempFile::new().unwrap();
        huge.as_file().set_len(1 << 40).unwrap();
        let said = read_lines(huge.path(), None).unwrap_err().to_string();
        assert!(said.contains("entry 0 is longer than the 122880 bytes that are allowed"), "{said}");
        let said = read_json(huge.path(), None).unwrap_err().to_string();
        assert!(said.contains("as JSON: expected value at line 1 column 1"), "{said}");
        let blanks = [vec![b' '; limits::ENTRY_TEXT_BYTES_MAX], b"5]".to_vec()].concat();
        let text = [b"[1,".to_vec(), blanks].concat();
        let said = read_json(file(&text).path(), None).unwrap_err().to_string();
        assert!(said.contains("an element is longer than the 8388608 bytes that are allowed"), "{said}");
        let nested = [b"[".to_vec(), vec![b'['; 100_000]].concat();
        let said = read_json(file(&nested).path(), None).unwrap_err().to_string();
        assert!(said.contains("recursion limit exceeded"), "{said}");
        let many = vec![b'\n'; limits::SUBMIT_ENTRIES_MAX + 1];
        let said = read_lines(file(&many).path(), None).unwrap_err().to_string();
        assert!(said.contains("it has more than the 6000000 entries that are allowed"), "{said}");
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["{}", "5", "\"[]\"", "null"] {
            let error = read_json(file(text.as_bytes()).path(), None).unwrap_err().to_string();
            assert!(error.contains("The top element of the provided JSON file has to be an array"), "{text}: {error}");
        }
        for text in ["", "[1", "[1] 2", "x"] {
            let error = read_json(file(text.as_bytes()).path(), None).unwrap_err().to_string();
            assert!(error.starts_with("Cannot read /"), "{text}: {error}");
        }
        let missing = read_lines(Path::new("/nonexistent/x"), None).unwrap_err();
        assert!(matches!(missing, Error::File { .. }), "{missing}");
    }
}
