//! Saves every intact record of a damaged journal into a new one, and names what is lost.
//!
//! A journal that refuses to open must not be the end of the work that it records: whatever verifies is kept, with
//! its sequence, and the gaps are filled with records that say so.
//!
//! **Invariant:** the damaged directory is only read, but for its lock; of the page store, which cannot be opened without
//! writing, a copy is opened.
//! **Invariant:** a record is saved only if its checksums hold; of two with one sequence the later file's counts.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::disk::{Access, Disk, OLD_SUFFIX};
use crate::error::Error;
use crate::journal::{LOCK_NAME, store_name, store_number};
use crate::kept::kept_base;
use crate::lock::LockError;
use crate::log::page::{Page, Piece};
use crate::mark::MarkFile;
use crate::record::{
    HEADER_BYTES, Header, KIND_LOST, KIND_TAIL_HEAD, Point, Record, RecordDraft, RecordRef, encode_into,
};
use crate::scan::{Found, Scanner};
use crate::store::{Store, StoreError};
use crate::tail;

/// Bytes of records in one tail file of the new journal.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1024 * 1024;
/// Most sequences that are filled in one gap; a longer one is no gap but nonsense.
const GAP_MAX: u64 = 10_000_000;

/// A range of sequences that could not be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// First lost sequence.
    pub from_seq: u64,
    /// Last lost sequence.
    pub to_seq: u64,
    /// Job of the record before the range, 0 for none: a hint which jobs are touched.
    pub job_before: u32,
    /// Job of the record after the range, 0 for none.
    pub job_after: u32,
}

/// What a repair found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Intact records.
    pub intact: u64,
    /// Sequence of the first and last of them.
    pub first_seq: u64,
    /// Sequence of the last one.
    pub last_seq: u64,
    /// What is missing between and after them.
    pub lost: Vec<Lost>,
    /// Damaged places, one sentence each.
    pub damaged: Vec<String>,
}

/// What a new journal is to have that the records of the old one do not say.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Sequences of records that are intact and are left out all the same.
    pub dropped: BTreeSet<u64>,
    /// The checkpoints that are copied.
    pub images: Vec<Checkpoint>,
    /// Records that are put behind everything else.
    pub appended: Vec<RecordDraft>,
}

/// A journal that nobody else can use meanwhile.
pub struct Salvage {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// In the order of their numbers.
    stores: Vec<CopiedStore>,
    _lock: Box<dyn Any + Send + Sync>,
}

/// A page store of which a copy was opened, if it could be.
struct CopiedStore {
    original: PathBuf,
    opened: Result<Arc<dyn Store>, StoreError>,
}

