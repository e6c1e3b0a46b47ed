//! Files and directories that nobody else may read, and writes that are there entirely or not at all.
//!
//! Keys, journals and logs lie in these; on a login node everybody else is a stranger.
//!
//! Invariants: modes are exact whatever the umask; a file of ours is never reached through a symbolic link in its
//! last component; after a successful atomic write the new content survives a power loss, before it the old does.

use std::ffi::CString;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{host, random};

/// Mode of private directories.
pub const PRIVATE_DIR_MODE: u32 = 0o700;
/// Mode of private files.
pub const PRIVATE_FILE_MODE: u32 = 0o600;

/// Bits of a mode by which others than the owner may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Flag of renameat2(2) by which both names stay (linux/fs.h); not every C library names it.
const RENAME_EXCHANGE: libc::c_uint = 2;

/// Length of the random part of temporary names.
const TEMPORARY_RANDOM: usize = 12;

/// A file or directory could not be used.
#[derive(Debug)]
pub enum Error {
    /// The operating system failed to do something.
    Io {
        /// What was being done, as in `create`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is there, but it belongs to somebody else, is writable by others or is something else than expected.
    Refused {
        /// What was found.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, path, source } => write!(f, "Cannot {doing} {}: {source}", path.display()),
            Error::Refused { path, why } => {
                write!(f, "{} is not used because it {why}; remove it or choose another place", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { doing, path: path.to_path_buf(), source }
}

/// Makes `path` a directory of mode 0700, with missing parents (which get the usual modes). One that is there is
/// kept as it is if [`check_private_dir`] accepts it.
pub fn create_private_dir(path: &Path) -> Result<(), Error> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed("create directory", parent))?;
    }
    match DirBuilder::new().mode(PRIVATE_DIR_MODE).create(path) {
        // The umask can only have taken bits of the owner away.
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(PRIVATE_DIR_MODE))
            .map_err(failed("set the mode of", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private_dir(path),
        Err(error) => Err(failed("create directory", path)(error)),
    }
}

/// Refuses a directory that is a link of somebody else, that is not ours, or that others may write to. Others may be
/// able to read it: what is in it protects itself.
pub fn check_private_dir(path: &Path) -> Result<(), Error> {
    let found = std::fs::symlink_metadata(path).map_err(failed("look at", path))?;
    let refused = |why| Err(Error::Refused { path: path.to_path_buf(), why });
    // A user may well have put the directory elsewhere by a link of their own.
    if found.file_type().is_symlink() && found.uid() != host::user_id() {
        return refused("is a symbolic link of somebody else");
    }
    let found = std::fs::metadata(path).map_err(failed("look at", path))?;
    if !found.is_dir() {
        return refused("is not a directory");
    }
    if found.uid() != host::user_id() {
        return refused("belongs to another user");
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return refused("can be written by other users");
    }
    Ok(())
}

/// Gives something that is ours mode 0600.
pub fn make_private(path: &Path) -> Result<(), Error> {
    std::fs::set_permissions(path, Permissions::from_mode(PRIVATE_FILE_MODE)).map_err(failed("set the mode of", path))
}

/// Creates a file that must not be there yet, with exactly this mode, for writing and reading.
pub fn create_new(path: &Path, mode: u32) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path).map_err(failed("create", path))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed("set the mode of", path))?;
    Ok(file)
}

/// Opens a file to append to, created with mode 0600 if missing. One that is a link, is not a regular file or
/// belongs to somebody else is refused; one of ours gets mode 0600.
pub fn open_private_append(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(PRIVATE_FILE_MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).map_err(failed("open", path))?;
    let found = file.metadata().map_err(failed("look at", path))?;
    let refused = |why| Err(Error::Refused { path: path.to_path_buf(), why });
    if !found.is_file() {
        return refused("is not a regular file");
    }
    if found.uid() != host::user_id() {
        return refused("belongs to another user");
    }
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE_MODE)).map_err(failed("set the mode of", path))?;
    Ok(file)
}

/// Replaces or creates `path` with `content` and exactly this mode, so that at any moment, also after a power loss,
/// there is either the old file or the new one.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let temporary = temporary_beside(path)?;
    let write = || {
        let mut file = create_new(&temporary, mode)?;
        file.write_all(content).map_err(failed("write", &temporary))?;
        file.sync_all().map_err(failed("sync", &temporary))?;
        std::fs::rename(&temporary, path).map_err(failed("replace", path))
    };
    write().inspect_err(|_| remove_quietly(&temporary))?;
    sync_dir(parent(path))
}

