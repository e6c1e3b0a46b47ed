//! One writer per journal, held by the operating system's lock on a file.
//!
//! Two servers that append to one log would destroy it; the second must be refused and told who is in its way.
//!
//! **Invariant:** a link in the place of the file is refused.
//! **Invariant:** the lock ends with the process that took it, however that dies; a left-over file refuses no one.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest text read from a lock file in bytes.
const HOLDER_BYTES_MAX: u64 = 1024;

/// How often the name of the holder is looked for, and the pause before the next look: one that has just taken the lock
/// has not written its name yet, and the one that is there may be that of a process before it.
const NAME_LOOKS_MAX: u32 = 50;
const NAME_LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Who holds a journal, as it wrote itself into the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Host name, empty when unknown.
    pub host: String,
    /// Process id on that host, 0 when unknown.
    pub pid: u32,
    /// When it took the lock, in seconds since 1970; 0 when unknown.
    pub since_s: u64,
}

impl Holder {
    fn this_process() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let since_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self { host: host.trim().to_owned(), pid: std::process::id(), since_s }
    }

    fn read(mut file: &File) -> Self {
        let mut text = String::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(HOLDER_BYTES_MAX).read_to_string(&mut text));
        read.map_or_else(|_| Self::default(), |_| Self::parse(&text))
    }

    /// Whether this may be the process that holds the lock: not on this host and gone.
    fn may_hold(&self) -> bool {
        let is_gone = || !Path::new("/proc").join(self.pid.to_string()).exists();
        self.pid != 0 && (self.host != Self::this_process().host || !is_gone())
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let host = words.next().unwrap_or_default();
        Self {
            host: host.chars().filter(|c| !c.is_control()).collect(),
            pid: words.next().and_then(|w| w.parse().ok()).unwrap_or(0),
            since_s: words.next().and_then(|w| w.parse().ok()).unwrap_or(0),
        }
    }
}

/// Date and time of `seconds` since 1970, UTC, by Howard Hinnant's `civil_from_days`.
fn utc_text(seconds: u64) -> String {
    let days = i64::try_from(seconds / 86_400).unwrap_or(0) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let s = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", s / 3600, s / 60 % 60, s % 60)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return write!(f, "another process");
        }
        write!(f, "process {} on host {} since {}", self.pid, self.host, utc_text(self.since_s))
    }
}

/// Why a lock was not obtained.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it.
    Held(Holder),
    /// The file could not be opened or locked.
    Io(io::Error),
}

/// The lock; it ends when this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on `path` and writes this process's name into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder, or the system's error.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Whoever may write the directory must not choose which file becomes the lock.
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(LockError::Io)?;
        let mut looks = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let holder = Holder::read(&file);
                    looks += 1;
                    if holder.may_hold() || looks >= NAME_LOOKS_MAX {
                        return Err(LockError::Held(holder));
                    }
                    std::thread::sleep(NAME_LOOK_PAUSE);
                }
                Err(TryLockError::Error(e)) => return Err(LockError::Io(e)),
            }
        }
        file.set_permissions(Permissions::from_mode(0o600)).map_err(LockError::Io)?;
        let holder = Holder::this_process();
        let text = format!("{} {} {}\n", holder.host, holder.pid, holder.since_s);
        // The name only informs; on a full disk the lock itself still holds.
        let _informed =
            file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(text.as_bytes()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_taker_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(LockError::Held(holder)) => {
                assert_eq!(holder.pid, std::process::id());
                assert!(holder.to_string().contains("since 20"), "{holder}");
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_holder_that_has_not_written_its_name_yet_is_waited_for() {
        for left_over in ["", "nowhere"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lock");
            // The name of a process of this host that is gone; no process has the largest number.
            let gone = Holder { pid: u32::MAX, ..Holder::this_process() };
            let before = if left_over.is_empty() { String::new() } else { format!("{} {} 1", gone.host, gone.pid) };
            std::fs::write(&path, before).unwrap();
            let holder = File::options().read(true).write(true).open(&path).unwrap();
            holder.lock().unwrap();
            let own = Holder::this_process();
            std::thread::scope(|scope| {
                let taken = scope.spawn(|| Lock::take(&path));
                std::fs::write(&path, format!("{} {} {}", own.host, own.pid, own.since_s)).unwrap();
                match taken.join().unwrap() {
                    Err(LockError::Held(told)) => assert_eq!(told.pid, own.pid),
                    other => panic!("{other:?}"),
                }
            });
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc_text(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc_text(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc_text(1_795_305_599), "2026-11-21 23:59:59 UTC");
    }

    #[test]
    fn garbage_in_the_lock_file_names_nobody() {
        assert_eq!(Holder::parse("\u{1b}[31m x y").to_string(), "another process");
    }
}
