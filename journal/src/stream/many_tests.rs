//! A directory with very many tasks.
//!
//! What one task costs must not depend on how many others there are. Counted are bytes and open files, not time.
//!
//! **Invariant:** output of one task is found with the index blocks that have it, and hardly any other; walks hold a
//! window of each block.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::timeline::PLACES_MAX;
use super::*;
use crate::disk::{Access, Disk, File, RealDisk};
use crate::lock::LockError;
use crate::store::{Store, StoreError};

/// A disk that counts what is read of it.
#[derive(Clone, Default)]
struct Counting {
    bytes: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

struct CountedFile(Arc<dyn File>, Arc<AtomicU64>);

impl File for CountedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read_at(offset, buf)?;
        self.1.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }
}

impl Disk for Counting {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(CountedFile(RealDisk.open(path, access)?, Arc::clone(&self.bytes))))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn open_store(&self, path: &Path) -> Result<Arc<dyn Store>, StoreError> {
        RealDisk.open_store(path)
    }

    fn free_bytes(&self, dir: &Path) -> Option<u64> {
        RealDisk.free_bytes(dir)
    }

    fn copy_store(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.copy_store(from, to)
    }

    fn remove_store(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_store(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn std::any::Any + Send + Sync>, LockError> {
        RealDisk.lock(path)
    }
}

struct Names;

impl CompactHelp for Names {
    fn name(&mut self) -> io::Result<String> {
        Ok("merged".to_owned())
    }

    fn copied(&mut self, _bytes: u64) {}
}

/// Memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The output of tasks over four files, each task with a little on both channels, in an order that is not that of the ids.
fn write(dir: &Path, tasks: u32) {
    let mut writers: Vec<StreamWriter> = ["aaa", "bbb", "ccc", "ddd"]
        .map(|id| {
            let head = StreamHead { server_uid: "uid".into(), file_id: id.into(), ..StreamHead::default() };
            StreamWriter::create(&RealDisk, dir, &head, 1).unwrap()
        })
        .into();
    for n in 0..tasks {
        // 7 has no factor in common with the counts of tasks.
        let task = u32::try_from(u64::from(n) * 7 % u64::from(tasks)).unwrap();
        let key = Key { job: 1 + task % 3, task, epoch: 1, attempt: 0 };
        let writer = &mut writers[task as usize % 4];
        writer.append_chunk(u64::from(n), key, 0, format!("output of {task}\n").as_bytes()).unwrap();
        writer.append_chunk(u64::from(n), key, 1, b"e").unwrap();
        let outcome = Outcome { ending: Ending::Finished, cause: 0, exit_code: Some(0), signal: None };
        writer.append_outcome(u64::from(n), key, outcome).unwrap();
    }
    writers.into_iter().for_each(|writer| writer.close().unwrap());
}

#[test]
fn filters_spare_the_blocks_without_a_task_and_hide_none() {
    let temp = tempfile::tempdir().unwrap();
    let head = StreamHead { server_uid: "uid".into(), file_id: "aaa".into(), ..StreamHead::default() };
    let mut writer = StreamWriter::create(&RealDisk, temp.path(), &head, 1).unwrap();
    let path = writer.path().to_path_buf();
    // 600 blocks of three tasks, the first and the last of all in each of them; every task is in two blocks.
    let (tasks, key) = (300, |task| Key { job: 1, task, epoch: 1, attempt: 0 });
    for round in 0..2 * tasks {
        for task in [0, round % tasks, tasks] {
            writer.append_chunk(1, key(task), 0, b"x").unwrap();
        }
        writer.put_index();
    }
    writer.close().unwrap();
    let found = |named: usize, step: usize| {
        let disk = Counting::default();
        let dir = StreamDir::open(Arc::new(disk.clone()), temp.path(), None).unwrap();
        disk.bytes.store(0, Ordering::Relaxed);
        for task in (1..tasks).step_by(step) {
            let newest = dir.newest(1, task).unwrap().unwrap();
            assert_eq!(newest.bytes(0), 2, "{task}");
        }
        assert_eq!(dir.newest(1, tasks).unwrap().map(|newest| newest.bytes(0)), Some(2 * u64::from(tasks)));
        assert_eq!((dir.newest(1, tasks + 1).unwrap(), dir.newest(2, 0).unwrap()), (None, None));
        assert_eq!(dir.take_damage().len(), named);
        disk.bytes.load(Ordering::Relaxed)
    };
    // So much is read of a block.
    let all_blocks = 2 * u64::from(tasks) * 512;
    let bytes = found(0, 1);
    // Instead of 600 blocks a task: two, now and then another, the filters once, and all blocks for the task that is in each.
    assert!(bytes < 10 * all_blocks, "{bytes}");
    let file = std::fs::read(&path).unwrap();
    let mut scanner = crate::scan::Scanner::new(&file, 0, u64::MAX).unwrap();
    let mut groups = Vec::new();
    while let Some(item) = scanner.next().unwrap() {
        if let crate::scan::Found::Valid { record, from, .. } = item
            && record.header.kind == crate::record::KIND_STREAM_FILTERS
        {
            groups.push(usize::try_from(from).unwrap());
        }
    }
    assert_eq!(groups.len(), 10);
    for group in groups {
        for at in [group + 20, group + 70, group + 200] {
            let mut bytes = file.clone();
            bytes[at] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            found(1, 60);
        }
    }
}

#[test]
fn one_task_among_many_costs_little() {
    let tasks = if std::env::var_os("HQ_CAMPAIGN").is_some() { 1_000_000 } else { 60_000 };
    let temp = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    write(temp.path(), tasks);
    println!("{tasks} tasks written in {:?}", begun.elapsed());
    let disk = Counting::default();
    let (memory, begun) = (resident_kib(), Instant::now());
    let dir = StreamDir::open(Arc::new(disk.clone()), temp.path(), None).unwrap();
    let task = 1 + 3 * (tasks / 8);
    let newest = dir.newest(1 + task % 3, task).unwrap().unwrap();
    let mut text = Vec::new();
    let read = dir.read(&newest, 0, &mut |_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    });
    read.unwrap();
    assert_eq!(text, format!("output of {task}\n").as_bytes());
    let (bytes, opened) = (disk.bytes.load(Ordering::Relaxed), disk.opened.load(Ordering::Relaxed));
    println!("one task: {bytes} bytes read, {opened} files opened, {:?}", begun.elapsed());
    assert_eq!(opened, 4);
    // Every block spans the task, since these tasks were written in a strange order. Read are the filters, two bytes for a
    // task, and the few blocks that they let pass.
    assert!(bytes < 3_000_000 + 2 * u64::from(tasks), "{bytes} bytes");
    let begun = Instant::now();
    let sum = dir.summary().unwrap();
    assert_eq!((sum.tasks, sum.jobs, sum.stderr_bytes), (u64::from(tasks), 3, u64::from(tasks)));
    println!("summary: {:?}, {} KiB more memory", begun.elapsed(), resident_kib().saturating_sub(memory));
    let (begun, mut shown, mut last_us) = (Instant::now(), 0u64, 0);
    // Now and then as in the product, else in several rounds with fewer tasks.
    let places = if tasks < 1_000_000 { tasks as usize } else { PLACES_MAX };
    let walk = dir.in_time(places, &mut |_| [true, true], &mut |chunk| {
        assert!(chunk.time_us >= last_us);
        (last_us, shown) = (chunk.time_us, shown + 1);
        Ok(())
    });
    walk.unwrap();
    assert_eq!(shown, 2 * u64::from(tasks));
    println!("in time: {:?}, {} KiB more memory", begun.elapsed(), resident_kib().saturating_sub(memory));
    assert!(dir.take_damage().is_empty());
    // Merged, the index is in order: one block for one task.
    let disk = Counting::default();
    let begun = Instant::now();
    let options = CompactOptions { file_bytes_max: u64::MAX, unclosed_before_us: None, now_us: 1 };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    assert_eq!(compact(&shared, temp.path(), None, &options, &mut Names).unwrap().merged, 4);
    println!("merged: {:?}, {} KiB more memory", begun.elapsed(), resident_kib().saturating_sub(memory));
    disk.bytes.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let dir = StreamDir::open(shared, temp.path(), None).unwrap();
    assert_eq!(dir.newest(1 + task % 3, task).unwrap().map(|newest| newest.bytes(0)), Some(text.len() as u64));
    let bytes = disk.bytes.load(Ordering::Relaxed);
    println!("one task of merged ones: {bytes} bytes read, {:?}", begun.elapsed());
    assert!(bytes < 2_000_000, "{bytes}");
}
