//! A seeded simulation: many databases, people who change their minds, workers that crash and are
//! held, an agent that loses, delays and doubles messages, instances that die and hang. After
//! every step the invariants are checked; when the faults stop, everything converges.
//!
//! A seed decides all. HOWDAH_SIM_SEED runs one alone, HOWDAH_SIM_SEEDS=N runs N more than the
//! usual dozen (many of them with `cargo test`: nextest ends a test after four minutes).

use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_model::agent::ServerObservation;
use howdah_model::ids::{AppId, DatabaseId, OperationId};
use howdah_model::operation::Operation;
use howdah_model::operation::provision::How;
use uuid::Uuid;

use crate::agent::Faults;
use crate::check::{Watchman, nothing_is_left_over};
use crate::ground::{Ground, Worker};
use crate::stage::{Place, Verdict};

const STEPS: usize = 700;
/// Within this all must be as it is wanted once the faults stop. Half of it is the longest back-off.
const BOUND: Duration = Duration::from_secs(120);

struct Simulation {
    ground: Ground,
    workers: Vec<Worker>,
    watchman: Watchman,
    /// Observations that were made and not delivered yet.
    made: Vec<ServerObservation>,
    count: usize,
    log: Vec<String>,
}

async fn simulate(seed: u64) {
    let mut simulation = Simulation::new(seed).await;
    for _ in 0..STEPS {
        simulation.step().await;
        simulation.watchman.look(&simulation.ground).await;
    }
    simulation.converge().await;
    nothing_is_left_over(&simulation.ground).await;
    simulation.tell_what_happened(seed).await;
    // Followers go before those whom they follow.
    for _ in 0..2 {
        simulation.destroy_all().await;
        simulation.converge().await;
        nothing_is_left_over(&simulation.ground).await;
    }
    let world = simulation.ground.agent.world();
    let left: usize = world.housed.values().map(|one| one.databases.len()).sum();
    assert_eq!(left, 0, "all databases were destroyed");
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let ground = Ground::new(seed).await;
        let workers = vec![ground.worker(1).await, ground.worker(1).await];
        workers[0].control.fill_pools().await.expect("fill the pool");
        let mut simulation = Self {
            ground,
            workers,
            watchman: Watchman::default(),
            made: Vec::new(),
            count: 0,
            log: Vec::new(),
        };
        simulation.faults(Faults::On);
        simulation
    }

    fn faults(&mut self, faults: Faults) {
        let chance = self.ground.chance.clone();
        let mut world = self.ground.agent.world();
        world.faults = faults;
        world.forgetful = faults == Faults::On && chance.per_mille(300);
        world.reachable = true;
        drop(world);
        self.ground.stage.judge(move |place| match (faults, place) {
            (Faults::Off, _) => Verdict::Go,
            (Faults::On, Place::At(..) | Place::OnTheWire) => match chance.below(1000) {
                0..25 => Verdict::Die,
                25..100 => Verdict::Hold,
                _ => Verdict::Go,
            },
        });
    }

    async fn step(&mut self) {
        let chance = self.ground.chance.clone();
        if !self.ground.agent.world().reachable && chance.per_mille(40) {
            self.outage();
        }
        match chance.below(100) {
            0..22 => self.round().await,
            22..56 => {
                for _ in 0..=chance.below(3) {
                    self.turn().await;
                }
            }
            56..73 => {
                for _ in 0..=chance.below(3) {
                    self.ground.agent.step();
                }
            }
            73..81 => self.deliver().await,
            81..85 => {
                self.ground.agent.deliver_late();
            }
            85..91 => self.time_passes(),
            91..97 => self.people_ask().await,
            97 if chance.per_mille(500) => self.ground.agent.disturb(),
            97 => self.outage(),
            98 => self.worker_restarts().await,
            _ => self.pools().await,
        }
    }

    fn some_worker(&mut self) -> &mut Worker {
        let index = self.ground.chance.below(self.workers.len());
        &mut self.workers[index]
    }

    async fn round(&mut self) {
        let limit = u32::try_from(1 + self.ground.chance.below(12)).expect("small");
        let worker = self.some_worker();
        let round = worker.engine.round(limit).await.expect("a round");
        worker.claimed.extend(round.turns);
    }

    /// Begins a turn that was claimed, or lets one go on that is held.
    async fn turn(&mut self) {
        let chance = self.ground.chance.clone();
        let worker = self.some_worker();
        // Who is held stays so for a while.
        let held = if chance.per_mille(300) { worker.turns.held() } else { 0 };
        let choices = worker.claimed.len() + held;
        if choices == 0 {
            return;
        }
        let choice = chance.below(choices);
        if choice < worker.claimed.len() {
            let turn = worker.claimed.remove(choice);
            let what = format!("{} {}", turn.kind(), turn.id());
            let outcome = worker.turns.begin(&worker.engine, turn).await;
            self.log.push(format!("turn of {what}: {outcome:?}"));
        } else {
            let index = choice - worker.claimed.len();
            let outcome = worker.turns.resume(index).await;
            self.log.push(format!("resume: {outcome:?}"));
        }
    }

    /// A watch gets an observation, now and then one that was made a while ago.
    async fn deliver(&mut self) {
        let now = self.ground.stage.now();
        if self.ground.agent.world().reachable {
            self.made.push(self.ground.agent.observation(now));
        }
        if self.made.len() > 6 {
            self.made.remove(0);
        }
        let chance = self.ground.chance.clone();
        let newest = self.made.len().saturating_sub(1);
        let index = if chance.per_mille(300) { chance.below(self.made.len()) } else { newest };
        let Some(seen) = self.made.get(index).cloned() else { return };
        let worker = self.some_worker();
        // What it sends to remove again what came too late may be lost too.
        let _ = worker.control.observed(seen).await;
    }

    fn time_passes(&mut self) {
        let chance = &self.ground.chance;
        let held = self.workers.iter().any(|worker| worker.turns.held() > 0);
        let millis = match chance.below(200) {
            // Long enough for the claim of whoever is held to run out.
            0..60 if held => 16_000,
            0..140 => chance.below(300),
            140..190 => chance.below(3_000),
            190..199 => chance.below(40_000),
            _ => chance.below(900_000),
        };
        self.ground.stage.pass(Duration::from_millis(millis as u64));
    }

    async fn people_ask(&mut self) {
        let chance = self.ground.chance.clone();
        let app = *chance.pick(&self.ground.apps).expect("there are apps");
        let live = self.live(&["preparing", "available", "uncertain", "unavailable"]).await;
        let ask = chance.below(100);
        if live.len() < 4 || (ask < 20 && live.len() < 12) {
            let plan = ["hobby-dev", "hobby-basic", "standard-0", "standard-0", "standard-2"];
            let plan = chance.pick(&plan).expect("there are plans");
            self.count += 1;
            let (id, _) = self.ground.ask_for_database(app, plan, self.count).await;
            self.log.push(format!("ask for d{:05} {plan} = {id}", self.count));
            return;
        }
        let kind = match ask {
            0..16 => Operation::Reset,
            16..23 => Operation::Capture,
            23..30 => Operation::Restore,
            30..50 => return self.somebody_wants_a_copy(app).await,
            50..65 => return self.somebody_unfollows(app).await,
            65..70 => return self.somebody_wants_another_plan(app).await,
            70..75 => Operation::Promote,
            75..85 => Operation::Destroy,
            _ if ask < 90 => return self.somebody_changes_their_mind().await,
            90..95 => Operation::Rotate,
            _ => Operation::Reset,
        };
        let available = self.live(&["available"]).await;
        let ready = matches!(kind, Operation::Reset | Operation::Capture | Operation::Restore);
        let some = if ready && !available.is_empty() { available } else { live };
        let newest = kind == Operation::Destroy && chance.per_mille(500);
        let some = if newest { &some[some.len() - 1..] } else { &some };
        let database = *chance.pick(some).expect("there are databases");
        let asked = self.ground.ask(kind, database, app).await;
        self.log.push(format!("ask to {kind} {database}: {asked:?}"));
    }

    async fn somebody_wants_a_copy(&mut self, app: AppId) {
        let chance = self.ground.chance.clone();
        let sources = "follows_id is null and plan like 'standard%'";
        let Some(source) = chance.pick(&self.available(sources).await).copied() else { return };
        let how = if chance.per_mille(500) { How::Follow } else { How::Fork };
        self.count += 1;
        let asked = self.ground.ask_for_copy(app, how, source, self.count).await;
        self.log.push(format!("ask to {how} {source}: {asked:?}"));
    }

    async fn somebody_unfollows(&mut self, app: AppId) {
        let followers = self.available("follows_id is not null").await;
        let Some(follower) = self.ground.chance.pick(&followers).copied() else { return };
        let asked = self.ground.ask(Operation::Unfollow, follower, app).await;
        self.log.push(format!("ask to unfollow {follower}: {asked:?}"));
    }

    async fn somebody_wants_another_plan(&mut self, app: AppId) {
        let such = "follows_id is null and plan like 'standard%'";
        let Some(some) = self.ground.chance.pick(&self.available(such).await).copied() else {
            return;
        };
        let asked = self.ground.ask(Operation::ChangePlan, some, app).await;
        self.log.push(format!("ask for another plan of {some}: {asked:?}"));
    }

    /// Databases that are available and of which something holds.
    async fn available(&self, such: &'static str) -> Vec<DatabaseId> {
        let sql = format!(
            "select d.id from databases d join machines m using (id)
             where m.state = 'available' and {such} order by m.serial"
        );
        let found: Vec<(Uuid,)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.ground.pool)
            .await
            .expect("ask for databases");
        found.into_iter().map(|(id,)| DatabaseId(id)).collect()
    }

    async fn somebody_changes_their_mind(&mut self) {
        let running: Vec<(Uuid,)> = sqlx::query_as(
            "select o.id from operations o join machines m using (id)
             where finished_at is null order by m.serial",
        )
        .fetch_all(&self.ground.pool)
        .await
        .expect("ask for operations");
        let Some((id,)) = self.ground.chance.pick(&running) else { return };
        self.ground.cancel(OperationId(*id)).await;
        self.log.push(format!("cancel {id}"));
    }

    async fn live(&self, states: &[&str]) -> Vec<DatabaseId> {
        let live: Vec<(Uuid,)> = sqlx::query_as(
            "select id from machines where kind = 'database' and state = any($1) order by serial",
        )
        .bind(states)
        .fetch_all(&self.ground.pool)
        .await
        .expect("ask for databases");
        live.into_iter().map(|(id,)| DatabaseId(id)).collect()
    }

    fn outage(&mut self) {
        let mut world = self.ground.agent.world();
        world.reachable = !world.reachable;
        if world.reachable {
            drop(world);
            self.ground.agent.restart();
        }
    }

    /// The process of a worker ends, with all that it had in its hands and had seen.
    async fn worker_restarts(&mut self) {
        let index = self.ground.chance.below(self.workers.len());
        self.workers[index].turns.kill().await;
        self.workers[index] = self.ground.worker(1).await;
        self.log.push(format!("worker {index} restarts"));
    }

    async fn pools(&mut self) {
        let worker = self.some_worker();
        worker.control.fill_pools().await.expect("fill the pool");
        worker.control.erase_old().await.expect("erase what is not kept");
        worker.control.erase_dumps().await.expect("erase old dumps");
    }

    /// One line about a life, so that one sees whether it was a full one.
    async fn tell_what_happened(&self, seed: u64) {
        let (ends,): (String,) = sqlx::query_as(
            "select string_agg(kind || ' ' || outcome || ' ' || n, ', ' order by kind, outcome)
             from (select kind, outcome, count(*) as n from operations group by 1, 2) ends",
        )
        .fetch_one(&self.ground.pool)
        .await
        .expect("ask for operations");
        let count = |outcome: &str| self.log.iter().filter(|line| line.ends_with(outcome)).count();
        let (died, held) = (count(": Died"), count(": Held"));
        eprintln!("seed {seed}: {ends}; turns died {died}, held {held}");
    }

    async fn destroy_all(&mut self) {
        let app = self.ground.apps[0];
        for database in self.live(&["available"]).await {
            self.ground.ask(Operation::Destroy, database, app).await;
        }
    }

    /// Nothing goes wrong any more: within a bound all is as it is wanted.
    async fn converge(&mut self) {
        self.faults(Faults::Off);
        self.ground.agent.relieve();
        for worker in &mut self.workers {
            worker.claimed.clear();
            while worker.turns.held() > 0 {
                worker.turns.resume(0).await;
            }
        }
        let begun = self.ground.stage.now();
        loop {
            while self.ground.agent.deliver_late() {}
            while self.ground.agent.step() {}
            let mut busy = false;
            for worker in &mut self.workers {
                self.ground.show(worker).await;
                busy |= self.ground.work(worker).await;
            }
            self.watchman.look(&self.ground).await;
            if !busy && self.ground.is_at_rest().await {
                return;
            }
            let took = self.ground.stage.now().duration_since(begun).unsigned_abs();
            if took > BOUND {
                self.ground.dump().await;
                panic!("it did not converge within {BOUND:?}");
            }
            if !busy {
                self.ground.stage.pass(Duration::from_millis(250));
            }
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.log {
                eprintln!("{line}");
            }
        }
    }
}

