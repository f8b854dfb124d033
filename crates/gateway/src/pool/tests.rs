//! Servers that are numbers, which know where they are.

mod states;
mod stress;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use howdah_model::ids::DatabaseId;

use super::*;
use crate::config::Capacity;
use crate::limits::Limits;

thread_local! {
    /// The thread that the test says it is.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

fn on(shard: usize) -> Shard {
    HERE.set(shard);
    Shard(shard)
}

/// What becomes of servers.
#[derive(Debug, Default)]
struct World {
    numbers: AtomicU64,
    alive: AtomicUsize,
    most: AtomicUsize,
    polite: AtomicUsize,
}

#[derive(Debug)]
struct Fake {
    world: Arc<World>,
    number: u64,
    thread: usize,
    broken: Arc<AtomicBool>,
}

impl Fake {
    fn open(world: &Arc<World>) -> Self {
        let alive = world.alive.fetch_add(1, Ordering::SeqCst) + 1;
        world.most.fetch_max(alive, Ordering::SeqCst);
        let number = world.numbers.fetch_add(1, Ordering::SeqCst);
        Self { world: world.clone(), number, thread: HERE.get(), broken: Arc::default() }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.world.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Resident for Fake {
    type Parked = Self;

    fn park(self) -> Option<Self> {
        (!self.broken.load(Ordering::SeqCst)).then_some(self)
    }

    fn unpark(mut parked: Self) -> Option<Self> {
        parked.thread = HERE.get();
        (!parked.broken.load(Ordering::SeqCst)).then_some(parked)
    }

    fn is_sound(&mut self) -> bool {
        !self.broken.load(Ordering::SeqCst)
    }

    fn close(self) {
        self.world.polite.fetch_add(1, Ordering::SeqCst);
    }
}

/// Pools of one database with two credentials.
struct Rig {
    pools: Pools<Fake>,
    limits: Arc<Limits>,
    database: DatabaseId,
    world: Arc<World>,
}

fn key(database: DatabaseId, role: &str) -> Key {
    Key { database, role: role.to_owned(), target: "/s".into() }
}

impl Rig {
    fn new(rules: Rules) -> Self {
        let limits = Arc::new(Limits::new(Capacity::default()));
        let slots = limits.clone();
        let pools = Pools::new(2, rules, move |database, limit| slots.take(database, limit));
        Self { pools, limits, database: DatabaseId::new(), world: Arc::default() }
    }

    fn pool(&self, role: &str, servers: u32) -> Arc<Pool<Fake>> {
        let bounds = Bounds { servers, sessions: 10, clients: 20 };
        self.pools.pool(&key(self.database, role), bounds)
    }

    /// Takes a server that is idle or opens one.
    fn take(&self, pool: &Arc<Pool<Fake>>, shard: Shard) -> Option<Lease<Fake>> {
        match pool.try_take(shard) {
            Taken::Idle(lease) => Some(lease),
            Taken::Open(permit) => Some(permit.opened(Fake::open(&self.world))),
            Taken::Full | Taken::Gone => None,
        }
    }

    fn alive(&self) -> usize {
        self.world.alive.load(Ordering::SeqCst)
    }
}

fn later(time: Duration) -> Moment {
    Moment::from_micros(Moment::now().micros() + micros(time))
}

fn wait(pool: &Arc<Pool<Fake>>, shard: Shard) -> Waiting<Fake> {
    pool.wait(shard, later(Duration::from_secs(60))).expect("room in the queue")
}

/// What a wait has come to; nothing while it goes on.
fn look(waiting: &mut Waiting<Fake>) -> Option<Result<Granted<Fake>, WaitError>> {
    match std::pin::Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn server(waiting: &mut Waiting<Fake>) -> Option<Lease<Fake>> {
    match look(waiting)?.expect("a grant") {
        Granted::Idle(lease) => Some(lease),
        Granted::Open(_) => panic!("a place instead of a server"),
    }
}

#[test]
fn the_server_that_was_used_last_is_used_next() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 3), on(0));
    let first = rig.take(&pool, here).expect("a place");
    let second = rig.take(&pool, here).expect("a place");
    let number = second.number;
    pool.give_back(here, first);
    pool.give_back(here, second);
    assert_eq!(rig.take(&pool, here).expect("idle").number, number);
}

#[test]
fn a_server_that_fits_is_preferred() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 3), on(0));
    let leases: Vec<_> = (0..3).map(|_| rig.take(&pool, here).expect("a place")).collect();
    leases.into_iter().for_each(|lease| pool.give_back(here, lease));
    let take = |wanted: u64| match pool.try_take_fitting(here, |server| server.number == wanted) {
        Taken::Idle(lease) => lease.number,
        _ => panic!("none is idle"),
    };
    // What is dropped is closed, so that each is taken once.
    assert_eq!([take(0), take(9), take(1)], [0, 2, 1]);
}

