//! A worker dies at every single place of an operation, every effect is done twice, and a worker
//! that lost its claim goes on: each time all comes out as if nothing had happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_control::engine::probe::Point;
use howdah_model::ids::{DatabaseId, OperationId};
use howdah_model::machine::Kind;
use howdah_model::operation::provision::How;
use howdah_model::operation::{Operation, Outcome};
use howdah_store::operations;

use crate::check::{Watchman, nothing_is_left_over};
use crate::ground::{Ground, STEADY_LOOK, Worker};
use crate::stage::{Outcome as Ended, Place, Verdict};

/// Longer than a claim holds, with the back-off of the first attempts.
const A_WHILE: Duration = Duration::from_secs(90);

/// An operation on a database of a plan, with all that leads up to it.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    plan: &'static str,
    operation: Operation,
    /// As what it is made of another's data.
    copy: Option<How>,
}

impl Scenario {
    fn new(plan: &'static str, operation: Operation) -> Self {
        Self { plan, operation, copy: None }
    }
}

struct Test {
    ground: Ground,
    worker: Worker,
    watchman: Watchman,
    count: usize,
    source: Option<DatabaseId>,
}

impl Test {
    async fn new() -> Self {
        let ground = Ground::new(1).await;
        let mut worker = ground.worker(1).await;
        worker.control.fill_pools().await.expect("fill the pool");
        ground.settle(&mut worker, A_WHILE).await;
        Self { ground, worker, watchman: Watchman::default(), count: 0, source: None }
    }

    /// A database that is ready for the operation, and the operation.
    async fn begin(&mut self, scenario: Scenario) -> (DatabaseId, OperationId) {
        let app = self.ground.apps[0];
        let source = self.source(scenario).await;
        self.count += 1;
        let (id, operation) = match (scenario.copy, source) {
            (Some(how), Some(source)) => {
                let asked = self.ground.ask_for_copy(app, how, source, self.count).await;
                asked.expect("the source has data")
            }
            _ => self.ground.ask_for_database(app, scenario.plan, self.count).await,
        };
        if scenario.operation == Operation::Provision {
            return (id, operation);
        }
        self.settle().await;
        let operation = self.ground.ask(scenario.operation, id, app).await;
        (id, operation.expect("nothing stands against it"))
    }

    /// Whose data it gets: one database for all.
    async fn source(&mut self, scenario: Scenario) -> Option<DatabaseId> {
        scenario.copy?;
        if self.source.is_none() {
            self.count += 1;
            let app = self.ground.apps[0];
            let (id, _) = self.ground.ask_for_database(app, scenario.plan, self.count).await;
            self.settle().await;
            self.source = Some(id);
        }
        self.source
    }

    async fn settle(&mut self) {
        self.ground.settle(&mut self.worker, A_WHILE).await;
    }

    /// Works until all is at rest, or the worker dies.
    async fn work(&mut self) -> Ended {
        for _ in 0..200 {
            while self.ground.agent.step() {}
            self.ground.show(&self.worker).await;
            let round = self.worker.engine.round(16).await.expect("a round");
            let idle = round.claimed == 0;
            for turn in round.turns {
                let ended = self.worker.turns.begin(&self.worker.engine, turn).await;
                if ended != Ended::Ended {
                    return ended;
                }
            }
            self.watchman.look(&self.ground).await;
            match self.ground.next_due_in().await {
                Some(pause) if idle && pause < STEADY_LOOK => self.ground.stage.pass(pause),
                Some(_) | None if idle => return Ended::Ended,
                Some(_) | None => {}
            }
        }
        panic!("it does not come to rest");
    }

    async fn check(&mut self, operation: OperationId) {
        self.watchman.look(&self.ground).await;
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        let asked = operations::get(&mut conn, operation).await.expect("get").expect("there");
        // A change of plan does not keep clients waiting for a worker that has died.
        let gave_up = asked.kind == Operation::ChangePlan && asked.outcome == Outcome::Undone;
        assert!(asked.outcome == Outcome::Done || gave_up, "{asked:?}");
        drop(conn);
        nothing_is_left_over(&self.ground).await;
    }

