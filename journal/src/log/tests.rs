//! Tests of the log over the model store.
//!
//! They hold what the server relies on: any record can be found by sequence and by job, and no break goes unnoticed.
//!
//! **Invariant:** every case compares with a plain list of records.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, ModelDisk};
use crate::record::Record;

fn records(sizes: &[(u32, usize)]) -> Vec<Record> {
    let (mut out, mut prev) = (Vec::new(), 0);
    for (n, (job, size)) in sizes.iter().enumerate() {
        let mut bytes = Vec::new();
        let seq = n as u64 + 1;
        let flags = if *job == 9 { FLAG_SHARED } else { 0 };
        let header = Header { kind: 1, flags, seq, epoch: 3, time_us: seq / 2, job: *job, prev, ..Header::default() };
        prev = encode_into(&mut bytes, &header, &vec![seq as u8; *size]);
        let header = Header::parse(&bytes).unwrap();
        out.push(Record { header, body: bytes[HEADER_BYTES..].to_vec() });
    }
    out
}

fn log_of(records: &[Record]) -> (Log, Arc<dyn Store>, Extent) {
    let store = ModelDisk::new().open_store(Path::new("/s")).unwrap();
    let log = Log::new(Arc::clone(&store));
    // Two batches, so that several index lists exist.
    for half in records.chunks(records.len().div_ceil(2).max(1)) {
        let mut appender = log.appender(&log.extent().unwrap());
        for record in half {
            appender.push(record.as_ref()).unwrap();
        }
        appender.finish().unwrap();
    }
    let extent = log.extent().unwrap();
    (log, store, extent)
}

fn walk(log: &Log, extent: &Extent, from: u64) -> (Walk, Vec<Record>) {
    let mut out = Vec::new();
    let walk = log.walk(extent, from, None, &mut |r| {
        out.push(r.to_record());
        true
    });
    (walk.unwrap(), out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]
    #[test]
    fn records_are_found_by_sequence_and_by_job(
        sizes in proptest::collection::vec((0u32..4, prop_oneof![6 => 0usize..300, 1 => 3000usize..20_000]), 1..120),
        from in any::<proptest::sample::Index>(),
    ) {
        let all = records(&sizes);
        let (log, _, extent) = log_of(&all);
        prop_assert_eq!(extent.end.seq, all.len() as u64);
        let from = from.index(all.len());
        let (end, seen) = walk(&log, &extent, from as u64 + 1);
        prop_assert_eq!(end, Walk::Done(extent.end));
        prop_assert_eq!(&seen[..], &all[from..]);
        for job in 1..4 {
            let mut seen = Vec::new();
            log.history(&extent, job, 0, &mut |r| {
                seen.push(r.to_record());
                true
            }).unwrap();
            let expected: Vec<Record> = all.iter().filter(|r| r.as_ref().concerns(job)).cloned().collect();
            prop_assert_eq!(seen, expected);
            let from_us = from as u64;
            let mut late = Vec::new();
            log.history(&extent, job, from_us, &mut |r| {
                late.extend((r.header.time_us >= from_us).then(|| r.to_record()));
                true
            }).unwrap();
            let is_late = |r: &&Record| r.as_ref().concerns(job) && r.header.time_us >= from_us;
            prop_assert_eq!(late, all.iter().filter(is_late).cloned().collect::<Vec<Record>>());
        }
    }
}

#[test]
fn every_damaged_or_missing_entry_is_named() {
    let all = records(&[(1, 900), (1, 900), (1, 900), (1, 900), (2, 9000), (1, 1500), (1, 1500), (1, 1500), (1, 10)]);
    let (log, store, extent) = log_of(&all);
    for entry in 0..extent.next_entry {
        let key = entry.to_be_bytes();
        let value = store.get(&key).unwrap().unwrap();
        let mut bad = value.clone();
        bad[40] ^= 1;
        store.insert(&key, &bad).unwrap();
        let (end, seen) = walk(&log, &extent, 1);
        assert!(matches!(end, Walk::Broken(ref b) if b.entry == entry && b.after.seq == seen.len() as u64), "{end:?}");
        assert_eq!(seen[..], all[..seen.len()]);
        store.remove(&key).unwrap();
        let (end, seen) = walk(&log, &extent, 1);
        // A missing first entry leaves pieces or a chain whose beginning is unknown; from_seq tells the difference.
        assert!(matches!(end, Walk::Broken(_)), "{entry}: {end:?}");
        assert_eq!(seen[..], all[..seen.len()]);
        store.insert(&key, &value).unwrap();
    }
    assert_eq!(walk(&log, &extent, 1).1, all);
}

#[test]
fn unfinished_pieces_at_the_end_do_not_count() {
    let all = records(&[(1, 100), (1, 100), (1, 20_000)]);
    let (log, _, extent) = log_of(&all);
    log.cut(extent.next_entry - 1).unwrap();
    let cut = log.extent().unwrap();
    assert_eq!((cut.end.seq, cut.first_entry), (2, 0));
    assert!(cut.next_entry < extent.next_entry - 1);
    assert_eq!(walk(&log, &cut, 1).1, all[..2]);
}
