//! Opening a journal: what a crash has left is put in order, once the survey has found nothing missing.
//!
//! What was written but not synced may be in the cache only, and half a pruning may be left; both end here.
//!
//! **Invariant:** nothing on disk is changed before everything was checked, but for files whose names say they are
//! unfinished and for a page store that cannot be opened, which is set aside.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::stores::{self, store_number};
use super::survey::{Survey, survey};
use super::{BALLAST_NAME, Journal, LOCK_NAME, Opened, Options, Reader, Shared, View, migrate, space};
use crate::disk::{Access, Disk};
use crate::error::Error;
use crate::lock::LockError;
use crate::mark::MarkFile;
use crate::record::HEADER_BYTES;
use crate::tail::{self, NEW_SUFFIX, Part};

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn std::any::Any + Send + Sync>, Error> {
    let path = dir.join(LOCK_NAME);
    disk.lock(&path).map_err(|e| match e {
        LockError::Held(holder) => Error::Busy { path: dir.to_path_buf(), holder },
        LockError::Io(e) => Error::io("lock", &path, e),
    })
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
    let is_stale_part = |n: &String| tail::part_generation(n).is_some_and(|g| survey.stale.contains(&g));
    let stale = |n: &String| is_stale_part(n) || survey.stale_kept.contains(n);
    let is_stale_store = |n: &String| store_number(n).is_some_and(|number| survey.stale_stores.contains(&number));
    for name in names.iter().filter(|n| is_stale_store(n) || stores::is_removed(n)) {
        let path = dir.join(name);
        disk.remove_store(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
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

fn share(
    survey: &Survey,
    dir: &Path,
    options: &Options,
    mark: Option<MarkFile>,
    lock: Box<dyn std::any::Any + Send + Sync>,
) -> Arc<Shared> {
    let view = View {
        log: survey.log.clone(),
        store_number: survey.store_number,
        extent: survey.extent,
        kept: survey.kept.clone(),
        base_seq: survey.base_seq,
        parts: survey.parts.clone(),
        durable: survey.end,
        migration_error: None,
    };
    Arc::new(Shared {
        disk: Arc::clone(&options.disk),
        dir: dir.to_path_buf(),
        view: Mutex::new(view),
        migrating: Mutex::new(()),
        mark: Mutex::new(mark),
        wants_tail: AtomicBool::new(false),
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
    let mark = MarkFile::open(&*disk, dir, survey.mark.map_or(0, |m| m.counter))?;
    let shared = share(&survey, dir, &options, Some(mark), lock);
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
        unsynced_cut: false,
        doubtful_tail: false,
        ballast,
        ballast_bytes,
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
    let shared = share(&survey, dir, options, None, lock);
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
