//! What a repair of a journal has found and done, as text and JSON.
//!
//! Holds: every job that is touched is named, with what becomes of it.

use super::color::Palette;
use super::escape;
use super::table::{Column, Table};
use crate::eventlog::repair::{Fate, Survey};
use hq_journal::salvage::Lost;
use serde_json::{Value, json};
use std::path::Path;

/// Places: where the repaired journal is, and where the damaged one.
type Places<'a> = (Option<&'a Path>, Option<&'a Path>);

fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Held => "held",
        Fate::Completed => "completed",
        Fate::Lost => "lost",
        Fate::GoesOn => "goes on",
        Fate::Reserved => "reserved",
    }
}

fn fate_text(fate: Fate) -> &'static str {
    match fate {
        Fate::Held => "held; `hq job release` lets it go on",
        Fate::Completed => "completed, stays as it is",
        Fate::Lost => "lost; canceled, so that its number is not given again",
        Fate::GoesOn => "goes on; something of it may be lost",
        Fate::Reserved => "reserved: up to this number jobs may be lost, so that none of these is given again",
    }
}

/// Sentences and a table of jobs.
pub fn text(path: &Path, survey: &Survey, (made, backup): Places<'_>, palette: Palette) -> String {
    let report = &survey.report;
    let mut lines = vec![format!(
        "{} intact records ({} to {}) in {}",
        report.intact,
        report.first_seq,
        report.last_seq,
        escape::path(path)
    )];
    lines.extend(report.damaged.iter().cloned());
    lines.extend(survey.images.iter().cloned());
    lines.extend(report.lost.iter().map(|lost| {
        let told = if lost.to_seq <= survey.told_until { "; a checkpoint has their outcome" } else { "" };
        format!("records {} to {} are lost{told}", lost.from_seq, lost.to_seq)
    }));
    lines.extend(survey.poison.iter().map(|poison| {
        let job = poison.job.map(|job| format!(", of job {job},")).unwrap_or_default();
        format!("record {}{job} cannot be used: {}", poison.seq, poison.why)
    }));
    if survey.is_sound() {
        lines.push("nothing is wrong with it".to_owned());
    }
    lines.extend(made.map(|made| format!("the repaired journal is {}", escape::path(made))));
    lines.extend(backup.map(|backup| format!("the damaged one was kept as {}", escape::path(backup))));
    let mut text = lines.join("\n");
    text.push('\n');
    if !survey.jobs.is_empty() {
        let mut table =
            Table::horizontal([Column::left("Job"), Column::left("Name"), Column::left("What becomes of it")]);
        for touched in &survey.jobs {
            table.row([touched.job.to_string().into(), touched.name.as_str().into(), fate_text(touched.fate).into()]);
        }
        text.push_str(&table.render(palette));
    }
    text
}

/// The object.
pub fn to_json(path: &Path, survey: &Survey, (made, backup): Places<'_>) -> Value {
    let report = &survey.report;
    let lost = |lost: &Lost| {
        let is_told = lost.to_seq <= survey.told_until;
        json!({"from": lost.from_seq, "to": lost.to_seq, "in_checkpoint": is_told})
    };
    let shown = |path: Option<&Path>| path.map(|path| path.to_string_lossy().into_owned());
    let poison = survey.poison.iter().map(|poison| json!({"record": poison.seq, "job": poison.job, "why": poison.why}));
    let jobs = survey.jobs.iter().map(|job| json!({"id": job.job, "name": job.name, "fate": fate_word(job.fate)}));
    json!({
        "path": path.to_string_lossy(),
        "intact_records": report.intact,
        "first_record": report.first_seq,
        "last_record": report.last_seq,
        "damage": report.damaged.iter().chain(&survey.images).collect::<Vec<_>>(),
        "lost": report.lost.iter().map(lost).collect::<Vec<_>>(),
        "unusable": poison.collect::<Vec<_>>(),
        "jobs": jobs.collect::<Vec<_>>(),
        "repaired": shown(made),
        "backup": shown(backup),
    })
}
