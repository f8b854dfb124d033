//! Scripts: one thing after the other, with what the machines must say to each.

use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_model::agent::InstanceState;
use howdah_model::database::State;
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_model::operation::Operation;
use howdah_model::route::Target;
use howdah_store::databases::Database;
use howdah_store::{databases, machines, observations, participants, transitions};

use crate::ground::{Ground, Worker};

const A_WHILE: Duration = Duration::from_secs(60);

struct Script {
    ground: Ground,
    worker: Worker,
    id: DatabaseId,
}

impl Script {
    /// A database of a plan that is available.
    async fn new(plan: &str) -> Self {
        let ground = Ground::new(1).await;
        let mut worker = ground.worker(0).await;
        let (id, _) = ground.ask_for_database(ground.apps[0], plan, 1).await;
        ground.settle(&mut worker, A_WHILE).await;
        let script = Self { ground, worker, id };
        assert_eq!(script.database().await.state, State::Available);
        script
    }

    async fn database(&self) -> Database {
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        databases::get(&mut conn, self.id).await.expect("get").expect("there")
    }

    async fn participant(&self) -> participants::Participant {
        let id = self.database().await.participant_id.expect("it was placed");
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        participants::get(&mut conn, id).await.expect("get").expect("there")
    }

    /// The service of the database is so from now on.
    async fn service(&self, instance: InstanceState) {
        let id = self.participant().await.id;
        let mut world = self.ground.agent.world();
        world.housed.get_mut(&id).expect("it is there").instance = instance;
        world.change += 1;
    }

    async fn feel(&self) {
        self.ground.show(&self.worker).await;
    }

    async fn tick(&mut self) {
        while self.ground.work(&mut self.worker).await {}
    }

    async fn history(&self) -> Vec<String> {
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        let all = transitions::list(&mut conn, &[self.id.0]).await.expect("list");
        all.into_iter().map(|one| format!("{}: {}", one.to, one.reason)).collect()
    }
}

/// The slides' own script: `transition(available); feel; tick; state` gives `uncertain`.
#[tokio::test]
async fn k7_k8_k9_available_becomes_uncertain_and_comes_back_with_its_history() {
    let mut script = Script::new("hobby-dev").await;
    script.service(InstanceState::Down).await;
    script.feel().await;
    script.tick().await;
    assert_eq!(script.database().await.state, State::Uncertain);
    assert_eq!(script.participant().await.state, howdah_model::participant::State::Uncertain);

    script.ground.stage.pass(Duration::from_secs(20));
    script.tick().await;
    assert_eq!(script.database().await.state, State::Uncertain, "that is no failure yet");

    script.service(InstanceState::Answering).await;
    script.feel().await;
    script.tick().await;
    assert_eq!(script.database().await.state, State::Available);
    assert_eq!(
        script.history().await,
        [
            "preparing: it was asked for",
            "available: it answers",
            "uncertain: its participant does not answer",
            "available: it answers",
        ]
    );
    let mut conn = script.ground.store.reader().get().await.expect("a connection");
    let seen = observations::list(&mut conn, script.id, 10).await.expect("list");
    let available: Vec<_> = seen.iter().rev().map(|one| one.services_available).collect();
    assert_eq!(available, [true, false, true], "K4: each change of availability is kept");
}

#[tokio::test]
async fn k8_confirmed_absence_becomes_unavailable_and_a_hanging_instance_is_restarted_once() {
    let mut script = Script::new("standard-0").await;
    script.service(InstanceState::Silent).await;
    for _ in 0..35 {
        script.feel().await;
        script.tick().await;
        script.ground.stage.pass(Duration::from_secs(1));
    }
    assert_eq!(script.database().await.state, State::Unavailable);
    let participant = script.participant().await;
    assert_eq!(participant.state, howdah_model::participant::State::Unavailable);
    assert_eq!(participant.restarts, 1, "it hangs, so one restart was asked for");
    script.ground.settle(&mut script.worker, A_WHILE).await;
    assert_eq!(script.database().await.state, State::Available);
    assert_eq!(script.participant().await.restarts, 1);
}

