//! `hq output-log DIR compact`: the files of a directory become few.
//!
//! Holds: what was left as it is, is said; what is damaged makes the exit code non-zero.

use super::broken;
use crate::client::arguments::{OutputLogArgs, StreamCompactArgs};
use crate::client::console::Console;
use crate::client::error::Error;
use crate::client::render::gauge::{Gauge, Unit};
use crate::client::render::{OutputMode, escape, size, table::Table};
use crate::platform::{clock, random};
use hq_journal::disk::Disk;
use hq_journal::reading::RealDisk;
use hq_journal::stream::{CompactHelp, CompactOptions, Compacted, Left, compact};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;

/// Bytes of a gibibyte.
const GIB: u64 = 1024 * 1024 * 1024;

/// Names for files, and a picture of how far it is.
struct Help(Gauge);

impl CompactHelp for Help {
    fn name(&mut self) -> io::Result<String> {
        random::alphanumeric(12).map_err(|error| io::Error::other(error.to_string()))
    }

    fn copied(&mut self, bytes: u64) {
        self.0.add(bytes);
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(args: &OutputLogArgs, wanted: &StreamCompactArgs, console: &mut Console) -> Result<(), Error> {
    let now_us = clock::wall_us();
    let before = |span: std::time::Duration| now_us.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    let options = CompactOptions {
        file_bytes_max: u64::from(wanted.max_gib).saturating_mul(GIB),
        unclosed_before_us: wanted.unclosed_after.map(before),
        now_us,
    };
    let server_uid = args.server_uid.as_ref().map(|uid| uid.0.as_str());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut help = Help(Gauge::silent("Merging the streams", Unit::Bytes, None));
    let done = compact(&disk, &args.path, server_uid, &options, &mut help).map_err(broken)?;
    drop(help);
    print(&args.path.display().to_string(), &done, console)?;
    let mut damaged = 0;
    for (path, why) in &done.left {
        match why {
            Left::Unclosed => log::info!("{} is left as it is: {why}", escape::path(path)),
            Left::Damaged(_) | Left::NotReadBack => {
                log::error!("{} is left as it is: {why}", escape::path(path));
                damaged += 1;
            }
        }
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Error::Stream("Files that are damaged were left as they are; all others were merged".to_owned())),
    }
}

fn print(path: &str, done: &Compacted, console: &mut Console) -> Result<(), Error> {
    match console.mode() {
        OutputMode::Cli => {
            let mut table = Table::vertical();
            table.line("Path", path);
            table.line("Merged files", done.merged.to_string());
            table.line("New files", done.made.to_string());
            table.line("Size of merged files", size::bytes(done.bytes_before));
            table.line("Size of new files", size::bytes(done.bytes_after));
            table.line("Dropped superseded streams", done.dropped.to_string());
            table.line("Files left as they are", done.left.len().to_string());
            let text = table.render(console.palette());
            console.text(&text)
        }
        OutputMode::Json => console.json(&as_json(path, done)),
        OutputMode::Quiet => Ok(()),
    }
}

fn as_json(path: &str, done: &Compacted) -> Value {
    let left = done.left.iter().map(|(path, why)| json!({"path": path.to_string_lossy(), "reason": why.to_string()}));
    json!({
        "filename": path,
        "n_merged": done.merged,
        "n_made": done.made,
        "merged_size": done.bytes_before,
        "made_size": done.bytes_after,
        "n_dropped": done.dropped,
        "left": left.collect::<Vec<_>>(),
    })
}
