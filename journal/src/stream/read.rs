//! Reading a stream directory: which attempts it holds, and their bytes.
//!
//! `hq output-log` is this module with a command line: it must find one task among a million in milliseconds, and
//! must not be stopped by a damaged file among many good ones.
//!
//! **Invariant:** a file that is there twice counts once.
//! **Invariant:** a directory of a million tasks is walked over in little memory, whatever is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Damage, StreamFile};
use super::index::{Entry, Extent, Key};
use super::instance::{Instance, instances};
use super::merge::Merge;
use super::pool::Pool;
use super::{CHANNEL_STDERR, CHANNEL_STDOUT, EXTENSION, Origin, StreamError, StreamHead};
use crate::disk::{Disk, read_full};
use crate::record::{HEADER_BYTES, Header, KIND_STREAM_CHUNK};
use crate::scan::{Found, Scanner};

/// Sums over a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Readable files that belong to the chosen server.
    pub files: u64,
    /// Jobs.
    pub jobs: u64,
    /// (job, task) pairs.
    pub tasks: u64,
    /// All instances.
    pub streams: u64,
    /// Tasks whose newest instance is not finished.
    pub opened: u64,
    /// Instances that are not the newest.
    pub superseded: u64,
    /// Bytes of the newest instances on stdout.
    pub stdout_bytes: u64,
    /// Bytes of the newest instances on stderr.
    pub stderr_bytes: u64,
    /// Bytes of superseded instances on stdout.
    pub superseded_stdout_bytes: u64,
    /// Bytes of superseded instances on stderr.
    pub superseded_stderr_bytes: u64,
}

/// An open stream directory.
pub struct StreamDir {
    pub(super) path: PathBuf,
    files: Vec<StreamFile>,
    skipped: Vec<PathBuf>,
    /// Files whose output is in another one.
    merged: Vec<PathBuf>,
    notes: Vec<String>,
    damage: Arc<Damage>,
}

impl StreamDir {
    /// Opens all `.hqs` files of a directory, or those of one server only.
    ///
    /// # Errors
    /// [`StreamError::NoFiles`], [`StreamError::SeveralServers`] unless one was chosen, or the system's error. Files
    /// that are no stream files (yet) are skipped (see `skipped`), and files that cannot be read are named as damage.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, server_uid: Option<&str>) -> Result<Self, StreamError> {
        let names = disk.list(path).map_err(|e| StreamError::io("open stream directory", path, e))?;
        let (files, skipped, merged, notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut dir = Self { path: path.to_path_buf(), files, skipped, merged, notes, damage: Arc::default() };
        let pool = Pool::new(disk);
        let mut any = false;
        for name in names.iter().filter(|n| is_stream_name(n)) {
            any = true;
            match StreamFile::open(&pool, &path.join(name), &dir.damage) {
                Ok(Some(file)) => dir.files.push(file),
                Ok(None) => dir.skipped.push(path.join(name)),
                Err(e) => {
                    dir.damage.note(e.to_string());
                    dir.skipped.push(path.join(name));
                }
            }
        }
        if !any {
            return Err(StreamError::NoFiles);
        }
        dir.choose_server(server_uid)?;
        dir.drop_copies();
        dir.drop_merged();
        for file in &mut dir.files {
            file.load_index()?;
        }
        Ok(dir)
    }

    /// Keeps the files of one server, those whose head is damaged too, as far as they can be told to be of it.
    fn choose_server(&mut self, server_uid: Option<&str>) -> Result<(), StreamError> {
        let whole = self.files.iter().filter(|f| !f.is_headless());
        let uids: BTreeSet<String> = whole.map(|f| f.head.server_uid.clone()).collect();
        if server_uid.is_none() && uids.len() > 1 {
            return Err(StreamError::SeveralServers(uids.into_iter().collect()));
        }
        let only = server_uid.map(str::to_owned).or(uids.into_iter().next());
        let notes = &mut self.notes;
        self.files.retain_mut(|file| match &only {
            None => true,
            Some(uid) if file.is_headless() => {
                let is_ours = file.could_be_of(uid);
                if is_ours {
                    file.head.server_uid.clone_from(uid);
                } else {
                    notes.push(format!("{} is left out: whose it is, is not known", file.path.display()));
                }
                is_ours
            }
            Some(uid) => file.head.server_uid == *uid,
        });
        Ok(())
    }

