//! Finds the file that the first word of a command means.
//!
//! The search happens here rather than in the C library, because it must follow the `PATH` and the working directory
//! of the task and not those of the worker.
//!
//! Invariants: a bare word is never taken from the working directory; the result is a path with a `/` in it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

/// What is searched when there is no `PATH`, as the C library does.
const PATH_DEFAULT: &str = "/bin:/usr/bin";

/// The path of the program `word`. Errors: not found, or (if a file was found that may not be executed) permission
/// denied. Empty entries of `search` are skipped; relative ones are relative to `cwd`.
pub(super) fn find(word: &OsStr, cwd: &Path, search: Option<&OsStr>) -> io::Result<PathBuf> {
    if word.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if word.as_bytes().contains(&b'/') {
        return Ok(cwd.join(word));
    }
    let mut denied = false;
    let search = search.unwrap_or(OsStr::new(PATH_DEFAULT)).as_bytes();
    for entry in search.split(|byte| *byte == b':').filter(|entry| !entry.is_empty()) {
        let candidate = cwd.join(OsStr::from_bytes(entry)).join(word);
        if nix::unistd::access(&candidate, AccessFlags::X_OK).is_ok() {
            if candidate.is_file() {
                return Ok(candidate);
            }
        } else if candidate.is_file() {
            denied = true;
        }
    }
    Err(io::Error::from_raw_os_error(if denied { libc::EACCES } else { libc::ENOENT }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn words_are_found_as_the_task_would() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        program(&root.join("a/tool"), 0o644);
        program(&root.join("b/tool"), 0o755);
        program(&root.join("cwd/here"), 0o755);
        program(&root.join("cwd/bin/rel"), 0o755);
        fs::create_dir_all(root.join("a/folder")).unwrap();
        let path =
            |dirs: &[&str]| dirs.iter().map(|d| root.join(d).display().to_string()).collect::<Vec<_>>().join(":");
        let cwd = root.join("cwd");
        let look = |word: &str, search: &str| find(OsStr::new(word), &cwd, Some(OsStr::new(search)));

        assert_eq!(look("tool", &path(&["a", "b"])).unwrap(), root.join("b/tool"));
        assert_eq!(look("tool", &path(&["a"])).unwrap_err().raw_os_error(), Some(libc::EACCES));
        assert_eq!(look("folder", &path(&["a"])).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        for search in ["", ":", "::/nonexistent:"] {
            assert_eq!(look("here", search).unwrap_err().raw_os_error(), Some(libc::ENOENT), "{search:?}");
        }
        assert_eq!(look("", "/bin").unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(look("rel", "bin").unwrap(), cwd.join("bin/rel"));
        assert_eq!(look("./here", "").unwrap(), cwd.join("./here"));
        assert_eq!(look("/x/y", "").unwrap(), Path::new("/x/y"));
        assert!(find(OsStr::new("sh"), &cwd, None).unwrap().is_absolute());
    }
}