impl Salvage {
    /// Takes the lock of a journal directory, and copies its page stores: `scratch` is how the paths of the copies begin,
    /// which go when this is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] while a server uses the journal, or the system's error.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, scratch: &Path) -> Result<Self, Error> {
        let lock = disk.lock(&dir.join(LOCK_NAME)).map_err(|e| match e {
            LockError::Held(holder) => Error::Busy { path: dir.to_path_buf(), holder },
            LockError::Io(e) => Error::io("lock", dir, e),
        })?;
        let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| store_number(name)).collect();
        // More than one is there only when a pruning was cut off; the older one has the older records.
        numbers.sort_unstable();
        let mut stores = Vec::new();
        for name in numbers.into_iter().map(store_name) {
            let mut copy = scratch.as_os_str().to_owned();
            copy.push(format!("-{name}"));
            stores.push(open_copy(&*disk, dir.join(name), Path::new(&copy))?);
        }
        Ok(Self { disk, dir: dir.to_path_buf(), stores, _lock: lock })
    }

    /// The journal directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads every intact record in the order of sequences and hands it to `f`.
    ///
    /// # Errors
    /// The system's error, or that of `f`.
    pub fn scan(&self, f: &mut dyn FnMut(RecordRef<'_>) -> Result<(), Error>) -> Result<Report, Error> {
        let (disk, dir) = (&*self.disk, self.dir.as_path());
        let mut collector = Collector { report: Report::default(), last: None, newer: BTreeMap::new(), f };
        read_tails(disk, dir, &mut collector)?;
        self.stores.iter().try_for_each(|store| read_store(store, &mut collector))?;
        let rest = std::mem::take(&mut collector.newer);
        for record in rest.values() {
            collector.take(record.as_ref())?;
        }
        let marked = MarkFile::read(disk, dir)?.map_or(0, |m| m.durable.seq);
        let (mut report, last) = (collector.report, collector.last.unwrap_or_default());
        if marked > last.seq {
            let (from_seq, to_seq, job_before) = (last.seq + 1, marked, last.job);
            report.lost.push(Lost { from_seq, to_seq, job_before, job_after: 0 });
        }
        Ok(report)
    }

    /// Builds a journal in the empty or new directory `to` from every intact record, and from the plan. Sequences are
    /// kept; what is lost or left out becomes a record of the journal's own, which readers skip.
    ///
    /// # Errors
    /// As [`Salvage::scan`]; [`Error::Refused`] if `to` is not empty or nothing can be saved.
    pub fn rebuild(&self, to: &Path, plan: &Plan) -> Result<Report, Error> {
        let disk = &*self.disk;
        disk.create_dir(to).map_err(|e| Error::io("create", to, e))?;
        if !disk.list(to).map_err(|e| Error::io("list", to, e))?.is_empty() {
            return Err(Error::Refused { why: format!("{} is not empty; give a new directory", to.display()) });
        }
        let mut builder =
            Rebuilder { disk, dir: to, generation: 1, before: None, end: Point::default(), bytes: Vec::new() };
        let report = self.scan(&mut |record| match plan.dropped.contains(&record.header.seq) {
            true => {
                builder.begin(&record.header);
                builder.fill(record.header.seq, record.header.time_us)
            }
            false => builder.take(record),
        })?;
        if report.intact == 0 && plan.images.is_empty() {
            return Err(Error::Refused { why: format!("no intact record was found in {}", self.dir.display()) });
        }
        let lost = report.lost.last().map_or(0, |lost| lost.to_seq);
        let image = plan.images.iter().map(|image| image.at.seq).max().unwrap_or(0);
        if builder.before.is_none() {
            // Nothing but an image is left.
            builder.end = Point { seq: image, ..Point::default() };
            builder.before = Some(builder.end);
        }
        builder.fill(lost.max(image), 0)?;
        for draft in &plan.appended {
            let header = Header { epoch: builder.end.epoch, ..draft.header() };
            builder.put(header, &draft.body)?;
        }
        builder.finish_part()?;
        let mut mark = MarkFile::open(disk, to, 0)?;
        let first = if report.intact == 0 { image + 1 } else { report.first_seq };
        // What is before the base was pruned, even if some of it is still there.
        let pruned = MarkFile::read(disk, &self.dir)?.map(|mark| mark.base_seq);
        mark.write(builder.end, first.max(pruned.unwrap_or(1)), false)?;
        copy_whole(disk, &self.dir, to, &plan.images)?;
        Ok(report)
    }
}

struct Collector<'a> {
    report: Report,
    last: Option<Header>,
    /// Records of the tail files, by sequence.
    newer: BTreeMap<u64, Record>,
    f: &'a mut dyn FnMut(RecordRef<'_>) -> Result<(), Error>,
}

impl Collector<'_> {
    /// A record of the store: those of the tail files that belong before it, or replace it, come first.
    fn take_older(&mut self, record: RecordRef<'_>) -> Result<(), Error> {
        while let Some(entry) = self.newer.first_entry().filter(|e| *e.key() <= record.header.seq) {
            let newer = entry.remove();
            self.take(newer.as_ref())?;
        }
        self.take(record)
    }

    fn take(&mut self, record: RecordRef<'_>) -> Result<(), Error> {
        let header = record.header;
        match self.last {
            Some(last) if header.seq <= last.seq => return Ok(()),
            Some(last) if header.seq > last.seq + 1 => {
                let (job_before, job_after) = (last.job, header.job);
                let (from_seq, to_seq) = (last.seq + 1, header.seq - 1);
                self.report.lost.push(Lost { from_seq, to_seq, job_before, job_after });
            }
            Some(_) => {}
            None => self.report.first_seq = header.seq,
        }
        self.last = Some(header);
        self.report.intact += 1;
        self.report.last_seq = header.seq;
        (self.f)(record)
    }
}

fn read_tails(disk: &dyn Disk, dir: &Path, collector: &mut Collector<'_>) -> Result<(), Error> {
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    for name in names.iter().filter(|n| tail::part_generation(n).is_some()) {
        let path = dir.join(name);
        let io = |e| Error::io("read", &path, e);
        let file = disk.open(&path, Access::Read).map_err(io)?;
        let mut scanner = Scanner::new(&*file, 0, u64::MAX).map_err(io)?;
        while let Some(found) = scanner.next().map_err(io)? {
            match found {
                Found::Valid { record, .. } if record.header.kind != KIND_TAIL_HEAD => {
                    collector.newer.insert(record.header.seq, record.to_record());
                }
                Found::Valid { .. } => {}
                Found::Damaged { from, to } | Found::TornTail { from, to } => {
                    let place = format!("{}: bytes {from} to {to} are no records", path.display());
                    collector.report.damaged.push(place);
                }
            }
        }
    }
    Ok(())
}

