//! All output of many tasks in the order of time.
//!
//! The chunks of a million tasks do not fit into memory, nor do their places. So the earliest so many are looked for and
//! handed out, then the earliest of those that are left, and so on; the index tells which tasks are not worth a look.
//!
//! **Invariant:** at most twice [`PLACES_MAX`] places are held; each intact chunk is handed out once.

use std::io;

use super::file::record_at;
use super::headers::Headers;
use super::index::{Extent, Key};
use super::instance::Instance;
use super::read::StreamDir;
use super::{CHANNEL_STDERR, CHANNEL_STDOUT, StreamError};
use crate::record::{HEADER_BYTES, Header, KIND_STREAM_CHUNK};
use crate::scan::{Found, Scanner};

/// Places of chunks that are looked for at a time; 48 bytes each.
pub(super) const PLACES_MAX: usize = 500_000;

/// Where a chunk is; in the order in which chunks are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time_us: u64,
    job: u32,
    task: u32,
    channel: u8,
    /// Number of the chunk in its channel.
    number: u32,
    file: u32,
    offset: u64,
}

/// The earliest of many places.
struct Earliest {
    max: usize,
    places: Vec<Place>,
    /// The last of those that were the earliest when there were twice as many as wanted.
    bound: Option<Place>,
}

impl Earliest {
    fn new(max: usize) -> Self {
        Self { max: max.max(1), places: Vec::new(), bound: None }
    }

    /// Whether nothing from this time on is wanted.
    fn is_before(&self, time_us: u64) -> bool {
        self.bound.is_some_and(|bound| time_us > bound.time_us)
    }

    fn add(&mut self, place: Place) {
        if self.bound.is_some_and(|bound| place >= bound) {
            return;
        }
        self.places.push(place);
        if self.places.len() >= self.max.saturating_mul(2) {
            self.cut();
        }
    }

    /// Leaves the earliest, without an order.
    fn cut(&mut self) {
        if self.places.len() > self.max {
            let (_, last, _) = self.places.select_nth_unstable(self.max - 1);
            self.bound = Some(*last);
            self.places.truncate(self.max);
        }
    }

    fn into_sorted(mut self) -> Vec<Place> {
        self.cut();
        self.places.sort_unstable();
        self.places
    }
}

/// A chunk of output with whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Job, task, epoch and attempt.
    pub key: Key,
    /// 0 stdout, 1 stderr.
    pub channel: u8,
    /// When the worker read it from the task, in microseconds since 1970.
    pub time_us: u64,
    /// What the task wrote.
    pub bytes: &'a [u8],
}

/// Which tasks are shown: which channels of this instance, the newest of its task.
pub type Wanted<'a> = dyn FnMut(&Instance) -> [bool; 2] + 'a;