#[tokio::test]
async fn k9_an_unknown_state_is_an_error_that_names_it_and_is_tried_again() {
    let mut script = Script::new("hobby-dev").await;
    sqlx::query("update machines set state = 'dreaming', wake_at = to_timestamp(0) where id = $1")
        .bind(script.id.0)
        .execute(&script.ground.pool)
        .await
        .expect("change the state");
    script.ground.work(&mut script.worker).await;
    let mut conn = script.ground.store.reader().get().await.expect("a connection");
    let stored = machines::get(&mut conn, script.id.0).await.expect("get").expect("there");
    assert_eq!(stored.last_error.as_deref(), Some("database has no state `dreaming`"));
    assert!(stored.wake_at > script.ground.stage.now() && stored.attempt == 1);
}

#[tokio::test]
async fn a_server_that_is_not_seen_makes_everything_on_it_uncertain_until_it_is_seen_again() {
    let mut script = Script::new("hobby-dev").await;
    script.ground.agent.world().reachable = false;
    script.ground.stage.pass(Duration::from_secs(35));
    script.tick().await;
    assert_eq!(script.database().await.state, State::Uncertain);
    script.ground.agent.world().reachable = true;
    script.feel().await;
    script.tick().await;
    assert_eq!(script.database().await.state, State::Available);
}

/// An agent that lost its disk has no such participant. Told the spec again, it would make an
/// empty one, and nobody would notice that the data is gone.
#[tokio::test]
async fn a_participant_whose_data_vanished_is_never_made_anew() {
    let mut script = Script::new("standard-0").await;
    script.ground.agent.world().housed.clear();
    script.ground.agent.world().change += 1;
    for _ in 0..80 {
        script.feel().await;
        script.tick().await;
        script.ground.stage.pass(Duration::from_secs(60));
    }
    assert!(script.ground.agent.world().housed.is_empty(), "nobody made an empty one");
    assert_eq!(script.database().await.state, State::Unavailable);
    let state = script.participant().await.state;
    assert_eq!(state, howdah_model::participant::State::NeedsOperator);
}

/// After the platform's database was restored from a backup, agents are ahead of it.
#[tokio::test]
async fn a_store_that_is_older_than_its_agents_catches_up_with_their_revisions() {
    let mut script = Script::new("hobby-dev").await;
    let id = script.participant().await.id;
    {
        let mut world = script.ground.agent.world();
        let one = world.housed.get_mut(&id).expect("it is there");
        let mut newer = (*one.spec).clone();
        newer.revision.0 += 5;
        one.spec = std::sync::Arc::new(newer);
        world.change += 1;
    }
    let app = script.ground.apps[0];
    script.ground.ask(Operation::Reset, script.id, app).await.expect("not refused");
    script.ground.settle(&mut script.worker, A_WHILE).await;
    let database = script.database().await;
    let world = script.ground.agent.world();
    let there = world.database(database.participant_id, &database.name).cloned();
    drop(world);
    assert_eq!(there.map(|one| one.incarnation.0), Some(2));
}

#[tokio::test]
async fn an_order_that_arrives_after_the_end_is_undone() {
    let mut script = Script::new("standard-2").await;
    let id = script.participant().await.id;
    let late = {
        let world = script.ground.agent.world();
        (*world.housed[&id].spec).clone()
    };
    script.ground.agent.world().forgetful = true;
    let app = script.ground.apps[0];
    script.ground.ask(Operation::Destroy, script.id, app).await.expect("not refused");
    script.ground.settle(&mut script.worker, A_WHILE).await;
    assert!(script.ground.agent.world().housed.is_empty());
    script.ground.agent.world().late.push(late);
    assert!(script.ground.agent.deliver_late());
    assert_eq!(script.ground.agent.world().housed.len(), 1, "there it is again");
    script.ground.agent.world().events.clear();
    script.ground.settle(&mut script.worker, A_WHILE).await;
    assert!(script.ground.agent.world().housed.is_empty(), "and it is removed again");
}