/// Copies a page store, and opens the copy, which is removed once it is closed.
fn open_copy(disk: &dyn Disk, original: PathBuf, copy: &Path) -> Result<CopiedStore, Error> {
    let mut half_removed = copy.as_os_str().to_owned();
    half_removed.push(OLD_SUFFIX);
    for left in [Path::new(&half_removed), copy] {
        match disk.remove_store(left) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", left, e)),
            _ => {}
        }
    }
    disk.copy_store(&original, copy).map_err(|e| Error::io("copy", &original, e))?;
    let opened = disk.open_store(copy);
    match &opened {
        Ok(opened) => opened.retire(),
        // The error says more than that a copy is left.
        Err(_) => drop(disk.remove_store(copy)),
    }
    Ok(CopiedStore { original, opened })
}

fn read_store(copied: &CopiedStore, collector: &mut Collector<'_>) -> Result<(), Error> {
    let path = &copied.original;
    let store = match &copied.opened {
        Ok(store) => store,
        Err(e) => {
            collector.report.damaged.push(format!("{} cannot be opened: {e}", path.display()));
            return Ok(());
        }
    };
    let mut partial: Vec<u8> = Vec::new();
    let mut result = Ok(());
    let mut damaged: Vec<String> = Vec::new();
    let walked = store.range(&[0], &[0x10], false, &mut |key, value| {
        let Some(page) = Page::parse(value) else {
            partial.clear();
            damaged.push(format!("{}: the entry {key:02x?} is not intact", path.display()));
            return true;
        };
        match page.piece {
            Piece::Whole | Piece::Begin => partial.clear(),
            Piece::Middle | Piece::End if partial.is_empty() => return true,
            Piece::Middle | Piece::End => {}
        }
        partial.extend_from_slice(page.body);
        if matches!(page.piece, Piece::Whole | Piece::End) {
            result = take_all(&std::mem::take(&mut partial), collector);
        }
        result.is_ok()
    });
    result?;
    if let Err(e) = walked {
        damaged.push(format!("{} cannot be read to its end: {e}", path.display()));
    }
    collector.report.damaged.extend(damaged);
    Ok(())
}

fn take_all(mut rest: &[u8], collector: &mut Collector<'_>) -> Result<(), Error> {
    while let Ok(header) = Header::parse(rest) {
        let bytes = HEADER_BYTES + header.body_bytes as usize;
        let Some(body) = rest.get(HEADER_BYTES..bytes).filter(|b| header.body_intact(b)) else {
            break;
        };
        collector.take_older(RecordRef { header, body })?;
        rest = rest.get(bytes..).unwrap_or_default();
    }
    Ok(())
}

struct Rebuilder<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    generation: u64,
    before: Option<Point>,
    end: Point,
    bytes: Vec<u8>,
}

impl Rebuilder<'_> {
    fn take(&mut self, record: RecordRef<'_>) -> Result<(), Error> {
        let header = record.header;
        self.begin(&header);
        self.fill(header.seq - 1, header.time_us)?;
        self.put(header, record.body)
    }

    /// The new journal begins with this record, unless it has begun.
    fn begin(&mut self, header: &Header) {
        if self.before.is_none() {
            self.end = Point { seq: header.seq.saturating_sub(1), epoch: header.epoch, chain: header.prev };
            self.before = Some(self.end);
        }
    }

    /// Stands in for what is lost up to `to_seq`.
    fn fill(&mut self, to_seq: u64, time_us: u64) -> Result<(), Error> {
        if to_seq.saturating_sub(self.end.seq) > GAP_MAX {
            return Err(Error::Refused { why: format!("more than {GAP_MAX} records are missing before {to_seq}") });
        }
        while self.end.seq < to_seq {
            let filler = Header { kind: KIND_LOST, time_us, epoch: self.end.epoch, ..Header::default() };
            self.put(filler, &[])?;
        }
        Ok(())
    }

    fn put(&mut self, header: Header, body: &[u8]) -> Result<(), Error> {
        let (seq, epoch) = (self.end.seq + 1, header.epoch);
        let header = Header { seq, prev: self.end.chain, tag: 1, group_index: 0, ..header };
        let chain = encode_into(&mut self.bytes, &header, body);
        self.end = Point { seq, epoch, chain };
        if self.bytes.len() >= PART_BYTES { self.finish_part() } else { Ok(()) }
    }

    fn finish_part(&mut self) -> Result<(), Error> {
        let before = self.before.unwrap_or_default();
        tail::create(self.disk, self.dir, self.generation, 1, before, self.end, &self.bytes)?;
        self.generation += 1;
        self.before = Some(self.end);
        self.bytes.clear();
        Ok(())
    }
}

