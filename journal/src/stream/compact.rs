//! Merges the files of a stream directory into few, without what later attempts have superseded.
//!
//! Workers come and go, and each leaves a file; years of them make a directory slow to open and half full of output that
//! nobody asks for.
//!
//! **Invariant:** a file is removed only when the one that has its output is complete, read back, named and on disk; until
//! then, and also when both are there, a reader finds each output once.
//! **Invariant:** a file that may still be written, or of which a part is damaged, is left as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Damage, StreamFile};
use super::instance::Instance;
use super::pool::Pool;
use super::read::StreamDir;
use super::{CHANNEL_STDERR, CHANNEL_STDOUT, EXTENSION, Origin, StreamError, StreamHead, StreamWriter};
use crate::disk::{Access, Disk, File};
use crate::lock::LockError;
use crate::record::{HEADER_BYTES, KIND_STREAM_CHUNK};
use crate::scan::{Found, Scanner};

/// Held while a directory is merged.
const LOCK_NAME: &str = ".compact.lock";
/// Extension of a file that is being made.
const NEW_EXTENSION: &str = "hqs-new";

/// What is to be merged.
#[derive(Debug, Clone, Copy)]
pub struct CompactOptions {
    /// About the largest file that is made, in bytes.
    pub file_bytes_max: u64,
    /// Also files that were never closed, if nothing in them is younger than this time in microseconds since 1970 and
    /// no worker holds them.
    pub unclosed_before_us: Option<u64>,
    /// The time now.
    pub now_us: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files that were merged and removed.
    pub merged: u64,
    /// Files that were made.
    pub made: u64,
    /// Bytes of the removed files.
    pub bytes_before: u64,
    /// Bytes of the files that were made.
    pub bytes_after: u64,
    /// Superseded instances that were left out.
    pub dropped: u64,
    /// Files that were left as they are, and why, if it is worth a word.
    pub left: Vec<(PathBuf, Left)>,
}

/// Why a file was left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It was not closed: its worker may still write.
    Unclosed,
    /// A part of it is damaged: what.
    Damaged(String),
    /// What was made of it could not be read back.
    NotReadBack,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => write!(f, "it was not closed, so its worker may still write"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::NotReadBack => write!(f, "what was made of it could not be read back"),
        }
    }
}

/// Helps the caller: makes names for files, and is told how many bytes of output were copied.
pub trait CompactHelp {
    /// Twelve random letters and digits.
    ///
    /// # Errors
    /// The system's error.
    fn name(&mut self) -> io::Result<String>;
    /// So much more was copied.
    fn copied(&mut self, bytes: u64);
}

/// What a walk found out about a file.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    kept_bytes: u64,
    dropped: u64,
}

/// Merges the files of a directory that are closed, of one server.
///
/// # Errors
/// As [`StreamDir::open`]; [`StreamError::Busy`] when the directory is being merged already; the system's error.
pub fn compact(
    disk: &Arc<dyn Disk>,
    path: &Path,
    server_uid: Option<&str>,
    options: &CompactOptions,
    help: &mut dyn CompactHelp,
) -> Result<Compacted, StreamError> {
    let lock_path = path.join(LOCK_NAME);
    let _lock = disk.lock(&lock_path).map_err(|e| match e {
        LockError::Held(holder) => StreamError::Busy(path.to_path_buf(), holder.to_string()),
        LockError::Io(e) => StreamError::io("lock", &lock_path, e),
    })?;
    let list = |e| StreamError::io("open stream directory", path, e);
    for name in disk.list(path).map_err(list)?.iter().filter(|name| is_new(name)) {
        // Of a merge that did not come to its end.
        disk.remove(&path.join(name)).map_err(|e| StreamError::io("remove", &path.join(name), e))?;
    }
    let dir = StreamDir::open(Arc::clone(disk), path, server_uid)?;
    let mut work = Work { disk, dir: &dir, path, options, done: Compacted::default(), locked: Vec::new() };
    work.remove_merged()?;
    let mut candidates = work.candidates()?;
    work.shares(&mut candidates)?;
    for group in groups(&candidates, options.file_bytes_max) {
        work.merge(group, help)?;
    }
    for (number, why) in work.damaged() {
        work.leave(number, why);
    }
    Ok(work.done)
}

fn is_new(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == NEW_EXTENSION)
}

/// Files that become one; none of them alone, unless something of it is dropped.
fn groups(candidates: &BTreeMap<usize, Share>, bytes_max: u64) -> Vec<Vec<usize>> {
    let (mut groups, mut group, mut bytes) = (Vec::new(), Vec::new(), 0u64);
    for (number, share) in candidates {
        if !group.is_empty() && bytes.saturating_add(share.kept_bytes) > bytes_max {
            groups.push(std::mem::take(&mut group));
            bytes = 0;
        }
        group.push(*number);
        bytes = bytes.saturating_add(share.kept_bytes);
    }
    groups.push(group);
    let drops = |number: &usize| candidates.get(number).is_some_and(|share| share.dropped > 0);
    groups.retain(|group| group.len() > 1 || group.iter().any(drops));
    groups
}