    /// Keeps the longest of several copies of a file; a shorter one may have been copied while it was written.
    fn drop_copies(&mut self) {
        self.files.sort_by(|a, b| (&a.head.file_id, b.bytes, &a.path).cmp(&(&b.head.file_id, a.bytes, &b.path)));
        let notes = &mut self.notes;
        self.files.dedup_by(|copy, kept| {
            let same = copy.head.file_id == kept.head.file_id;
            if same {
                notes.push(format!("{} is a copy of {}", copy.path.display(), kept.path.display()));
            }
            same
        });
    }

    /// Leaves out what was merged into another file and not removed, as when the merging was cut short.
    fn drop_merged(&mut self) {
        let of = |file: &StreamFile| file.head.origins.iter().map(|o| (o.file_id.clone(), o.bytes)).collect::<Vec<_>>();
        let origins: BTreeMap<String, u64> = self.files.iter().flat_map(of).collect();
        let merged = &mut self.merged;
        self.files.retain(|file| {
            let is_merged = origins.get(&file.head.file_id).is_some_and(|bytes| file.bytes <= *bytes);
            if is_merged {
                merged.push(file.path.clone());
            }
            !is_merged
        });
    }

    /// Files that are there although another one has all that is in them.
    pub(super) fn merged(&self) -> &[PathBuf] {
        &self.merged
    }

