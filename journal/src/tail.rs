//! The tail: append-only files that hold the newest records, one fdatasync per commit group.
//!
//! Nothing is cheaper to make durable and easier to save than a plain file of self-checking records, so this is the
//! durable edge of the log; the page store only takes over what is already safe here.
//!
//! **Invariant:** a tail file appears under its name only with an intact, durable head.
//! **Invariant:** nothing is ever written into a file whose last close was not orderly; its intact part is copied
//! instead.
//! **Invariant:** damage is taken for an unfinished write only if no record proves that the bytes were durable: each
//! record tells by its group index up to which sequence everything was durable when it was written.
//! **Invariant:** records that go on in the next one count only with the last of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, File};
use crate::error::Error;
use crate::record::{FLAG_GOES_ON, Header, KIND_TAIL_HEAD, Point, RecordRef, encode_into};
use crate::scan::{Found, Scanner};

/// Suffix of a tail file that is being made.
pub const NEW_SUFFIX: &str = ".new";

/// One tail file and the intact records in it.
#[derive(Clone)]
pub struct Part {
    /// Number in the file's name; later files have larger ones.
    pub generation: u64,
    /// Where it is.
    pub path: PathBuf,
    /// The open file.
    pub file: Arc<dyn File>,
    /// The record before the first of this file.
    pub before: Point,
    /// The last record that counts.
    pub end: Point,
    /// Length in bytes of the part that counts.
    pub bytes: u64,
    /// Tag of the journal.
    pub tag: u16,
}

/// A place in a tail file: behind a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The file's number.
    pub generation: u64,
    /// Offset of what follows the record.
    pub offset: u64,
    /// The record.
    pub last: Point,
}

impl Part {
    /// Whether no record is in it.
    pub fn is_empty(&self) -> bool {
        self.end.seq == self.before.seq
    }

    /// Calls `f` for each record after `after` in this part, checking the chain.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the part no longer holds what it held, or the system's error. `f` ends the reading by
    /// returning false.
    pub fn read(&self, after: u64, f: &mut dyn FnMut(RecordRef<'_>) -> bool) -> Result<(), Error> {
        self.read_on(None, after, f).map(|_| ())
    }

    /// As [`Part::read`], from a spot of this part on, if there is one; gives the spot where the reading ended.
    ///
    /// # Errors
    /// As [`Part::read`].
    pub fn read_on(
        &self,
        spot: Option<Spot>,
        after: u64,
        f: &mut dyn FnMut(RecordRef<'_>) -> bool,
    ) -> Result<Spot, Error> {
        let io = |e| Error::io("read", &self.path, e);
        let spot = spot.filter(|spot| spot.generation == self.generation && spot.last.seq <= after);
        let mut scanner = Scanner::new(&*self.file, spot.map_or(0, |spot| spot.offset), self.bytes).map_err(io)?;
        let mut last = spot.map_or(self.before, |spot| spot.last);
        let mut head = spot.is_none();
        let ended = |offset: u64, last: Point| Spot { generation: self.generation, offset, last };
        while last.seq < self.end.seq || head {
            let at = scanner.position();
            let (record, to) = match scanner.next().map_err(io)? {
                Some(Found::Valid { record, to, .. }) => (record, to),
                Some(Found::Damaged { from, to } | Found::TornTail { from, to }) => {
                    return Err(self.damaged(from, to, "the bytes are no longer those that were written"));
                }
                None => {
                    return Err(self.damaged(at, self.bytes, "the file is shorter than it was"));
                }
            };
            if std::mem::take(&mut head) {
                continue;
            }
            if record.header.seq != last.seq + 1 || record.header.prev != last.chain {
                return Err(self.damaged(at, self.bytes, "the chain of records is broken"));
            }
            last = Point { seq: record.header.seq, epoch: record.header.epoch, chain: record.header.chain };
            if last.seq > after && !f(record) {
                return Ok(ended(to, last));
            }
        }
        Ok(ended(scanner.position(), last))
    }

    fn damaged(&self, from: u64, to: u64, why: &str) -> Error {
        Error::Damaged { path: self.path.clone(), from, to, why: why.to_owned() }
    }
}

/// What scanning a tail file found behind its intact records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// First byte that does not continue the chain.
    pub from: u64,
    /// Where the next intact record begins, or the end of the file.
    pub to: u64,
    /// Highest sequence that a later record proves to have been durable; 0 without proof.
    pub proven_seq: u64,
}

/// A tail file as found at the start.
pub struct Scanned {
    /// The intact part.
    pub part: Part,
    /// What follows it, if anything.
    pub broken: Option<Break>,
    /// Whole length of the file in bytes.
    pub file_bytes: u64,
}

/// Name of the tail file of a generation.
pub fn part_name(generation: u64) -> String {
    format!("tail-{generation:010}.hqt")
}

/// The generation of a tail file's name.
pub fn part_generation(name: &str) -> Option<u64> {
    name.strip_prefix("tail-")?.strip_suffix(".hqt")?.parse().ok()
}

fn new_name(generation: u64) -> String {
    format!("{}{NEW_SUFFIX}", part_name(generation))
}

/// Makes a tail file that starts with `records`, which continue `before`; durable when this returns.
///
/// # Errors
/// The system's error; a file with the final name may be left then, or come back after a power loss: [`discard`].
pub fn create(
    disk: &dyn Disk,
    dir: &Path,
    generation: u64,
    tag: u16,
    before: Point,
    end: Point,
    records: &[u8],
) -> Result<Part, Error> {
    let path = dir.join(part_name(generation));
    let new = dir.join(new_name(generation));
    let mut bytes = Vec::with_capacity(records.len() + 64);
    let head = Header {
        kind: KIND_TAIL_HEAD,
        seq: before.seq + 1,
        epoch: before.epoch,
        prev: before.chain,
        tag,
        ..Header::default()
    };
    encode_into(&mut bytes, &head, &[]);
    bytes.extend_from_slice(records);
    let io = |e| Error::io("write", &new, e);
    if disk.open(&new, Access::Read).is_ok() {
        disk.remove(&new).map_err(io)?;
    }
    let made = disk.open(&new, Access::CreateNew).and_then(|file| {
        file.write_at(0, &bytes)?;
        file.sync_data()?;
        disk.rename(&new, &path)?;
        disk.sync_dir(dir)?;
        Ok(file)
    });
    let file = match made {
        Ok(file) => file,
        Err(e) => {
            // Either name may exist now, and neither is needed.
            let _gone = disk.remove(&new).or_else(|_| disk.remove(&path));
            return Err(io(e));
        }
    };
    Ok(Part { generation, path, file, before, end, bytes: bytes.len() as u64, tag })
}

/// Takes away what a [`create`] that failed may have left; that is durable when this returns.
///
/// # Errors
/// The system's error; the file may be left, or come back after a power loss.
pub fn discard(disk: &dyn Disk, dir: &Path, generation: u64) -> Result<(), Error> {
    for name in [new_name(generation), part_name(generation)] {
        let path = dir.join(name);
        match disk.remove(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &path, e)),
            _ => {}
        }
    }
    disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

