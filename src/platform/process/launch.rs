//! From a description to a running child.
//!
//! Everything that can fail with a message of its own is done in this process before the spawn; what only the spawn
//! can find out is sorted into its cause afterwards, off the fast path.
//!
//! Invariants: on an error no child is left; no descriptor of the child's side stays open here.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::AccessFlags;

use super::posix::Call;
use super::{Exit, Output, SpawnError, SpawnSpec, Spawned, Stdin, mark, program, reap};

/// What runs a file without a `#!` line, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";

/// Starts a program; blocks until it is loaded (about 0.3 ms), so it must not be called on a thread that others wait
/// for. `on_exit` is called exactly once, on the thread that learns of ends, as soon as the child ended, which may be
/// before this returns; it must not block. On an error it is never called.
pub fn spawn(spec: &SpawnSpec, on_exit: impl FnOnce(Exit) + Send + 'static) -> Result<Spawned, SpawnError> {
    let mut started = None;
    spawn_announced(spec, 0, on_exit, |spawned| started = Some(spawned))?;
    started.ok_or_else(|| SpawnError::Plumbing { doing: "starting", source: io::ErrorKind::Other.into() })
}

/// As [`spawn`], for an owner, but `on_exit` is not called before `announce` returned.
pub(super) fn spawn_announced(
    spec: &SpawnSpec,
    owner: u32,
    on_exit: impl FnOnce(Exit) + Send + 'static,
    announce: impl FnOnce(Spawned),
) -> Result<(), SpawnError> {
    let start = reap::begin(owner)?;
    let program = find_program(spec)?;
    let streams = Streams::open(spec)?;
    let pid = execute(spec, &program, &start.mark(), &streams.of_child()?)?;
    let (child, opening) = start.finish(pid, Box::new(on_exit));
    let Streams { ours: [stdin, stdout, stderr], .. } = streams;
    announce(Spawned { child, stdin, stdout, stderr });
    drop(opening);
    Ok(())
}

fn execute_error(spec: &SpawnSpec, source: io::Error) -> SpawnError {
    SpawnError::Execute { words: spec.words.clone(), cwd: spec.cwd.clone(), source }
}

fn find_program(spec: &SpawnSpec) -> Result<CString, SpawnError> {
    let word = spec.words.first().ok_or(SpawnError::NoCommand)?;
    let found = program::find(word, &spec.cwd, spec.environment.get("PATH"));
    let found = found.and_then(|path| c_string(path.as_os_str()));
    found.map_err(|source| execute_error(spec, source))
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

fn execute(
    spec: &SpawnSpec,
    program: &CStr,
    mark: &str,
    streams: &[BorrowedFd<'_>],
) -> Result<libc::pid_t, SpawnError> {
    let execute_error = |source| execute_error(spec, source);
    let words: io::Result<Vec<CString>> = spec.words.iter().map(|word| c_string(word)).collect();
    let words = words.map_err(execute_error)?;
    let cwd = c_string(spec.cwd.as_os_str()).map_err(execute_error)?;
    let changed = spec.environment.changed().map_err(execute_error)?;
    let mark = mark::assignment(mark);
    let variables = changed.iter().chain(spec.environment.unchanged());
    let variables = variables.filter(|assignment| !mark::is_assignment(assignment.as_bytes()));
    let environment: Vec<&CStr> = variables.chain([&mark]).map(CString::as_c_str).collect();
    let call = Call { program, words: &words, environment: &environment, cwd: &cwd, streams };
    let mut result = call.run();
    if matches!(&result, Err(error) if concerns_path(error)) && make_directory(&spec.cwd)? {
        result = call.run();
    }
    if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::ENOEXEC)) {
        let mut with_shell = vec![SHELL.to_owned(), program.to_owned()];
        with_shell.extend(words.iter().skip(1).cloned());
        result = Call { program: SHELL, words: &with_shell, ..call }.run();
    }
    result.map_err(execute_error)
}

fn concerns_path(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP))
}

