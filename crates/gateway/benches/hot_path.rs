//! What is done for every look-up of a route and for every chunk of a session.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use howdah_gateway::Capacity;
use howdah_gateway::frame::{Edit, Frames, Message, Step, Watcher};
use howdah_gateway::limits::Limits;
use howdah_gateway::pool::{Bounds, Key, Pools, Resident, Rules, Shard, Taken};
use howdah_gateway::routes::Routes;
use howdah_gateway::session::progress::Progress;
use howdah_model::ids::DatabaseId;
use howdah_model::route::{Mode, Replication, Route, RouteTable, Stage, Target};

fn route(number: usize) -> Route {
    let zeros = |length: usize| "A".repeat(length);
    let verifier = format!("SCRAM-SHA-256$4096:{}==${}=:{}=", zeros(22), zeros(43), zeros(43));
    Route {
        known_as: None,
        role: format!("u{number}").parse().expect("a role"),
        database: format!("d{number}").parse().expect("a database"),
        database_id: DatabaseId::new(),
        verifier: verifier.parse().expect("a verifier"),
        connection_limit: 20,
        mode: Mode::default(),
        replication: Replication::default(),
        stage: Stage::default(),
        target: Target::Local { socket_dir: format!("/run/{number}").into() },
    }
}

fn look_up(criterion: &mut Criterion) {
    let routes = (0..10_000).map(route).collect();
    let routes = Routes::new(RouteTable { version: 1, routes });
    criterion.bench_function("route of one role among 10,000", |bencher| {
        bencher.iter(|| routes.find(black_box("u5000")));
    });
    criterion.bench_function("route of an unknown role", |bencher| {
        bencher.iter(|| routes.find(black_box("nobody")));
    });
}

fn message(tag: u8, body: usize) -> Vec<u8> {
    let length = u32::try_from(body + 4).expect("small");
    [&[tag][..], &length.to_be_bytes(), &vec![0; body]].concat()
}

/// Looks at as much as the relay does.
#[derive(Default)]
struct Watch(Progress);

impl Watcher for Watch {
    fn look(&self, tag: u8) -> u32 {
        if matches!(tag, b'Z' | b'C') { 64 } else { 0 }
    }

    fn message(&mut self, message: &Message<'_>, _: &mut Edit<'_>) -> Step {
        self.0.from_server(message.tag, message.first());
        Step::Next
    }
}

fn scan(criterion: &mut Criterion) {
    let answer =
        [message(b'T', 33), message(b'D', 11), message(b'C', 9), message(b'Z', 1)].concat();
    let rows = message(b'D', 60).repeat(1000);
    let bulk = message(b'd', 65_536 - 5);
    let mut group = criterion.benchmark_group("scan");
    for (name, bytes) in [("a small answer", answer), ("1000 rows", rows), ("64 kB of COPY", bulk)]
    {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            let (mut frames, mut watch, mut spare) =
                (Frames::default(), Watch::default(), Vec::new());
            bencher.iter(|| {
                let bytes = black_box(&bytes);
                let mut edit = Edit::new(bytes, &mut spare, false);
                let scanned = frames.scan(bytes, &mut watch, &mut edit).expect("good");
                black_box(edit.finish(scanned.bytes).bytes.len())
            });
        });
    }
    group.finish();
}

/// A server that is nothing.
#[derive(Debug)]
struct Nothing;

impl Resident for Nothing {
    type Parked = Self;

    fn park(self) -> Option<Self> {
        Some(self)
    }

    fn unpark(parked: Self) -> Option<Self> {
        Some(parked)
    }

    fn is_sound(&mut self) -> bool {
        true
    }

    fn close(self) {}
}

fn pool(criterion: &mut Criterion) {
    let limits = Limits::new(Capacity::default());
    let pools =
        Pools::new(2, Rules::default(), move |database, limit| limits.take(database, limit));
    let key = Key { database: DatabaseId::new(), role: "u".into(), target: "/run/1".into() };
    let pool = pools.pool(&key, Bounds { servers: 10, sessions: 20, clients: 100 });
    let here = Shard(0);
    let Taken::Open(permit) = pool.try_take(here) else { panic!("there is room") };
    pool.give_back(here, permit.opened(Nothing));
    criterion.bench_function("a server taken from its pool and given back", |bencher| {
        bencher.iter(|| match pool.try_take(here) {
            Taken::Idle(lease) => pool.give_back(here, lease),
            _ => panic!("it is there"),
        });
    });
}

criterion_group!(benches, pool, look_up, scan);
criterion_main!(benches);