    /// Makes room: the database goes.
    async fn clear(&mut self, id: DatabaseId) {
        let app = self.ground.apps[0];
        if self.ground.ask(Operation::Destroy, id, app).await.is_some() {
            self.settle().await;
        }
    }

    /// The worker dies at every place that matches, one after the other.
    async fn die_everywhere(&mut self, scenario: Scenario, matches: fn(Place) -> bool) -> usize {
        for nth in 0.. {
            let (id, operation) = self.begin(scenario).await;
            let count = Arc::new(AtomicUsize::new(0));
            let places = Arc::clone(&count);
            self.ground.stage.judge(move |place| {
                let dies = matches(place) && places.fetch_add(1, Ordering::Relaxed) == nth;
                if dies { Verdict::Die } else { Verdict::Go }
            });
            let ended = self.work().await;
            self.ground.stage.judge(|_| Verdict::Go);
            if ended == Ended::Died {
                self.worker = self.ground.worker(1).await;
                // What it had claimed is free again when the claim has run out.
                self.ground.stage.pass(howdah_control::engine::HOLD);
            }
            self.settle().await;
            self.check(operation).await;
            self.clear(id).await;
            if ended == Ended::Ended {
                return nth;
            }
        }
        unreachable!("there are fewer places than numbers")
    }
}

fn everywhere(_: Place) -> bool {
    true
}

async fn died_at_every_place(plan: &'static str, operation: Operation) {
    let mut test = Test::new().await;
    let places = test.die_everywhere(Scenario::new(plan, operation), everywhere).await;
    assert!(places >= 8, "only {places} places were met");
}

#[tokio::test]
async fn a_worker_killed_anywhere_in_provisioning_a_shared_database_leaves_nothing_half_made() {
    died_at_every_place("hobby-dev", Operation::Provision).await;
}

#[tokio::test]
async fn a_worker_killed_anywhere_in_provisioning_a_dedicated_database_leaves_nothing_half_made() {
    died_at_every_place("standard-2", Operation::Provision).await;
}

#[tokio::test]
async fn a_worker_killed_anywhere_in_a_reset_leaves_the_old_or_the_empty_database() {
    died_at_every_place("hobby-dev", Operation::Reset).await;
}

#[tokio::test]
async fn a_worker_killed_anywhere_in_a_destroy_leaves_nothing_of_the_database() {
    died_at_every_place("standard-0", Operation::Destroy).await;
}

#[tokio::test]
async fn g25_a_worker_killed_anywhere_in_a_change_of_plan_leaves_one_database_with_one_plan() {
    // The supervisors of participants die in the other tests; there are many places here.
    let of_the_change = |place: Place| matches!(place, Place::At(_, Kind::ChangePlan));
    let mut test = Test::new().await;
    let scenario = Scenario::new("standard-0", Operation::ChangePlan);
    let places = test.die_everywhere(scenario, of_the_change).await;
    assert!(places >= 40, "only {places} places were met");
}

#[tokio::test]
async fn d25_a_worker_killed_anywhere_in_a_rotation_hands_out_new_logins_that_open_the_database() {
    died_at_every_place("standard-0", Operation::Rotate).await;
}

#[tokio::test]
async fn e9_a_worker_killed_anywhere_in_a_capture_leaves_one_complete_backup() {
    let of_the_capture = |place: Place| matches!(place, Place::At(_, Kind::Capture));
    let mut test = Test::new().await;
    let scenario = Scenario::new("standard-0", Operation::Capture);
    let places = test.die_everywhere(scenario, of_the_capture).await;
    assert!(places >= 10, "only {places} places were met");
    let begun = test.ground.agent.world().transfers.begun.clone();
    assert!(begun.values().all(|times| *times == 1), "one was begun twice: {begun:?}");
}

