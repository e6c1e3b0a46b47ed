//! All processes of the machine at one moment, as `/proc` shows them, and signals that hit exactly one of them.
//!
//! Layout of the files: proc(5).
//!
//! Invariants: a signal only reaches the process that was counted, never one that got its number since; a file that
//! cannot be read, of a process that ended meanwhile say, leaves that process out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::mark;

/// Bytes of a line of `stat`: 52 numbers, and a name of at most 64 bytes.
const STAT_BYTES_MAX: usize = 2_048;
/// Bytes of an environment that are looked at; the kernel takes 2 MiB with its usual limits.
const ENVIRONMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The parent of all threads of the kernel, which never belong to a task.
const KERNEL_THREADS: libc::pid_t = 2;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: libc::pid_t,
    pub(super) parent: libc::pid_t,
    pub(super) group: libc::pid_t,
    pub(super) session: libc::pid_t,
    /// Ticks since the machine was started.
    pub(super) start: u64,
    /// It has ended and waits to be reaped.
    pub(super) is_dead: bool,
}

/// A name of a process that is not given twice: its number and its start.
pub(super) type Name = (libc::pid_t, u64);

impl Process {
    pub(super) fn name(&self) -> Name {
        (self.pid, self.start)
    }

    /// Reads a line of `/proc/N/stat`.
    fn parse(line: &[u8]) -> Option<Self> {
        // The name of the program, in parentheses, may contain anything.
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = line.split(|byte| *byte == b' ').next()?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid: std::str::from_utf8(pid).ok()?.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            start: fields.nth(15)?.parse().ok()?,
            is_dead: matches!(state, "Z" | "X" | "x"),
        })
    }
}

/// Everybody.
pub(super) fn take() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        let Ok(file) = File::open(format!("/proc/{name}/stat")) else { continue };
        processes.extend(read_stat(file).filter(|process| process.parent != KERNEL_THREADS));
    }
    Ok(processes)
}

fn read_stat(mut file: File) -> Option<Process> {
    let mut line = [0; STAT_BYTES_MAX];
    let length = file.read(&mut line).ok()?;
    Process::parse(line.get(..length)?)
}

/// The mark in the environment with which the program was started; none either where that may not be read.
pub(super) fn mark_of(process: &Process) -> Option<String> {
    let file = File::open(format!("/proc/{}/environ", process.pid)).ok()?;
    let mut environment = Vec::new();
    file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
    Some(mark::in_environment(&environment)?.to_string_lossy().into_owned())
}

/// The process itself, as long as this is held: its number may be given to another one, but this does not follow.
struct Handle(OwnedFd);

impl Handle {
    /// `None`: it is gone.
    fn open(process: &Process) -> Option<(Self, Process)> {
        let path = format!("/proc/{}", process.pid);
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let handle = Self(open(path.as_str(), flags, Mode::empty()).ok()?);
        let now = handle.look()?;
        (now.name() == process.name() && !now.is_dead).then_some((handle, now))
    }

    fn look(&self) -> Option<Process> {
        let stat = openat(&self.0, "stat", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        read_stat(File::from(stat))
    }

    fn signal(&self, pid: libc::pid_t, number: i32) {
        // SAFETY: plain integers and a null pointer, which the call allows. Since Linux 5.1 it takes the directory of
        // a process for the process.
        unsafe {
            let sent = libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                number,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
            if sent != 0 && *libc::__errno_location() == libc::ENOSYS {
                libc::kill(pid, number);
            }
        }
    }
}

/// Sends a signal to a process, if it is still there.
pub(super) fn signal(process: &Process, number: i32) {
    if let Some((handle, _)) = Handle::open(process) {
        handle.signal(process.pid, number);
    }
}

/// Kills a process with its whole group, so that nobody in it can start another one meanwhile. To be used only on
/// processes of tasks: a group is within a session, and a task's session is all the task's.
pub(super) fn kill_with_group(process: &Process) {
    let Some((handle, now)) = Handle::open(process) else { return };
    // A stopped process cannot leave the group or end, so that the group's number stays its own.
    handle.signal(process.pid, libc::SIGSTOP);
    // SAFETY: plain integers.
    let own = unsafe { libc::getpgrp() };
    if now.group > 1 && now.group != own && handle.look().is_some_and(|then| then.group == now.group) {
        // SAFETY: as above.
        unsafe { libc::kill(-now.group, libc::SIGKILL) };
    }
    handle.signal(process.pid, libc::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_confuse() {
        let line = b"17 (a) Z 1 (x)) S 5 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 88";
        let process = Process::parse(line).unwrap();
        assert_eq!((process.pid, process.parent, process.group, process.session), (17, 5, 17, 16));
        assert_eq!((process.start, process.is_dead), (4711, false));
        for cut in 0..line.len() - 5 {
            let _ = Process::parse(&line[..cut]);
        }
        for bad in ["", "17", "17 (a)", "17 (a) S x", "x (a) S 1 1 1", "17 (a) S 1 1 1 1 1 1 1"] {
            assert_eq!(Process::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn this_process_is_counted() {
        let everybody = take().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let found = everybody.iter().find(|process| process.pid == own).unwrap();
        assert!(!found.is_dead && found.parent == i32::try_from(std::os::unix::process::parent_id()).unwrap());
        let other = Process { start: found.start + 1, ..*found };
        // Would end this process if it were not noticed that it is another one.
        signal(&other, libc::SIGKILL);
    }
}