#[test]
fn no_more_servers_are_opened_than_there_are_places_and_sessions() {
    let rig = Rig::new(Rules { openings: 9, ..Rules::default() });
    let (pool, here) = (rig.pool("a", 3), on(0));
    let mut leases: Vec<_> = (0..3).map(|_| rig.take(&pool, here).expect("a place")).collect();
    assert!(matches!(pool.try_take(here), Taken::Full));
    leases.pop();
    let sessions: Vec<_> = (0..8).filter_map(|_| rig.limits.take(rig.database, 10)).collect();
    assert_eq!(sessions.len(), 8);
    assert!(matches!(pool.try_take(here), Taken::Full), "the sessions have all the slots");
    // Whoever waits gets the slot of a session that ends, at the next tick.
    let mut waiting = wait(&pool, here);
    assert!(look(&mut waiting).is_none());
    drop(sessions);
    assert!(matches!(pool.try_take(here), Taken::Full), "nobody overtakes who waits");
    rig.pools.tick(Moment::now());
    assert!(matches!(look(&mut waiting), Some(Ok(Granted::Open(_)))));
}

#[test]
fn few_are_opened_at_once_and_one_after_a_failure() {
    let rig = Rig::new(Rules { openings: 2, ..Rules::default() });
    let (pool, here) = (rig.pool("a", 5), on(0));
    let open = || match pool.try_take(here) {
        Taken::Open(permit) => Some(permit),
        _ => None,
    };
    let (one, two) = (open().expect("first"), open().expect("second"));
    assert!(open().is_none());
    let lease = one.opened(Fake::open(&rig.world));
    let three = open().expect("the first is done");
    drop((two, three));
    let again = open().expect("one is tried");
    assert!(open().is_none(), "one by one after a failure");
    let second = again.opened(Fake::open(&rig.world));
    let permits: Vec<_> = (0..2).map(|_| open().expect("it works again")).collect();
    drop((permits, lease, second));
    assert_eq!(pool.stats(), PoolStats { opened: 2, ..PoolStats::default() });
}

#[test]
fn who_waits_is_served_in_order_and_not_overtaken() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    let (mut first, mut second) = (wait(&pool, here), wait(&pool, here));
    pool.give_back(here, lease);
    assert!(look(&mut second).is_none());
    let lease = server(&mut first).expect("the first has it");
    assert!(matches!(pool.try_take(here), Taken::Full), "the second waits");
    pool.give_back(here, lease);
    pool.give_back(here, server(&mut second).expect("its turn"));
    assert!(matches!(pool.try_take(here), Taken::Idle(_)));
}

#[test]
fn what_came_free_before_a_wait_is_found_by_it() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let Some(Ok(Granted::Open(permit))) = look(&mut wait(&pool, here)) else { panic!("no place") };
    pool.give_back(here, permit.opened(Fake::open(&rig.world)));
    let mut waiting = wait(&pool, here);
    assert!(server(&mut waiting).is_some(), "it was idle all the time");
}

#[test]
fn a_wait_that_is_given_up_leaves_its_server_to_the_next() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    let (before, first, mut second) = (wait(&pool, here), wait(&pool, here), wait(&pool, here));
    drop(before);
    // The first has been given it already.
    pool.give_back(here, lease);
    drop(first);
    drop(server(&mut second).expect("the next has it"));
    assert_eq!(rig.alive(), 0);
    let mut third = match pool.try_take(here) {
        Taken::Open(permit) => {
            let third = wait(&pool, here);
            drop(permit);
            third
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(look(&mut third), Some(Ok(Granted::Open(_)))), "the place came free");
}

#[test]
fn a_broken_server_gives_its_place_to_who_waits() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    let mut waiting = wait(&pool, here);
    drop(lease);
    assert_eq!((rig.alive(), rig.world.polite.load(Ordering::SeqCst)), (0, 0));
    let Some(Ok(Granted::Open(permit))) = look(&mut waiting) else { panic!("no place") };
    let lease = permit.opened(Fake::open(&rig.world));
    let broken = lease.broken.clone();
    pool.give_back(here, lease);
    broken.store(true, Ordering::SeqCst);
    assert!(matches!(pool.try_take(here), Taken::Open(_)), "it broke while it was idle");
    assert_eq!(rig.alive(), 0);
}