#[tokio::test]
async fn e20_a_worker_killed_anywhere_in_a_restore_leaves_the_old_or_the_restored_database() {
    let of_the_restore = |place: Place| matches!(place, Place::At(_, Kind::Restore));
    let mut test = Test::new().await;
    let scenario = Scenario::new("hobby-dev", Operation::Restore);
    let places = test.die_everywhere(scenario, of_the_restore).await;
    assert!(places >= 14, "only {places} places were met");
}

async fn copy_died_at_every_place(how: How, operation: Operation) {
    let mut test = Test::new().await;
    let scenario = Scenario { copy: Some(how), ..Scenario::new("standard-2", operation) };
    let places = test.die_everywhere(scenario, everywhere).await;
    assert!(places >= 8, "only {places} places were met");
}

#[tokio::test]
async fn g27_a_worker_killed_anywhere_in_a_fork_leaves_nothing_half_made() {
    copy_died_at_every_place(How::Fork, Operation::Provision).await;
}

#[tokio::test]
async fn g13_a_worker_killed_anywhere_in_making_a_follower_leaves_nothing_half_made() {
    copy_died_at_every_place(How::Follow, Operation::Provision).await;
}

#[tokio::test]
async fn g20_a_worker_killed_anywhere_in_an_unfollow_leaves_two_databases() {
    copy_died_at_every_place(How::Follow, Operation::Unfollow).await;
}

#[tokio::test]
async fn g31_a_worker_killed_anywhere_in_the_destroy_of_a_follower_leaves_its_leader_alone() {
    copy_died_at_every_place(How::Follow, Operation::Destroy).await;
}

#[tokio::test]
async fn every_effect_may_be_done_twice() {
    let mut test = Test::new().await;
    test.ground.stage.repeat(2);
    for plan in ["hobby-dev", "standard-0", "standard-2"] {
        for operation in
            [Operation::Provision, Operation::Reset, Operation::Rotate, Operation::Destroy]
        {
            let (id, asked) = test.begin(Scenario::new(plan, operation)).await;
            test.settle().await;
            test.check(asked).await;
            test.clear(id).await;
        }
    }
    let (id, asked) = test.begin(Scenario::new("standard-0", Operation::ChangePlan)).await;
    test.settle().await;
    test.check(asked).await;
    test.clear(id).await;
    for (how, operation) in [(How::Fork, Operation::Provision), (How::Follow, Operation::Unfollow)]
    {
        let scenario = Scenario { copy: Some(how), ..Scenario::new("standard-2", operation) };
        let (id, asked) = test.begin(scenario).await;
        test.settle().await;
        test.check(asked).await;
        test.clear(id).await;
    }
    if let Some(source) = test.source.take() {
        test.clear(source).await;
    }
    let app = test.ground.apps[0];
    let (first, _) = test.begin(Scenario::new("hobby-dev", Operation::Provision)).await;
    test.settle().await;
    let (second, _) = test.begin(Scenario::new("hobby-dev", Operation::Provision)).await;
    test.settle().await;
    let asked = test.ground.ask(Operation::Promote, second, app).await.expect("not refused");
    test.settle().await;
    test.check(asked).await;
    assert_eq!(names(&test.ground, second).await, ["DATABASE", "NUMBER_18"]);
    let old = names(&test.ground, first).await;
    assert!(old.len() == 1 && old[0].starts_with("HEROKU_POSTGRESQL_"), "C11: {old:?}");
    let said = releases(&test.ground).await;
    let last: Vec<_> = said.iter().rev().take(2).rev().cloned().collect();
    assert_eq!(
        last,
        [
            "Attach NUMBER_18 (@ref:postgresql-number-00018)",
            "Attach DATABASE (@ref:postgresql-number-00018)",
        ],
        "C10: a promotion is one release"
    );
}

