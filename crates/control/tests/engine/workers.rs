//! Several workers side by side, and slow machines beside quick ones, in real time.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use howdah_control::Control;
use howdah_control::clock::{Clock as _, SystemClock};
use howdah_control::config::Config;
use howdah_control::engine::Engine;
use howdah_control::engine::probe::{Point, Probe};
use howdah_control::keyring::Keyring;
use howdah_model::ids::ParticipantId;
use howdah_model::machine::Kind;
use howdah_model::operation::Outcome;
use howdah_model::plan;
use howdah_model::version::Major;
use howdah_store::participants::{self, New};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ground::Ground;

/// A ground in the time of the system's clock.
async fn ground() -> Ground {
    let ground = Ground::new(1).await;
    ground.stage.set(SystemClock.now());
    ground
}

pub(crate) fn control(ground: &Ground) -> Control {
    Control::with_servers(
        ground.store.clone(),
        Keyring::new(&[7; 32]),
        Config { pool_size: 0, ..Config::default() },
        Arc::new(SystemClock),
        Arc::new(ground.agent.clone()),
    )
}

/// The agent does its work without being told to.
pub(crate) fn agent_at_work(ground: &Ground, tasks: &mut JoinSet<()>) {
    let agent = ground.agent.clone();
    tasks.spawn(async move {
        loop {
            while agent.step() {}
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// Knows which task has which machine in its hands.
#[derive(Default)]
struct Hands {
    held: Mutex<HashMap<Uuid, tokio::task::Id>>,
    double: Mutex<Vec<Uuid>>,
}

impl Probe for Hands {
    fn reached(
        &self,
        point: Point,
        machine: Option<(Kind, Uuid)>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if let Some((_, id)) = machine {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let me = tokio::task::id();
            if point == Point::BeforeRest {
                held.remove(&id);
            } else if *held.entry(id).or_insert(me) != me {
                self.double.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            }
        }
        Box::pin(tokio::task::yield_now())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k11_two_workers_share_a_hundred_machines_and_never_have_the_same_at_once() {
    let ground = ground().await;
    let mut asked = Vec::new();
    for number in 0..50 {
        let app = ground.apps[number % 3];
        asked.push(ground.ask_for_database(app, "hobby-dev", number).await.1);
    }
    let hands = Arc::new(Hands::default());
    let mut tasks = JoinSet::new();
    agent_at_work(&ground, &mut tasks);
    for _ in 0..2 {
        let control = control(&ground);
        let engine = Engine::probed(control.clone(), hands.clone());
        let agent = ground.agent.clone();
        tasks.spawn(async move {
            let mut turns = JoinSet::new();
            loop {
                let seen = agent.observation(control.now());
                control.observed(seen).await.expect("take an observation");
                let round = engine.round(8).await.expect("a round");
                for turn in round.turns {
                    let engine = engine.clone();
                    turns.spawn(async move { engine.take(turn).await });
                }
                while turns.len() > 8 {
                    turns.join_next().await.expect("one").expect("no panic");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    let control = control(&ground);
    for operation in asked {
        let bound = Duration::from_secs(60);
        let outcome = control.wait_for_operation(operation, bound).await.expect("wait");
        assert_eq!(outcome, Outcome::Done);
    }
    tasks.shutdown().await;
    let double = hands.double.lock().expect("no panic");
    assert!(double.is_empty(), "{} machines were in two hands at once", double.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k12_ten_slow_participants_of_a_hundred_do_not_delay_the_others() {
    let ground = ground().await;
    let server = ground.agent.world().id;
    let mut all = Vec::new();
    let mut tx = ground.store.begin().await.expect("begin");
    for _ in 0..100 {
        let new = New {
            id: ParticipantId::new(),
            server_id: server,
            major: Major(15),
            plan: plan::find("standard-0").expect("a plan"),
            shared: false,
            pooled: false,
        };
        let now = SystemClock.now();
        participants::insert(&mut tx, &new, "a test", now).await.expect("insert");
        all.push(new.id);
    }
    ground.agent.world().deaf.extend(all.iter().step_by(10));
    tx.commit().await.expect("commit");

    let mut tasks = JoinSet::new();
    agent_at_work(&ground, &mut tasks);
    let cancelled = CancellationToken::new();
    let (control, token) = (control(&ground), cancelled.clone());
    let begun = Instant::now();
    tasks.spawn(async move { control.run(token).await.expect("run") });
    // Those that hang give up only after `engine::BOUND`: with fewer turns at once than there are
    // slow machines, or one after the other, the rest would not be there before that.
    let bound = howdah_control::engine::BOUND - Duration::from_secs(2);
    loop {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from machines where kind = 'participant' and state = 'available'",
        )
        .fetch_one(&ground.pool)
        .await
        .expect("count");
        if count == 90 {
            break;
        }
        if begun.elapsed() > bound {
            ground.dump().await;
            panic!("only {count} of 90 after {:?}", begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cancelled.cancel();
    tasks.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_control_plane_provisions_resets_and_destroys_and_tells_who_waits() {
    use howdah_model::operation::Operation;
    let ground = ground().await;
    let mut tasks = JoinSet::new();
    agent_at_work(&ground, &mut tasks);
    let cancelled = CancellationToken::new();
    let control = control(&ground);
    let (running, token) = (control.clone(), cancelled.clone());
    tasks.spawn(async move { running.run(token).await.expect("run") });
    let bound = Duration::from_secs(30);
    let app = ground.apps[0];
    let (id, operation) = ground.ask_for_database(app, "hobby-dev", 1).await;
    assert_eq!(control.wait_for_operation(operation, bound).await.expect("wait"), Outcome::Done);
    assert!(!control.installed().await.expect("installed").is_empty());
    for kind in [Operation::Reset, Operation::Destroy] {
        let operation = ground.ask(kind, id, app).await.expect("not refused");
        let outcome = control.wait_for_operation(operation, bound).await.expect("wait");
        assert_eq!(outcome, Outcome::Done, "{kind}");
    }
    assert!(control.routes().borrow().version > 0);
    cancelled.cancel();
    tasks.shutdown().await;
}
