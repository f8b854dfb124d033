//! What is kept of databases outside of them: for how long, and what is told when that goes wrong.

use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_model::agent::ServerObservation;
use howdah_model::incident::Kind;
use howdah_model::lsn::Lsn;
use howdah_model::operation::Operation;
use howdah_model::protection::{DiskStage, DrillSeen, Drilled, Protected, Trouble};
use howdah_store::incidents::{self, Incident};
use howdah_store::{databases, participants, timelines};

use crate::ground::{Ground, Worker};

const A_WHILE: Duration = Duration::from_secs(90);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn protected() -> Protected {
    Protected {
        archived: Lsn(1),
        archived_at: None,
        lag_bytes: 0,
        trouble: None,
        gap: None,
        earliest: None,
        backup: None,
        backing_up: None,
        backups: 0,
        drill: None,
        drills: 0,
    }
}

struct Watch {
    ground: Ground,
    worker: Worker,
    change: u64,
}

impl Watch {
    /// A platform with one database.
    async fn new() -> Self {
        let ground = Ground::new(1).await;
        let mut worker = ground.worker(0).await;
        ground.ask_for_database(ground.apps[0], "standard-0", 1).await;
        ground.settle(&mut worker, A_WHILE).await;
        Self { ground, worker, change: 1 << 40 }
    }

    /// The agent is seen to say this; answers the open incidents and all that there were.
    async fn see(&mut self, say: impl FnOnce(&mut ServerObservation)) -> (Vec<Incident>, usize) {
        let mut seen = self.ground.agent.observation(self.ground.stage.now());
        self.change += 1;
        seen.change = self.change;
        say(&mut seen);
        self.worker.control.observed(seen).await.expect("take an observation");
        self.note().await
    }

    async fn note(&mut self) -> (Vec<Incident>, usize) {
        self.worker.control.note_incidents().await.expect("look for incidents");
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        let open = incidents::list_open(&mut conn).await.expect("list");
        let all = incidents::list_visible(&mut conn, self.ground.account, 100).await;
        (open, all.expect("list").len())
    }
}

#[tokio::test]
async fn m11_wal_that_does_not_leave_for_five_minutes_is_an_incident_until_it_leaves_again() {
    let mut watch = Watch::new().await;
    let since = watch.ground.stage.now();
    let trouble = |what: &str| {
        let trouble = Some(Trouble { what: what.to_owned(), since });
        Some(Protected { trouble, ..protected() })
    };
    let at_first = watch.see(|seen| seen.participants[0].protected = trouble("refused")).await;
    assert_eq!(at_first, (vec![], 0), "that is no incident yet");
    watch.ground.stage.pass(5 * MINUTE);
    let (open, _) = watch.see(|seen| seen.participants[0].protected = trouble("refused")).await;
    assert_eq!((open.len(), open[0].kind, open[0].what.as_str()), (1, Kind::Archive, "refused"));
    assert_eq!(open[0].began_at.as_second(), since.as_second());
    let (other, all) =
        watch.see(|seen| seen.participants[0].protected = trouble("no such bucket")).await;
    assert_eq!((other.len(), all, other[0].id), (1, 1, open[0].id), "it is the same one");
    assert_eq!(other[0].what, "no such bucket");
    watch.ground.stage.pass(MINUTE);
    assert_eq!(watch.note().await.0.len(), 1, "a server that is silent says nothing new");
    let over = watch.see(|seen| seen.participants[0].protected = Some(protected())).await;
    assert_eq!(over, (vec![], 1), "it is over, and remembered");
}

#[tokio::test]
async fn m13_a_failed_drill_is_an_incident_until_one_succeeds_and_so_is_a_full_disk() {
    let mut watch = Watch::new().await;
    let at = watch.ground.stage.now();
    let drilled =
        |outcome| Some(Protected { drill: Some(DrillSeen { at, outcome }), ..protected() });
    let failed = Drilled::Failed { why: "an index is broken".to_owned() };
    let (open, _) = watch.see(|seen| seen.participants[0].protected = drilled(failed)).await;
    assert_eq!((open.len(), open[0].kind), (1, Kind::Drill));
    assert!(open[0].what.contains("an index is broken"), "{open:?}");
    let proven = Drilled::Proven { took_ms: 1, lost_ms: 0 };
    let (open, all) = watch
        .see(|seen| {
            seen.participants[0].protected = drilled(proven);
            seen.disk = DiskStage::Throttle;
        })
        .await;
    assert_eq!((open.len(), open[0].kind, all), (1, Kind::Disk, 2));
    let (open, all) = watch.see(|seen| seen.disk = DiskStage::Ample).await;
    assert_eq!((open.len(), all), (0, 2));
}

#[tokio::test]
async fn m12_the_archive_of_a_destroyed_database_is_kept_for_a_day_and_then_erased() {
    let mut watch = Watch::new().await;
    let (ground, worker) = (&watch.ground, &mut watch.worker);
    let rows: Vec<(uuid::Uuid,)> =
        sqlx::query_as("select id from databases").fetch_all(&ground.pool).await.expect("list");
    let id = howdah_model::ids::DatabaseId(rows[0].0);
    let timeline = {
        let mut conn = ground.store.reader().get().await.expect("a connection");
        let database = databases::get(&mut conn, id).await.expect("get").expect("there");
        let house = database.participant_id.expect("placed");
        participants::get(&mut conn, house).await.expect("get").expect("there").timeline_id
    };
    ground.ask(Operation::Destroy, id, ground.apps[0]).await.expect("not refused");
    ground.settle(worker, A_WHILE).await;
    let erase = async |worker: &Worker| {
        ground.show(worker).await;
        worker.control.erase_old().await.expect("erase");
        ground.agent.world().erased.clone()
    };
    ground.stage.pass(DAY - 10 * MINUTE);
    assert_eq!(erase(worker).await, [], "it is kept");
    ground.stage.pass(20 * MINUTE);
    assert_eq!(erase(worker).await, [timeline]);
    erase(worker).await;
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let history = timelines::history(&mut conn, timeline).await.expect("read");
    assert!(history[0].erased_at.is_some(), "the agent has said so: {history:?}");
    let due = timelines::list_due(&mut conn, ground.stage.now(), 10).await.expect("list");
    assert_eq!(due, [], "nothing is left to do");
}
