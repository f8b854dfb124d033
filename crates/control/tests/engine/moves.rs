//! The stages of planned moves: what routes say of them, that they end by themselves, and what is
//! refused.

use std::time::{Duration, Instant};

use howdah_control::Control;
use howdah_control::clock::{Clock as _, SystemClock};
use howdah_control::requests::{Error, moves};
use howdah_model::ids::{DatabaseId, ParticipantId};
use howdah_model::operation::Operation;
use howdah_model::route::Stage;
use howdah_store::databases;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, Worker};
use crate::workers::control;

const A_WHILE: Duration = Duration::from_secs(60);
const BOUND: Duration = Duration::from_secs(20);

/// Two databases with participants of their own.
async fn two(ground: &Ground, worker: &mut Worker) -> [DatabaseId; 2] {
    let (one, _) = ground.ask_for_database(ground.apps[0], "standard-0", 1).await;
    let (two, _) = ground.ask_for_database(ground.apps[0], "standard-0", 2).await;
    ground.settle(worker, A_WHILE).await;
    [one, two]
}

async fn participant_of(ground: &Ground, id: DatabaseId) -> ParticipantId {
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let database = databases::get(&mut conn, id).await.expect("get").expect("there");
    database.participant_id.expect("placed")
}

/// What routes say of a database, made anew.
async fn stage(control: &Control, id: DatabaseId) -> Stage {
    control.refresh_routes().await.expect("make the routes");
    let table = control.routes().borrow().clone();
    table.routes.iter().find(|route| route.database_id == id).expect("a route").stage.clone()
}

#[tokio::test]
async fn l3_a_stage_is_in_the_routes_of_its_database_alone_until_it_is_changed_or_over() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let [one, two] = two(&ground, &mut worker).await;
    let control = &worker.control;
    assert_eq!(stage(control, one).await, Stage::Open);
    let next = participant_of(&ground, two).await;
    moves::prepare(control, one, next, BOUND).await.expect("prepare");
    let prepared = Stage::Prepare { next: format!("/s/{next}").into() };
    assert_eq!(stage(control, one).await, prepared);
    let until =
        moves::hold(control, one, Duration::from_secs(5), BOUND).await.expect("hold instead");
    assert_eq!(stage(control, one).await, Stage::Hold { grace_ms: 5_000 });
    assert_eq!(stage(control, two).await, Stage::Open, "it is no business of the other");
    moves::release(control, one).await.expect("release");
    assert_eq!(stage(control, one).await, Stage::Open);
    moves::release(control, one).await.expect("there is nothing to release, which is fine");

    moves::hold(control, one, Duration::ZERO, BOUND).await.expect("hold");
    let version = control.routes().borrow().version;
    ground.stage.set(until - Duration::from_secs(1));
    assert_ne!(stage(control, one).await, Stage::Open, "it is not over yet");
    ground.stage.pass(BOUND);
    assert_eq!(stage(control, one).await, Stage::Open, "nobody released it");
    assert!(control.routes().borrow().version > version, "gateways are told");
    control.forget_old().await.expect("forget");
    let left: i64 = sqlx::query_scalar("select count(*) from stages")
        .fetch_one(&ground.pool)
        .await
        .expect("count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn h18_what_cannot_be_and_what_has_no_bound_is_refused() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let [one, two] = two(&ground, &mut worker).await;
    let control = &worker.control;
    let own = participant_of(&ground, one).await;
    for next in [own, ParticipantId::new()] {
        let refused = moves::prepare(control, one, next, BOUND).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let next = participant_of(&ground, two).await;
    for bound in [Duration::ZERO, moves::LONGEST_PREPARATION + Duration::from_millis(1)] {
        let refused = moves::prepare(control, one, next, bound).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    for (grace, bound) in [
        (Duration::ZERO, Duration::ZERO),
        (Duration::ZERO, moves::LONGEST_HOLD + Duration::from_millis(1)),
        (Duration::from_secs(2), Duration::from_secs(1)),
    ] {
        let refused = moves::hold(control, one, grace, bound).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let unknown = moves::hold(control, DatabaseId::new(), Duration::ZERO, BOUND).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
    assert_eq!(stage(control, one).await, Stage::Open);
    ground.ask(Operation::Destroy, two, ground.apps[0]).await.expect("not refused");
    ground.settle(&mut worker, A_WHILE).await;
    let gone = moves::hold(&worker.control, two, Duration::ZERO, BOUND).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
}

/// A control plane that works in real time: a hold is handed out at once, and ends at its time
/// though the platform's own database has died meanwhile.
#[tokio::test]
async fn l3_h18_a_hold_is_told_at_once_and_ends_also_without_the_store() {
    let ground = Ground::new(1).await;
    let mut worker = ground.worker(0).await;
    let [one, _] = two(&ground, &mut worker).await;
    ground.stage.set(SystemClock.now());
    let control = control(&ground);
    let stop = CancellationToken::new();
    let mut work = JoinSet::new();
    let (engine, token) = (control.clone(), stop.clone());
    work.spawn(async move { engine.run(token).await });
    let mut table = control.routes();
    let is = |wanted: Stage| {
        move |table: &std::sync::Arc<howdah_model::route::RouteTable>| {
            table.routes.iter().any(|route| route.database_id == one && route.stage == wanted)
        }
    };
    let made = timeout(Duration::from_secs(10), table.wait_for(is(Stage::Open))).await;
    made.expect("in time").expect("the first table");
    let bound = Duration::from_secs(3);
    let began = Instant::now();
    moves::hold(&control, one, Duration::ZERO, bound).await.expect("hold");
    let held = table.wait_for(is(Stage::Hold { grace_ms: 0 }));
    timeout(Duration::from_secs(1), held).await.expect("L3: within 1 s").expect("a table");
    ground.scratch.kill();
    let opened = timeout(bound + Duration::from_secs(8), table.wait_for(is(Stage::Open))).await;
    opened.expect("H18: not for ever").expect("a table");
    assert!(began.elapsed() >= bound, "not before its time: {:?}", began.elapsed());
    stop.cancel();
    let ended = timeout(Duration::from_secs(30), work.join_next()).await.expect("it stops");
    ended.expect("it ran").expect("no panic").expect("no part ended by itself");
}
