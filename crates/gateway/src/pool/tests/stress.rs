//! Real threads, each with its runtime, as the gateway's are.

use super::*;

const THREADS: usize = 4;
const CLIENTS: usize = 24;
const TURNS: usize = 400;
const SERVERS: u32 = 5;

/// A generator of numbers that look random enough.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// One client's transactions on a thread. It answers how many it had.
async fn client(rig: &Rig, pool: &Arc<Pool<Fake>>, shard: Shard, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut had = 0;
    for _ in 0..TURNS {
        let granted = match pool.try_take(shard) {
            Taken::Idle(lease) => Granted::Idle(lease),
            Taken::Open(permit) => Granted::Open(permit),
            Taken::Gone => panic!("nobody ended it"),
            Taken::Full => {
                let waiting = pool.wait(shard, later(Duration::from_secs(60))).expect("room");
                if dice.one_in(8) {
                    // Some go before their turn.
                    let mut waiting = waiting;
                    let _ = look(&mut waiting);
                    tokio::task::yield_now().await;
                    continue;
                }
                waiting.await.expect("everybody gets a server in the end")
            }
        };
        let lease = match granted {
            Granted::Idle(lease) => lease,
            Granted::Open(permit) => {
                tokio::task::yield_now().await;
                if dice.one_in(10) {
                    continue;
                }
                permit.opened(Fake::open(&rig.world))
            }
        };
        assert_eq!(lease.thread, shard.0, "it is used on the thread where it is");
        had += 1;
        for _ in 0..dice.roll(3) {
            tokio::task::yield_now().await;
        }
        if dice.one_in(16) {
            // Its task breaks off.
            let broken = std::panic::AssertUnwindSafe(move || {
                let _lease = lease;
                std::panic::resume_unwind(Box::new("as a bug would"));
            });
            assert!(std::panic::catch_unwind(broken).is_err());
        } else {
            if dice.one_in(16) {
                lease.broken.store(true, Ordering::SeqCst);
            }
            pool.give_back(shard, lease);
        }
    }
    had
}

fn thread(rig: &Rig, pools: &[Arc<Pool<Fake>>; 2], shard: usize, seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let shard = on(shard);
    let clients = (0..CLIENTS).map(|n| {
        let pool = &pools[usize::from(n % 3 == 0)];
        client(rig, pool, shard, seed + (shard.0 * CLIENTS + n) as u64)
    });
    runtime.block_on(futures_util::future::join_all(clients)).into_iter().sum()
}

#[test]
fn no_limit_is_passed_nobody_is_forgotten_and_nothing_leaks() {
    for seed in 0..4 {
        let rules = Rules { patience: Duration::from_millis(1), ..Rules::default() };
        let mut rig = Rig::new(rules);
        rig.pools = {
            let slots = rig.limits.clone();
            Pools::new(THREADS, rules, move |id, limit| slots.take(id, limit))
        };
        let bounds = Bounds { servers: SERVERS, sessions: SERVERS, clients: 1000 };
        let pools = ["a", "b"].map(|role| rig.pools.pool(&key(rig.database, role), bounds));
        let (rig, pools) = (&rig, &pools);
        let had: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|shard| scope.spawn(move || thread(rig, pools, shard, seed * 1000)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert!(had > THREADS * CLIENTS * TURNS / 2, "{had}");
        assert!(rig.world.most.load(Ordering::SeqCst) <= SERVERS as usize, "more than allowed");
        for pool in pools {
            let stats = pool.stats();
            assert_eq!((stats.waiting, stats.active, stats.opening), (0, 0, 0), "{stats:?}");
        }
        let idle: u32 = pools.iter().map(|pool| pool.stats().idle).sum();
        assert_eq!(rig.alive(), idle as usize);
        rig.pools.keep(|_| false);
        assert_eq!(rig.alive(), 0);
        assert!(rig.limits.take(rig.database, 1).is_some(), "all slots came back");
    }
}