struct Work<'w> {
    disk: &'w Arc<dyn Disk>,
    dir: &'w StreamDir,
    path: &'w Path,
    options: &'w CompactOptions,
    done: Compacted,
    /// Files whose lock is held meanwhile.
    locked: Vec<Arc<dyn File>>,
}

impl Work<'_> {
    fn leave(&mut self, number: usize, why: Left) {
        if let Some(file) = self.dir.file(number) {
            self.done.left.push((file.path.clone(), why));
        }
    }

    /// Removes what was merged before and is still there.
    fn remove_merged(&mut self) -> Result<(), StreamError> {
        for path in self.dir.merged() {
            self.disk.remove(path).map_err(|e| StreamError::io("remove", path, e))?;
            self.done.merged += 1;
        }
        if self.dir.merged().is_empty() { Ok(()) } else { self.sync() }
    }

    fn sync(&self) -> Result<(), StreamError> {
        self.disk.sync_dir(self.path).map_err(|e| StreamError::io("sync", self.path, e))
    }

    /// Files to which nothing will be added.
    fn candidates(&mut self) -> Result<BTreeMap<usize, Share>, StreamError> {
        let mut found = BTreeMap::new();
        for (number, file) in self.dir.all_files().iter().enumerate() {
            if file.is_headless() {
                self.leave(number, Left::Damaged("its head".to_owned()));
            } else if file.is_closed || self.is_abandoned(number, file)? {
                found.insert(number, Share::default());
            } else {
                self.leave(number, Left::Unclosed);
            }
        }
        Ok(found)
    }

    /// Whether the worker of a file that was not closed is surely gone.
    fn is_abandoned(&mut self, number: usize, file: &StreamFile) -> Result<bool, StreamError> {
        let Some(before_us) = self.options.unclosed_before_us else { return Ok(false) };
        let mut last_us = 0;
        self.dir.for_each_task(None, &mut |all| {
            all.iter().filter(|one| one.file == number).for_each(|one| last_us = last_us.max(one.last_us));
            true
        })?;
        let open = self.disk.open(&file.path, Access::Write).map_err(|e| StreamError::io("open", &file.path, e))?;
        // Where files cannot be locked, nobody knows.
        let is_free = last_us < before_us && open.try_lock().unwrap_or(false);
        self.locked.push(open);
        Ok(is_free)
    }

    /// What of each file is kept.
    fn shares(&self, candidates: &mut BTreeMap<usize, Share>) -> Result<(), StreamError> {
        self.dir.for_each_task(None, &mut |all| {
            let Some((newest, old)) = all.split_last() else { return true };
            if let Some(share) = candidates.get_mut(&newest.file) {
                let chunks: u64 = newest.outputs.iter().map(|output| output.chunks).sum();
                let bytes = newest.bytes(CHANNEL_STDOUT) + newest.bytes(CHANNEL_STDERR);
                share.kept_bytes += bytes + chunks * HEADER_BYTES as u64;
            }
            for one in old {
                candidates.entry(one.file).and_modify(|share| share.dropped += 1);
            }
            true
        })
    }

    /// Files in which damage was met, and what.
    fn damaged(&self) -> Vec<(usize, Left)> {
        let of = |(number, file): (usize, &StreamFile)| {
            let reason = file.own_damage.take().into_iter().next()?;
            Some((number, Left::Damaged(reason)))
        };
        self.dir.all_files().iter().enumerate().filter_map(of).collect()
    }

    /// Makes one file of several; those in which damage is met are left out.
    fn merge(&mut self, mut group: Vec<usize>, help: &mut dyn CompactHelp) -> Result<(), StreamError> {
        loop {
            let name = help.name().map_err(|e| StreamError::io("name a file in", self.path, e))?;
            let new = self.path.join(format!("{name}.{NEW_EXTENSION}"));
            let made = self.write(&name, &new, &group, help);
            let damaged = self.damaged();
            match made {
                Ok(Some(dropped)) if damaged.is_empty() => return self.replace(&name, &new, &group, dropped),
                made => {
                    // Whatever it was, what is there is not wanted; the first error is the one to tell.
                    let removed = self.disk.remove(&new);
                    made?;
                    removed.map_err(|e| StreamError::io("remove", &new, e))?;
                }
            }
            let before = group.len();
            for (number, why) in damaged {
                group.retain(|other| *other != number);
                self.leave(number, why);
            }
            if group.len() == before {
                group.iter().for_each(|number| self.leave(*number, Left::NotReadBack));
                return Ok(());
            }
            if group.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes the new file; how many instances were left out, or nothing if it does not read back.
    fn write(
        &self,
        name: &str,
        new: &Path,
        group: &[usize],
        help: &mut dyn CompactHelp,
    ) -> Result<Option<u64>, StreamError> {
        let (head, bases) = self.head(name, group);
        let mut writer = StreamWriter::create_at(&**self.disk, new, &head, self.options.now_us)?;
        let (mut dropped, mut copied, mut failure) = (0, 0, None);
        self.dir.for_each_task(None, &mut |all| {
            let Some((newest, old)) = all.split_last() else { return true };
            dropped += old.iter().filter(|one| group.contains(&one.file)).count() as u64;
            let Some(base) = bases.get(&newest.file) else { return true };
            match self.copy(newest, *base, &mut writer) {
                Ok(bytes) => {
                    copied += bytes;
                    help.copied(bytes);
                }
                Err(e) => failure = Some(e),
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(()), Err)?;
        writer.close()?;
        Ok((self.read_back(new)? == Some(copied)).then_some(dropped))
    }

    /// The head of the new file, and where the origins of each file begin in it.
    fn head(&self, name: &str, group: &[usize]) -> (StreamHead, BTreeMap<usize, u32>) {
        let mut head = StreamHead { file_id: name.to_owned(), ..StreamHead::default() };
        let mut bases = BTreeMap::new();
        for (number, file) in group.iter().filter_map(|number| Some((*number, self.dir.file(*number)?))) {
            let StreamHead { server_uid, worker_id, file_id, meta, origins } = file.head.clone();
            head.server_uid = server_uid;
            bases.insert(number, u32::try_from(head.origins.len() + 1).unwrap_or(u32::MAX));
            head.origins.push(Origin { file_id, worker_id, bytes: file.bytes, meta });
            head.origins.extend(origins);
        }
        (head, bases)
    }

    fn copy(&self, instance: &Instance, base: u32, writer: &mut StreamWriter) -> Result<u64, StreamError> {
        writer.set_origin(base + self.dir.origin(instance)?);
        let (key, mut bytes) = (instance.key, 0);
        for output in &instance.outputs {
            let mut failure = None;
            let read = self.dir.read(instance, output.channel, &mut |time_us, chunk| {
                bytes += chunk.len() as u64;
                writer.append_chunk(time_us, key, output.channel, chunk).map_err(|e| {
                    failure = Some(e);
                    io::ErrorKind::Other.into()
                })
            });
            failure.map_or(Ok(()), Err)?;
            read?;
            if output.ended {
                writer.append_end(output.last_us, key, output.channel)?;
            }
        }
        match instance.outcome {
            Some(outcome) if instance.finished => writer.append_outcome(instance.last_us, key, outcome)?,
            _ if instance.finished => writer.append_finished(instance.last_us, key)?,
            _ => {}
        }
        Ok(bytes)
    }

    /// Bytes of output in the new file; nothing if it is not whole.
    fn read_back(&self, new: &Path) -> Result<Option<u64>, StreamError> {
        let fail = |e| StreamError::io("read stream", new, e);
        let pool = Pool::new(Arc::clone(self.disk));
        let Some(mut file) = StreamFile::open(&pool, new, &Arc::new(Damage::default()))? else { return Ok(None) };
        file.load_index()?;
        if !file.is_closed {
            return Ok(None);
        }
        for block in &file.blocks {
            if !file.load_block(block)?.1 {
                return Ok(None);
            }
        }
        let mut bytes = 0;
        let mut scanner = Scanner::new(&file.file, 0, file.bytes).map_err(fail)?.with_tag(file.tag);
        while let Some(found) = scanner.next().map_err(fail)? {
            let Found::Valid { record, .. } = found else { return Ok(None) };
            if record.header.kind == KIND_STREAM_CHUNK {
                bytes += record.body.len() as u64;
            }
        }
        Ok(Some(bytes))
    }

    /// Gives the new file its name, and removes the old ones.
    fn replace(&mut self, name: &str, new: &Path, group: &[usize], dropped: u64) -> Result<(), StreamError> {
        let named = self.path.join(format!("{name}.{EXTENSION}"));
        self.disk.rename(new, &named).map_err(|e| StreamError::io("rename", new, e))?;
        self.sync()?;
        let file = self.disk.open(&named, Access::Read).and_then(|file| file.bytes());
        self.done.bytes_after += file.map_err(|e| StreamError::io("read stream", &named, e))?;
        self.done.made += 1;
        self.done.dropped += dropped;
        let old: BTreeSet<usize> = group.iter().copied().collect();
        for file in old.iter().filter_map(|number| self.dir.file(*number)) {
            self.disk.remove(&file.path).map_err(|e| StreamError::io("remove", &file.path, e))?;
            self.done.merged += 1;
            self.done.bytes_before += file.bytes;
        }
        self.sync()
    }
}
