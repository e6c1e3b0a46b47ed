//! Facts about this machine, this user and this executable.
//!
//! Access files, server records and the environment of tasks name them.
//!
//! Invariants: the home directory is never guessed: without one the caller is told so.

use nix::net::if_::InterfaceFlags;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The host name as the kernel has it, lossily as text.
pub fn name() -> io::Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned())
}

/// An environment variable that is set to a text; an empty one counts as not set.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The addresses by which other machines can reach this one: those of interfaces that are up, without the loopback and
/// those that mean something on one link only. IPv4 first, otherwise in the order of the system.
///
/// # Errors
/// What the system says.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let usable =
            interface.flags.contains(InterfaceFlags::IFF_UP) && !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        let Some(address) = interface.address.filter(|_| usable) else { continue };
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::from(it.ip()));
        let v6 =
            || address.as_sockaddr_in6().map(|it| it.ip()).filter(|ip| !ip.is_unicast_link_local()).map(IpAddr::from);
        if let Some(ip) = v4.or_else(v6).filter(|ip| !found.contains(ip)) {
            found.push(ip);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    Ok(found)
}

/// The process id of this process.
pub fn pid() -> u32 {
    std::process::id()
}

/// The effective user id of this process.
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The user's home directory: `$HOME` if it is an absolute path, else the entry of `/etc/passwd`.
pub fn home() -> Option<PathBuf> {
    let passwd = || std::fs::read("/etc/passwd").ok();
    home_from(std::env::var_os("HOME"), user_id(), passwd)
}

fn home_from(variable: Option<OsString>, user: u32, passwd: impl FnOnce() -> Option<Vec<u8>>) -> Option<PathBuf> {
    if let Some(home) = variable.map(PathBuf::from).filter(|home| home.is_absolute()) {
        return Some(home);
    }
    home_in_passwd(&passwd()?, user)
}

/// The sixth field of the first line whose third field is `user`; format of passwd(5). The file is read directly,
/// because the C library's look-up would load plugins, which a static executable cannot.
fn home_in_passwd(passwd: &[u8], user: u32) -> Option<PathBuf> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let uid: u32 = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let home = Path::new(OsStr::from_bytes(fields.nth(2)?));
        (uid == user && home.is_absolute()).then(|| home.to_path_buf())
    })
}

/// The absolute path of the running executable. When the file was replaced since the start (an upgrade in place),
/// it is the path of the new file.
pub fn executable() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(without_deleted_mark(&path, Path::exists).unwrap_or(path))
}

/// Linux marks the link of a replaced executable with this suffix; see proc(5).
fn without_deleted_mark(path: &Path, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let plain = path.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    let plain = PathBuf::from(OsString::from_vec(plain.to_vec()));
    (!exists(path) && exists(&plain)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\nodd:x:7:7::rel:x\n";

    #[test]
    fn home_prefers_the_variable() {
        let home = home_from(Some("/h".into()), 0, || panic!("the file is not needed"));
        assert_eq!(home, Some("/h".into()));
    }

    #[test]
    fn home_falls_back_to_passwd() {
        for variable in [None, Some(""), Some("relative")] {
            let home = home_from(variable.map(OsString::from), 1000, || Some(PASSWD.to_vec()));
            assert_eq!(home, Some("/home/me".into()));
        }
        for unknown in [7, 8] {
            assert_eq!(home_in_passwd(PASSWD, unknown), None);
        }
        assert_eq!(home_from(None, 0, || None), None);
    }

    #[test]
    fn replaced_executable_is_found_again() {
        let old = Path::new("/bin/hq (deleted)");
        assert_eq!(without_deleted_mark(old, |path| path == Path::new("/bin/hq")), Some("/bin/hq".into()));
        assert_eq!(without_deleted_mark(old, |_| true), None);
        assert_eq!(without_deleted_mark(Path::new("/bin/hq"), |_| true), None);
        assert!(executable().unwrap().is_absolute());
    }

    #[test]
    fn addresses_are_those_of_this_machine() {
        for address in addresses().unwrap() {
            assert!(!address.is_loopback() && !address.is_unspecified(), "{address}");
            std::net::TcpListener::bind((address, 0)).unwrap();
        }
    }

    #[test]
    fn host_has_a_name() {
        assert!(!name().unwrap().is_empty());
        assert!(pid() > 0);
    }
}
