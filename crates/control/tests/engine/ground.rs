//! A store, an agent and workers to play with.

use std::sync::Arc;
use std::time::Duration;

use howdah_control::Control;
use howdah_control::clock::Clock as _;
use howdah_control::config::Config;
use howdah_control::engine::Engine;
use howdah_control::keyring::Keyring;
use howdah_model::ids::{AccountId, AppId};
use howdah_store::accounts::{self, Account};
use howdah_store::servers::{self, Server};
use howdah_store::{Store, apps, machines};
use howdah_testkit::scratch::Scratch;

use crate::agent::Agent;
use crate::chance::Chance;
use crate::stage::{Stage, Turns};

/// When the next machine is due no sooner, nothing but the steady look is left.
pub(crate) const STEADY_LOOK: Duration = Duration::from_secs(5);

/// A control plane with its worker.
pub(crate) struct Worker {
    pub(crate) control: Control,
    pub(crate) engine: Engine,
    /// Turns that were claimed and not begun.
    pub(crate) claimed: Vec<howdah_control::engine::Turn>,
    pub(crate) turns: Turns,
}

/// All that a test needs.
pub(crate) struct Ground {
    pub(crate) chance: Chance,
    pub(crate) stage: Stage,
    pub(crate) store: Store,
    pub(crate) agent: Agent,
    pub(crate) account: AccountId,
    pub(crate) apps: Vec<AppId>,
    pub(crate) pool: sqlx::PgPool,
    /// Stops the store when the test is over.
    pub(crate) scratch: Scratch,
}

impl Ground {
    pub(crate) async fn new(seed: u64) -> Self {
        let scratch = Scratch::start().await;
        let chance = Chance::new(seed);
        let stage = Stage::new(chance.clone());
        let store = Store::connect(&scratch.url(), 10).await.expect("connect to the store");
        store.migrate().await.expect("migrate the store");
        let pool = sqlx::PgPool::connect(&scratch.url()).await.expect("connect");
        let agent = Agent::new(chance.clone(), stage.clone());
        let mut ground = Self {
            chance,
            stage,
            store,
            agent,
            account: AccountId::new(),
            apps: Vec::new(),
            pool,
            scratch,
        };
        ground.furnish().await;
        ground
    }

    async fn furnish(&mut self) {
        let now = self.stage.now();
        let email = "people@example.com".to_owned();
        let account = Account { id: self.account, email, name: None, created_at: now };
        let server = Server {
            id: self.agent.world().id,
            name: "here".to_owned(),
            region: "us".to_owned(),
            agent: "/nowhere".to_owned(),
            created_at: now,
        };
        let mut tx = self.store.begin().await.expect("begin");
        accounts::insert(&mut tx, &account, None).await.expect("insert an account");
        servers::register(&mut tx, &server).await.expect("register a server");
        for index in 0..3 {
            let id = AppId::new();
            let name = format!("app-{index}").parse().expect("a name");
            apps::insert(&mut tx, id, &name, self.account, "us", now).await.expect("insert an app");
            self.apps.push(id);
        }
        tx.commit().await.expect("commit");
    }

    /// A control plane of its own on the same store, which has seen the agent once.
    pub(crate) async fn worker(&self, pool_size: u32) -> Worker {
        let config = Config { pool_size, ..Config::default() };
        let control = Control::with_servers(
            self.store.clone(),
            Keyring::new(&[7; 32]),
            config,
            Arc::new(self.stage.clone()),
            Arc::new(self.agent.clone()),
        );
        let engine = Engine::probed(control.clone(), Arc::new(self.stage.clone()));
        let worker = Worker { control, engine, claimed: Vec::new(), turns: Turns::default() };
        self.show(&worker).await;
        worker
    }

    /// The worker's watch gets the newest observation.
    pub(crate) async fn show(&self, worker: &Worker) {
        let seen = self.agent.observation(self.stage.now());
        worker.control.observed(seen).await.expect("take an observation");
    }

    /// Claims and takes turns until nothing is due, with the agent at work in between.
    pub(crate) async fn settle(&self, worker: &mut Worker, at_most: Duration) {
        let until = self.stage.now() + at_most;
        while self.stage.now() < until {
            let mut quiet = true;
            while self.agent.step() {
                quiet = false;
                self.show(worker).await;
            }
            quiet &= !self.work(worker).await;
            self.show(worker).await;
            if quiet {
                match self.next_due_in().await {
                    Some(pause) if pause < STEADY_LOOK => self.stage.pass(pause),
                    Some(_) | None => return,
                }
            }
        }
        panic!("it did not settle within {at_most:?}");
    }

    /// How long nothing will be due.
    pub(crate) async fn next_due_in(&self) -> Option<Duration> {
        let mut conn = self.store.reader().get().await.expect("a connection");
        let due = machines::next_due(&mut conn).await.expect("ask for the next")?;
        Some(Duration::try_from(due.duration_since(self.stage.now())).unwrap_or_default())
    }

    /// One round and all its turns. Answers whether anything was due.
    pub(crate) async fn work(&self, worker: &mut Worker) -> bool {
        let round = worker.engine.round(16).await.expect("a round");
        for turn in round.turns {
            worker.turns.begin(&worker.engine, turn).await;
        }
        round.claimed > 0
    }
}