fn run(seeds: impl IntoIterator<Item = u64>) {
    let alone = std::env::var("HOWDAH_SIM_SEED").ok().map(|text| text.parse().expect("a number"));
    for seed in seeds {
        if alone.is_some_and(|alone: u64| alone != seed) {
            continue;
        }
        eprintln!("seed {seed}: HOWDAH_SIM_SEED={seed} runs it alone");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(simulate(seed));
    }
}

#[test]
fn a_dozen_lives_of_a_platform_part_1() {
    run(1..=3);
}

#[test]
fn a_dozen_lives_of_a_platform_part_2() {
    run(4..=6);
}

#[test]
fn a_dozen_lives_of_a_platform_part_3() {
    run(7..=9);
}

#[test]
fn a_dozen_lives_of_a_platform_part_4() {
    run(10..=12);
}

#[test]
fn as_many_more_lives_as_were_asked_for() {
    let more =
        std::env::var("HOWDAH_SIM_SEEDS").ok().map_or(0, |text| text.parse().expect("a number"));
    let alone = std::env::var("HOWDAH_SIM_SEED").ok().map(|text| text.parse().expect("a number"));
    match alone {
        Some(seed) if seed > 12 => run([seed]),
        Some(_) => {}
        None => run(13..13 + more),
    }
}
