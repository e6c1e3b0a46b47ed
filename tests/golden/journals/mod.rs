//! Journals as earlier versions left them: each is read as it was then, or refused with the same words.
//!
//! A version that cannot read what an earlier one wrote loses its users' work. The journals of a version are never made anew
//! once it is released; `HQ_MAKE_JOURNALS=VERSION cargo nextest run -p hyperqueue --test golden journals` makes those of
//! a new one, and `HQ_BLESS=1` then keeps what they say.
//!
//! The name of a file begins with its class:
//!
//! | Class | A server |
//! |---|---|
//! | `valid` | starts without a warning |
//! | `warn` | starts, and says what is wrong |
//! | `refused` | does not start, and says why |
//!
//! Holds: the same events come out, whatever state the files are in.

mod history;
mod pack;
mod streams;

use crate::blessed;
use crate::harness::Cluster;
use hq_core::state::State;
use hq_journal::{Journal, Options, RecordDraft};
use hyperqueue::eventlog;
use hyperqueue::server::restore;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

const DIR: &str = "tests/golden/journals";
/// Events of one commit.
const GROUP: usize = 5;
/// Bytes of the time in front of a line of a log, without the `Z`.
const TIME_BYTES: usize = 19;
/// Index of a byte in the image of the state that is damaged.
const IMAGE_BYTE: usize = 90;

fn options() -> Options {
    // Small, so that few events fill tail files, and pages of the log.
    Options { rotate_bytes: 3_000, ballast_bytes: 0, background: false, time_us: Some(1_000_000), ..Options::default() }
}

fn append(journal: &mut Journal, drafts: &[RecordDraft]) {
    for group in drafts.chunks(GROUP) {
        journal.append(group).expect("appending");
        journal.commit().expect("committing");
    }
}

/// The state of a journal as far as it is durable.
fn fold(journal: &Journal) -> State {
    let mut state = State::default();
    restore::extend(&mut state, &journal.reader(), 1).expect("a state");
    state
}

fn image(journal: &Journal, twice: bool) {
    let (state, writer) = (fold(journal), journal.checkpoint_writer());
    let parts = state.image().map(|part| eventlog::image_draft(&part, 2_000_000));
    let written = match twice {
        true => writer.write_twice(journal.durable(), 2_000_000, parts),
        false => writer.write(journal.durable(), 2_000_000, parts),
    };
    written.expect("an image");
}

/// Makes a journal in a state of this name; gives the class.
fn make(name: &str, dir: &Path) -> &'static str {
    let drafts: Vec<RecordDraft> = history::history().iter().map(eventlog::draft).collect();
    let (before, after) = drafts.split_at(drafts.len() * 3 / 4);
    let (mut journal, _) = Journal::open(dir, options()).expect("a journal");
    append(&mut journal, before);
    if name != "plain" {
        while journal.migrate_step().expect("migrating") {}
        image(&journal, false);
    }
    if matches!(name, "pruned" | "image" | "images") {
        journal.pruner().begin_tail();
        append(&mut journal, after);
        journal.commit().expect("committing");
        image(&journal, true);
        let keep = &mut |record: &hq_journal::RecordRef<'_>| matches!(record.header.job, 0 | 2);
        journal.pruner().prune(journal.durable(), 3_000_000, keep).expect("pruning");
        let stopped = drafts.last().expect("an event");
        append(&mut journal, &[stopped.clone(), stopped.clone()]);
    } else {
        append(&mut journal, after);
    }
    if name == "newer" {
        append(&mut journal, &[RecordDraft { kind: 9_999, time_us: 5, body: vec![0xA0], ..RecordDraft::default() }]);
    }
    if let Some(poison) = history::poison(name) {
        append(&mut journal, &[poison]);
    }
    match name {
        "torn" => drop(journal),
        _ => journal.close().expect("closing"),
    }
    spoil(name, dir)
}

/// Damages what a name says; gives the class.
fn spoil(name: &str, dir: &Path) -> &'static str {
    let of = |prefix: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        let fits = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        let mut found: Vec<PathBuf> = entries.filter(fits).collect();
        found.sort();
        found
    };
    let change = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path).expect("a file");
        change(&mut bytes);
        std::fs::write(path, bytes).expect("a file");
    };
    let tail = of("tail-").pop().expect("a tail file");
    match name {
        "torn" => {
            let half = |bytes: &mut Vec<u8>| bytes.extend_from_within(64..164);
            change(&tail, &half);
            "warn"
        }
        "image" => {
            change(&of("checkpoint-").pop().expect("an image"), &|bytes| bytes[IMAGE_BYTE] ^= 1);
            "warn"
        }
        "images" => {
            of("checkpoint-").iter().for_each(|path| change(path, &|bytes| bytes[IMAGE_BYTE] ^= 1));
            "refused"
        }
        "flipped" => {
            change(&tail, &|bytes| bytes[100] ^= 1);
            "refused"
        }
        "newer" | "poisoned-noise" | "poisoned-type" => "refused",
        _ => "valid",
    }
}

const STATES: [&str; 12] = [
    "plain",
    "paged",
    "pruned",
    "torn",
    "image",
    "images",
    "flipped",
    "newer",
    "poisoned-noise",
    "poisoned-type",
    "poisoned-orphan",
    "poisoned-dependency",
];