impl StreamDir {
    /// Calls `f` with each intact chunk of the newest instances that are `wanted`, in the order of time, job, task and
    /// channel. `wanted` is asked for all tasks before the first call of `f`, and again later. Damaged chunks are
    /// skipped and named.
    ///
    /// # Errors
    /// The system's error, also that of `f`.
    pub fn for_each_in_time(
        &self,
        wanted: &mut Wanted<'_>,
        f: &mut dyn FnMut(&Shown<'_>) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        self.in_time(PLACES_MAX, wanted, f)
    }

    pub(super) fn in_time(
        &self,
        places_max: usize,
        wanted: &mut Wanted<'_>,
        f: &mut dyn FnMut(&Shown<'_>) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let mut after: Option<Place> = None;
        loop {
            let places = self.earliest(places_max, after, wanted)?;
            for place in &places {
                self.show(place, f)?;
            }
            match places.last() {
                Some(last) if places.len() >= places_max => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// The earliest places behind `after`, in order.
    fn earliest(&self, max: usize, after: Option<Place>, wanted: &mut Wanted<'_>) -> Result<Vec<Place>, StreamError> {
        let mut earliest = Earliest::new(max);
        let mut failure = None;
        self.for_each_task(None, &mut |all| {
            let Some(newest) = all.last() else { return true };
            let is_wanted = wanted(newest);
            let is_over = after.is_some_and(|after| newest.last_us < after.time_us);
            if is_over || earliest.is_before(newest.first_us) {
                return true;
            }
            for channel in [CHANNEL_STDOUT, CHANNEL_STDERR] {
                if !is_wanted.get(usize::from(channel)).copied().unwrap_or_default() {
                    continue;
                }
                let placed = self.places(newest, channel, &mut |place| {
                    if after.is_none_or(|after| place > after) {
                        earliest.add(place);
                    }
                });
                failure = placed.err();
                if failure.is_some() {
                    return false;
                }
            }
            true
        })?;
        failure.map_or_else(|| Ok(earliest.into_sorted()), Err)
    }

    /// The places of the chunks of a channel, by their headers alone; of a single one by the index.
    fn places(&self, instance: &Instance, channel: u8, f: &mut dyn FnMut(Place)) -> Result<(), StreamError> {
        let (Some(file), Some(output)) = (self.file(instance.file), instance.output(channel)) else {
            return Ok(());
        };
        let fail = |e| StreamError::io("read stream", &file.path, e);
        let Key { job, task, .. } = instance.key;
        let number_of_file = u32::try_from(instance.file).unwrap_or(u32::MAX);
        if let (1, [Extent { offset, records: 1, .. }]) = (output.chunks, output.extents.as_slice()) {
            let (time_us, offset) = (output.first_us, *offset);
            f(Place { time_us, job, task, channel, number: 0, file: number_of_file, offset });
            return Ok(());
        }
        let mut number = 0;
        for extent in &output.extents {
            let (mut at, end) = (extent.offset, extent.offset.saturating_add(u64::from(extent.bytes)));
            let mut headers = Headers::new(&file.file, end);
            while at < end {
                let header = headers.at(at).map_err(fail)?.filter(|h| {
                    let is_chunk = h.kind == KIND_STREAM_CHUNK && h.channel == channel && h.tag == file.tag;
                    is_chunk && Key::of(h) == instance.key && at + h.record_bytes() <= end
                });
                if let Some(header) = header {
                    f(Place { time_us: header.time_us, job, task, channel, number, file: number_of_file, offset: at });
                    number += 1;
                    at += header.record_bytes();
                    continue;
                }
                let mut scanner = Scanner::new(&file.file, at, end).map_err(fail)?.with_tag(file.tag);
                let next = match scanner.next().map_err(fail)? {
                    Some(Found::Damaged { to, .. } | Found::Valid { to, .. }) => to,
                    Some(Found::TornTail { .. }) | None => end,
                };
                file.note_lost(at, next);
                at = next;
            }
        }
        Ok(())
    }

    /// Reads a chunk and hands it out.
    fn show(&self, place: &Place, f: &mut dyn FnMut(&Shown<'_>) -> io::Result<()>) -> Result<(), StreamError> {
        let Some(file) = self.file(place.file as usize) else {
            return Ok(());
        };
        let fail = |e| StreamError::io("read stream", &file.path, e);
        let is_it = |header: &Header| {
            let of = (header.kind, header.tag, header.job, header.task, header.channel);
            of == (KIND_STREAM_CHUNK, file.tag, place.job, place.task, place.channel)
        };
        let record = record_at(&file.file, place.offset).map_err(fail)?.filter(|(header, _)| is_it(header));
        let Some((header, bytes)) = record else {
            let mut raw = [0; HEADER_BYTES];
            crate::disk::read_full(&file.file, place.offset, &mut raw).map_err(fail)?;
            let length = Header::parse(&raw).map_or(HEADER_BYTES as u64, |header| header.record_bytes());
            file.note_lost(place.offset, place.offset.saturating_add(length));
            return Ok(());
        };
        let shown = Shown { key: Key::of(&header), channel: header.channel, time_us: header.time_us, bytes: &bytes };
        f(&shown).map_err(fail)
    }
}
