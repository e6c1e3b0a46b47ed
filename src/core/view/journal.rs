//! What can be told of a journal: what is in it, and whether it holds what it should.

use crate::id::{Epoch, JobId};
use crate::retention::DetailsGone;
use crate::state::State;
use crate::time::{Span, Time};

int_struct! {
    /// An image of the state that a journal keeps.
    pub struct JournalImage {
        /// The last record that is part of it.
        0 => pub record: u64,
        /// When it was made.
        1 => pub made: Time,
        /// Records in it.
        2 => pub parts: u64,
        /// Its size.
        3 => pub bytes: u64,
        /// What is wrong with it, in a sentence; empty: nothing that was looked at.
        4 => pub fault: String,
    }
}

int_struct! {
    /// Sizes of the parts of a journal, in bytes.
    #[derive(Copy)]
    pub struct JournalSizes {
        /// The newest records.
        0 => pub tail: u64,
        /// The long-term log.
        1 => pub log: u64,
        /// Images of the state.
        2 => pub images: u64,
        /// Everything else.
        3 => pub other: u64,
    }
}

int_struct! {
    /// What is in a journal.
    pub struct JournalInfo {
        /// Sizes.
        0 => pub sizes: JournalSizes,
        /// First record that is kept.
        1 => pub first_record: u64,
        /// Last durable record.
        2 => pub last_record: u64,
        /// Time of the first one.
        3 => pub first: Option<Time>,
        /// Time of the last one.
        4 => pub last: Option<Time>,
        /// How often a server was started on it.
        5 => pub starts: Epoch,
        /// Uid of the server.
        6 => pub server_uid: String,
        /// Jobs that are known.
        7 => pub jobs: u64,
        /// Those that are not completed.
        8 => pub unfinished: u64,
        /// Workers that are connected or may come back.
        9 => pub workers: u64,
        /// Images, oldest first.
        10 => pub images: Vec<JournalImage>,
        /// Events since the newest intact image: those that a restart reads.
        11 => pub restart_events: u64,
        /// How long it took to read that image and these events, now.
        12 => pub restart_took: Span,
        /// Remarks, one sentence each.
        13 => pub notes: Vec<String>,
        /// What of completed jobs it was allowed to forget.
        14 => pub forgotten: ForgottenDetails,
    }
}

int_struct! {
    /// Completed jobs whose details are not kept any longer.
    #[derive(Copy, Eq)]
    pub struct ForgottenDetails {
        /// How many there were since the journal began.
        0 => pub jobs: u64,
        /// The last one of those that are still listed.
        1 => pub last_job: Option<JobId>,
        /// When and why the latest of them lost their details.
        2 => pub latest: Option<DetailsGone>,
    }
}

impl State {
    /// What of completed jobs the journal was allowed to forget.
    pub fn view_forgotten(&self) -> ForgottenDetails {
        let last_job = match self.forgotten.jobs {
            0 => None,
            _ => self.jobs.values().rev().find(|job| job.details_gone.is_some()).map(|job| job.id),
        };
        ForgottenDetails { jobs: self.forgotten.jobs, last_job, latest: self.forgotten.last }
    }
}

int_struct! {
    /// What became of the checking of a journal.
    pub struct JournalCheck {
        /// Events that were read.
        0 => pub events: u64,
        /// First record that is kept.
        1 => pub first_record: u64,
        /// Last durable record.
        2 => pub last_record: u64,
        /// Images, oldest first, with what is wrong with each.
        3 => pub images: Vec<JournalImage>,
        /// Jobs at the end.
        4 => pub jobs: u64,
        /// Tasks of these.
        5 => pub tasks: u64,
        /// Records for which a repair has put something else, since they were lost.
        6 => pub lost: u64,
        /// Everything that is wrong, one sentence each; those of the images are not repeated.
        7 => pub damage: Vec<String>,
        /// Jobs of which there are events although nothing made them; the first ones.
        8 => pub orphans: Vec<JobId>,
    }
}

impl JournalSizes {
    /// All together.
    pub fn total(&self) -> u64 {
        self.tail + self.log + self.images + self.other
    }
}

impl JournalCheck {
    /// Everything that is wrong, one sentence each.
    pub fn faults(&self) -> impl Iterator<Item = String> + '_ {
        let of_images = self.images.iter().filter(|image| !image.fault.is_empty());
        let of_images = of_images.map(|image| format!("the checkpoint at record {}: {}", image.record, image.fault));
        self.damage.iter().cloned().chain(of_images)
    }
}
