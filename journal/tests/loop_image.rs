//! Power loss on a real file system: the image under a mounted ext4 is copied while the writer stands still.
//!
//! `kill -9` leaves the page cache alone, so only a copy of what reached the "disk" shows a missing fdatasync,
//! sled's included. It needs root, loop devices and mkfs.ext4; elsewhere it says that it is skipped. `HQ_CAMPAIGN=1`
//! runs more rounds.
//!
//! **Invariant:** everything that the writer had reported as committed is in the journal of the copied image, in
//! order.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use hq_journal::{Journal, Options, RecordDraft};

const NAME: &str = "power_loss_on_a_loop_image_loses_nothing_committed";
const IMAGE_BYTES: u64 = 192 * 1024 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|a| a == name);
    if let Some(at) = args.iter().position(|a| a == "--child") {
        child(Path::new(&args[at + 1]), args[at + 2].parse().expect("a group size"));
    }
    // The part of the test protocol that cargo test and nextest speak.
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(why) = unfit() {
        println!("SKIPPED {NAME}: {why}");
        return ExitCode::SUCCESS;
    }
    let rounds = if std::env::var_os("HQ_CAMPAIGN").is_some() { 60 } else { 3 };
    for round in 0..rounds {
        let base = tempfile::tempdir().expect("a temporary directory");
        let acked = one_round(base.path(), round);
        println!("round {round}: {acked} committed records are all there");
    }
    ExitCode::SUCCESS
}

fn unfit() -> Option<String> {
    let tool = |name: &str| ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|d| Path::new(d).join(name).exists());
    if let Some(missing) = ["mkfs.ext4", "losetup", "mount", "umount"].iter().find(|t| !tool(t)) {
        return Some(format!("{missing} is not installed"));
    }
    let base = tempfile::tempdir().ok()?;
    let image = base.path().join("probe");
    let mounted = make_image(&image).and_then(|()| mount(&image, &base.path().join("mnt")));
    match mounted {
        Ok(()) => {
            umount(&base.path().join("mnt"));
            None
        }
        Err(e) => Some(format!("images cannot be mounted here: {e}")),
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if done.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr))) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

fn make_image(image: &Path) -> Result<(), String> {
    let file = std::fs::File::create(image).map_err(|e| e.to_string())?;
    file.set_len(IMAGE_BYTES).map_err(|e| e.to_string())?;
    run("mkfs.ext4", &["-q", "-F", text(image)])
}

fn mount(image: &Path, at: &Path) -> Result<(), String> {
    std::fs::create_dir_all(at).map_err(|e| e.to_string())?;
    run("mount", &["-o", "loop", text(image), text(at)])
}

fn umount(at: &Path) {
    run("umount", &[text(at)]).expect("unmounting what was mounted");
}

fn options() -> Options {
    Options { rotate_bytes: 30_000, ballast_bytes: 1_000_000, ..Options::default() }
}

/// Appends and commits for ever; one line on stdout per committed group.
fn child(dir: &Path, group: u64) -> ! {
    let (mut journal, _) = Journal::open(dir, options()).expect("opening a new journal");
    let mut out = std::io::stdout();
    let mut next = 0u64;
    loop {
        let drafts: Vec<RecordDraft> = (next..next + group)
            .map(|n| RecordDraft {
                kind: 1,
                job: n as u32 % 50,
                body: n.to_le_bytes().repeat(8),
                ..RecordDraft::default()
            })
            .collect();
        next += group;
        journal.append(&drafts).expect("appending");
        journal.commit().expect("committing");
        writeln!(out, "{next}").and_then(|()| out.flush()).expect("reporting");
    }
}

struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn one_round(base: &Path, round: u64) -> u64 {
    let (image, copy, mnt) = (base.join("image"), base.join("copy"), base.join("mnt"));
    make_image(&image).expect("making an image");
    mount(&image, &mnt).expect("mounting it");
    let group = [1, 20, 300][usize::try_from(round % 3).expect("small")];
    let program = std::env::current_exe().expect("the path of this program");
    let started = Command::new(program)
        .args(["--child", text(&mnt.join("journal")), &group.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting the writer");
    let mut writer = Writer(started);
    let mut lines = BufReader::new(writer.0.stdout.take().expect("a pipe"));
    // The moment of the power loss differs by round: after some groups and some milliseconds of wall time.
    let (mut acked, begin) = (0u64, Instant::now());
    let (least, wait) = (40 * group, Duration::from_millis(250 + round * 173 % 700));
    let mut line = String::new();
    while acked < least || begin.elapsed() < wait {
        line.clear();
        assert!(lines.read_line(&mut line).expect("reading reports") > 0, "the writer ended by itself");
        acked = line.trim().parse().expect("a number");
    }
    run("kill", &["-STOP", &writer.0.id().to_string()]).expect("stopping the writer");
    run("cp", &["--sparse=always", text(&image), text(&copy)]).expect("copying the image");
    drop(writer);
    // What was reported before the stop counts as well; a line that was cut off does not.
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("reading reports");
    let complete = rest.rfind('\n').map_or("", |end| &rest[..end]);
    acked = complete.lines().filter_map(|l| l.parse().ok()).fold(acked, u64::max);
    umount(&mnt);
    mount(&copy, &mnt).expect("mounting the copy");
    let checked = std::panic::catch_unwind(|| check(&mnt.join("journal"), acked));
    umount(&mnt);
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
    acked
}

fn check(dir: &Path, acked: u64) {
    let (journal, opened) = Journal::open(dir, options()).expect("opening after the power loss");
    println!("{:?} {:?}", opened.notes, journal.stats());
    let mut next = 0u64;
    journal
        .reader()
        .replay::<String>(0, &mut |r| {
            let expected = next.to_le_bytes().repeat(8);
            next += 1;
            if r.body == expected { Ok(()) } else { Err(format!("record {} is wrong", r.header.seq)) }
        })
        .expect("replaying");
    assert!(next >= acked, "{next} of {acked} committed records are there");
}
