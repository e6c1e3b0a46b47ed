//! Who may have written what is about to be trusted, and creating with exact modes.
//!
//! On a login node other users can plant directories, links and files wherever a path of ours passes.
//!
//! What holds: ownership and mode are checked on the opened file, not on its name, so that nothing
//! can be exchanged in between; a mode given here is the mode that the file has, whatever the umask.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::error::{Error, NotADirectory};

const DIR_MODE: u32 = 0o700;
const ACCESS_MODE: u32 = 0o400;

/// Longest access file that is read; real ones have some 500 bytes.
const ACCESS_BYTES_MAX: u64 = 64 * 1024;

/// How strictly a directory is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Others may add files if they cannot exchange ours (sticky), and our group may write: what
    /// is inside is checked again.
    Around,
    /// Nobody else may change anything inside.
    Within,
}

/// Opens a directory and checks that it is ours or root's, and that others cannot change it.
///
/// # Errors
/// [`Error::InvalidServerDir`] where it is none, [`Error::Foreign`], [`Error::Writable`].
pub(crate) fn open_dir(path: &Path, trust: Trust) -> Result<File, Error> {
    let flags = OFlag::O_DIRECTORY.bits();
    let dir = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::InvalidServerDir { cause: NotADirectory { path: path.to_owned() } }
        }
        _ => Error::io("open", path, source),
    })?;
    let meta = dir.metadata().map_err(|source| Error::io("examine", path, source))?;
    check_owner(path, &meta)?;
    let sticky = meta.mode() & 0o1000 != 0;
    let forbidden = match trust {
        Trust::Around if sticky => 0,
        Trust::Around => 0o002,
        Trust::Within => 0o022,
    };
    check_mode(path, &meta, forbidden)?;
    Ok(dir)
}

pub(crate) fn check_owner(path: &Path, meta: &Metadata) -> Result<(), Error> {
    let own = nix::unistd::geteuid().as_raw();
    match meta.uid() {
        0 => Ok(()),
        uid if uid == own => Ok(()),
        uid => Err(Error::Foreign { path: path.to_owned(), uid }),
    }
}

fn check_mode(path: &Path, meta: &Metadata, forbidden: u32) -> Result<(), Error> {
    match meta.mode() & forbidden {
        0 => Ok(()),
        _ => Err(Error::Writable { path: path.to_owned(), mode: meta.mode() }),
    }
}

/// Reads the file `name` of an opened directory; `Ok(None)` where there is none. `path` is for the
/// messages.
///
/// # Errors
/// As [`open_dir`], and [`Error::Malformed`] where it is no regular file, too long, or no text.
pub(crate) fn read_in(dir: &File, name: &str, path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    // Without O_NONBLOCK somebody's pipe in the place of the file would hold us for ever.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(Error::io("open", path, errno.into())),
    };
    read_checked(&file, path).map(Some)
}

/// Reads the file at `path`.
///
/// # Errors
/// As [`read_in`], and [`Error::Io`] where there is none.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let flags = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    read_checked(&file.map_err(|source| Error::io("open", path, source))?, path)
}

fn read_checked(mut file: &File, path: &Path) -> Result<Zeroizing<String>, Error> {
    let bad = || Error::Malformed { path: path.to_owned(), what: "a short text file" };
    let failed = |source| Error::io("read", path, source);
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.len() > ACCESS_BYTES_MAX {
        return Err(bad());
    }
    check_owner(path, &meta)?;
    check_mode(path, &meta, 0o022)?;
    // Room for everything at once, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1));
    Read::by_ref(&mut file).take(ACCESS_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| bad())
}

/// Creates the file `path` with mode 0400 and this content; an existing one is an error.
///
/// # Errors
/// [`Error::Io`]; a file that was begun is removed again.
pub(crate) fn create_access(path: &Path, content: &str) -> Result<(), Error> {
    let failed = |source| Error::io("create access file", path, source);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(ACCESS_MODE).open(path).map_err(failed)?;
    let written = file
        .write_all(content.as_bytes())
        .and_then(|()| file.set_permissions(Permissions::from_mode(ACCESS_MODE)))
        .and_then(|()| file.sync_all());
    written.map_err(|source| {
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}

/// Creates the directory `path` with mode 0700; `Ok(false)` where the name is taken.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn create_dir(path: &Path) -> Result<bool, Error> {
    let failed = |source| Error::io("create directory", path, source);
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(DIR_MODE)).map_err(failed)?,
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(failed(source)),
    }
    Ok(true)
}

/// Creates `path` and what is missing above it, all with mode 0700.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn create_dirs(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dirs(parent)?;
    }
    create_dir(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn directories_that_others_can_change_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        for (mode, around, within) in [
            (0o700, true, true),
            (0o755, true, true),
            (0o775, true, false),
            (0o777, false, false),
            (0o1777, true, false),
            (0o702, false, false),
        ] {
            chmod(dir, mode);
            assert_eq!(open_dir(dir, Trust::Around).is_ok(), around, "{mode:o}");
            assert_eq!(open_dir(dir, Trust::Within).is_ok(), within, "{mode:o}");
        }
        chmod(dir, 0o777);
        let error = open_dir(dir, Trust::Around).unwrap_err();
        assert!(matches!(error, Error::Writable { .. }) && error.to_string().contains("mode 0777"));
        chmod(dir, 0o700);
    }

    #[test]
    fn what_others_own_is_refused() {
        let own = nix::unistd::geteuid().as_raw();
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("access.json");
        create_access(&file, "{}").unwrap();
        if own != 0 {
            // Without the right to give files away the check itself can be tried on the owner only.
            assert!(check_owner(&file, &std::fs::metadata(&file).unwrap()).is_ok());
            return;
        }
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        let error = read(&file).unwrap_err();
        assert!(matches!(error, Error::Foreign { uid: 65_534, .. }), "{error}");
        std::os::unix::fs::chown(temp.path(), Some(65_534), None).unwrap();
        let error = open_dir(temp.path(), Trust::Around).err().unwrap();
        assert!(matches!(error, Error::Foreign { uid: 65_534, .. }), "{error}");
    }

    #[test]
    fn only_short_regular_files_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let dir = open_dir(temp.path(), Trust::Within).unwrap();
        let at = |name: &str| temp.path().join(name);
        assert!(read_in(&dir, "none", &at("none")).unwrap().is_none());
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRUSR).unwrap();
        std::fs::write(at("long"), vec![b' '; 70_000]).unwrap();
        std::fs::write(at("binary"), [255, 254]).unwrap();
        create_dir(&at("dir")).unwrap();
        for name in ["pipe", "long", "binary", "dir"] {
            let error = read_in(&dir, name, &at(name)).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{name}: {error}");
        }
        create_access(&at("good"), "text").unwrap();
        symlink("good", at("link")).unwrap();
        assert_eq!(read_in(&dir, "link", &at("link")).unwrap().unwrap().as_str(), "text");
        chmod(&at("good"), 0o460);
        assert!(matches!(read_in(&dir, "good", &at("good")), Err(Error::Writable { .. })));
    }

    #[test]
    fn modes_are_exact_and_nothing_is_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a/b/access.json");
        create_dirs(file.parent().unwrap()).unwrap();
        create_access(&file, "one").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&file), 0o400);
        assert_eq!(mode(&temp.path().join("a")), 0o700);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
        let error = create_access(&file, "two").unwrap_err();
        assert!(error.to_string().ends_with("File exists (os error 17)"), "{error}");
        assert_eq!(read(&file).unwrap().as_str(), "one");
        assert!(!create_dir(&temp.path().join("a")).unwrap());
    }
}