/// Lets two directories of one file system change places, in one step where the file system can do that.
pub fn exchange(one: &Path, other: &Path) -> Result<(), Error> {
    match in_one_step(one, other) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            let aside = temporary_beside(one)?;
            std::fs::rename(one, &aside).map_err(failed("rename", one))?;
            std::fs::rename(other, one).map_err(failed("rename", other))?;
            std::fs::rename(&aside, other).map_err(failed("rename", &aside))?;
        }
        done => done.map_err(failed("exchange", one))?,
    }
    sync_dir(parent(one))?;
    sync_dir(parent(other))
}

/// Exchanges two names; by the number of the system call, since not every C library has a function for it.
fn in_one_step(one: &Path, other: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    let (one, other) = (name(one)?, name(other)?);
    // SAFETY: both pointers are to strings that end with a zero byte and live until the call has returned.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            one.as_ptr(),
            libc::AT_FDCWD,
            other.as_ptr(),
            RENAME_EXCHANGE,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    let directory = File::open(path).map_err(failed("open directory", path))?;
    directory.sync_all().map_err(failed("sync directory", path))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name in the same directory, hence in the same file system, that nobody can have taken.
fn temporary_beside(path: &Path) -> Result<PathBuf, Error> {
    let random = random::alphanumeric(TEMPORARY_RANDOM);
    let random = random.map_err(|error| failed("choose a name beside", path)(io::Error::other(error)))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{random}"));
    Ok(parent(path).join(name))
}

fn remove_quietly(path: &Path) {
    // The error that made it superfluous is the one to be told.
    let _ = std::fs::remove_file(path);
}

/// Bytes that this user may still write to the file system of `path`.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stats = nix::sys::statvfs::statvfs(path)?;
    Ok(stats.blocks_available().saturating_mul(stats.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn names(path: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    /// The umask belongs to the process, so the test starts itself again under each.
    #[test]
    fn modes_are_exact_under_any_umask() {
        const VARIABLE: &str = "HQ_TEST_UMASK_DIR";
        if let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) {
            create_private_dir(&dir.join("private")).unwrap();
            write_atomic(&dir.join("private/secret"), b"x", 0o400).unwrap();
            write_atomic(&dir.join("private/file"), b"x", PRIVATE_FILE_MODE).unwrap();
            open_private_append(&dir.join("private/log")).unwrap();
            return;
        }
        for umask in ["000", "022", "277", "777"] {
            let dir = tempfile::tempdir().unwrap();
            let test = "platform::fs::tests::modes_are_exact_under_any_umask";
            let script = format!("umask {umask} && exec \"$0\" --exact {test}");
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(VARIABLE, dir.path());
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            let private = dir.path().join("private");
            assert_eq!(mode(&private), 0o700);
            for (name, expected) in [("secret", 0o400), ("file", 0o600), ("log", 0o600)] {
                assert_eq!(mode(&private.join(name)), expected, "{name} under {umask}");
            }
            assert_eq!(names(&private), ["file", "log", "secret"]);
        }
    }

    #[test]
    fn directories_of_doubtful_origin_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        create_private_dir(&path("a/b/c")).unwrap();
        create_private_dir(&path("a/b/c")).unwrap();

        fs::create_dir(path("open")).unwrap();
        for (bits, accepted) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false), (0o1777, false)] {
            fs::set_permissions(path("open"), Permissions::from_mode(bits)).unwrap();
            assert_eq!(create_private_dir(&path("open")).is_ok(), accepted, "{bits:o}");
        }
        fs::write(path("file"), "").unwrap();
        assert!(matches!(create_private_dir(&path("file")).unwrap_err(), Error::Refused { .. }));
        symlink(path("a"), path("link")).unwrap();
        create_private_dir(&path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        assert!(create_private_dir(&path("dangling")).is_err());
        assert!(!path("nowhere").exists());
        let missing = check_private_dir(&path("missing")).unwrap_err();
        assert!(matches!(missing, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn links_are_not_followed_to_files() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        assert!(create_new(&link, PRIVATE_FILE_MODE).is_err());
        assert!(open_private_append(&link).is_err());
        write_atomic(&link, b"new", PRIVATE_FILE_MODE).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert!(open_private_append(dir.path()).is_err());
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("is-a-directory");
        fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"x", PRIVATE_FILE_MODE).unwrap_err();
        assert!(error.to_string().starts_with("Cannot replace "), "{error}");
        assert_eq!(names(dir.path()), ["is-a-directory"]);
    }
}
