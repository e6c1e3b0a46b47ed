//! Opening a journal: what is there, what is missing, and what a crash has left to be put in order.
//!
//! A crash leaves at most an unfinished write at the end of the newest tail file; anything else that is wrong is
//! damage, and a server that started on damage would lose work silently.
//!
//! **Invariant:** nothing on disk is changed before everything was checked, but for files whose names say they are
//! unfinished and for a page store that cannot be opened, which is set aside.
//! **Invariant:** records that were durable are either all there, or covered by a checkpoint, or the opening is
//! refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{BALLAST_NAME, Journal, LOCK_NAME, LOG_NAME, Opened, Options, Reader, Shared, View, migrate, space};
use crate::checkpoint::{self, Checkpoint};
use crate::disk::{Access, Disk};
use crate::error::Error;
use crate::lock::LockError;
use crate::log::{Extent, Log, Walk};
use crate::mark::{Mark, MarkFile};
use crate::record::{HEADER_BYTES, Point};
use crate::store::{Store, StoreError};
use crate::tail::{self, Break, NEW_SUFFIX, Part, Scanned};

/// Everything that was found in a journal directory.
struct Survey {
    mark: Option<Mark>,
    checkpoint: Option<Checkpoint>,
    log: Log,
    extent: Extent,
    /// Oldest first, without those that newer ones supersede.
    parts: Vec<Part>,
    /// Generations whose files are superseded.
    stale: Vec<u64>,
    torn: Option<(Break, u64)>,
    base_seq: u64,
    end: Point,
    generation_max: u64,
    notes: Vec<String>,
}

impl Survey {
    fn is_new(&self) -> bool {
        self.mark.is_none() && self.parts.is_empty() && self.extent.is_empty() && self.checkpoint.is_none()
    }

    fn is_clean(&self) -> bool {
        let marked = self.mark.is_some_and(|m| m.clean && m.durable.seq == self.end.seq);
        self.is_new() || (marked && self.torn.is_none())
    }

