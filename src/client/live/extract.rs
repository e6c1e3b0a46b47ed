//! Outputs within stream directories that grow.
//!
//! However many tasks are followed, a directory is looked at once for all of them, and only what is new in it is read.
//!
//! Holds: at most [`QUEUED_BYTES_MAX`] and one look more are kept for tasks whose turn has not come; what an attempt wrote
//! before it was followed is passed on first, and each byte once.

use super::Sink;
use crate::client::arguments::Channel;
use crate::client::error::Error;
use crate::grammar::placeholder::{self, Context};
use hq_core::id::AttemptId;
use hq_core::view::{JobDetail, TaskView};
use hq_journal::reading::RealDisk;
use hq_journal::stream::{Follower, Instance, News, StreamDir, StreamError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shortest pause between two looks into a stream directory, which writers fill no more often.
const PAUSE: Duration = Duration::from_millis(1_000);
/// A look that took long is followed by a pause of so many times its duration.
const PAUSE_FACTOR: u32 = 20;
/// Bytes that one look reads.
const LOOK_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// With more bytes waiting to be passed on there is no further look.
const QUEUED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The stream directories that are followed, each once for all tasks.
#[derive(Debug, Default)]
pub struct Streams(RefCell<BTreeMap<Place, Shared>>);

/// A directory, and the server whose files in it count.
type Place = (PathBuf, String);
/// What all who follow a directory share.
type Shared = Rc<RefCell<Watched>>;

/// One output of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Want {
    job: u32,
    task: u32,
    attempt: u32,
    channel: u8,
}

/// A directory that is followed.
struct Watched {
    dir: PathBuf,
    server_uid: String,
    follower: Option<Follower>,
    /// What was found since the last look.
    found: Option<StreamDir>,
    /// What was read and not passed on.
    queues: BTreeMap<Want, Vec<u8>>,
    next_look: Option<Instant>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// One output within a stream directory.
#[derive(Debug)]
pub struct Extract {
    watched: Shared,
    want: Want,
    /// Bytes that were passed on.
    at: u64,
    is_followed: bool,
}

impl Streams {
    /// The output of an attempt; `None` when its submit has no stream directory.
    pub(super) fn extract(
        &self,
        job: &JobDetail,
        task: &TaskView,
        channel: Channel,
        attempt: AttemptId,
    ) -> Option<Extract> {
        let submit = job.submits.get(task.submit as usize)?;
        let context = Context {
            job: Some(job.summary.id),
            submit_dir: Some(&submit.submit_dir),
            server_uid: Some(&job.server_uid),
            ..Context::default()
        };
        let dir: PathBuf = placeholder::resolve_stream_dir(submit.stream.as_ref()?, &context).into();
        let server_uid = job.server_uid.clone();
        let mut known = self.0.borrow_mut();
        let watched = known.entry((dir.clone(), server_uid.clone())).or_insert_with(|| {
            let (follower, found, next_look) = (None, None, None);
            Rc::new(RefCell::new(Watched { dir, server_uid, follower, found, queues: BTreeMap::new(), next_look }))
        });
        let want = Want { job: job.summary.id.0, task: task.id.0, attempt: attempt.0, channel: channel.number() };
        Some(Extract { watched: Rc::clone(watched), want, at: 0, is_followed: false })
    }
}

impl Watched {
    fn open(&self) -> Result<StreamDir, StreamError> {
        StreamDir::open(Arc::new(RealDisk), &self.dir, Some(&self.server_uid))
    }

    /// Finds what an attempt has written up to where the follower stands, and follows it from there.
    fn begin(&mut self, want: Want, sink: &mut Pass<'_>) -> Result<(), StreamError> {
        if self.found.is_none() {
            self.found = Some(self.open()?);
        }
        let Some(found) = &self.found else { return Ok(()) };
        let uid = Some(self.server_uid.as_str());
        let follower = self.follower.get_or_insert_with(|| Follower::behind(Arc::new(RealDisk), found, uid));
        if let Some(instance) = newest(found, want)? {
            let before = found.name(instance.file).map_or(0, |name| follower.position(name));
            found.read_before(&instance, want.channel, before, sink)?;
        }
        self.queues.insert(want, Vec::new());
        Ok(())
    }

