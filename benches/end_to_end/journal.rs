//! Commit groups of the journal beside bare append and fdatasync of as many bytes.
//!
//! A commit through the command line is hidden behind the start of a client process; here the journal is called as the
//! server's journal thread calls it.
//!
//! What holds: both sides write the same bytes a group, to the same file system, in alternating rounds.

use std::path::Path;
use std::time::{Duration, Instant};

use hq_journal::record::HEADER_BYTES;
use hq_journal::{Journal, Options, RecordDraft};

use super::bare;
use super::measure::Sizes;
use super::report::{Better, Line, Report};

/// Bytes of a small event.
const BODY_BYTES: usize = 48;

/// Groups a second for groups of one, a hundred and a thousand records.
pub fn commit(sizes: &Sizes, report: &mut Report) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("hq-bench-").tempdir().map_err(|e| e.to_string())?;
    for records in [1_usize, 100, 1000] {
        let bytes = vec![7_u8; records * (HEADER_BYTES + BODY_BYTES)];
        let (mut limit, mut own) = (0.0_f64, 0.0_f64);
        // Many short rounds: the speed of a disk changes from second to second.
        let span = sizes.commit_span / 4;
        for round in 0..sizes.rounds * 4 {
            limit = limit.max(bare::append_rate(dir.path(), &bytes, span)?);
            let place = dir.path().join(format!("journal-{records}-{round}"));
            own = own.max(groups(&place, records, span)?);
        }
        report.add(Line {
            what: format!("commit groups/s, {records} records of {BODY_BYTES} bytes (limit: append + fdatasync)"),
            limit: Some(limit),
            own,
            other: None,
            better: Better::More,
        });
    }
    Ok(())
}

fn groups(dir: &Path, records: usize, span: Duration) -> Result<f64, String> {
    let failed = |e: hq_journal::Error| e.to_string();
    let (mut journal, _) = Journal::open(dir, Options::default()).map_err(failed)?;
    let draft = RecordDraft { kind: 1, job: 1, body: vec![7; BODY_BYTES], ..RecordDraft::default() };
    let group = vec![draft; records];
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < span {
        journal.append(&group).map_err(failed)?;
        journal.commit().map_err(failed)?;
        count += 1;
    }
    let rate = f64::from(count) / begin.elapsed().as_secs_f64();
    journal.close().map_err(failed)?;
    Ok(rate)
}
