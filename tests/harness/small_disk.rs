//! A really small disk: a tmpfs in a mount namespace of its own, which a process that does nothing holds.
//!
//! Holds: the disk is gone with the value; where it cannot be had there is no value, and the message says so.
#![allow(dead_code, reason = "each test binary uses a part of the harness")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Granularity of a tmpfs in bytes.
const PAGE_BYTES: u64 = 4096;

/// See the module.
pub struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// A tmpfs of `kib` KiB, mounted at the existing directory `at` for who enters by [`SmallDisk::wrapper`]; none, with a
    /// message, where that is not allowed.
    pub fn mount(at: &Path, kib: u64) -> Option<Self> {
        let script = format!("mount -t tmpfs -o size={kib}k,mode=0700 none \"$1\" && echo mounted && read -r _");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).arg(at);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut holder) = command.spawn() else {
            eprintln!("skipped: there is no `unshare` here");
            return None;
        };
        let mut line = String::new();
        let said = holder.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let disk = Self { holder, at: at.to_owned() };
        if !matches!(said, Some(Ok(_))) || line.trim() != "mounted" {
            eprintln!("skipped: no tmpfs can be mounted in a namespace of users and mounts here");
            return None;
        }
        Some(disk)
    }

    /// Words in front of a command that shall see the disk and run in `dir`.
    pub fn wrapper(&self, dir: &Path) -> Vec<String> {
        let pid = self.holder.id().to_string();
        let words = ["nsenter", "--user", "--preserve-credentials", "--mount", "--target", &pid, "env", "-C"];
        words.into_iter().map(str::to_owned).chain([dir.to_string_lossy().into_owned()]).collect()
    }

    /// Where this process finds a path of the disk.
    pub fn seen(&self, name: &str) -> PathBuf {
        let inside = self.at.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside).join(name)
    }

    /// Fills the disk up to `free_bytes`, rounded up to pages.
    pub fn fill(&self, free_bytes: u64) {
        self.fill_more();
        let file = File::options().append(true).open(self.seen("filler")).expect("a filler");
        let bytes = file.metadata().expect("a length").len() / PAGE_BYTES * PAGE_BYTES;
        let free = free_bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES;
        file.set_len(bytes.saturating_sub(free)).expect("a shorter filler");
    }

    /// Fills what is free at this moment.
    pub fn fill_more(&self) {
        let mut file = File::options().create(true).append(true).open(self.seen("filler")).expect("a filler");
        while file.write_all(&[7; PAGE_BYTES as usize]).is_ok() {}
    }

    /// Frees what was filled.
    pub fn free(&self) {
        // There is nothing to free where nothing was filled.
        let _ = std::fs::remove_file(self.seen("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