#[tokio::test]
async fn e9_e20_every_effect_of_a_transfer_may_be_done_twice_and_agents_may_forget() {
    let mut test = Test::new().await;
    test.ground.stage.repeat(2);
    for (plan, operation) in [("hobby-dev", Operation::Capture), ("standard-0", Operation::Restore)]
    {
        let (id, asked) = test.begin(Scenario::new(plan, operation)).await;
        // It is told, comes on a little, and the agent begins anew.
        while test.ground.agent.world().transfers.begun.is_empty() {
            test.ground.work(&mut test.worker).await;
        }
        test.ground.agent.step();
        test.ground.agent.restart();
        test.settle().await;
        test.check(asked).await;
        let begun = std::mem::take(&mut test.ground.agent.world().transfers.begun);
        assert_eq!(begun.into_values().collect::<Vec<_>>(), [2], "{operation}");
        test.clear(id).await;
    }
}

async fn names(ground: &Ground, database: DatabaseId) -> Vec<String> {
    sqlx::query_scalar("select name from attachments where database_id = $1 order by name")
        .bind(database.0)
        .fetch_all(&ground.pool)
        .await
        .expect("ask for attachments")
}

async fn releases(ground: &Ground) -> Vec<String> {
    sqlx::query_scalar("select description from releases where app_id = $1 order by version")
        .bind(ground.apps[0].0)
        .fetch_all(&ground.pool)
        .await
        .expect("ask for releases")
}

/// A worker is held right before an effect, for longer than its claim holds; another does the
/// effect and goes on; the database is destroyed meanwhile. The first must then change nothing.
#[tokio::test]
async fn a_worker_that_lost_its_claim_has_no_effect() {
    let mut test = Test::new().await;
    for plan in ["hobby-dev", "standard-0"] {
        for nth in 0..2 {
            let provision = Scenario::new(plan, Operation::Provision);
            let (id, operation) = test.begin(provision).await;
            let mut met = 0;
            test.ground.stage.judge(move |place| {
                use howdah_model::machine::Kind::Provision;
                let here = place == Place::At(Point::BeforeEffect, Provision);
                met += usize::from(here);
                if here && met == nth + 1 { Verdict::Hold } else { Verdict::Go }
            });
            assert_eq!(test.work().await, Ended::Held, "{plan} before effect {nth}");
            test.ground.stage.judge(|_| Verdict::Go);
            test.ground.stage.pass(howdah_control::engine::HOLD);
            let mut other = test.ground.worker(1).await;
            test.ground.settle(&mut other, A_WHILE).await;
            test.check(operation).await;
            let app = test.ground.apps[0];
            test.ground.ask(Operation::Destroy, id, app).await.expect("not refused");
            test.ground.settle(&mut other, A_WHILE).await;
            let before = (releases(&test.ground).await, test.ground.agent.world().puts);
            assert_eq!(test.worker.turns.resume(0).await, Ended::Ended);
            test.settle().await;
            let after = (releases(&test.ground).await, test.ground.agent.world().puts);
            assert_eq!(before, after, "{plan}: it had an effect");
            nothing_is_left_over(&test.ground).await;
        }
    }
}

#[tokio::test]
async fn what_a_dead_worker_had_claimed_is_taken_over_when_the_claim_has_run_out() {
    let ground = Ground::new(1).await;
    let worker = ground.worker(0).await;
    let (_, operation) = ground.ask_for_database(ground.apps[0], "hobby-dev", 1).await;
    let round = worker.engine.round(16).await.expect("a round");
    assert_eq!(round.turns.len(), 1, "the operation; the database only waits");
    let mut other = ground.worker(0).await;
    assert!(other.engine.round(16).await.expect("a round").turns.is_empty(), "it is claimed");
    ground.stage.pass(howdah_control::engine::HOLD);
    ground.settle(&mut other, A_WHILE).await;
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let asked = operations::get(&mut conn, operation).await.expect("get").expect("there");
    assert_eq!(asked.outcome, Outcome::Done);
    assert!(ground.stage.now() > asked.since);
}
