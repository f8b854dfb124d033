//! Any sequence of steps, against what must hold after each.

use proptest::prelude::*;

use super::*;

/// Places of the database.
const SERVERS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Takes, or waits when there is nothing.
    Take {
        pool: usize,
        shard: usize,
    },
    GiveBack(usize),
    Break(usize),
    /// A server that nobody has breaks.
    Spoil(usize),
    Opened(usize),
    NotOpened(usize),
    /// Whoever waits looks.
    Look(usize),
    Abandon(usize),
    Renew(usize),
    MakeRoom,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0usize..8;
    prop_oneof![
        6 => (0usize..2, 0usize..2).prop_map(|(pool, shard)| Step::Take { pool, shard }),
        4 => index.clone().prop_map(Step::GiveBack),
        1 => index.clone().prop_map(Step::Break),
        1 => index.clone().prop_map(Step::Spoil),
        4 => index.clone().prop_map(Step::Opened),
        1 => index.clone().prop_map(Step::NotOpened),
        4 => index.clone().prop_map(Step::Look),
        1 => index.prop_map(Step::Abandon),
        1 => (0usize..2).prop_map(Step::Renew),
        1 => Just(Step::MakeRoom),
        1 => Just(Step::Sweep),
    ]
}

/// What the clients of a test have.
struct Clients {
    rig: Rig,
    pools: [Arc<Pool<Fake>>; 2],
    leases: Vec<(usize, usize, Lease<Fake>)>,
    permits: Vec<(usize, usize, Permit<Fake>)>,
    /// By the time of their coming.
    waits: Vec<(usize, usize, Waiting<Fake>)>,
    broken: Vec<Arc<AtomicBool>>,
}

impl Clients {
    fn new() -> Self {
        let rules = Rules { openings: 2, patience: Duration::from_secs(9), ..Rules::default() };
        let rig = Rig::new(rules);
        let pools = [rig.pool("a", SERVERS), rig.pool("b", SERVERS)];
        let (leases, permits) = (vec![], vec![]);
        Self { rig, pools, leases, permits, waits: vec![], broken: vec![] }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Take { pool, shard } => self.take(pool, shard),
            Step::GiveBack(index) if index < self.leases.len() => {
                let (pool, shard, lease) = self.leases.remove(index);
                self.pools[pool].give_back(on(shard), lease);
            }
            Step::Break(index) if index < self.leases.len() => drop(self.leases.remove(index)),
            Step::Spoil(index) if index < self.broken.len() => {
                self.broken[index].store(true, Ordering::SeqCst);
            }
            Step::Opened(index) if index < self.permits.len() => {
                let (pool, shard, permit) = self.permits.remove(index);
                on(shard);
                self.has(pool, shard, permit.opened(Fake::open(&self.rig.world)));
            }
            Step::NotOpened(index) if index < self.permits.len() => {
                drop(self.permits.remove(index));
            }
            Step::Look(index) if index < self.waits.len() => self.look(index),
            Step::Abandon(index) if index < self.waits.len() => {
                on(self.waits[index].1);
                drop(self.waits.remove(index));
            }
            Step::Renew(pool) => self.pools[pool].renew(),
            Step::MakeRoom => drop(self.rig.pools.make_room(self.rig.database)),
            Step::Sweep => {
                self.rig.pools.tick(Moment::now());
                self.rig.pools.sweep(Moment::now());
            }
            _ => {}
        }
    }

    fn take(&mut self, pool: usize, shard: usize) {
        let here = on(shard);
        match self.pools[pool].try_take(here) {
            Taken::Idle(lease) => self.has(pool, shard, lease),
            Taken::Open(permit) => self.permits.push((pool, shard, permit)),
            Taken::Full => {
                if let Ok(waiting) = self.pools[pool].wait(here, later(Duration::from_secs(60))) {
                    self.waits.push((pool, shard, waiting));
                }
            }
            Taken::Gone => panic!("nobody ended it"),
        }
    }

    fn look(&mut self, index: usize) {
        let (pool, shard, waiting) = &mut self.waits[index];
        let (pool, shard) = (*pool, *shard);
        on(shard);
        let Some(outcome) = look(waiting) else { return };
        let (.., waiting) = self.waits.remove(index);
        drop(waiting);
        match outcome.expect("no wait is too long here") {
            Granted::Idle(lease) => self.has(pool, shard, lease),
            Granted::Open(permit) => self.permits.push((pool, shard, permit)),
        }
    }

    fn has(&mut self, pool: usize, shard: usize, lease: Lease<Fake>) {
        assert_eq!(lease.thread, shard, "it is where its client is");
        self.broken.push(lease.broken.clone());
        self.leases.push((pool, shard, lease));
    }

    fn check(&mut self) {
        let stats = [0, 1].map(|pool| self.pools[pool].stats());
        let places: u32 = stats.iter().map(|s| s.active + s.idle + s.opening).sum();
        assert!(places <= SERVERS, "{stats:?}");
        assert!(self.rig.alive() <= SERVERS as usize, "{stats:?}");
        for (pool, stats) in stats.iter().enumerate() {
            if stats.waiting == 0 {
                continue;
            }
            assert_eq!(stats.idle, 0, "somebody waits for an idle server of pool {pool}");
            let is_opening = self.permits.iter().any(|(of, ..)| *of == pool) || stats.opening > 0;
            assert!(places == SERVERS || is_opening, "somebody waits for a place: {stats:?}");
        }
        self.check_order();
    }

    /// On one thread nobody who came later has something when somebody earlier has nothing.
    fn check_order(&mut self) {
        for (pool, shard) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let in_line = self.waits.iter().filter(|wait| (wait.0, wait.1) == (pool, shard));
            let served: Vec<bool> = in_line.map(|wait| wait.2.is_served()).collect();
            assert!(served.is_sorted_by(|a, b| a >= b), "{served:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn places_are_never_exceeded_nor_lost_and_the_queue_is_in_order(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut clients = Clients::new();
        for step in &steps {
            clients.step(step);
            clients.check();
        }
        let Clients { rig, pools, leases, permits, waits, .. } = clients;
        drop((leases, permits));
        drop(waits);
        for pool in &pools {
            let stats = pool.stats();
            prop_assert_eq!((stats.waiting, stats.active, stats.opening), (0, 0, 0));
        }
        let idle: u32 = pools.iter().map(|pool| pool.stats().idle).sum();
        prop_assert_eq!(rig.alive(), idle as usize);
        rig.pools.keep(|_| false);
        prop_assert_eq!(rig.alive(), 0);
        prop_assert!(rig.limits.take(rig.database, 1).is_some());
    }
}
