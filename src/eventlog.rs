//! The mapping between events and records of the journal.
//!
//! The journal knows records, the core knows events; this is the only place that knows both. The header of a record
//! repeats job and time, so that readers can filter without decoding bodies.

pub mod fold;
pub mod info;
pub mod repair;
pub mod verify;

use hq_core::cbor::DecodeError;
use hq_core::event::{Event, Stamped, TaskRetried};
use hq_core::state::image::ImagePart;
use hq_core::time::Time;
use hq_journal::record::{FLAG_GOES_ON, FLAG_SHARED};
use hq_journal::{RecordDraft, RecordRef};

/// The record of an event.
pub fn draft(stamped: &Stamped) -> RecordDraft {
    let (task, attempt) = match &stamped.event {
        Event::TaskFailed(failed) => (failed.task.0, failed.attempt.0),
        Event::TaskRetried(TaskRetried { failed, .. }) => (failed.task.0, failed.attempt.0),
        Event::TaskAdopted(adopted) => (adopted.task.0, adopted.attempt.0),
        _ => (0, 0),
    };
    // The loss of a worker ends attempts of any job.
    let is_shared = matches!(stamped.event, Event::WorkerLost(_));
    RecordDraft {
        kind: stamped.event.kind(),
        flags: if is_shared { FLAG_SHARED } else { 0 },
        time_us: stamped.at.0,
        job: stamped.event.job().map_or(0, |job| job.0),
        task,
        attempt,
        body: stamped.event.encode_body(),
        ..RecordDraft::default()
    }
}

/// The records of what one command has led to: they count together or not at all.
pub fn drafts(events: &[Stamped]) -> impl Iterator<Item = RecordDraft> {
    let last = events.len().saturating_sub(1);
    events.iter().enumerate().map(move |(at, stamped)| {
        let mut draft = draft(stamped);
        draft.flags |= if at < last { FLAG_GOES_ON } else { 0 };
        draft
    })
}

/// The event of a record.
///
/// # Errors
/// When the kind is unknown or the body is not one of that kind.
pub fn event(record: &RecordRef<'_>) -> Result<Stamped, DecodeError> {
    event_of(record.header.kind, record.header.time_us, record.body)
}

/// The event of a record that has travelled.
///
/// # Errors
/// As [`event`].
pub fn event_of(kind: u16, time_us: u64, body: &[u8]) -> Result<Stamped, DecodeError> {
    Ok(Stamped { at: Time(time_us), event: Event::decode_body(kind, body)? })
}

/// The record of one part of a checkpoint.
pub fn image_draft(part: &ImagePart, time_us: u64) -> RecordDraft {
    RecordDraft { kind: part.kind(), time_us, body: part.encode_body(), ..RecordDraft::default() }
}

/// The part of a checkpoint's record.
///
/// # Errors
/// As [`event`].
pub fn image_part(record: &RecordRef<'_>) -> Result<ImagePart, DecodeError> {
    ImagePart::decode_body(record.header.kind, record.body)
}