/// The agent has made a participant, but nobody has seen that yet; then it is not wanted any more.
/// That nobody sees it does not mean that it is gone.
#[tokio::test]
async fn what_was_never_seen_is_only_gone_once_the_agent_was_told_to_remove_it() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let app = ground.apps[0];
    let (id, _) = ground.ask_for_database(app, "standard-2", 1).await;
    ground.work(&mut worker).await;
    ground.work(&mut worker).await;
    while ground.agent.step() {}
    assert_eq!(ground.agent.world().housed.len(), 1, "it was made");
    ground.agent.world().reachable = false;
    let destroy = ground.ask(Operation::Destroy, id, app).await.expect("not refused");
    for _ in 0..20 {
        while ground.work(&mut worker).await {}
        ground.stage.pass(Duration::from_millis(300));
    }
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let asked = howdah_store::operations::get(&mut conn, destroy).await.expect("get");
    let outcome = asked.map(|asked| asked.outcome);
    assert_eq!(outcome, Some(howdah_model::operation::Outcome::Running), "nothing is known");
    ground.agent.world().reachable = true;
    ground.settle(&mut worker, A_WHILE).await;
    assert!(ground.agent.world().housed.is_empty());
}

/// In a shared participant, a database that nobody has seen yet is not gone before the agent has
/// applied a spec without it.
#[tokio::test]
async fn a_database_that_was_never_seen_is_only_gone_once_a_spec_without_it_was_applied() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(1).await;
    worker.control.fill_pools().await.expect("fill the pool");
    ground.settle(&mut worker, A_WHILE).await;
    let app = ground.apps[0];
    let (id, _) = ground.ask_for_database(app, "hobby-dev", 1).await;
    ground.work(&mut worker).await;
    ground.work(&mut worker).await;
    ground.show(&worker).await;
    ground.ask(Operation::Destroy, id, app).await.expect("not refused");
    for _ in 0..20 {
        while ground.work(&mut worker).await {}
        ground.stage.pass(Duration::from_millis(300));
    }
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let database = databases::get(&mut conn, id).await.expect("get").expect("there");
    assert_eq!(database.state, State::Removing, "the agent has not done anything yet");
    ground.settle(&mut worker, A_WHILE).await;
    let database = databases::get(&mut conn, id).await.expect("get").expect("there");
    assert_eq!(database.state, State::Removed);
}

#[tokio::test]
async fn routes_follow_the_life_of_a_database() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let routes = worker.control.routes();
    let target = || {
        let table = routes.borrow();
        assert_eq!(table.routes.len(), 1);
        assert_eq!(table.routes[0].role.as_str(), "u00001");
        table.routes[0].target.clone()
    };
    let (id, _) = ground.ask_for_database(ground.apps[0], "hobby-dev", 1).await;
    worker.control.refresh_routes().await.expect("make the routes");
    assert_eq!(target(), Target::Unready { why: "the database is being prepared".to_owned() });
    let first = routes.borrow().version;
    ground.settle(&mut worker, A_WHILE).await;
    worker.control.refresh_routes().await.expect("make the routes");
    let participant: ParticipantId = *ground.agent.world().housed.keys().next().expect("one");
    let socket_dir = format!("/s/{participant}").into();
    assert_eq!(target(), Target::Local { socket_dir });
    let second = routes.borrow().version;
    assert!(second > first);
    worker.control.refresh_routes().await.expect("make the routes");
    assert_eq!(routes.borrow().version, second, "nothing has changed");
    ground.ask(Operation::Destroy, id, ground.apps[0]).await.expect("not refused");
    ground.settle(&mut worker, A_WHILE).await;
    worker.control.refresh_routes().await.expect("make the routes");
    assert_eq!(target(), Target::Revoked);
    ground.stage.pass(Duration::from_secs(8 * 86_400));
    worker.control.refresh_routes().await.expect("make the routes");
    assert!(routes.borrow().routes.is_empty(), "C14: known as revoked for a week");
}

