//! How fast messages pass a sealed connection in memory: CBOR, framing, sealing and opening.
//!
//! A server carries the messages of thousands of workers on few cores; this shows what one core of
//! it can move, for small messages in batches and for large ones.
//!
//! What holds: both ends run on one thread, so that the figures are the cost of both together.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hyperqueue::wire::{Identity, Receiver, Role, SecretKey, Sender, ServerUid, initiate, respond};
use serde_bytes::ByteBuf;
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::{Builder, Runtime};

type Pair = (Sender<WriteHalf<DuplexStream>>, Receiver<ReadHalf<DuplexStream>>);

fn pair(runtime: &Runtime) -> Option<Pair> {
    runtime.block_on(async {
        let uid = ServerUid::parse("abc123").ok()?;
        let identity = Identity::new(Role::Client, SecretKey::random().ok()?, uid, "bench");
        let (near, far) = duplex(1 << 20);
        let ((reader, writer), (far_reader, far_writer)) = (split(near), split(far));
        let (near, far) =
            tokio::join!(initiate(reader, writer, &identity), respond(far_reader, far_writer, &identity, || ()),);
        Some((near.ok()?.split().1, far.ok()?.split().0))
    })
}

fn frames(criterion: &mut Criterion) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return;
    };
    let mut group = criterion.benchmark_group("frame");
    for (name, bytes, count) in [("200 B", 200, 1_000), ("64 KiB", 65_536, 16), ("4 MiB", 4 << 20, 1)] {
        let Some((mut sender, mut receiver)) = pair(&runtime) else {
            return;
        };
        let messages = vec![ByteBuf::from(vec![7; bytes]); count];
        group.throughput(Throughput::Bytes((bytes * count) as u64));
        group.bench_function(format!("{count} x {name}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let receive = async {
                        for _ in 0..count {
                            assert!(receiver.recv::<ByteBuf>().await.is_ok_and(|it| it.is_some()));
                        }
                    };
                    let (sent, ()) = tokio::join!(sender.send_batch(&messages), receive);
                    assert!(sent.is_ok());
                });
            });
        });
    }
    group.finish();
    criterion.bench_function("handshake, both ends", |bencher| {
        bencher.iter_batched(|| (), |()| assert!(pair(&runtime).is_some()), BatchSize::SmallInput);
    });
}

criterion_group!(benches, frames);
criterion_main!(benches);