/// What a journal says: its events, then the server that starts with it.
fn told(name: &str, packed: &[u8]) -> (String, &'static str) {
    let mut cluster = Cluster::offline();
    // Some are damaged on purpose.
    cluster.has_damage = true;
    let dir = cluster.work().join("journal");
    pack::unpack(packed, &dir);
    let mut text = String::new();
    let exported = cluster.hq(&["journal", "export", "--all", "journal"]);
    let here = cluster.path().to_str().expect("a path in UTF-8").to_owned();
    // Without times, and without the place of the test.
    let plain = |text: &str| {
        let lines = text.lines().map(|line| match line.split_once("Z ") {
            Some((time, rest)) if time.len() == TIME_BYTES => rest,
            _ => line,
        });
        lines.map(|line| line.replace(&here, "") + "\n").collect::<String>()
    };
    writeln!(text, "# journal export, exit code {:?}", exported.code).expect("a text");
    text.push_str(&plain(&exported.stderr));
    // Of what is poisoned the end is what matters.
    let skipped = if name.contains("poisoned") { exported.stdout.lines().count().saturating_sub(3) } else { 0 };
    exported.stdout.lines().skip(skipped).for_each(|line| text.push_str(&format!("{line}\n")));
    // A server that cannot listen ends after it has read its journal, and says what it found.
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let tried = cluster.hq(&["server", "start", "--journal=journal", &format!("--client-port={port}")]).code(1);
    drop(taken);
    writeln!(text, "# server start").expect("a text");
    let is_refused = !tried.stderr.contains("Cannot create HQ server socket");
    if name.contains("poisoned") {
        if is_refused {
            text.push_str(&plain(&tried.stderr));
        }
        poisoned(&mut cluster, &mut text, &plain);
        return (text, if is_refused { "refused" } else { "valid" });
    }
    if !tried.stderr.contains("Cannot create HQ server socket") {
        text.push_str(&plain(&tried.stderr));
        return (text, "refused");
    }
    let warnings: String = tried.stderr.lines().filter(|line| line.contains("WARN")).map(plain).collect();
    text.push_str(&warnings);
    cluster.server_args = vec!["--journal=journal".to_owned()];
    cluster.start_server();
    let listed = cluster.hq(&["--output-mode=json", "job", "list", "--all"]).ok();
    let workers = cluster.hq(&["--output-mode=quiet", "worker", "list", "--all"]).ok();
    write!(text, "# job list\n{}# worker list\n{}", listed.stdout, workers.stdout).expect("a text");
    (text, if warnings.is_empty() { "valid" } else { "warn" })
}

/// What is said of a journal with a record that cannot be used: what is wrong, what a repair makes of it, and what then runs.
fn poisoned(cluster: &mut Cluster, text: &mut String, plain: &dyn Fn(&str) -> String) {
    let verified = cluster.hq(&["--output-mode=quiet", "journal", "verify", "journal"]);
    writeln!(text, "# journal verify, exit code {:?}\n{}", verified.code, plain(&verified.stderr)).expect("a text");
    let repaired = cluster.json(&["journal", "repair", "journal"]);
    writeln!(text, "# journal repair\n{:#}\n{:#}", repaired["unusable"], repaired["jobs"]).expect("a text");
    cluster.server_args = vec!["--journal=journal".to_owned()];
    cluster.start_server();
    let listed = cluster.hq(&["--output-mode=json", "job", "list", "--all"]).ok();
    write!(text, "# job list\n{}", listed.stdout).expect("a text");
    // The rest runs.
    cluster.start_worker(1);
    let job = cluster.submit(&["true"]);
    cluster.wait_job(job, "FINISHED");
    cluster.hq(&["job", "cancel", "6"]);
    cluster.hq(&["server", "stop"]).ok();
    cluster.server_ends();
}

/// The journals of the repository, or the streams: path below the directory, and bytes.
fn packed(are_streams: bool) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR);
    let mut found = Vec::new();
    for version in std::fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let Ok(entries) = std::fs::read_dir(&version) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let is_stream = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("streams-"));
            if path.extension().is_some_and(|extension| extension == "pack") && is_stream == are_streams {
                let name = path.strip_prefix(&dir).expect("a path below").with_extension("");
                found.push((name.to_str().expect("a path in UTF-8").to_owned(), std::fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

/// Where those of a new version go, when they are to be made.
fn version_dir() -> Option<PathBuf> {
    let version = std::env::var("HQ_MAKE_JOURNALS").ok()?;
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR).join(version);
    std::fs::create_dir_all(&to).expect("a directory");
    Some(to)
}

#[test]
fn journals_of_earlier_versions_are_read_as_they_were() {
    let found = packed(false);
    assert!(found.len() >= STATES.len(), "{} journals", found.len());
    for (name, packed) in found {
        let (text, class) = told(&name, &packed);
        let expected = name.rsplit_once('/').map_or(name.as_str(), |(_, file)| file);
        assert!(expected.starts_with(class), "{name} is {class}:\n{text}");
        blessed::check(&format!("{DIR}/{name}.txt"), &text);
    }
}

#[test]
fn journals_can_be_made_in_every_state() {
    let kinds: std::collections::BTreeSet<u16> =
        history::history().iter().map(|stamped| stamped.event.kind()).collect();
    assert!(kinds.len() >= 37, "{} kinds of events", kinds.len());
    for name in STATES {
        let dir = tempfile::tempdir().expect("a directory");
        let class = make(name, dir.path());
        let packed = pack::pack(dir.path());
        assert!(packed.len() < 100_000, "{name} has {} bytes", packed.len());
        match version_dir() {
            Some(to) => std::fs::write(to.join(format!("{class}-{name}.pack")), &packed).expect("a file"),
            None => assert_eq!(told(name, &packed).1, class, "{name}"),
        }
    }
}
