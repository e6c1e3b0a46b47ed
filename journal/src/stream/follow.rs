//! A stream directory that grows: what workers add, without reading again what was there.
//!
//! A file system that is shared over a network announces nothing, so the directory is looked at again and again; each look
//! costs what is new, and an open for each file that may still grow.
//!
//! **Invariant:** each record is told once, in the order of its file; one that is not complete yet is told later.
//! **Invariant:** nothing of a file but the place where its reading ended is kept between two looks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::record_at;
use super::index::Key;
use super::outcome::Outcome;
use super::read::{StreamDir, is_stream_name};
use super::timeline::Shown;
use super::{CHANNEL_ALL, StreamError, StreamHead};
use crate::disk::{Access, Disk, File};
use crate::record::{KIND_STREAM_CHUNK, KIND_STREAM_END, KIND_STREAM_OPEN, KIND_STREAM_TRAILER};
use crate::scan::{Found, Scanner};

/// Looks after which something unreadable between readable records is taken for damage: what another machine writes can
/// become visible in another order.
const PATIENCE: u32 = 20;

/// What was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// A task wrote something.
    Output(Shown<'a>),
    /// The output of an attempt is complete.
    End(Key, Option<Outcome>),
    /// The file with the output of an attempt was closed; nothing is added to it.
    Closed,
}

/// A file and how far it was read.
#[derive(Debug, Clone, Default)]
struct Followed {
    tag: u16,
    at: u64,
    /// Nothing will be added, or it is none of ours.
    is_over: bool,
    /// Looks since the place at which the reading stands could not be read.
    stuck: u32,
}

/// Follows a directory.
pub struct Follower {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    server_uid: Option<String>,
    files: BTreeMap<String, Followed>,
    ids: BTreeSet<String>,
    damage: Vec<String>,
}

impl Follower {
    /// Tells everything that comes after what `dir` has found, of the same server.
    pub fn behind(disk: Arc<dyn Disk>, dir: &StreamDir, server_uid: Option<&str>) -> Self {
        let mut follower = Self::new(disk, &dir.path, server_uid);
        for file in dir.all_files() {
            follower.ids.insert(file.head.file_id.clone());
            follower.server_uid.get_or_insert_with(|| file.head.server_uid.clone());
            if let Some(name) = file.path.file_name().and_then(|name| name.to_str()) {
                let known = Followed { tag: file.tag, at: file.read_to, is_over: file.is_closed, stuck: 0 };
                follower.files.insert(name.to_owned(), known);
            }
        }
        follower
    }

    /// Tells everything from the beginning, of one server: the one that is named, or the first that is met.
    pub fn new(disk: Arc<dyn Disk>, path: &Path, server_uid: Option<&str>) -> Self {
        let (files, ids, damage) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { disk, path: path.to_path_buf(), server_uid: server_uid.map(str::to_owned), files, ids, damage }
    }

    /// Up to where a file was read, by its name.
    pub fn position(&self, name: &str) -> u64 {
        self.files.get(name).map_or(0, |followed| followed.at)
    }

    /// Damage that was met since the last call, one sentence each.
    pub fn take_damage(&mut self) -> Vec<String> {
        std::mem::take(&mut self.damage)
    }

