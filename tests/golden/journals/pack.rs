//! A directory as one small file: names, lengths, and the blocks that are not all zero.
//!
//! sled takes half a megabyte for a page; a repository need not keep its zeros.
//!
//! Layout, little-endian: per file the length of its path u16, the path, its length u64, the number of blocks u32; per
//! block its number u32 and 512 bytes (the last one of a file filled up with zeros).

use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 512;

/// All files below a directory, by path, but for the lock.
fn files(dir: &Path, below: &Path, out: &mut Vec<(String, PathBuf)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            files(&entry.path(), &path, out);
        } else if entry.file_name() != "lock" {
            out.push((path.to_str().expect("a path in UTF-8").to_owned(), entry.path()));
        }
    }
}

/// Packs a directory.
pub fn pack(dir: &Path) -> Vec<u8> {
    let (mut found, mut out) = (Vec::new(), Vec::new());
    files(dir, Path::new(""), &mut found);
    for (name, path) in found {
        let bytes = std::fs::read(path).expect("a file");
        let used = || bytes.chunks(BLOCK_BYTES).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0));
        out.extend(u16::try_from(name.len()).expect("a short path").to_le_bytes());
        out.extend(name.as_bytes());
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend(u32::try_from(used().count()).expect("a small file").to_le_bytes());
        for (number, block) in used() {
            out.extend(u32::try_from(number).expect("a small file").to_le_bytes());
            out.extend(block);
            out.resize(out.len() + BLOCK_BYTES - block.len(), 0);
        }
    }
    out
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn number(bytes: &mut &[u8], count: usize) -> usize {
    take(bytes, count).iter().rev().fold(0, |sum, byte| sum * 256 + usize::from(*byte))
}

/// Makes the directory that was packed.
pub fn unpack(mut bytes: &[u8], dir: &Path) {
    let bytes = &mut bytes;
    while !bytes.is_empty() {
        let name_bytes = number(bytes, 2);
        let path = dir.join(std::str::from_utf8(take(bytes, name_bytes)).expect("a path in UTF-8"));
        let length = number(bytes, 8);
        let mut content = vec![0; length];
        for _ in 0..number(bytes, 4) {
            let at = number(bytes, 4) * BLOCK_BYTES;
            let block = take(bytes, BLOCK_BYTES);
            let end = length.min(at + BLOCK_BYTES);
            content[at..end].copy_from_slice(&block[..end - at]);
        }
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
}

#[test]
fn a_directory_comes_out_as_it_went_in() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(from.path().join("log")).unwrap();
    let mut large = vec![0; 5000];
    (large[1023], large[4999]) = (1, 2);
    for (name, bytes) in [("a", &b""[..]), ("b", b"text"), ("log/db", &large), ("log/zeros", &[0; 700])] {
        std::fs::write(from.path().join(name), bytes).unwrap();
    }
    let packed = pack(from.path());
    assert!(packed.len() < 2000);
    unpack(&packed, to.path());
    assert_eq!(pack(to.path()), packed);
    assert_eq!(std::fs::read(to.path().join("log/db")).unwrap(), large);
    assert_eq!(std::fs::read(to.path().join("log/zeros")).unwrap(), [0; 700]);
}
