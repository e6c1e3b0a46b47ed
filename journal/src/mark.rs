//! A small file that says how far the log was durable when it was last written.
//!
//! A store that opens shorter than it was, or a tail file that lost its end, looks like a journal in good order;
//! only a second witness tells that something is missing.
//!
//! **Invariant:** the two slots are written in turn, so one of them is intact at any moment.
//! **Invariant:** the mark never names a record that was not durable before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Access, Disk, File, read_full};
use crate::error::Error;
use crate::record::Point;

/// Name of the file in the journal directory.
pub const MARK_NAME: &str = "mark";
const SLOT_BYTES: usize = 48;
const SLOT_DISTANCE_BYTES: u64 = 4096;
const FILE_BYTES: usize = 8192;
const MAGIC: [u8; 4] = [0xF5, b'h', b'q', 0x3A];

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Rises with each writing; the slot with the larger one counts.
    pub counter: u64,
    /// The last durable record at that time, with the highest epoch given out.
    pub durable: Point,
    /// First sequence from which the log is whole; below it records were pruned or lost with a notice.
    pub base_seq: u64,
    /// Written at an orderly close: the log must end exactly at `durable`.
    pub clean: bool,
}

impl Mark {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0u8; SLOT_BYTES];
        let fields: [(usize, &[u8]); 7] = [
            (0, &MAGIC),
            (4, &[1, u8::from(self.clean)]),
            (8, &self.counter.to_le_bytes()),
            (16, &self.durable.seq.to_le_bytes()),
            (24, &self.base_seq.to_le_bytes()),
            (32, &self.durable.epoch.to_le_bytes()),
            (36, &self.durable.chain.to_le_bytes()),
        ];
        for (at, bytes) in fields {
            if let Some(place) = slot.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        let (covered, _) = slot.split_at(SLOT_BYTES - 4);
        let crc = crc32c::crc32c(covered).to_le_bytes();
        if let Some(place) = slot.last_chunk_mut::<4>() {
            *place = crc;
        }
        slot
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let slot: &[u8; SLOT_BYTES] = slot.first_chunk()?;
        let (covered, crc) = slot.split_at(SLOT_BYTES - 4);
        let intact = covered.starts_with(&MAGIC) && crc == crc32c::crc32c(covered).to_le_bytes();
        if !intact || slot[4] != 1 {
            return None;
        }
        let u64_at = |at: usize| slot.get(at..).and_then(|s| s.first_chunk()).map(|b| u64::from_le_bytes(*b));
        let u32_at = |at: usize| slot.get(at..).and_then(|s| s.first_chunk()).map(|b| u32::from_le_bytes(*b));
        Some(Self {
            counter: u64_at(8)?,
            durable: Point { seq: u64_at(16)?, epoch: u32_at(32)?, chain: u32_at(36)? },
            base_seq: u64_at(24)?,
            clean: slot[5] == 1,
        })
    }
}

/// The mark's file, open for writing.
pub struct MarkFile {
    file: Arc<dyn File>,
    path: PathBuf,
    counter: u64,
}

impl MarkFile {
    /// Reads the newest intact mark of a journal directory; `None` if there is no file or no intact slot.
    ///
    /// # Errors
    /// The system's error.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Mark>, Error> {
        let path = dir.join(MARK_NAME);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let mut newest: Option<Mark> = None;
        for slot in 0..2 {
            let mut bytes = [0u8; SLOT_BYTES];
            read_full(&*file, slot * SLOT_DISTANCE_BYTES, &mut bytes).map_err(|e| Error::io("read", &path, e))?;
            if let Some(mark) = Mark::parse(&bytes) {
                newest = Some(newest.map_or(mark, |n| if mark.counter > n.counter { mark } else { n }));
            }
        }
        Ok(newest)
    }

    /// Opens the file for writing, making it if there is none; `counter` is that of the last mark read.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(disk: &dyn Disk, dir: &Path, counter: u64) -> Result<Self, Error> {
        let path = dir.join(MARK_NAME);
        let file = match disk.open(&path, Access::Write) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let file = disk.open(&path, Access::CreateNew).map_err(|e| Error::io("create", &path, e))?;
                // Full length at once, so that later marks need no space.
                file.write_at(0, &[0; FILE_BYTES])
                    .and_then(|()| file.sync_data())
                    .and_then(|()| disk.sync_dir(dir))
                    .map_err(|e| Error::io("write", &path, e))?;
                file
            }
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        Ok(Self { file, path, counter })
    }

    /// Writes a mark into the older slot and syncs it.
    ///
    /// # Errors
    /// The system's error; the other slot is then still intact.
    pub fn write(&mut self, durable: Point, base_seq: u64, clean: bool) -> Result<(), Error> {
        self.counter += 1;
        let mark = Mark { counter: self.counter, durable, base_seq, clean };
        self.file
            .write_at(self.counter % 2 * SLOT_DISTANCE_BYTES, &mark.encode())
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ModelDisk;

    #[test]
    fn a_torn_slot_leaves_the_mark_before() {
        let disk = ModelDisk::new();
        let dir = Path::new("/j");
        let mut file = MarkFile::open(&disk, dir, 0).unwrap();
        let point = |seq| Point { seq, epoch: 1, chain: 5 };
        file.write(point(10), 1, false).unwrap();
        file.write(point(20), 1, true).unwrap();
        let read = || MarkFile::read(&disk, dir).unwrap().unwrap();
        assert_eq!((read().durable, read().clean, read().base_seq), (point(20), true, 1));
        for at in 0..SLOT_BYTES {
            disk.edit(&dir.join(MARK_NAME), |b| b[at] ^= 4);
            assert_eq!(read().durable, point(10), "byte {at}");
            disk.edit(&dir.join(MARK_NAME), |b| b[at] ^= 4);
        }
        let mut again = MarkFile::open(&disk, dir, read().counter).unwrap();
        again.write(point(30), 2, false).unwrap();
        assert_eq!(read(), Mark { counter: 3, durable: point(30), base_seq: 2, clean: false });
    }
}
