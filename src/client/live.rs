//! The output of an attempt as it grows: from its file, or from the stream directory of its submit.
//!
//! Files are looked at again and again, since a file system that is shared over a network announces no changes. What was
//! printed is never printed again; what was overwritten, because the task began anew, is printed from its beginning.
//!
//! Holds: bytes are passed on unchanged and in order; nothing but regular files is opened; nothing waits here.

use super::arguments::Channel;
use super::error::Error;
use super::paths::{self, Output};
use super::render::escape;
use crate::grammar::placeholder::{self, Context};
use hq_core::id::AttemptId;
use hq_core::view::{JobDetail, TaskView};
use hq_journal::reading::RealDisk;
use hq_journal::stream::{StreamDir, StreamError};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes copied at once.
const COPY_BYTES: usize = 64 * 1024;
/// Bytes of one file that are passed on before others have their turn.
const TURN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Shortest pause between two looks into a stream directory, which writers fill no more often.
const STREAM_PAUSE: Duration = Duration::from_millis(1_000);
/// A look that took long is followed by a pause of so many times its duration.
const PAUSE_FACTOR: u32 = 20;

/// Takes what was read.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// Where an attempt writes one of its outputs.
#[derive(Debug)]
pub enum Source {
    /// Nowhere.
    Nothing,
    /// Into a file.
    File(Tail),
    /// Into a stream directory.
    Stream(Extract),
}

/// The newest attempt of the task that has started.
pub fn newest_attempt(task: &TaskView) -> Option<AttemptId> {
    match task.started {
        Some(_) => Some(task.attempt),
        // What is told of a task that waits is the number that comes next.
        None => task.attempt.0.checked_sub(1).map(AttemptId),
    }
}

impl Source {
    /// The output of an attempt that has started.
    pub fn of(job: &JobDetail, task: &TaskView, channel: Channel, attempt: AttemptId) -> Self {
        let of = |attempt| {
            let paths = paths::of_task(job, &TaskView { attempt, ..task.clone() })?;
            Some(if channel == Channel::Stdout { paths.stdout } else { paths.stderr })
        };
        match of(attempt) {
            None | Some(Output::Discarded) => Self::Nothing,
            Some(Output::File(path)) => {
                // A file with the name of the next attempt's was put aside when that one started.
                let next = AttemptId(attempt.0.saturating_add(1));
                let has_next = newest_attempt(task).is_some_and(|newest| newest > attempt);
                let is_aside = has_next && of(next) == Some(Output::File(path.clone()));
                let path = if is_aside { placeholder::attempt_path(&path, attempt) } else { path };
                Self::File(Tail::new(path.into()))
            }
            Some(Output::Streamed) => Extract::of(job, task, channel, attempt).map_or(Self::Nothing, Self::Stream),
        }
    }

    /// Passes on what is new; `true`: there is more at once.
    ///
    /// # Errors
    /// Those of `sink`. What cannot be read yet is tried again the next time.
    pub fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        match self {
            Self::Nothing => Ok(false),
            Self::File(tail) => tail.read_new(sink),
            Self::Stream(extract) => extract.read_new(sink).map(|()| false),
        }
    }

    /// Passes on all that is left of an attempt that has ended.
    ///
    /// # Errors
    /// Those of `sink`; what cannot be read is a log line.
    pub fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            Self::File(tail) => tail.read_rest(sink),
            Self::Stream(extract) => extract.read_rest(sink),
        }
    }

    /// The next attempt has started, whose output is `next`: passes on what is left of this one.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn continue_with(&mut self, next: Self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match (&mut *self, next) {
            (Self::File(tail), Self::File(next)) if tail.path == next.path => tail.begin_again(sink),
            (Self::File(tail), next) => {
                tail.copy_all(sink)?;
                *self = next;
                Ok(())
            }
            (Self::Stream(extract), next) => {
                extract.read_rest(sink)?;
                *self = next;
                Ok(())
            }
            (Self::Nothing, next) => {
                *self = next;
                Ok(())
            }
        }
    }
}