/// Creates the working directory if it is missing. `false`: it is there and can be entered.
fn make_directory(cwd: &Path) -> Result<bool, SpawnError> {
    let failed = |source| SpawnError::WorkingDirectory { path: cwd.to_path_buf(), source };
    if cwd.is_dir() {
        nix::unistd::access(cwd, AccessFlags::X_OK).map_err(|error| failed(error.into()))?;
        return Ok(false);
    }
    std::fs::create_dir_all(cwd).map_err(failed)?;
    Ok(true)
}

/// The standard streams: the child's ends, and ours of the pipes.
struct Streams {
    /// `None` is `/dev/null`.
    theirs: [Option<OwnedFd>; 3],
    /// Standard error goes where standard output goes.
    merged: bool,
    ours: [Option<OwnedFd>; 3],
}

impl Streams {
    fn open(spec: &SpawnSpec) -> Result<Self, SpawnError> {
        let (stdin, our_stdin) = match &spec.stdin {
            Stdin::Null => (None, None),
            Stdin::Bytes(bytes) => (Some(in_memory(bytes)?), None),
            Stdin::Pipe => {
                let (reader, writer) = pipe()?;
                (Some(reader), Some(writer))
            }
        };
        spec.renames.iter().try_for_each(|(from, to)| put_aside(&spec.cwd.join(from), &spec.cwd.join(to)))?;
        let (stdout, our_stdout) = open_output(&spec.stdout, &spec.cwd)?;
        let merged = matches!(spec.stdout, Output::File(_)) && spec.stdout == spec.stderr;
        let (stderr, our_stderr) = if merged { (None, None) } else { open_output(&spec.stderr, &spec.cwd)? };
        Ok(Self { theirs: [stdin, stdout, stderr], merged, ours: [our_stdin, our_stdout, our_stderr] })
    }

    fn of_child(&self) -> Result<[BorrowedFd<'_>; 3], SpawnError> {
        let null = null()?;
        let [stdin, stdout, stderr] = &self.theirs;
        let stderr = if self.merged { stdout } else { stderr };
        Ok([stdin, stdout, stderr].map(|fd| fd.as_ref().map_or(null, |fd| fd.as_fd())))
    }
}

fn plumbing(doing: &'static str) -> impl FnOnce(io::Error) -> SpawnError {
    move |source| SpawnError::Plumbing { doing, source }
}

/// One descriptor of `/dev/null` for all children.
fn null() -> Result<BorrowedFd<'static>, SpawnError> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(file) = NULL.get() {
        return Ok(file.as_fd());
    }
    let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
    let opened = opened.map_err(plumbing("opening /dev/null"))?;
    Ok(NULL.get_or_init(|| opened).as_fd())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| plumbing("opening a pipe")(error.into()))
}

/// A file in memory is read by the child at its own pace: nobody has to feed it.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, SpawnError> {
    let write = || -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create(c"hq-stdin", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file.into())
    };
    write().map_err(plumbing("providing standard input"))
}

/// Renames a file that is there. What is no file, a terminal or a named pipe say, stays where it is.
fn put_aside(from: &Path, to: &Path) -> Result<(), SpawnError> {
    if !std::fs::symlink_metadata(from).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    match std::fs::rename(from, to) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SpawnError::OutputFile { path: to.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

/// The child's end and ours.
fn open_output(output: &Output, cwd: &Path) -> Result<(Option<OwnedFd>, Option<OwnedFd>), SpawnError> {
    match output {
        Output::Null => Ok((None, None)),
        Output::File(path) => Ok((Some(open_file(&cwd.join(path))?), None)),
        Output::Pipe => {
            let (reader, writer) = pipe()?;
            Ok((Some(writer), Some(reader)))
        }
    }
}

fn open_file(path: &Path) -> Result<OwnedFd, SpawnError> {
    let failed = |source| SpawnError::OutputFile { path: path.to_path_buf(), source };
    let file = match create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            let no_parent = |source| SpawnError::OutputDirectory { path: parent.to_path_buf(), source };
            std::fs::create_dir_all(parent).map_err(no_parent)?;
            create(path)
        }
        result => result,
    };
    Ok(file.map_err(failed)?.into())
}

/// A named pipe that nobody reads gives an error instead of holding up the thread, hence O_NONBLOCK, which the child
/// must not see. A terminal must not become this process's controlling terminal.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}