#[tokio::test]
async fn k27_the_pool_is_kept_full_and_given_to_the_plans_that_it_fits() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(2).await;
    worker.control.fill_pools().await.expect("fill the pool");
    worker.control.fill_pools().await.expect("and again");
    ground.settle(&mut worker, A_WHILE).await;
    let pooled: Vec<_> = ground.agent.world().housed.keys().copied().collect();
    assert_eq!(pooled.len(), 3, "two of the pool, and one to share");
    for (number, plan) in ["premium-0", "standard-2", "hobby-dev"].iter().enumerate() {
        ground.ask_for_database(ground.apps[0], plan, number).await;
        ground.settle(&mut worker, A_WHILE).await;
    }
    assert_eq!(ground.agent.world().housed.len(), 4, "only standard-2 needed a new one");
    worker.control.fill_pools().await.expect("fill the pool");
    ground.settle(&mut worker, A_WHILE).await;
    assert_eq!(ground.agent.world().housed.len(), 5);
    let mut smaller = ground.worker(0).await;
    smaller.control.fill_pools().await.expect("empty the pool");
    ground.settle(&mut smaller, A_WHILE).await;
    assert_eq!(ground.agent.world().housed.len(), 3, "the pool is gone; databases are not");
}

#[tokio::test]
async fn k4_k5_each_database_is_recorded_with_its_figures_and_old_history_goes() {
    let script = Script::new("hobby-dev").await;
    script.feel().await;
    script.worker.control.record_observations().await.expect("record");
    let mut conn = script.ground.store.reader().get().await.expect("a connection");
    let seen = observations::list(&mut conn, script.id, 1).await.expect("list").remove(0);
    assert!(seen.services_available);
    let figures = (seen.connections, seen.row_count, seen.table_count, seen.seq_scans);
    assert_eq!(figures, (Some(1), Some(10), Some(2), Some(3)));
    script.service(InstanceState::Down).await;
    script.ground.stage.pass(Duration::from_secs(32 * 86_400));
    script.worker.control.forget_old().await.expect("forget");
    assert!(observations::list(&mut conn, script.id, 9).await.expect("list").is_empty());
}

#[tokio::test]
async fn a_database_that_cannot_be_placed_is_undone_with_the_reason() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let (id, operation) = ground.ask_for_database(ground.apps[0], "hobby-dev", 1).await;
    sqlx::query("update databases set major = 19 where id = $1")
        .bind(id.0)
        .execute(&ground.pool)
        .await
        .expect("change the version");
    for _ in 0..70 {
        ground.show(&worker).await;
        while ground.work(&mut worker).await {}
        ground.stage.pass(Duration::from_secs(1));
    }
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let said = transitions::list(&mut conn, &[operation.0]).await.expect("list");
    let said: Vec<_> = said.iter().map(|one| (one.to.as_str(), one.reason.as_str())).collect();
    assert_eq!(
        said,
        [
            ("placing", "it was asked for"),
            (
                "undoing",
                "the deadline of this state has passed: none of the 1 servers of region `us` \
                 answers and has PostgreSQL 19"
            ),
            ("undone", "nothing is left of it"),
        ]
    );
    let releases: i64 = sqlx::query_scalar("select count(*) from releases")
        .fetch_one(&ground.pool)
        .await
        .expect("count");
    assert_eq!(releases, 0, "the app never knew of it");
}

/// What the agent says to people is kept with those who wait for it, and told when they give up.
#[tokio::test]
async fn what_stands_in_the_way_is_told_with_the_operation_that_waits_for_it() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let (_, operation) = ground.ask_for_database(ground.apps[0], "standard-0", 1).await;
    for round in 0..65 {
        while ground.work(&mut worker).await {}
        for one in ground.agent.world().housed.values_mut() {
            one.error = Some("no space left on device".to_owned());
        }
        ground.show(&worker).await;
        ground.stage.pass(Duration::from_secs(if round < 2 { 1 } else { 10 }));
    }
    for one in ground.agent.world().housed.values_mut() {
        one.error = None;
    }
    ground.settle(&mut worker, A_WHILE).await;
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let said = transitions::list(&mut conn, &[operation.0]).await.expect("list");
    let turned = said.iter().find(|one| one.to == "undoing").expect("it gave up");
    assert_eq!(turned.reason, "the deadline of this state has passed: no space left on device");
}