    /// Number of readable files of the chosen server.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn file(&self, number: usize) -> Option<&StreamFile> {
        self.files.get(number)
    }

    pub(super) fn all_files(&self) -> &[StreamFile] {
        &self.files
    }

    /// What the head of a file says.
    pub fn head(&self, file: usize) -> Option<&StreamHead> {
        self.files.get(file).map(|f| &f.head)
    }

    /// From which of the merged files the output of an instance comes; 0: from the worker of the file itself.
    pub(super) fn origin(&self, instance: &Instance) -> Result<u32, StreamError> {
        let Some(file) = self.files.get(instance.file).filter(|file| !file.head.origins.is_empty()) else {
            return Ok(0);
        };
        let extent = instance.outputs.iter().find_map(|output| output.extents.first());
        let mut raw = [0; HEADER_BYTES];
        let Some(extent) = extent else { return Ok(0) };
        read_full(&file.file, extent.offset, &mut raw).map_err(|e| StreamError::io("read stream", &file.path, e))?;
        Ok(Header::parse(&raw).map_or(0, |header| header.group_index))
    }

    /// The file into which a worker wrote the output of an instance; `None` where it is not known.
    ///
    /// # Errors
    /// The system's error.
    pub fn writer(&self, instance: &Instance) -> Result<Option<Origin>, StreamError> {
        let Some(file) = self.files.get(instance.file).filter(|file| !file.is_headless()) else { return Ok(None) };
        let head = &file.head;
        if head.origins.is_empty() {
            let StreamHead { file_id, worker_id, meta, .. } = head.clone();
            return Ok(Some(Origin { file_id, worker_id, bytes: file.bytes, meta }));
        }
        let number = self.origin(instance)?.checked_sub(1).and_then(|number| usize::try_from(number).ok());
        Ok(number.and_then(|number| head.origins.get(number)).cloned())
    }

    /// Files without a readable head.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// What is remarkable and no damage, such as copies, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Damage that was met since the last call, one sentence each.
    pub fn take_damage(&self) -> Vec<String> {
        self.damage.take()
    }

    /// Calls `f` with the instances of each task, oldest first, in the order of jobs and tasks; `f` ends it by
    /// returning false.
    ///
    /// # Errors
    /// The system's error.
    pub fn for_each_task(&self, job: Option<u32>, f: &mut dyn FnMut(&[Instance]) -> bool) -> Result<(), StreamError> {
        let mut merge = Merge::new(&self.files, job);
        let mut group: Vec<(usize, Entry)> = Vec::new();
        let task_of = |e: &Entry| (e.key.job, e.key.task);
        while let Some((file, entry)) = merge.next()? {
            let same = group.first().is_none_or(|(_, first)| task_of(first) == task_of(&entry));
            if !same && !f(&instances(std::mem::take(&mut group))) {
                return Ok(());
            }
            group.push((file, entry));
        }
        if !group.is_empty() {
            f(&instances(group));
        }
        Ok(())
    }

    /// All instances of a task, oldest first; empty if the stream knows no such task.
    ///
    /// # Errors
    /// The system's error.
    pub fn instances(&self, job: u32, task: u32) -> Result<Vec<Instance>, StreamError> {
        let mut entries = Vec::new();
        for (n, file) in self.files.iter().enumerate() {
            entries.extend(file.entries_of(job, task)?.into_iter().map(|e| (n, e)));
        }
        Ok(instances(entries))
    }

    /// The newest instance of a task.
    ///
    /// # Errors
    /// The system's error.
    pub fn newest(&self, job: u32, task: u32) -> Result<Option<Instance>, StreamError> {
        Ok(self.instances(job, task)?.pop())
    }

    /// Whether the stream knows the job.
    ///
    /// # Errors
    /// The system's error.
    pub fn has_job(&self, job: u32) -> Result<bool, StreamError> {
        let mut any = false;
        self.for_each_task(Some(job), &mut |_| {
            any = true;
            false
        })?;
        Ok(any)
    }

    /// The jobs, ascending.
    ///
    /// # Errors
    /// The system's error.
    pub fn jobs(&self) -> Result<Vec<u32>, StreamError> {
        let mut jobs = Vec::new();
        self.for_each_task(None, &mut |i| {
            let job = i.first().map(|i| i.key.job);
            if job.as_ref() != jobs.last() {
                jobs.extend(job);
            }
            true
        })?;
        Ok(jobs)
    }

    /// Sums over all tasks.
    ///
    /// # Errors
    /// The system's error.
    pub fn summary(&self) -> Result<Summary, StreamError> {
        let mut sum = Summary { files: self.files.len() as u64, ..Summary::default() };
        let mut job = None;
        self.for_each_task(None, &mut |all| {
            let Some((newest, old)) = all.split_last() else {
                return true;
            };
            sum.jobs += u64::from(job.replace(newest.key.job) != Some(newest.key.job));
            sum.tasks += 1;
            sum.streams += all.len() as u64;
            sum.superseded += old.len() as u64;
            sum.opened += u64::from(!newest.finished);
            sum.stdout_bytes += newest.bytes(CHANNEL_STDOUT);
            sum.stderr_bytes += newest.bytes(CHANNEL_STDERR);
            sum.superseded_stdout_bytes += old.iter().map(|i| i.bytes(CHANNEL_STDOUT)).sum::<u64>();
            sum.superseded_stderr_bytes += old.iter().map(|i| i.bytes(CHANNEL_STDERR)).sum::<u64>();
            true
        })?;
        Ok(sum)
    }

    /// The name of a file of the list.
    pub fn name(&self, file: usize) -> Option<&str> {
        self.files.get(file)?.path.file_name()?.to_str()
    }

    /// Calls `f` with time and bytes of each intact chunk of a channel, in order; damaged ones are skipped and named.
    /// The bytes that were handed out.
    ///
    /// # Errors
    /// The system's error, also that of `f`.
    pub fn read(
        &self,
        instance: &Instance,
        channel: u8,
        f: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<u64, StreamError> {
        self.read_before(instance, channel, u64::MAX, f)
    }

    /// As [`Self::read`], for chunks that begin before this byte of their file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_before(
        &self,
        instance: &Instance,
        channel: u8,
        before: u64,
        f: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<u64, StreamError> {
        let (Some(file), Some(output)) = (self.files.get(instance.file), instance.output(channel)) else {
            return Ok(0);
        };
        let mut bytes = 0;
        for extent in &output.extents {
            let whole = u64::from(extent.bytes);
            let length = before.saturating_sub(extent.offset).min(whole);
            let extent = Extent { bytes: u32::try_from(length).unwrap_or(u32::MAX), ..*extent };
            bytes += read_extent(file, &instance.key, channel, &extent, f)
                .map_err(|e| StreamError::io("read stream", &file.path, e))?;
        }
        Ok(bytes)
    }
}

/// Whether a file of this name is looked at.
pub(super) fn is_stream_name(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == EXTENSION)
}

fn read_extent(
    file: &StreamFile,
    key: &Key,
    channel: u8,
    extent: &Extent,
    f: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let end = extent.offset.saturating_add(u64::from(extent.bytes));
    let mut bytes = 0;
    let mut scanner = Scanner::new(&file.file, extent.offset, end)?.with_tag(file.tag);
    while let Some(found) = scanner.next()? {
        match found {
            Found::Valid { record, from, to } => {
                let h = record.header;
                if h.kind == KIND_STREAM_CHUNK && Key::of(&h) == *key && h.channel == channel {
                    bytes += record.body.len() as u64;
                    f(h.time_us, record.body)?;
                } else {
                    file.note_lost(from, to);
                }
            }
            Found::Damaged { from, to } | Found::TornTail { from, to } => file.note_lost(from, to),
        }
    }
    if scanner.position() < end {
        file.note_lost(scanner.position(), end);
    }
    Ok(bytes)
}