#[test]
fn a_server_comes_over_from_another_thread_when_no_place_is_left() {
    let rig = Rig::new(Rules::default());
    let pool = rig.pool("a", 1);
    let lease = rig.take(&pool, on(0)).expect("a place");
    pool.give_back(on(0), lease);
    let lease = rig.take(&pool, on(1)).expect("of the other thread");
    assert_eq!(lease.thread, 1);
    // And straight to who waits on another thread.
    let mut waiting = wait(&pool, on(0));
    pool.give_back(on(1), lease);
    on(0);
    let lease = server(&mut waiting).expect("it came over");
    assert_eq!((lease.thread, pool.stats().migrated), (0, 2));
}

#[test]
fn the_own_thread_is_served_first_until_patience_runs_out() {
    for (patience, first_gets) in [(Duration::from_secs(9), false), (Duration::ZERO, true)] {
        let rig = Rig::new(Rules { patience, ..Rules::default() });
        let pool = rig.pool("a", 1);
        let lease = rig.take(&pool, on(0)).expect("a place");
        let (mut far, mut near) = (wait(&pool, on(1)), wait(&pool, on(0)));
        pool.give_back(on(0), lease);
        let (far, near) = (look(&mut far), look(&mut near));
        assert_eq!((far.is_some(), near.is_some()), (first_gets, !first_gets), "{patience:?}");
    }
}

#[test]
fn a_server_that_breaks_on_its_way_costs_nobody_their_turn() {
    let rig = Rig::new(Rules { patience: Duration::ZERO, ..Rules::default() });
    let pool = rig.pool("a", 1);
    let lease = rig.take(&pool, on(0)).expect("a place");
    let broken = lease.broken.clone();
    let (mut first, mut second) = (wait(&pool, on(1)), wait(&pool, on(1)));
    pool.give_back(on(0), lease);
    broken.store(true, Ordering::SeqCst);
    on(1);
    let place = look(&mut first);
    assert!(matches!(place, Some(Ok(Granted::Open(_)))), "the place of the broken one");
    assert!(look(&mut second).is_none());
}

#[test]
fn waits_end_in_time_and_are_counted() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    let mut short = pool.wait(here, later(Duration::from_secs(1))).expect("room");
    let mut long = pool.wait(here, later(Duration::from_secs(3))).expect("room");
    rig.pools.tick(later(Duration::from_secs(2)));
    assert!(matches!(look(&mut short), Some(Err(WaitError::TimedOut))));
    assert!(look(&mut long).is_none());
    assert!(matches!(look(&mut short), Some(Err(WaitError::Gone))), "asked again, it is over");
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.timeouts, stats.waits, stats.active), (1, 1, 1, 1));
    assert!(stats.longest_wait >= 1_900_000 && stats.wait_micros == stats.longest_wait);
    pool.give_back(here, lease);
    assert!(server(&mut long).is_some());
}

#[test]
fn clients_and_waits_are_bounded_over_all_credentials() {
    let rig = Rig::new(Rules::default());
    let (a, b, here) = (rig.pool("a", 1), rig.pool("b", 1), on(0));
    let mut clients: Vec<_> =
        (0..20).map(|n| if n % 2 == 0 { a.join() } else { b.join() }).collect();
    assert!(clients.iter().all(Option::is_some) && a.join().is_none() && b.join().is_none());
    assert_eq!((a.stats().clients, b.stats().clients), (10, 10));
    clients.pop();
    assert!(a.join().is_some());
    let _lease = rig.take(&a, here).expect("a place");
    let _waits: Vec<_> = (0..20).map(|_| wait(&a, here)).collect();
    let refused = b.wait(here, later(Duration::from_secs(1)));
    assert_eq!(refused.expect_err("full"), WaitError::TooMany);
}

