//! Which blocks of the index a task is surely not in.
//!
//! Tasks end in an order that is not that of their ids, so the keys of any block may span those of all others, and a task
//! could be in each of them. A Bloom filter for each block (B. H. Bloom, 1970; bits by double hashing as in A. Kirsch
//! and M. Mitzenmacher, 2006) tells the few that are worth reading: of 2,000 others it lets one pass by mistake.
//!
//! **Invariant:** a filter never denies a task that its block has.
//! **Invariant:** filters are read and written a group of blocks at a time, so memory is bounded however long a file is.
//!
//! Body of the record, little-endian: `0 offset of the record before, or 0, u64 | 8 number of the first block u32 |
//! 12 blocks u32 | per block its bytes u32 | the bits of one block after those of the other`.

use super::index::{Key, take_u32, take_u64};

/// Blocks after which the filters are written.
pub(super) const GROUP_BLOCKS_MAX: usize = 64;
/// With so few blocks in the whole file, or spanning a task, filters are not worth their reading.
pub(super) const FEW_BLOCKS: usize = 3;
/// Bits looked at for each task; with 16 bits a task 1 of 1,700 tasks passes by mistake.
const PROBES: u64 = 8;
/// Bytes for each task of a block.
const TASK_BYTES: usize = 2;

/// The bits of a task in a filter of so many bytes.
fn places(job: u32, task: u32, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    // The last step of splitmix64 (S. Vigna, public domain).
    let mut hash = u64::from(job) << 32 | u64::from(task);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
    let bits = (bytes as u64 * 8).max(1);
    (0..PROBES).map(move |n| {
        let bit = (first + n * step) % bits;
        (usize::try_from(bit / 8).unwrap_or(usize::MAX), 1 << (bit % 8))
    })
}

/// The filter of a block with these keys, ascending.
pub(super) fn of_keys(keys: impl Iterator<Item = Key>) -> Vec<u8> {
    let mut tasks: Vec<(u32, u32)> = keys.map(|key| (key.job, key.task)).collect();
    tasks.dedup();
    let mut bits = vec![0; tasks.len().saturating_mul(TASK_BYTES)];
    for (job, task) in tasks {
        for (byte, bit) in places(job, task, bits.len()) {
            if let Some(byte) = bits.get_mut(byte) {
                *byte |= bit;
            }
        }
    }
    bits
}

/// Filters of blocks that follow each other in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filters {
    /// Where the record with those before is; 0: there are none.
    pub(super) before: u64,
    /// Number of the first block in the file.
    pub(super) first: u32,
    /// The bits of each block.
    pub(super) blocks: Vec<Vec<u8>>,
}

impl Filters {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&self.before.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&number(self.blocks.len()));
        self.blocks.iter().for_each(|bits| out.extend_from_slice(&number(bits.len())));
        self.blocks.iter().for_each(|bits| out.extend_from_slice(bits));
        out
    }

    pub(super) fn parse(mut body: &[u8]) -> Option<Self> {
        let rest = &mut body;
        let (before, first, blocks) = (take_u64(rest)?, take_u32(rest)?, take_u32(rest)? as usize);
        let (mut lengths, mut bits) = rest.split_at_checked(blocks.checked_mul(4)?)?;
        let mut found = Self { before, first, blocks: Vec::with_capacity(blocks) };
        for _ in 0..blocks {
            let (one, others) = bits.split_at_checked(take_u32(&mut lengths)? as usize)?;
            found.blocks.push(one.to_vec());
            bits = others;
        }
        bits.is_empty().then_some(found)
    }

    /// Numbers of the blocks that surely have nothing of a task.
    pub(super) fn without(&self, job: u32, task: u32) -> impl Iterator<Item = usize> {
        let lacks = move |bits: &Vec<u8>| {
            places(job, task, bits.len()).any(|(byte, bit)| bits.get(byte).is_none_or(|byte| byte & bit == 0))
        };
        let numbered = (self.first as usize..).zip(&self.blocks);
        numbered.filter(move |(_, bits)| lacks(bits)).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(job: u32, task: u32) -> Key {
        Key { job, task, epoch: 1, attempt: 0 }
    }

    #[test]
    fn no_task_of_a_block_is_denied_and_few_others_pass() {
        for tasks in [1u32, 2, 3, 100, 2_731] {
            // Each task has several entries.
            let keys = (0..tasks).flat_map(|task| [key(7, task * 5), key(7, task * 5)]);
            let filters = Filters { before: 0, first: 3, blocks: vec![of_keys(keys)] };
            assert!((0..tasks).all(|task| filters.without(7, task * 5).next().is_none()), "{tasks}");
            let passing = (0..100_000).filter(|task| filters.without(8, *task).next().is_none()).count();
            // 1 in 1,742 by theory, some more in tiny filters.
            assert!(passing < if tasks < 100 { 3_000 } else { 150 }, "{passing} of {tasks}");
        }
    }

    #[test]
    fn the_bits_are_those_of_the_format() {
        // Written down, since files of today have to be understood later.
        assert_eq!(of_keys([key(1, 2), key(1, 3)].into_iter()), [128, 127, 0, 85]);
        let empty = Filters { blocks: vec![of_keys(std::iter::empty())], ..Filters::default() };
        assert_eq!(empty.without(1, 1).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn encoded_and_read_again() {
        let blocks = vec![vec![1, 2, 3], Vec::new(), vec![4]];
        let filters = Filters { before: 77, first: 64, blocks };
        let bytes = filters.encode();
        assert_eq!(Filters::parse(&bytes), Some(filters));
        for cut in 0..bytes.len() {
            assert_eq!(Filters::parse(bytes.get(..cut).unwrap()), None, "{cut}");
        }
        let mut huge = bytes;
        huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Filters::parse(&huge), None);
    }
}
