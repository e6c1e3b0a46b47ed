//! The index of a kept file: blocks of records, and which of them concern a job.
//!
//! One entry for each record would cost as much as the records do; blocks of some 64 KiB cost nothing, and a block is
//! read in no time.
//!
//! **Invariant:** any bytes are read as an index or refused.
//!
//! Body, little-endian: number of blocks u32; per block its offset u64, first sequence u64 and first time u64; number of
//! jobs u32; per job, rising: job u32, number of runs u32; then per run of blocks: first block u32, number u32.

use std::collections::BTreeMap;

use crate::log::index::{Runs, SHARED_JOB};
use crate::record::{FLAG_SHARED, Header};

/// Where a block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    offset: u64,
    seq: u64,
    time_us: u64,
}

/// Blocks and jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    blocks: Vec<Block>,
    /// Runs of blocks: first, number.
    jobs: BTreeMap<u32, Vec<(u32, u32)>>,
}

impl Index {
    /// Notes a record at an offset that is the first of a block.
    pub(super) fn begin_block(&mut self, offset: u64, header: &Header) {
        self.blocks.push(Block { offset, seq: header.seq, time_us: header.time_us });
    }

    /// Notes that the last block holds a record.
    pub(super) fn add(&mut self, header: &Header) {
        let Some(block) = self.blocks.len().checked_sub(1).and_then(|n| u32::try_from(n).ok()) else { return };
        let job = match header.flags & FLAG_SHARED {
            0 if header.job == 0 => return,
            0 => header.job,
            _ => SHARED_JOB,
        };
        let runs = self.jobs.entry(job).or_default();
        match runs.last_mut() {
            Some((first, number)) if *first + *number == block => *number += 1,
            Some((first, number)) if *first + *number > block => {}
            _ => runs.push((block, 1)),
        }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(super) fn offset_of(&self, number: u64) -> Option<u64> {
        self.block(number).map(|block| block.offset)
    }

    pub(super) fn time_of(&self, number: u64) -> Option<u64> {
        self.block(number).map(|block| block.time_us)
    }

    /// The block that holds the first record from `seq` on, or the one before.
    pub(super) fn block_with(&self, seq: u64) -> u64 {
        (self.blocks.partition_point(|block| block.seq <= seq) as u64).saturating_sub(1)
    }

    pub(super) fn runs_of(&self, job: u32) -> Runs {
        let runs = self.jobs.get(&job).map(Vec::as_slice).unwrap_or_default();
        runs.iter().map(|(first, number)| (u64::from(*first), u64::from(*number))).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let put = |out: &mut Vec<u8>, n: usize| out.extend(u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
        put(&mut out, self.blocks.len());
        for Block { offset, seq, time_us } in &self.blocks {
            [offset, seq, time_us].into_iter().for_each(|n| out.extend(n.to_le_bytes()));
        }
        put(&mut out, self.jobs.len());
        for (job, runs) in &self.jobs {
            out.extend(job.to_le_bytes());
            put(&mut out, runs.len());
            for (first, number) in runs {
                out.extend(first.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
        }
        out
    }

    pub(super) fn parse(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let mut index = Self::default();
        for _ in 0..take_u32(body)? {
            let (offset, seq, time_us) = (take_u64(body)?, take_u64(body)?, take_u64(body)?);
            if index.blocks.last().is_some_and(|last| last.offset >= offset || last.seq >= seq) {
                return None;
            }
            index.blocks.push(Block { offset, seq, time_us });
        }
        let blocks = u32::try_from(index.blocks.len()).ok()?;
        for _ in 0..take_u32(body)? {
            let (job, runs) = (take_u32(body)?, take_u32(body)?);
            let mut list = Vec::new();
            for _ in 0..runs {
                let (first, number) = (take_u32(body)?, take_u32(body)?);
                first.checked_add(number).filter(|end| *end <= blocks)?;
                list.push((first, number));
            }
            index.jobs.insert(job, list);
        }
        body.is_empty().then_some(index)
    }
}

fn take_u32(body: &mut &[u8]) -> Option<u32> {
    let (first, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u32::from_le_bytes(*first))
}

fn take_u64(body: &mut &[u8]) -> Option<u64> {
    let (first, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_index_returns_what_was_noted(jobs in proptest::collection::vec(0u32..6, 0..300), block in 1usize..9) {
            let mut index = Index::default();
            let mut noted: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
            for (n, job) in jobs.iter().enumerate() {
                let header = Header { seq: n as u64 * 3 + 1, job: *job, time_us: n as u64, ..Header::default() };
                if n % block == 0 {
                    index.begin_block(n as u64 * 100, &header);
                }
                index.add(&header);
                noted.entry(*job).or_default().push((n / block) as u64);
            }
            let read = Index::parse(&index.encode()).unwrap();
            prop_assert_eq!(&read, &index);
            for (job, mut expected) in noted.into_iter().filter(|(job, _)| *job != 0) {
                expected.dedup();
                let runs = read.runs_of(job);
                let got: Vec<u64> = runs.iter().flat_map(|(first, n)| *first..first + n).collect();
                prop_assert_eq!(got, expected);
            }
            for seq in 0..jobs.len() as u64 * 3 {
                let found = read.block_with(seq);
                prop_assert!(found == 0 || read.block(found).is_some_and(|b| b.seq <= seq));
                prop_assert!(read.block(found + 1).is_none_or(|b| b.seq > seq));
            }
        }

        #[test]
        fn any_bytes_are_an_index_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _either = Index::parse(&body);
        }
    }
}