/// Reads a tail file from its head on and finds where its intact chain ends.
///
/// # Errors
/// [`Error::Damaged`] when the head is not intact, or the system's error.
pub fn scan(disk: &dyn Disk, dir: &Path, generation: u64) -> Result<Scanned, Error> {
    let path = dir.join(part_name(generation));
    let io = |e| Error::io("read", &path, e);
    let file = disk.open(&path, Access::Write).or_else(|_| disk.open(&path, Access::Read)).map_err(io)?;
    let file_bytes = file.bytes().map_err(io)?;
    let mut scanner = Scanner::new(&*file, 0, file_bytes).map_err(io)?;
    let head = match scanner.next().map_err(io)? {
        Some(Found::Valid { record, .. }) if record.header.kind == KIND_TAIL_HEAD && record.header.seq > 0 => {
            record.header
        }
        _ => {
            let why = "the head of the tail file is not intact".to_owned();
            return Err(Error::Damaged { path, from: 0, to: file_bytes.min(64), why });
        }
    };
    let before = Point { seq: head.seq - 1, epoch: head.epoch, chain: head.prev };
    let mut end = before;
    let mut good = scanner.position();
    // The last record after which nothing is open.
    let mut whole = (end, good);
    let mut broken: Option<Break> = None;
    while let Some(found) = scanner.next().map_err(io)? {
        match (found, &mut broken) {
            (Found::Valid { record, to, .. }, None)
                if record.header.seq == end.seq + 1 && record.header.prev == end.chain =>
            {
                end = Point { seq: record.header.seq, epoch: record.header.epoch, chain: record.header.chain };
                good = to;
                if record.header.flags & FLAG_GOES_ON == 0 {
                    whole = (end, good);
                }
            }
            (Found::Valid { record, from, to }, broken) => {
                let b = broken.get_or_insert(Break { from, to, proven_seq: 0 });
                let h = record.header;
                if h.tag == head.tag && h.seq > end.seq {
                    b.proven_seq = b.proven_seq.max(h.seq.saturating_sub(u64::from(h.group_index) + 1));
                }
            }
            (Found::Damaged { from, to } | Found::TornTail { from, to }, broken) => {
                broken.get_or_insert(Break { from, to, proven_seq: 0 });
            }
        }
    }
    let proven_seq = broken.map_or(0, |broken| broken.proven_seq);
    if whole.0 != end && proven_seq <= whole.0.seq {
        let to = broken.map_or(file_bytes, |broken| broken.to);
        broken = Some(Break { from: whole.1, to, proven_seq });
        (end, good) = whole;
    }
    let part =
        Part { generation, path: path.clone(), file: Arc::clone(&file), before, end, bytes: good, tag: head.tag };
    Ok(Scanned { part, broken, file_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ModelDisk;

    /// Three groups of two records each.
    fn records() -> (Vec<u8>, Vec<usize>, Point) {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut last = Point::default();
        for seq in 1..=6u64 {
            let group_index = u32::try_from((seq - 1) % 2).unwrap();
            let header = Header { kind: 1, seq, epoch: 1, prev: last.chain, tag: 9, group_index, ..Header::default() };
            let chain = encode_into(&mut out, &header, &[seq as u8; 10]);
            last = Point { seq, epoch: 1, chain };
            ends.push(64 + out.len());
        }
        (out, ends, last)
    }

    #[test]
    fn only_an_unproven_end_is_a_torn_write() {
        let disk = ModelDisk::new();
        let dir = Path::new("/j");
        let (bytes, ends, last) = records();
        let part = create(&disk, dir, 1, 9, Point::default(), last, &bytes).unwrap();
        for at in 64..part.bytes {
            let at = usize::try_from(at).unwrap();
            disk.edit(&part.path, |b| b[at] ^= 1);
            let found = scan(&disk, dir, 1).unwrap();
            let hit = ends.iter().position(|e| at < *e).unwrap();
            assert_eq!(found.part.end.seq, hit as u64);
            let broken = found.broken.unwrap();
            // A record of the last group proves groups one and two; a record of the second proves the first.
            let proven = if hit < 4 { 4 } else { found.part.end.seq.min(4) };
            if hit < 4 {
                assert_eq!(broken.proven_seq, proven, "byte {at}");
            } else {
                assert!(broken.proven_seq <= found.part.end.seq, "byte {at}");
            }
            disk.edit(&part.path, |b| b[at] ^= 1);
        }
        assert!(scan(&disk, dir, 1).unwrap().broken.is_none());
        disk.edit(&part.path, |b| b[3] ^= 1);
        assert!(scan(&disk, dir, 1).is_err_and(|e| e.is_damage()));
    }

    #[test]
    fn what_goes_on_counts_with_its_end_only() {
        let disk = ModelDisk::new();
        let dir = Path::new("/j");
        let (mut bytes, mut ends) = (Vec::new(), vec![64]);
        let mut last = Point::default();
        for seq in 1..=6u64 {
            let flags = if [2, 4, 5].contains(&seq) { FLAG_GOES_ON } else { 0 };
            let group_index = u32::try_from(seq - 1).unwrap();
            let header =
                Header { kind: 1, flags, seq, epoch: 1, prev: last.chain, tag: 9, group_index, ..Header::default() };
            let chain = encode_into(&mut bytes, &header, &[seq as u8; 10]);
            last = Point { seq, epoch: 1, chain };
            ends.push(64 + bytes.len() as u64);
        }
        let part = create(&disk, dir, 1, 9, Point::default(), last, &bytes).unwrap();
        for cut in (64..=usize::try_from(part.bytes).unwrap()).rev() {
            disk.edit(&part.path, |b| b.truncate(cut));
            let found = scan(&disk, dir, 1).unwrap();
            let intact = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
            let counts = [0, 1, 1, 3, 3, 3, 6][intact];
            assert_eq!((found.part.end.seq, found.part.bytes), (counts, ends[counts as usize]), "cut at {cut}");
            assert_eq!(found.broken.is_some(), found.part.bytes < cut as u64);
        }
    }

    #[test]
    fn reading_checks_the_chain_and_skips() {
        let disk = ModelDisk::new();
        let (bytes, _, last) = records();
        let part = create(&disk, Path::new("/j"), 1, 9, Point::default(), last, &bytes).unwrap();
        let mut seen = Vec::new();
        part.read(4, &mut |r| {
            seen.push(r.header.seq);
            true
        })
        .unwrap();
        assert_eq!(seen, [5, 6]);
        disk.edit(&part.path, |b| b[100] ^= 1);
        assert!(part.read(0, &mut |_| true).is_err_and(|e| e.is_damage()));
    }

    #[test]
    fn names_and_generations_belong_together() {
        assert_eq!(part_generation(&part_name(42)), Some(42));
        for other in ["tail-0000000042.hqt.new", "mark", "tail-x.hqt"] {
            assert_eq!(part_generation(other), None);
        }
    }
}
