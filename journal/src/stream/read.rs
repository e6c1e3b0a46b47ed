//! Reading a stream directory: which attempts it holds, and their bytes.
//!
//! `hq output-log` is this module with a command line: it must find one task among a million in milliseconds, and
//! must not be stopped by a damaged file among many good ones.
//!
//! **Invariant:** attempts of different files or epochs are never joined; the newest is the one with the largest
//! (epoch, attempt), then the latest beginning.
//! **Invariant:** a file that is there twice counts once.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::{Entry, Extent, FLAG_ENDED, FLAG_FINISHED, Key};
use super::merge::{Merge, StreamFile};
use super::{CHANNEL_ALL, CHANNEL_STDERR, CHANNEL_STDOUT, EXTENSION, Outcome, StreamError};
use crate::disk::{Disk, File};
use crate::record::{HEADER_BYTES, KIND_STREAM_CHUNK};
use crate::scan::{Found, Scanner};

/// What an attempt wrote to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// 0 stdout, 1 stderr.
    pub channel: u8,
    /// Bytes of output.
    pub bytes: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// The channel reached its end.
    pub ended: bool,
    /// Where the chunks are.
    pub extents: Vec<Extent>,
}

/// One execution of a task as the stream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Job, task, epoch and attempt.
    pub key: Key,
    /// Number of the file in the directory's list.
    pub file: usize,
    /// All streamed channels reached their end.
    pub finished: bool,
    /// How the attempt ended, if the stream knows.
    pub outcome: Option<Outcome>,
    /// Time of the first record in microseconds since 1970.
    pub first_us: u64,
    /// Time of the last record.
    pub last_us: u64,
    /// Channels with output or an end, by channel.
    pub outputs: Vec<Output>,
}

impl Instance {
    /// The output of a channel, if there is any record of it.
    pub fn output(&self, channel: u8) -> Option<&Output> {
        self.outputs.iter().find(|o| o.channel == channel)
    }

    fn bytes(&self, channel: u8) -> u64 {
        self.output(channel).map_or(0, |o| o.bytes)
    }
}

/// A chunk's place and time; its bytes are read when they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// When the worker read it from the task, in microseconds since 1970.
    pub time_us: u64,
    /// Number of the file.
    pub file: usize,
    /// Offset of the body in the file.
    pub offset: u64,
    /// Length of the body.
    pub bytes: u32,
}

/// How reading a channel went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadReport {
    /// Bytes handed out.
    pub bytes: u64,
    /// Damaged places that were skipped, one sentence each.
    pub damaged: Vec<String>,
}

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
    files: Vec<StreamFile>,
    skipped: Vec<PathBuf>,
    notes: Vec<String>,
}

impl StreamDir {
    /// Opens all `.hqs` files of a directory, or those of one server only.
    ///
    /// # Errors
    /// [`StreamError::NoFiles`], [`StreamError::SeveralServers`] unless one was chosen, or the system's error. Files
    /// without a readable head are skipped (see `skipped`).
    pub fn open(disk: &dyn Disk, path: &Path, server_uid: Option<&str>) -> Result<Self, StreamError> {
        let names = disk.list(path).map_err(|e| StreamError::io("open stream directory", path, e))?;
        let mut dir = Self { files: Vec::new(), skipped: Vec::new(), notes: Vec::new() };
        let mut any = false;
        for name in names.iter().filter(|n| Path::new(n).extension().is_some_and(|e| e == EXTENSION)) {
            any = true;
            match StreamFile::open(disk, &path.join(name)) {
                Ok(Some(file)) => dir.files.push(file),
                Ok(None) => dir.skipped.push(path.join(name)),
                Err(e) => {
                    dir.notes.push(e.to_string());
                    dir.skipped.push(path.join(name));
                }
            }
        }
        if !any {
            return Err(StreamError::NoFiles);
        }
        let uids: BTreeSet<&String> = dir.files.iter().map(|f| &f.head.server_uid).collect();
        if server_uid.is_none() && uids.len() > 1 {
            return Err(StreamError::SeveralServers(uids.into_iter().cloned().collect()));
        }
        dir.files.retain(|f| server_uid.is_none_or(|uid| f.head.server_uid == uid));
        dir.drop_copies();
        for file in &mut dir.files {
            file.load_index()?;
        }
        Ok(dir)
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

    /// Number of readable files of the chosen server.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// What the head of a file says.
    pub fn head(&self, file: usize) -> Option<&super::StreamHead> {
        self.files.get(file).map(|f| &f.head)
    }

    /// Files without a readable head.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Copies and damage that were met so far, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.notes.iter().chain(self.files.iter().flat_map(|f| &f.notes)).cloned().collect()
    }

