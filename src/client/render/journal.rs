//! What is in a journal, and what is wrong with it, as `hq journal info` and `verify` show it.
//!
//! Holds: JSON has the plain numbers, and all keys always.

use super::color::Palette;
use super::table::Table;
use super::{escape, event_json, size, time};
use crate::grammar::duration;
use hq_core::view::{ForgottenDetails, JournalCheck, JournalImage, JournalInfo};
use serde_json::{Value, json};
use std::path::Path;

/// The table of `info`; `user`: who uses it.
pub fn info_table(path: &Path, info: &JournalInfo, user: Option<&str>, palette: Palette) -> String {
    let sizes = &info.sizes;
    let mut table = Table::vertical();
    table.line("Journal", escape::path(path));
    table.line("In use by", user.unwrap_or("nobody"));
    table.line("Server UID", info.server_uid.as_str());
    table.line("Size", size::bytes(sizes.total()));
    table.line("Newest records", size::bytes(sizes.tail));
    table.line("Log", size::bytes(sizes.log));
    table.line("Checkpoints", size::bytes(sizes.images));
    table.line("Records", range(info.first_record, info.last_record));
    table.line("First", info.first.map_or_else(String::new, time::utc_seconds));
    table.line("Last", info.last.map_or_else(String::new, time::utc_seconds));
    table.line("Starts", info.starts.0.to_string());
    table.line("Jobs", format!("{} ({} not completed)", info.jobs, info.unfinished));
    table.line("Workers", info.workers.to_string());
    for image in &info.images {
        let made = time::utc_seconds(image.made);
        table.line("Checkpoint", format!("at record {}, {}, {made}", image.record, size::bytes(image.bytes)));
    }
    let took = duration::full(info.restart_took.to_duration());
    table.line("Restart", format!("{took} ({} events since the newest checkpoint)", info.restart_events));
    table.line("Forgotten details", forgotten(&info.forgotten));
    for note in &info.notes {
        table.line("Note", note.as_str());
    }
    table.render(palette)
}

/// Of how many jobs details were forgotten, up to which, since when.
pub fn forgotten(details: &ForgottenDetails) -> String {
    let ForgottenDetails { jobs, last_job, latest } = details;
    if *jobs == 0 {
        return "none".to_owned();
    }
    let plural = if *jobs == 1 { "" } else { "s" };
    let up_to = last_job.map(|job| format!(", up to job {job}")).unwrap_or_default();
    let since = latest.map(|gone| format!(", since {}: {}", time::utc_seconds(gone.at), gone.cause.words()));
    format!("{jobs} job{plural}{up_to}{}", since.unwrap_or_default())
}

/// The object of that.
pub fn forgotten_json(details: &ForgottenDetails) -> Value {
    json!({
        "jobs": details.jobs,
        "last_job": details.last_job,
        "time": details.latest.map(|gone| time::rfc3339(gone.at)),
        "cause": details.latest.map(|gone| event_json::forget_cause(gone.cause)),
    })
}

fn range(first: u64, last: u64) -> String {
    // After a pruning there may be nothing but what was kept beside the log.
    if last < first {
        return format!("none since record {first}");
    }
    format!("{} ({first} to {last})", (last + 1).saturating_sub(first))
}

/// The object of `info`.
pub fn info_json(path: &Path, info: &JournalInfo, user: Option<&str>) -> Value {
    json!({
        "path": path.to_string_lossy(),
        "in_use_by": user,
        "server_uid": info.server_uid,
        "bytes": info.sizes.total(),
        "bytes_of": {
            "tail": info.sizes.tail,
            "log": info.sizes.log,
            "checkpoints": info.sizes.images,
            "other": info.sizes.other,
        },
        "first_record": info.first_record,
        "last_record": info.last_record,
        "first_time": info.first.map(time::rfc3339),
        "last_time": info.last.map(time::rfc3339),
        "starts": info.starts,
        "jobs": info.jobs,
        "unfinished_jobs": info.unfinished,
        "workers": info.workers,
        "checkpoints": info.images.iter().map(image_json).collect::<Vec<_>>(),
        "restart": {"events": info.restart_events, "seconds": time::seconds(info.restart_took)},
        "notes": info.notes,
        "forgotten_details": forgotten_json(&info.forgotten),
    })
}

fn image_json(image: &JournalImage) -> Value {
    let fault = (!image.fault.is_empty()).then_some(&image.fault);
    json!({
        "record": image.record,
        "time": time::rfc3339(image.made),
        "records": image.parts,
        "bytes": image.bytes,
        "damage": fault,
    })
}

/// The table of `verify`.
pub fn check_table(path: &Path, check: &JournalCheck, palette: Palette) -> String {
    let faults = check.faults().count();
    let mut table = Table::vertical();
    table.line("Journal", escape::path(path));
    table.line("Records", range(check.first_record, check.last_record));
    table.line("Events", check.events.to_string());
    table.line("Jobs", check.jobs.to_string());
    table.line("Tasks", check.tasks.to_string());
    table.line("Checkpoints", check.images.len().to_string());
    if check.lost > 0 {
        table.line("Lost before a repair", check.lost.to_string());
    }
    table.line("Damage", if faults == 0 { "none".to_owned() } else { faults.to_string() });
    table.render(palette)
}

/// The object of `verify`.
pub fn check_json(path: &Path, check: &JournalCheck) -> Value {
    json!({
        "path": path.to_string_lossy(),
        "first_record": check.first_record,
        "last_record": check.last_record,
        "events": check.events,
        "jobs": check.jobs,
        "tasks": check.tasks,
        "checkpoints": check.images.iter().map(image_json).collect::<Vec<_>>(),
        "lost_before_a_repair": check.lost,
        "orphans": check.orphans,
        "damage": check.damage,
    })
}
