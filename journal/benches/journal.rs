//! How fast the journal commits, restarts, and writes and reads streams, beside what the bare system calls allow.
//!
//! The figures that matter are ratios of one run: a commit group against a bare append with fdatasync.
//!
//! **Invariant:** each case works in a directory of its own that is gone afterwards.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hq_journal::disk::RealDisk;
use hq_journal::stream::{Key, StreamDir, StreamHead, StreamWriter};
use hq_journal::{Journal, Options, RecordDraft};

const RECORD_BYTES: usize = 40;

fn group(n: u64) -> Vec<RecordDraft> {
    (0..n)
        .map(|k| RecordDraft {
            kind: 1,
            job: 1,
            task: k as u32,
            body: vec![k as u8; RECORD_BYTES],
            ..RecordDraft::default()
        })
        .collect()
}

fn commit(c: &mut Criterion) {
    let mut bench = c.benchmark_group("commit");
    bench.sample_size(20).measurement_time(Duration::from_secs(4));
    for records in [1u64, 100, 1000] {
        let drafts = group(records);
        bench.throughput(Throughput::Elements(records));
        bench.bench_with_input(BenchmarkId::new("bare_append_fdatasync", records), &records, |b, _| {
            let dir = tempfile::tempdir().expect("a directory");
            let mut file = OpenOptions::new().create(true).append(true).open(dir.path().join("f")).expect("a file");
            let bytes = vec![7u8; records as usize * (RECORD_BYTES + 64)];
            b.iter(|| file.write_all(&bytes).and_then(|()| file.sync_data()).expect("writing"));
        });
        bench.bench_with_input(BenchmarkId::new("journal", records), &records, |b, _| {
            let dir = tempfile::tempdir().expect("a directory");
            let (mut journal, _) = Journal::open(dir.path(), Options::default()).expect("a journal");
            b.iter(|| {
                journal.append(&drafts).expect("appending");
                black_box(journal.commit().expect("committing"))
            });
        });
    }
    bench.finish();
}

/// Journal and bare file in turns, so that other load on the machine hits both: the ratio is what to look at.
fn ratio(_: &mut Criterion) {
    for records in [1u64, 100, 1000] {
        let drafts = group(records);
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = OpenOptions::new().create(true).append(true).open(dir.path().join("f")).expect("a file");
        let (mut journal, _) = Journal::open(&dir.path().join("j"), Options::default()).expect("a journal");
        let bytes = vec![7u8; records as usize * (RECORD_BYTES + 64)];
        let (mut bare, mut ours) = (Duration::ZERO, Duration::ZERO);
        let groups = 3000 / (1 + records / 500);
        for _ in 0..groups {
            let begin = Instant::now();
            file.write_all(&bytes).and_then(|()| file.sync_data()).expect("writing");
            bare += begin.elapsed();
            let begin = Instant::now();
            journal.append(&drafts).expect("appending");
            journal.commit().expect("committing");
            ours += begin.elapsed();
        }
        let per = |t: Duration| t.as_secs_f64() * 1e6 / groups as f64;
        println!(
            "ratio/{records}: bare {:.0} us, journal {:.0} us a group, ratio {:.2}, {:.0} records/s",
            per(bare),
            per(ours),
            ours.as_secs_f64() / bare.as_secs_f64(),
            (groups * records) as f64 / ours.as_secs_f64()
        );
    }
}

fn fill(dir: &Path, records: u64) {
    let (mut journal, _) = Journal::open(dir, Options { background: false, ..Options::default() }).expect("a journal");
    let drafts = group(5000);
    for _ in 0..records / 5000 {
        journal.append(&drafts).expect("appending");
        journal.commit().expect("committing");
        while journal.migrate_step().expect("migrating") {}
    }
    journal.close().expect("closing");
}

fn restart(c: &mut Criterion) {
    let mut bench = c.benchmark_group("restart");
    bench.sample_size(10).measurement_time(Duration::from_secs(5));
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), 1_000_000);
    let open = || Journal::open(dir.path(), Options::default()).expect("a journal");
    for (name, replayed) in [("open", false), ("open_and_replay_1M", true)] {
        bench.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let begin = Instant::now();
                    let (journal, _) = open();
                    let mut bytes = 0;
                    if replayed {
                        let read = journal.reader().replay::<()>(0, &mut |r| {
                            bytes += r.body.len();
                            Ok(())
                        });
                        read.expect("replaying");
                    }
                    spent += begin.elapsed();
                    black_box(bytes);
                    journal.close().expect("closing");
                }
                spent
            });
        });
    }
    bench.finish();
}

fn stream(c: &mut Criterion) {
    let mut bench = c.benchmark_group("stream");
    bench.sample_size(10).measurement_time(Duration::from_secs(4));
    let head = |id: &str| StreamHead { server_uid: "uid".into(), file_id: id.into(), ..StreamHead::default() };
    let key = |task| Key { job: 1, task, epoch: 1, attempt: 0 };
    bench.throughput(Throughput::Elements(1));
    bench.bench_function("append_chunk_100B", |b| {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = StreamWriter::create(&RealDisk, dir.path(), &head("bench"), 1).expect("a stream");
        let mut task = 0;
        b.iter(|| {
            task += 1;
            writer.append_chunk(1, key(task), 0, &[7; 100]).expect("appending");
            writer.append_finished(1, key(task)).expect("appending");
        });
    });
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = StreamWriter::create(&RealDisk, dir.path(), &head("million"), 1).expect("a stream");
    for task in 0..1_000_000 {
        writer.append_chunk(1, key(task), 0, &task.to_le_bytes()).expect("appending");
        writer.append_finished(1, key(task)).expect("appending");
    }
    writer.close().expect("closing");
    bench.bench_function("read_one_task_of_1M", |b| {
        b.iter_batched(
            || (),
            |()| {
                let dir = StreamDir::open(std::sync::Arc::new(RealDisk), dir.path(), None).expect("a stream");
                let newest = dir.newest(1, 654_321).expect("reading").expect("the task");
                let mut out = Vec::new();
                let read = dir.read(&newest, 0, &mut |_, bytes| out.write_all(bytes));
                read.expect("reading");
                assert_eq!(out, 654_321u32.to_le_bytes());
            },
            BatchSize::PerIteration,
        );
    });
    bench.finish();
}

criterion_group!(benches, ratio, commit, restart, stream);
criterion_main!(benches);