    /// Calls `f` with the instances of each task, oldest first, in the order of jobs and tasks; `f` ends it by
    /// returning false.
    ///
    /// # Errors
    /// The system's error.
    pub fn for_each_task(
        &mut self,
        job: Option<u32>,
        f: &mut dyn FnMut(&[Instance]) -> bool,
    ) -> Result<(), StreamError> {
        for file in &mut self.files {
            file.check_blocks()?;
        }
        let mut merge = Merge::new(&self.files, job);
        let mut group: Vec<(usize, Entry)> = Vec::new();
        let task_of = |e: &Entry| (e.key.job, e.key.task);
        while let Some((file, entry)) = merge.next()? {
            if job.is_some_and(|j| j != entry.key.job) {
                continue;
            }
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
    pub fn instances(&mut self, job: u32, task: u32) -> Result<Vec<Instance>, StreamError> {
        let mut entries = Vec::new();
        for (n, file) in self.files.iter_mut().enumerate() {
            entries.extend(file.entries_of(job, task)?.into_iter().map(|e| (n, e)));
        }
        Ok(instances(entries))
    }

    /// The newest instance of a task.
    ///
    /// # Errors
    /// The system's error.
    pub fn newest(&mut self, job: u32, task: u32) -> Result<Option<Instance>, StreamError> {
        Ok(self.instances(job, task)?.pop())
    }

    /// The jobs, ascending.
    ///
    /// # Errors
    /// The system's error.
    pub fn jobs(&mut self) -> Result<Vec<u32>, StreamError> {
        let mut jobs = BTreeSet::new();
        self.for_each_task(None, &mut |i| {
            jobs.extend(i.first().map(|i| i.key.job));
            true
        })?;
        Ok(jobs.into_iter().collect())
    }

    /// The tasks of a job, ascending; empty if the stream knows no such job.
    ///
    /// # Errors
    /// The system's error.
    pub fn tasks(&mut self, job: u32) -> Result<Vec<u32>, StreamError> {
        let mut tasks = Vec::new();
        self.for_each_task(Some(job), &mut |i| {
            tasks.extend(i.first().map(|i| i.key.task));
            true
        })?;
        Ok(tasks)
    }

    /// Sums over all tasks.
    ///
    /// # Errors
    /// The system's error.
    pub fn summary(&mut self) -> Result<Summary, StreamError> {
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

    /// Calls `f` with time and bytes of each intact chunk of a channel, in order; damaged ones are skipped and named.
    ///
    /// # Errors
    /// The system's error, also that of `f`.
    pub fn read(
        &self,
        instance: &Instance,
        channel: u8,
        f: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<ReadReport, StreamError> {
        let mut report = ReadReport::default();
        let (Some(file), Some(output)) = (self.files.get(instance.file), instance.output(channel)) else {
            return Ok(report);
        };
        for extent in &output.extents {
            read_extent(file, &instance.key, channel, extent, &mut report, &mut |_, time_us, body| f(time_us, body))
                .map_err(|e| StreamError::io("read stream", &file.path, e))?;
        }
        Ok(report)
    }

    /// Places and times of the intact chunks of a channel, for showing many tasks in the order of time.
    ///
    /// # Errors
    /// The system's error.
    pub fn chunks(&self, instance: &Instance, channel: u8) -> Result<(Vec<Chunk>, ReadReport), StreamError> {
        let (mut chunks, mut report) = (Vec::new(), ReadReport::default());
        let (Some(file), Some(output)) = (self.files.get(instance.file), instance.output(channel)) else {
            return Ok((chunks, report));
        };
        for extent in &output.extents {
            read_extent(file, &instance.key, channel, extent, &mut report, &mut |offset, time_us, body| {
                let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
                chunks.push(Chunk { time_us, file: instance.file, offset, bytes });
                Ok(())
            })
            .map_err(|e| StreamError::io("read stream", &file.path, e))?;
        }
        Ok((chunks, report))
    }

    /// The bytes of a chunk that `chunks` returned.
    ///
    /// # Errors
    /// The system's error, also when the file became shorter.
    pub fn chunk_bytes(&self, chunk: &Chunk) -> Result<Vec<u8>, StreamError> {
        let Some(file) = self.files.get(chunk.file) else {
            return Ok(Vec::new());
        };
        let fail = |e| StreamError::io("read stream", &file.path, e);
        let mut bytes = vec![0; chunk.bytes as usize];
        if crate::disk::read_full(&*file.file, chunk.offset, &mut bytes).map_err(fail)? < bytes.len() {
            return Err(fail(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }
}

type OnChunk<'a> = dyn FnMut(u64, u64, &[u8]) -> io::Result<()> + 'a;

fn read_extent(
    file: &StreamFile,
    key: &Key,
    channel: u8,
    extent: &Extent,
    report: &mut ReadReport,
    f: &mut OnChunk<'_>,
) -> io::Result<()> {
    let data: &Arc<dyn File> = &file.file;
    let end = extent.offset.saturating_add(u64::from(extent.bytes));
    let mut damaged = |from: u64, to: u64| {
        report.damaged.push(format!("{}: bytes {from} to {to} are damaged and left out", file.path.display()));
    };
    let mut scanner = Scanner::new(&**data, extent.offset, end)?;
    while let Some(found) = scanner.next()? {
        match found {
            Found::Valid { record, from, to } => {
                let h = record.header;
                if h.kind == KIND_STREAM_CHUNK && Key::of(&h) == *key && h.channel == channel {
                    report.bytes += record.body.len() as u64;
                    f(from + HEADER_BYTES as u64, h.time_us, record.body)?;
                } else {
                    damaged(from, to);
                }
            }
            Found::Damaged { from, to } | Found::TornTail { from, to } => damaged(from, to),
        }
    }
    if scanner.position() < end {
        damaged(scanner.position(), end);
    }
    Ok(())
}

/// Joins the entries of one task into its instances, oldest first.
fn instances(mut entries: Vec<(usize, Entry)>) -> Vec<Instance> {
    entries.sort_by_key(|(file, e)| (*file, e.key, e.channel, e.extents.first().map(|x| x.offset), e.first_us));
    let mut out: Vec<Instance> = Vec::new();
    for (file, entry) in entries {
        let Entry { key, channel, flags, chunks, bytes, first_us, last_us, outcome, extents } = entry;
        let same = out.last().is_some_and(|i| i.file == file && i.key == key);
        if !same {
            out.push(Instance { key, file, finished: false, outcome: None, first_us, last_us, outputs: Vec::new() });
        }
        let Some(instance) = out.last_mut() else {
            continue;
        };
        instance.finished |= flags & FLAG_FINISHED != 0;
        instance.outcome = outcome.or(instance.outcome);
        instance.first_us = instance.first_us.min(first_us);
        instance.last_us = instance.last_us.max(last_us);
        if channel == CHANNEL_ALL {
            continue;
        }
        if instance.outputs.last().is_none_or(|o| o.channel != channel) {
            instance.outputs.push(Output { channel, ..Output::default() });
        }
        if let Some(output) = instance.outputs.last_mut() {
            output.bytes += bytes;
            output.chunks += u64::from(chunks);
            output.ended |= flags & FLAG_ENDED != 0;
            output.extents.extend(extents);
        }
    }
    out.sort_by_key(|i| (i.key, i.first_us, i.file));
    out
}
