//! What the record costs for each message of ordinary traffic.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use howdah_gateway::session::record::{Extent, Looks, Record, Reported, Shelf, Tenure};
use howdah_gateway::startup::{Packet, parse};

const SELECT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;\0";
const UPDATE: &[u8] =
    b"UPDATE pgbench_accounts SET abalance = abalance + 4711 WHERE aid = 12345;\0";
const SEVERAL: &[u8] =
    b"BEGIN; UPDATE pgbench_tellers SET tbalance = tbalance + 4711 WHERE tid = 12; COMMIT\0";

fn record() -> Record {
    let packet = [&(3_u32 << 16).to_be_bytes()[..], b"user\0app\0\0"].concat();
    let Ok(Packet::Startup(startup)) = parse(&packet) else { panic!("a startup packet") };
    Record::new(Arc::<Shelf>::default(), &startup, Tenure::Own, Reported::default())
}

fn traffic(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for (name, text) in [("select", SELECT), ("update", UPDATE), ("several statements", SEVERAL)] {
        group.bench_function(format!("simple {name}"), |bencher| {
            let mut record = record();
            bencher.iter(|| {
                record.query(black_box(text), Extent::Whole);
                record.request_ended();
                record.command_complete(black_box(b"SELECT 1\0"));
                record.ready(b'I');
            });
            assert!(!record.is_dirty());
        });
    }
    let extended = [b"\0", SELECT, b"\0\0"].concat();
    group.bench_function("extended select", |bencher| {
        let mut record = record();
        bencher.iter(|| {
            record.parse(black_box(&extended), Extent::Whole);
            record.request_ended();
            record.parse_complete();
            record.command_complete(black_box(b"SELECT 1\0"));
            record.ready(b'I');
        });
    });
    group.bench_function("prepared select", |bencher| {
        let mut record = record();
        bencher.iter(|| {
            black_box(record.follows_binds());
            record.request_ended();
            record.command_complete(black_box(b"SELECT 1\0"));
            record.ready(b'I');
        });
    });
    let long = "INSERT INTO t VALUES ('a', 1, 'some more text, as rows have it'), ".repeat(1000);
    group.bench_function("a look at 66 kB", |bencher| {
        bencher.iter(|| Looks::at(black_box(long.as_bytes())));
    });
    group.bench_function("a close look at 66 kB", |bencher| {
        let several = format!("BEGIN; {long}");
        bencher.iter(|| Looks::at(black_box(several.as_bytes())));
    });
    group.finish();
}

criterion_group!(benches, traffic);
criterion_main!(benches);