/// A file that grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    open: Option<(File, Identity)>,
    at: u64,
    /// Whether it was seen to begin anew since the attempt was known to have started.
    has_begun_again: bool,
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, open: None, at: 0, has_begun_again: false }
    }

    fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        if self.copy(sink)? {
            return Ok(true);
        }
        if self.is_elsewhere() {
            // The last of what was put aside; it is complete by then.
            self.copy_all(sink)?;
            // Now or later: what does not exist yet may come.
            let _ = self.reopen();
            return self.copy(sink);
        }
        Ok(false)
    }

    fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.copy_all(sink)?;
        // What was written on another machine may show only in a file that is opened anew. One that was removed at the
        // end of its task has been open before.
        match self.reopen() {
            Ok(()) => self.copy_all(sink),
            Err(_) if self.open.is_some() => Ok(()),
            Err(error) => {
                log::warn!("File `{}` cannot be opened: {error}", escape::path(&self.path));
                Ok(())
            }
        }
    }

    /// Another attempt writes to the same path.
    fn begin_again(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if self.is_elsewhere() {
            self.copy_all(sink)?;
            self.open = None;
        }
        if self.open.is_none() || !self.has_begun_again {
            self.at = 0;
        }
        self.has_begun_again = false;
        Ok(())
    }

    /// Whether the path leads to another file than the one that is open, or to none.
    fn is_elsewhere(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok();
        self.open.as_ref().map(|(_, known)| *known) != now.as_ref().map(identity) || self.open.is_none()
    }

    /// Opens what the path leads to now; from its beginning, if that is another file.
    fn reopen(&mut self) -> io::Result<()> {
        // A named pipe would hold us up.
        if !std::fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let file = File::open(&self.path)?;
        let found = identity(&file.metadata()?);
        if let Some((_, known)) = &self.open
            && *known != found
        {
            (self.at, self.has_begun_again) = (0, true);
        }
        self.open = Some((file, found));
        Ok(())
    }

    fn copy_all(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        while self.copy(sink)? {}
        Ok(())
    }

    /// Copies from where it ended the last time; `true`: it stopped before the end.
    fn copy(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        let Some((file, _)) = &mut self.open else { return Ok(false) };
        let length = file.metadata().map_or(0, |found| found.len());
        if length < self.at {
            (self.at, self.has_begun_again) = (0, true);
        }
        if length == self.at || file.seek(SeekFrom::Start(self.at)).is_err() {
            return Ok(false);
        }
        let end = self.at.saturating_add(TURN_BYTES_MAX);
        let mut buffer = vec![0; COPY_BYTES];
        while self.at < end {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.at += read as u64;
                    sink(buffer.get(..read).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("File `{}` cannot be read: {error}", escape::path(&self.path));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// One output within a stream directory.
#[derive(Debug)]
pub struct Extract {
    dir: PathBuf,
    server_uid: String,
    job: u32,
    task: u32,
    attempt: AttemptId,
    channel: u8,
    at: u64,
    next_look: Option<Instant>,
}

impl Extract {
    fn of(job: &JobDetail, task: &TaskView, channel: Channel, attempt: AttemptId) -> Option<Self> {
        let submit = job.submits.get(task.submit as usize)?;
        let context = Context {
            job: Some(job.summary.id),
            submit_dir: Some(&submit.submit_dir),
            server_uid: Some(&job.server_uid),
            ..Context::default()
        };
        let dir = placeholder::resolve_stream_dir(submit.stream.as_ref()?, &context).into();
        let (server_uid, channel) = (job.server_uid.clone(), channel.number());
        let (job, task) = (job.summary.id.0, task.id.0);
        Some(Self { dir, server_uid, job, task, attempt, channel, at: 0, next_look: None })
    }

    fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let begun = Instant::now();
        if self.next_look.is_some_and(|next| begun < next) {
            return Ok(());
        }
        // What is not there yet, or is just being written, is there at another look.
        if let Err(text) = self.look(sink)? {
            log::debug!("{text}");
        }
        self.next_look = Some(Instant::now() + STREAM_PAUSE.max(begun.elapsed().saturating_mul(PAUSE_FACTOR)));
        Ok(())
    }

    fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let Err(text) = self.look(sink)? {
            log::warn!("{text}");
        }
        Ok(())
    }

    /// Passes on what is new; an error of the directory is a text within.
    fn look(&mut self, sink: &mut Sink<'_>) -> Result<Result<(), String>, Error> {
        let mut failure = None;
        let done = self.copy(&mut |bytes| {
            sink(bytes).map_err(|error| {
                failure = Some(error);
                io::ErrorKind::Other.into()
            })
        });
        failure.map_or(Ok(done.map_err(|error| error.to_string())), Err)
    }

    fn copy(&mut self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), StreamError> {
        let dir = StreamDir::open(Arc::new(RealDisk), &self.dir, Some(&self.server_uid))?;
        let instances = dir.instances(self.job, self.task)?;
        // Of two epochs with one number the newer one is the task's.
        let found = instances.iter().rfind(|instance| instance.key.attempt == self.attempt.0);
        let Some(instance) = found.filter(|found| found.output(self.channel).is_some_and(|out| out.bytes > self.at))
        else {
            return Ok(());
        };
        let (at, mut seen) = (&mut self.at, 0u64);
        dir.read(instance, self.channel, &mut |_, bytes| {
            let known = usize::try_from(at.saturating_sub(seen)).unwrap_or(usize::MAX).min(bytes.len());
            seen += bytes.len() as u64;
            *at = seen.max(*at);
            let new = bytes.get(known..).unwrap_or_default();
            if new.is_empty() { Ok(()) } else { sink(new) }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        while tail.read_new(&mut |bytes| keep(&mut all, bytes)).unwrap() {}
        String::from_utf8(all).unwrap()
    }

    fn rest(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        tail.read_rest(&mut |bytes| keep(&mut all, bytes)).unwrap();
        String::from_utf8(all).unwrap()
    }

    fn begin_again(tail: &mut Tail) -> String {
        let mut all = Vec::new();
        tail.begin_again(&mut |bytes| keep(&mut all, bytes)).unwrap();
        String::from_utf8(all).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is a sink")]
    fn keep(all: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn append(path: &std::path::Path, text: &str) {
        File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_is_followed_over_truncation_and_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut tail = Tail::new(path.clone());
        assert_eq!(read(&mut tail), "");
        append(&path, "one\n");
        assert_eq!(read(&mut tail), "one\n");
        assert_eq!(read(&mut tail), "");
        append(&path, "two\n");
        assert_eq!(read(&mut tail), "two\n");
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(read(&mut tail), "new\n");
        // What was written before the file was put aside is not lost.
        append(&path, "end\n");
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        std::fs::write(&path, "other\n").unwrap();
        assert_eq!(read(&mut tail), "end\nother\n");
        append(&path, "last\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rest(&mut tail), "last\n");
    }

    #[test]
    fn the_next_attempt_is_printed_once_whoever_notices_it_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        // The server tells of the attempt before the file shows it, which is longer than what was there before.
        append(&path, "a\n");
        let mut tail = Tail::new(path.clone());
        assert_eq!(read(&mut tail), "a\n");
        std::fs::write(&path, "b is longer\n").unwrap();
        assert_eq!(begin_again(&mut tail), "");
        assert_eq!(read(&mut tail), "b is longer\n");
        // The file shows it first.
        std::fs::write(&path, "c\n").unwrap();
        assert_eq!(read(&mut tail), "c\n");
        assert_eq!(begin_again(&mut tail), "");
        assert_eq!(read(&mut tail), "");
        // The file was put aside; again in both orders.
        append(&path, "d\n");
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        append(&path, "e\n");
        assert_eq!(begin_again(&mut tail), "d\n");
        assert_eq!(read(&mut tail), "e\n");
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        append(&path, "f\n");
        assert_eq!(read(&mut tail), "f\n");
        assert_eq!(begin_again(&mut tail) + &rest(&mut tail), "");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(dir.path().into());
        assert_eq!(read(&mut tail) + &rest(&mut tail), "");
        assert!(tail.open.is_none());
    }
}