    /// Reads what is new, for all that are followed; `true`: there is more at once.
    fn look(&mut self) -> Result<bool, StreamError> {
        let begun = Instant::now();
        let queued: usize = self.queues.values().map(Vec::len).sum();
        if self.next_look.is_some_and(|next| begun < next) || queued > QUEUED_BYTES_MAX {
            return Ok(false);
        }
        let Some(follower) = &mut self.follower else { return Ok(false) };
        self.found = None;
        let queues = &mut self.queues;
        let more = follower.look(LOOK_BYTES_MAX, &mut |news| {
            if let News::Output(shown) = news {
                let (key, channel) = (shown.key, shown.channel);
                let of = Want { job: key.job, task: key.task, attempt: key.attempt, channel };
                if let Some(queue) = queues.get_mut(&of) {
                    queue.extend_from_slice(shown.bytes);
                }
            }
            Ok(())
        });
        follower.take_damage().iter().for_each(|sentence| log::warn!("{sentence}"));
        let pause = PAUSE.max(begun.elapsed().saturating_mul(PAUSE_FACTOR));
        self.next_look = Some(Instant::now() + pause).filter(|_| !matches!(more, Ok(true)));
        more
    }
}

/// Takes chunks; its own errors are kept by whoever made it.
type Pass<'a> = dyn FnMut(u64, &[u8]) -> io::Result<()> + 'a;

/// The wanted instance; of two epochs with one number the newer one is the task's.
fn newest(dir: &StreamDir, want: Want) -> Result<Option<Instance>, StreamError> {
    let mut instances = dir.instances(want.job, want.task)?;
    let place = instances.iter().rposition(|instance| instance.key.attempt == want.attempt);
    Ok(place.map(|place| instances.swap_remove(place)))
}

/// Runs a read whose chunks go to `sink`; an error of the directory is a text within.
fn passing(
    sink: &mut Sink<'_>,
    read: impl FnOnce(&mut Pass<'_>) -> Result<(), StreamError>,
) -> Result<Result<(), String>, Error> {
    let mut failure = None;
    let done = read(&mut |_, bytes| {
        sink(bytes).map_err(|error| {
            failure = Some(error);
            io::ErrorKind::Other.into()
        })
    });
    failure.map_or(Ok(done.map_err(|error| error.to_string())), Err)
}

/// What of the next bytes comes after the first `known`; `seen` counts all.
fn behind<'b>(bytes: &'b [u8], seen: &mut u64, known: u64) -> &'b [u8] {
    let skip = usize::try_from(known.saturating_sub(*seen)).unwrap_or(usize::MAX);
    *seen += bytes.len() as u64;
    bytes.get(skip..).unwrap_or_default()
}

impl Extract {
    pub(super) fn read_new(&mut self, sink: &mut Sink<'_>) -> Result<bool, Error> {
        let (want, at) = (self.want, &mut self.at);
        let mut watched = self.watched.borrow_mut();
        if !self.is_followed {
            // An earlier try may have passed on some of it.
            let mut seen = 0;
            let begun = passing(sink, |pass| {
                watched.begin(want, &mut |time, bytes| {
                    let new = behind(bytes, &mut seen, *at);
                    *at = seen.max(*at);
                    if new.is_empty() { Ok(()) } else { pass(time, new) }
                })
            })?;
            match begun {
                Ok(()) => self.is_followed = true,
                // What is not there yet is there another time.
                Err(text) => {
                    log::debug!("{text}");
                    return Ok(false);
                }
            }
        }
        let more = watched.look().unwrap_or_else(|error| {
            log::debug!("{error}");
            false
        });
        let new = watched.queues.get_mut(&want).map(std::mem::take).unwrap_or_default();
        drop(watched);
        self.at += new.len() as u64;
        if !new.is_empty() {
            sink(&new)?;
        }
        Ok(more)
    }

    pub(super) fn read_rest(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let want = self.want;
        let (at, mut seen) = (self.at, 0u64);
        let mut watched = self.watched.borrow_mut();
        watched.queues.remove(&want);
        let done = passing(sink, |pass| {
            let dir = watched.open()?;
            let Some(instance) = newest(&dir, want)? else { return Ok(()) };
            dir.read(&instance, want.channel, &mut |time, bytes| {
                let new = behind(bytes, &mut seen, at);
                if new.is_empty() { Ok(()) } else { pass(time, new) }
            })?;
            dir.take_damage().iter().for_each(|sentence| log::warn!("{sentence}"));
            Ok(())
        })?;
        self.at = self.at.max(seen);
        if let Err(text) = done {
            log::warn!("{text}");
        }
        Ok(())
    }
}

impl Drop for Extract {
    fn drop(&mut self) {
        if let Ok(mut watched) = self.watched.try_borrow_mut() {
            watched.queues.remove(&self.want);
        }
    }
}
