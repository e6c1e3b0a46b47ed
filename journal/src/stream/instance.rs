//! Executions of tasks, put together from the entries of all files.
//!
//! What a worker wrote in several blocks is one execution; what two workers wrote never is.
//!
//! **Invariant:** attempts of different files or epochs are never joined; the newest is the one with the largest
//! (epoch, attempt), then the latest beginning.

use super::index::{Entry, Extent, FLAG_ENDED, FLAG_FINISHED, Key};
use super::{CHANNEL_ALL, Outcome};

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
    /// Time of its first record in microseconds since 1970.
    pub first_us: u64,
    /// Time of its last record: the end, once that is there.
    pub last_us: u64,
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

    /// Bytes of output of a channel.
    pub fn bytes(&self, channel: u8) -> u64 {
        self.output(channel).map_or(0, |o| o.bytes)
    }
}

/// Joins the entries of one task into its instances, oldest first.
pub(super) fn instances(mut entries: Vec<(usize, Entry)>) -> Vec<Instance> {
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
            instance.outputs.push(Output { channel, first_us, ..Output::default() });
        }
        if let Some(output) = instance.outputs.last_mut() {
            output.bytes += bytes;
            output.chunks += u64::from(chunks);
            output.ended |= flags & FLAG_ENDED != 0;
            output.first_us = output.first_us.min(first_us);
            output.last_us = output.last_us.max(last_us);
            output.extents.extend(extents);
        }
    }
    out.sort_by_key(|i| (i.key, i.first_us, i.last_us, i.file));
    out
}