    /// Calls `f` with what is new, until about `bytes_max` bytes were told; `true`: there is more at once. A directory
    /// that is not there yet has nothing new.
    ///
    /// # Errors
    /// The system's error, also that of `f`.
    pub fn look(
        &mut self,
        bytes_max: u64,
        f: &mut dyn FnMut(&News<'_>) -> io::Result<()>,
    ) -> Result<bool, StreamError> {
        let names = match self.disk.list(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            names => names.map_err(|e| StreamError::io("open stream directory", &self.path, e))?,
        };
        // Files are removed when they are merged.
        let there: BTreeSet<&String> = names.iter().collect();
        self.files.retain(|name, _| there.contains(name));
        let mut left = bytes_max;
        for name in names.iter().filter(|name| is_stream_name(name)) {
            let mut followed = self.files.get(name).cloned().unwrap_or_default();
            if followed.is_over {
                continue;
            }
            let path = self.path.join(name);
            let file = match self.disk.open(&path, Access::Read) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(|e| StreamError::io("read stream", &path, e))?,
            };
            let fail = |e| StreamError::io("read stream", &path, e);
            if followed.at == 0 && !self.begin(&*file, &mut followed).map_err(fail)? {
                if followed.is_over {
                    self.files.insert(name.clone(), followed);
                }
                continue;
            }
            let done = self.read(&path, &*file, &mut followed, &mut left, f).map_err(fail);
            self.files.insert(name.clone(), followed);
            done?;
            if left == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the head of a file; false: it is not there yet, or the file is not to be followed.
    fn begin(&mut self, file: &dyn File, followed: &mut Followed) -> io::Result<bool> {
        let Some((header, body)) = record_at(file, 0)? else { return Ok(false) };
        let head = StreamHead::parse(&body).filter(|_| header.kind == KIND_STREAM_OPEN);
        let Some(head) = head else {
            followed.is_over = true;
            return Ok(false);
        };
        let is_ours = *self.server_uid.get_or_insert_with(|| head.server_uid.clone()) == head.server_uid;
        // What was merged into a file, or copied, was told before.
        if !is_ours || !head.origins.is_empty() || !self.ids.insert(head.file_id) {
            followed.is_over = true;
            return Ok(false);
        }
        followed.tag = header.tag;
        Ok(true)
    }

    fn read(
        &mut self,
        path: &Path,
        file: &dyn File,
        followed: &mut Followed,
        left: &mut u64,
        f: &mut dyn FnMut(&News<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut scanner = Scanner::new(file, followed.at, u64::MAX)?.with_tag(followed.tag);
        while *left > 0 {
            let Some(found) = scanner.next()? else { return Ok(()) };
            match found {
                Found::Valid { record, to, .. } => {
                    let (header, bytes) = (record.header, record.body);
                    let (key, channel, time_us) = (Key::of(&header), header.channel, header.time_us);
                    match header.kind {
                        KIND_STREAM_CHUNK => f(&News::Output(Shown { key, channel, time_us, bytes }))?,
                        KIND_STREAM_END if channel == CHANNEL_ALL => f(&News::End(key, Outcome::parse(bytes)))?,
                        KIND_STREAM_TRAILER => f(&News::Closed)?,
                        _ => {}
                    }
                    followed.is_over = header.kind == KIND_STREAM_TRAILER;
                    followed.at = to;
                    followed.stuck = 0;
                    *left = left.saturating_sub(header.record_bytes());
                }
                Found::Damaged { from, to } => {
                    followed.stuck += 1;
                    if followed.stuck < PATIENCE {
                        return Ok(());
                    }
                    self.damage.push(format!("{}: bytes {from} to {to} are damaged and left out", path.display()));
                    followed.at = to;
                }
                Found::TornTail { .. } => return Ok(()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ModelDisk;
    use crate::stream::{Ending, StreamWriter};

    const DIR: &str = "/out";

    fn writer(disk: &ModelDisk, id: &str, uid: &str) -> StreamWriter {
        let head = StreamHead { server_uid: uid.into(), file_id: id.into(), ..StreamHead::default() };
        StreamWriter::create(disk, Path::new(DIR), &head, 1).unwrap()
    }

    fn key(task: u32) -> Key {
        Key { job: 1, task, epoch: 1, attempt: 0 }
    }

    fn look(follower: &mut Follower, bytes_max: u64) -> (Vec<String>, bool) {
        let mut told = Vec::new();
        let more = follower.look(bytes_max, &mut |news| {
            told.push(match news {
                News::Output(shown) => format!("{}:{}", shown.key.task, String::from_utf8_lossy(shown.bytes)),
                News::End(key, outcome) => format!("{} {:?}", key.task, outcome.map(|outcome| outcome.ending)),
                News::Closed => "closed".to_owned(),
            });
            Ok(())
        });
        (told, more.unwrap())
    }

    #[test]
    fn what_is_added_is_told_once() {
        let disk = ModelDisk::new();
        let mut follower = Follower::new(Arc::new(disk.clone()), Path::new(DIR), None);
        assert_eq!(look(&mut follower, 1000), (vec![], false));
        let mut one = writer(&disk, "aaa", "uid");
        one.append_chunk(1, key(1), 0, b"a").unwrap();
        assert_eq!(look(&mut follower, 1000), (vec![], false));
        one.flush().unwrap();
        assert_eq!(look(&mut follower, 1000), (vec!["1:a".to_owned()], false));
        assert_eq!(look(&mut follower, 1000), (vec![], false));
        let mut two = writer(&disk, "bbb", "uid");
        two.append_chunk(1, key(2), 1, b"b").unwrap();
        two.flush().unwrap();
        writer(&disk, "ccc", "other").close().unwrap();
        one.append_outcome(2, key(1), Outcome { ending: Ending::Failed, cause: 0, exit_code: None, signal: None })
            .unwrap();
        one.append_chunk(3, key(3), 0, b"c").unwrap();
        one.close().unwrap();
        let expected = ["1 Some(Failed)", "3:c", "closed", "2:b"].map(str::to_owned);
        assert_eq!(look(&mut follower, 10_000), (expected.to_vec(), false));
        // Behind what another reader has found.
        two.append_chunk(4, key(4), 0, b"d").unwrap();
        two.append_chunk(4, key(5), 0, b"e").unwrap();
        two.flush().unwrap();
        let dir = StreamDir::open(Arc::new(disk.clone()), Path::new(DIR), Some("uid")).unwrap();
        let mut behind = Follower::behind(Arc::new(disk), &dir, None);
        assert_eq!(look(&mut behind, 1000), (vec![], false));
        two.append_finished(5, key(5)).unwrap();
        two.flush().unwrap();
        assert_eq!(look(&mut behind, 1000), (vec!["5 None".to_owned()], false));
        // A little at a time.
        assert_eq!(look(&mut follower, 1), (vec!["4:d".to_owned()], true));
        assert_eq!(look(&mut follower, 1000), (vec!["5:e".to_owned(), "5 None".to_owned()], false));
    }

    #[test]
    fn a_file_that_grows_byte_by_byte_is_told_record_by_record() {
        let disk = ModelDisk::new();
        let mut one = writer(&disk, "aaa", "uid");
        for task in 0..20 {
            one.append_chunk(1, key(task), 0, format!("text {task}").as_bytes()).unwrap();
            if task % 6 == 5 {
                one.put_index();
            }
        }
        let path = one.path().to_path_buf();
        one.close().unwrap();
        let mut whole = Vec::new();
        disk.edit(&path, |bytes| whole = std::mem::take(bytes));
        let mut follower = Follower::new(Arc::new(disk.clone()), Path::new(DIR), None);
        let mut told = Vec::new();
        for length in 0..=whole.len() {
            disk.edit(&path, |bytes| *bytes = whole[..length].to_vec());
            told.extend(look(&mut follower, u64::MAX).0);
        }
        let expected: Vec<String> = (0..20).map(|task| format!("{task}:text {task}")).collect();
        assert_eq!(told.split_last(), Some((&"closed".to_owned(), &expected[..])));
        assert!(follower.take_damage().is_empty());
    }

    #[test]
    fn what_becomes_visible_in_another_order_is_waited_for_and_damage_is_not_for_ever() {
        let disk = ModelDisk::new();
        let mut one = writer(&disk, "aaa", "uid");
        one.append_chunk(1, key(1), 0, b"first").unwrap();
        one.append_chunk(1, key(2), 0, b"second").unwrap();
        let path = one.path().to_path_buf();
        one.flush().unwrap();
        let (mut whole, hole) = (Vec::new(), 100..110);
        disk.edit(&path, |bytes| {
            whole = bytes.clone();
            bytes[hole.clone()].fill(0);
        });
        let mut follower = Follower::new(Arc::new(disk.clone()), Path::new(DIR), None);
        let (before, _) = look(&mut follower, 1000);
        disk.edit(&path, |bytes| bytes.clone_from(&whole));
        let after = [before, look(&mut follower, 1000).0].concat();
        assert_eq!(after, ["1:first", "2:second"]);
        assert!(follower.take_damage().is_empty());
        disk.edit(&path, |bytes| bytes[hole].fill(0));
        let mut follower = Follower::new(Arc::new(disk), Path::new(DIR), None);
        let told: Vec<String> = (0..PATIENCE + 1).flat_map(|_| look(&mut follower, 1000).0).collect();
        assert_eq!((told.len(), follower.take_damage().len()), (1, 1), "{told:?}");
    }
}