    fn epoch(&self) -> u32 {
        let mark = self.mark.map_or(0, |m| m.durable.epoch);
        let image = self.checkpoint.as_ref().map_or(0, |c| c.at.epoch);
        mark.max(image).max(self.end.epoch).max(self.extent.end.epoch).saturating_add(1)
    }
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn std::any::Any + Send + Sync>, Error> {
    let path = dir.join(LOCK_NAME);
    disk.lock(&path).map_err(|e| match e {
        LockError::Held(holder) => Error::Busy { path: dir.to_path_buf(), holder },
        LockError::Io(e) => Error::io("lock", &path, e),
    })
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Opens the page store; one that is damaged beyond opening is set aside when `repair` is allowed.
fn open_store(dir: &Path, options: &Options, repair: bool, notes: &mut Vec<String>) -> Result<Arc<dyn Store>, Error> {
    let path = dir.join(LOG_NAME);
    let disk = &*options.disk;
    let refuse = |e: StoreError| match e {
        StoreError::Io(e) => Error::io("open", &path, e),
        other => Error::Store { what: "be opened", detail: other.to_string() },
    };
    match disk.open_store(&path) {
        Ok(store) => Ok(store),
        Err(StoreError::Unopenable(why)) if repair => {
            let aside = dir.join(format!("{LOG_NAME}.damaged-{}", seconds_now()));
            disk.rename(&path, &aside).map_err(|e| Error::io("set aside", &path, e))?;
            notes.push(format!("the page store could not be opened ({why}); it was kept as {}", aside.display()));
            disk.open_store(&path).map_err(refuse)
        }
        Err(StoreError::Io(e)) if repair && crate::error::is_full(&e) => {
            // sled needs a little space to open, even to read.
            disk.remove(&dir.join(BALLAST_NAME)).map_err(|_| refuse(StoreError::Io(e)))?;
            notes.push("the disk is full; the ballast was given up to open the page store".to_owned());
            disk.open_store(&path).map_err(refuse)
        }
        Err(e) => Err(refuse(e)),
    }
}

/// Scans the tail files and drops those that newer ones supersede. Damaged heads of older files become notes: the
/// check for missing records decides whether they matter.
fn scan_parts(survey: &mut Survey, disk: &dyn Disk, dir: &Path, generations: &[u64]) -> Result<Vec<Scanned>, Error> {
    // Newest last; each new one is compared with its younger neighbour at the end of the reversed list.
    let mut kept: Vec<Scanned> = Vec::new();
    for (n, generation) in generations.iter().rev().enumerate() {
        let mut found = match tail::scan(disk, dir, *generation) {
            Ok(found) => found,
            Err(e) if e.is_damage() && n > 0 => {
                survey.notes.push(format!("a tail file was passed over: {e}"));
                continue;
            }
            Err(e) => return Err(e),
        };
        // An empty successor of a file with more records was never in use.
        while kept.last().is_some_and(|q| q.part.is_empty() && found.part.end.seq > q.part.before.seq) {
            survey.stale.extend(kept.pop().map(|q| q.part.generation));
        }
        if let Some(newer) = kept.last() {
            let limit = newer.part.before;
            if limit.seq <= found.part.before.seq {
                survey.stale.push(*generation);
                continue;
            }
            if found.part.end.seq > limit.seq {
                found.part.end = limit;
                found.broken = None;
            } else if found.part.end.seq == limit.seq {
                found.broken = None;
                if found.part.end.chain != limit.chain {
                    let (path, to) = (found.part.path, found.file_bytes);
                    let why = "the next tail file does not continue it".to_owned();
                    return Err(Error::Damaged { path, from: 0, to, why });
                }
            }
        }
        kept.push(found);
    }
    kept.reverse();
    Ok(kept)
}

/// Checks the part of the log that the tail files can replace, and cuts what is broken there.
fn check_log(survey: &mut Survey, dir: &Path, repair: bool) -> Result<(), Error> {
    let Some(first) = survey.parts.first() else {
        return Ok(());
    };
    let (before, from_seq) = (first.before, first.before.seq + 1);
    let reaches = survey.parts.last().map_or(0, |p| p.end.seq);
    let walk = survey.log.walk(&survey.extent, from_seq, Some(before), &mut |_| true)?;
    let Walk::Broken(broken) = walk else {
        return Ok(());
    };
    let good = survey.log.end_before(&survey.extent, broken.entry)?;
    if good.seq < before.seq || reaches < survey.extent.end.seq || !repair {
        let (path, why) = (dir.join(LOG_NAME), format!("after record {}: {}", good.seq, broken.why));
        return Err(Error::Damaged { path, from: broken.entry, to: broken.entry + 1, why });
    }
    survey.notes.push(format!(
        "the page store is damaged after record {} ({}); the tail files replace what follows",
        good.seq, broken.why
    ));
    survey.log.cut(broken.entry)?;
    survey.log.sync()?;
    survey.extent = survey.log.extent()?;
    Ok(())
}

/// Ranges of sequences that ought to be there but are not.
fn missing_ranges(base_seq: u64, required: u64, extent: &Extent, parts: &[Part]) -> Vec<(u64, u64)> {
    let log = (!extent.is_empty()).then_some((extent.first_seq, extent.end.seq));
    let mut have: BTreeMap<u64, u64> = BTreeMap::new();
    for (from, to) in log.into_iter().chain(parts.iter().map(|p| (p.before.seq + 1, p.end.seq))) {
        let longest = have.entry(from).or_insert(to);
        *longest = (*longest).max(to);
    }
    let mut missing = Vec::new();
    let mut next = base_seq;
    for (from, to) in have {
        if from > next && next <= required {
            missing.push((next, (from - 1).min(required)));
        }
        next = next.max(to + 1);
    }
    if next <= required {
        missing.push((next, required));
    }
    missing
}

/// Decides whether what is missing matters: a checkpoint may stand for it, or the writer may have agreed to lose the
/// end.
fn judge_missing(survey: &mut Survey, scanned: &[Scanned], options: &Options) -> Result<(), Error> {
    let marked = survey.mark.map_or(0, |m| m.durable.seq);
    let image = survey.checkpoint.as_ref().map_or(Point::default(), |c| c.at);
    let required = survey.end.seq.max(marked).max(image.seq);
    for (from, to) in missing_ranges(survey.base_seq, required, &survey.extent, &survey.parts) {
        if to <= image.seq {
            survey.base_seq = to + 1;
            survey.notes.push(format!(
                "records {from} to {to} are gone: the state is whole, since a checkpoint covers them, but not the history"
            ));
            if to > survey.end.seq {
                survey.end = image;
            }
            continue;
        }
        if image.seq > survey.end.seq && image.seq >= from {
            survey.base_seq = image.seq + 1;
            survey.end = image;
        }
        if from > survey.end.seq && options.accept_loss {
            survey.notes.push(format!("records {from} to {to} were durable and are lost, as was agreed to"));
            continue;
        }
        let broken = scanned.iter().find(|s| s.part.end.seq + 1 == from && s.broken.is_some());
        if let Some((found, broken)) = broken.and_then(|s| s.broken.map(|b| (s, b))) {
            let why = format!("records {from} to {to} were durable there");
            return Err(Error::Damaged { path: found.part.path.clone(), from: broken.from, to: broken.to, why });
        }
        let why = "the mark or a later file says that they were durable".to_owned();
        return Err(Error::Missing { from_seq: from, to_seq: to, why });
    }
    Ok(())
}

fn survey(dir: &Path, options: &Options, repair: bool) -> Result<Survey, Error> {
    let disk = &*options.disk;
    let mut notes = Vec::new();
    let mark = MarkFile::read(disk, dir)?;
    let checkpoint = checkpoint::newest(disk, dir, &mut notes)?;
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut generations: Vec<u64> = names.iter().filter_map(|n| tail::part_generation(n)).collect();
    generations.sort_unstable();
    if mark.is_none() && !generations.is_empty() {
        notes.push("the journal's mark cannot be read; a loss at the end of the log would go unnoticed".to_owned());
    }
    let log = Log::new(open_store(dir, options, repair, &mut notes)?);
    let extent = log.extent()?;
    let base_seq = mark.map_or(1, |m| m.base_seq.max(1));
    let generation_max = generations.last().copied().unwrap_or(0);
    let mut survey = Survey {
        mark,
        checkpoint,
        log,
        extent,
        parts: Vec::new(),
        stale: Vec::new(),
        torn: None,
        base_seq,
        end: extent.end,
        generation_max,
        notes,
    };
    let scanned = scan_parts(&mut survey, disk, dir, &generations)?;
    survey.parts = scanned.iter().map(|s| s.part.clone()).collect();
    check_log(&mut survey, dir, repair)?;
    if let Some(last) = survey.parts.last().filter(|p| p.end.seq >= survey.extent.end.seq) {
        survey.end = last.end;
    }
    if let Some((last, broken)) = scanned.last().and_then(|s| s.broken.map(|b| (s, b))) {
        if broken.proven_seq > last.part.end.seq {
            let why = format!("records {} to {} were durable there", last.part.end.seq + 1, broken.proven_seq);
            return Err(Error::Damaged { path: last.part.path.clone(), from: broken.from, to: broken.to, why });
        }
        survey.torn = Some((broken, last.file_bytes));
    }
    judge_missing(&mut survey, &scanned, options)?;
    let marked = survey.mark.map(|m| m.durable).filter(|m| m.seq == survey.end.seq && m.seq > 0);
    if marked.is_some_and(|m| m.chain != survey.end.chain) {
        let why = "it ends with another record than the mark says".to_owned();
        return Err(Error::Damaged { path: dir.to_path_buf(), from: 0, to: 0, why });
    }
    Ok(survey)
}

/// Keeps the bytes behind the last intact record beside the journal, since they are about to be left out of it.
fn keep_cut_bytes(survey: &mut Survey, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let (Some((broken, file_bytes)), Some(part)) = (survey.torn, survey.parts.last()) else {
        return Ok(());
    };
    let path = dir.join(format!("cut-{:010}-{}", part.generation, broken.from));
    let bytes = read_range(part, broken.from, file_bytes)?;
    let io = |e| Error::io("write", &path, e);
    if disk.open(&path, Access::Read).is_err() {
        let kept = disk.open(&path, Access::CreateNew).and_then(|f| f.write_at(0, &bytes).and_then(|()| f.sync_data()));
        match kept {
            Err(e) if crate::error::is_full(&e) => {
                let _gone = disk.remove(&path);
                survey.notes.push("the disk is full, so the bytes that are cut could not be kept".to_owned());
            }
            other => other.map_err(io)?,
        }
    }
    survey.notes.push(format!(
        "the last write was not finished: {} bytes after record {} were never acknowledged; they are kept in {}",
        bytes.len(),
        survey.end.seq,
        path.display()
    ));
    Ok(())
}

fn read_range(part: &Part, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    let got = crate::disk::read_full(&*part.file, from, &mut bytes).map_err(|e| Error::io("read", &part.path, e))?;
    bytes.truncate(got);
    Ok(bytes)
}

/// The tail file to go on with. After a crash it is a copy: what was written but not synced may be in the cache
/// only, and a sync would not report it a second time.
fn current_part(survey: &mut Survey, disk: &dyn Disk, dir: &Path, tag: u16) -> Result<Part, Error> {
    let last = survey.parts.last().filter(|p| p.end == survey.end).cloned();
    if let Some(part) = last.as_ref().filter(|_| survey.is_clean()) {
        return Ok(part.clone());
    }
    let generation = survey.generation_max + 1;
    let (before, records) = match &last {
        Some(part) => (part.before, read_range(part, HEADER_BYTES as u64, part.bytes)?),
        None => (survey.end, Vec::new()),
    };
    let part = match tail::create(disk, dir, generation, tag, before, survey.end, &records) {
        Err(e) if e.is_full() && disk.remove(&dir.join(BALLAST_NAME)).is_ok() => {
            survey.notes.push("the disk is full; the ballast was given up to start".to_owned());
            tail::create(disk, dir, generation, tag, before, survey.end, &records)?
        }
        other => other?,
    };
    if let Some(old) = last {
        survey.stale.push(old.generation);
        survey.parts.pop();
    }
    survey.parts.push(part.clone());
    Ok(part)
}

/// Removes unfinished files of an earlier writer and superseded tail files.
fn clear(survey: &Survey, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let names = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let stale = |n: &String| tail::part_generation(n).is_some_and(|g| survey.stale.contains(&g));
    for name in names.iter().filter(|n| n.ends_with(NEW_SUFFIX) || stale(n)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

fn new_tag(dir: &Path, time_us: u64) -> u16 {
    let mut crc = crc32c::crc32c(dir.as_os_str().as_encoded_bytes());
    crc = crc32c::crc32c_append(crc, &time_us.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &std::process::id().to_le_bytes());
    (crc ^ (crc >> 16)) as u16
}

fn share(survey: &Survey, dir: &Path, options: &Options, lock: Box<dyn std::any::Any + Send + Sync>) -> Arc<Shared> {
    let view = View {
        extent: survey.extent,
        base_seq: survey.base_seq,
        parts: survey.parts.clone(),
        durable: survey.end,
        migration_error: None,
    };
    Arc::new(Shared {
        disk: Arc::clone(&options.disk),
        dir: dir.to_path_buf(),
        log: survey.log.clone(),
        view: Mutex::new(view),
        migrating: Mutex::new(()),
        _lock: lock,
    })
}

pub(super) fn open(dir: &Path, options: Options) -> Result<(Journal, Opened), Error> {
    let disk = Arc::clone(&options.disk);
    disk.create_dir(dir).map_err(|e| Error::io("create", dir, e))?;
    let lock = take_lock(&*disk, dir)?;
    let mut survey = survey(dir, &options, true)?;
    let clean = survey.is_clean();
    let time_us = options.now_us();
    let tag = survey.parts.last().map_or_else(|| new_tag(dir, time_us), |p| p.tag);
    if survey.log.cut(survey.extent.next_entry)? > 0 {
        survey.log.sync()?;
    }
    keep_cut_bytes(&mut survey, &*disk, dir)?;
    let part = current_part(&mut survey, &*disk, dir, tag)?;
    clear(&survey, &*disk, dir)?;
    let ballast_bytes = space::make_ballast(&*disk, dir, 0, options.ballast_bytes);
    let ballast = ballast_bytes > 0;
    if !ballast && options.ballast_bytes > 0 {
        survey.notes.push("there is no space for the journal's ballast file; free some disk space soon".to_owned());
    }
    let shared = share(&survey, dir, &options, lock);
    let mark = MarkFile::open(&*disk, dir, survey.mark.map_or(0, |m| m.counter))?;
    let background = options.background;
    let mut journal = Journal {
        shared: Arc::clone(&shared),
        options,
        epoch: survey.epoch(),
        tag,
        generation: part.generation,
        path: part.path,
        file: part.file,
        durable_bytes: part.bytes,
        durable: survey.end,
        end: survey.end,
        pending: Vec::new(),
        group_index: 0,
        poisoned: false,
        ballast,
        ballast_bytes,
        mark,
        marked: Instant::now(),
        migrator: None,
    };
    journal.append_any(&[space::epoch_draft(time_us)])?;
    journal.commit()?;
    if !journal.write_mark(false) {
        survey.notes.push("the journal's mark could not be written; a loss at the end would go unnoticed".to_owned());
    }
    if background {
        let started = migrate::Migrator::start(shared);
        journal.migrator = Some(started.map_err(|e| Error::io("start the thread of", dir, e))?);
    }
    let opened = Opened {
        checkpoint: survey.checkpoint,
        epoch: journal.epoch,
        next_seq: journal.end.seq + 1,
        base_seq: survey.base_seq,
        clean,
        notes: survey.notes,
    };
    Ok((journal, opened))
}

pub(super) fn open_reader(dir: &Path, options: &Options) -> Result<(Reader, Opened), Error> {
    options.disk.list(dir).map_err(|e| Error::io("open", dir, e))?;
    let lock = take_lock(&*options.disk, dir)?;
    let mut survey = survey(dir, options, false)?;
    if let Some((broken, file_bytes)) = survey.torn {
        let bytes = file_bytes - broken.from;
        survey.notes.push(format!("the last write was not finished; its {bytes} bytes are left out"));
    }
    let clean = survey.is_clean();
    let epoch = survey.epoch().saturating_sub(1);
    let shared = share(&survey, dir, options, lock);
    let opened = Opened {
        checkpoint: survey.checkpoint,
        epoch,
        next_seq: survey.end.seq + 1,
        base_seq: survey.base_seq,
        clean,
        notes: survey.notes,
    };
    Ok((Reader::new(shared), opened))
}