/// Copies what stands beside the log: some images, and what was kept of pruned records.
fn copy_whole(disk: &dyn Disk, from: &Path, to: &Path, images: &[Checkpoint]) -> Result<(), Error> {
    let names = disk.list(from).map_err(|e| Error::io("list", from, e))?;
    let kept = names.iter().filter(|name| kept_base(name).is_some()).map(|name| from.join(name));
    for source in images.iter().map(|image| image.path.clone()).chain(kept) {
        let target: PathBuf = to.join(source.file_name().unwrap_or_default());
        let copied = disk.open(&source, Access::Read).and_then(|file| {
            let copy = disk.open(&target, Access::CreateNew)?;
            let (mut at, mut buffer) = (0, vec![0; COPY_BYTES]);
            loop {
                let got = crate::disk::read_full(&*file, at, &mut buffer)?;
                let bytes = buffer.get(..got).unwrap_or_default();
                if bytes.is_empty() {
                    return copy.sync_data();
                }
                copy.write_at(at, bytes)?;
                at += got as u64;
            }
        });
        copied.map_err(|e| Error::io("copy", &source, e))?;
    }
    disk.sync_dir(to).map_err(|e| Error::io("sync", to, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ModelDisk;
    use crate::journal::{Journal, Options};
    use crate::record::RecordDraft;

    fn options(disk: &ModelDisk) -> Options {
        let disk = Arc::new(disk.clone());
        Options { disk, rotate_bytes: 3000, background: false, ballast_bytes: 0, ..Options::default() }
    }

    #[test]
    fn everything_intact_is_saved_with_its_sequence() {
        for at in (64..2400).step_by(13) {
            let disk = ModelDisk::new();
            let (mut journal, _) = Journal::open(Path::new("/j"), options(&disk)).unwrap();
            for n in 0..60u64 {
                let draft =
                    RecordDraft { kind: 1, job: 1 + n as u32 / 20, body: vec![n as u8; 40], ..RecordDraft::default() };
                journal.append(&[draft]).unwrap();
                journal.commit().unwrap();
                if n == 30 {
                    while journal.migrate_step().unwrap() {}
                }
            }
            journal.checkpoint_writer().write(journal.durable(), 0, []).unwrap();
            journal.close().unwrap();
            let names = disk.list(Path::new("/j")).unwrap();
            let last = Path::new("/j").join(names.iter().rfind(|n| n.starts_with("tail-")).unwrap());
            let mut length = 0;
            disk.edit(&last, |b| {
                length = b.len();
                if let Some(byte) = b.get_mut(at) {
                    *byte ^= 1;
                }
            });
            let hit = at < length;
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let salvage = Salvage::open(Arc::clone(&shared), Path::new("/j"), Path::new("/copy")).unwrap();
            let images = crate::checkpoint::intact(&disk, Path::new("/j")).unwrap();
            let plan = Plan { images, ..Plan::default() };
            let report = salvage.rebuild(Path::new("/k"), &plan).unwrap();
            assert_eq!(report.lost.len(), usize::from(hit), "byte {at}: {report:?}");
            assert_eq!(report.intact, 61 - u64::from(hit));
            let (journal, opened) = Journal::open(Path::new("/k"), options(&disk)).unwrap();
            let mut seen = Vec::new();
            journal
                .reader()
                .replay::<()>(0, &mut |r| {
                    assert!(r.body.iter().all(|b| u64::from(*b) + 2 == r.header.seq));
                    seen.push(r.header.seq);
                    Ok(())
                })
                .unwrap();
            let lost = report.lost.first().map(|l| (l.from_seq, l.to_seq));
            assert_eq!(seen, (2..62).filter(|s| lost.is_none_or(|l| l.0 != *s)).collect::<Vec<_>>());
            assert_eq!(opened.checkpoint.unwrap().at.seq, 61);
            assert!(salvage.rebuild(Path::new("/k"), &plan).is_err());
        }
    }
}