#[test]
fn credentials_of_one_database_share_its_places() {
    let rig = Rig::new(Rules::default());
    let (a, b, here) = (rig.pool("a", 2), rig.pool("b", 2), on(0));
    let leases: Vec<_> = (0..2).map(|_| rig.take(&a, here).expect("a place")).collect();
    // An idle server of another credential makes way.
    leases.into_iter().for_each(|lease| a.give_back(here, lease));
    let of_b = rig.take(&b, here).expect("the place of an idle one");
    assert_eq!((rig.alive(), a.stats().idle, b.stats().active), (2, 1, 1));
    // One that is given back as well, when nobody of its own waits.
    let of_a = rig.take(&a, here).expect("idle");
    let mut waiting = wait(&b, here);
    a.give_back(here, of_a);
    let Some(Ok(Granted::Open(permit))) = look(&mut waiting) else { panic!("no place") };
    let second = permit.opened(Fake::open(&rig.world));
    // With both busy, each gets its share.
    let (mut wants_a, mut wants_b) = (wait(&a, here), wait(&b, here));
    b.give_back(here, second);
    let place = look(&mut wants_a);
    assert!(matches!(place, Some(Ok(Granted::Open(_)))));
    assert!(look(&mut wants_b).is_none());
    b.give_back(here, of_b);
    assert!(server(&mut wants_b).is_some());
}

#[test]
fn servers_are_closed_when_idle_or_old() {
    let rules =
        Rules { idle: Duration::from_secs(60), age: Duration::from_secs(1000), ..Rules::default() };
    let rig = Rig::new(rules);
    let (pool, here) = (rig.pool("a", 3), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    pool.give_back(here, lease);
    rig.pools.sweep(later(Duration::from_secs(50)));
    assert_eq!(pool.stats().idle, 1);
    rig.pools.sweep(later(Duration::from_secs(61)));
    assert_eq!((pool.stats().idle, rig.alive()), (0, 0));
    let lease = rig.take(&pool, here).expect("a place");
    rig.pools.tick(later(Duration::from_secs(1001)));
    pool.give_back(here, lease);
    assert_eq!((pool.stats().idle, rig.world.polite.load(Ordering::SeqCst)), (0, 2));
}

#[test]
fn a_renewed_pool_closes_what_was_opened_before() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 3), on(0));
    let (idle, busy) = (rig.take(&pool, here).expect("one"), rig.take(&pool, here).expect("two"));
    let Taken::Open(permit) = pool.try_take(here) else { panic!("no place") };
    pool.give_back(here, idle);
    rig.pools.renew(rig.database, "a");
    assert_eq!(pool.stats().idle, 0);
    pool.give_back(here, busy);
    pool.give_back(here, permit.opened(Fake::open(&rig.world)));
    assert_eq!((pool.stats(), rig.alive()), (PoolStats { opened: 3, ..PoolStats::default() }, 0));
    let lease = rig.take(&pool, here).expect("a place");
    pool.give_back(here, lease);
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn a_pool_without_a_route_ends() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    let mut waiting = wait(&pool, here);
    rig.pools.keep(|_| false);
    assert!(matches!(look(&mut waiting), Some(Err(WaitError::Gone))));
    assert!(matches!(pool.try_take(here), Taken::Gone));
    assert!(matches!(pool.wait(here, Moment::now()), Err(WaitError::Gone)));
    pool.give_back(here, lease);
    assert_eq!((rig.alive(), pool.stats().waiting), (0, 0));
    // The database has its places back.
    assert!(rig.take(&rig.pool("a", 1), here).is_some());
}

#[test]
fn an_idle_server_makes_room_for_a_session_without_a_pool() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 3), on(0));
    let lease = rig.take(&pool, here).expect("a place");
    assert!(!rig.pools.make_room(rig.database));
    pool.give_back(here, lease);
    assert!(!rig.pools.make_room(DatabaseId::new()));
    let taken = || rig.limits.take(rig.database, 1).is_some();
    assert!(!taken() && rig.pools.make_room(rig.database) && taken());
}

#[test]
fn more_places_are_used_at_once() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let _lease = rig.take(&pool, here).expect("a place");
    let mut waiting = wait(&pool, here);
    assert!(look(&mut waiting).is_none());
    let _ = rig.pool("a", 2);
    assert!(matches!(look(&mut waiting), Some(Ok(Granted::Open(_)))));
}

#[tokio::test]
async fn waits_are_ended_by_who_looks_after_the_pools() {
    let rig = Rig::new(Rules::default());
    let (pool, here) = (rig.pool("a", 1), on(0));
    let _lease = rig.take(&pool, here).expect("a place");
    let late = pool.wait(here, Moment::now()).expect("room");
    tokio::select! {
        () = rig.pools.run() => panic!("it never ends"),
        outcome = late => assert!(matches!(outcome, Err(WaitError::TimedOut))),
    }
}
