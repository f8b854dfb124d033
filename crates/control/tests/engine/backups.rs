//! Schedules and what is kept, over sixty days of a clock; what agents forget; what is given up.

use std::time::Duration;

use howdah_control::clock::Clock as _;
use howdah_model::backup::{Cause, Plan};
use howdah_model::ids::{DatabaseId, OperationId, TransferId};
use howdah_model::operation::provision::How;
use howdah_model::operation::{Operation, Outcome};
use howdah_model::schedule::Hour;
use howdah_model::transfer::From;
use howdah_store::schedules::Schedule;
use howdah_store::transfers::Transfer;
use howdah_store::{backup_plans, databases, operations, schedules, transfers};

use crate::ground::{Ground, Worker};

const A_WHILE: Duration = Duration::from_secs(90);
const HOUR: Duration = Duration::from_secs(3600);

struct Town {
    ground: Ground,
    worker: Worker,
    id: DatabaseId,
}

impl Town {
    async fn new() -> Self {
        let ground = Ground::new(1).await;
        let mut worker = ground.worker(0).await;
        let (id, _) = ground.ask_for_database(ground.apps[0], "standard-0", 1).await;
        ground.settle(&mut worker, A_WHILE).await;
        let app = ground.apps[0];
        ground.ask(Operation::Promote, id, app).await.expect("not refused");
        ground.settle(&mut worker, A_WHILE).await;
        Self { ground, worker, id }
    }

    async fn plan(&self, plan: &str) {
        let now = self.ground.stage.now();
        let plan = Plan::find(plan).expect("a plan");
        let name = "pgbackups-brave-00001".parse().expect("a name");
        let mut tx = self.ground.store.begin().await.expect("begin");
        let next = Some(now + 24 * HOUR);
        backup_plans::set(&mut tx, self.ground.apps[0], &name, plan, next, now).await.expect("set");
        tx.commit().await.expect("commit");
    }

    async fn settle(&mut self) {
        self.ground.settle(&mut self.worker, A_WHILE).await;
    }

    /// Some days go by, an hour at a time.
    async fn days(&mut self, days: u32) {
        for _ in 0..days * 4 {
            self.ground.stage.pass(6 * HOUR);
            self.ground.show(&self.worker).await;
            self.settle().await;
            let begun = self.worker.control.run_schedules().await.expect("run schedules");
            if begun > 0 {
                self.settle().await;
            }
        }
        self.worker.control.erase_dumps().await.expect("erase");
    }

    async fn all(&self) -> Vec<Transfer> {
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        transfers::list_of_app(&mut conn, self.ground.apps[0]).await.expect("list")
    }

    async fn outcome(&self, id: OperationId) -> Outcome {
        let mut conn = self.ground.store.reader().get().await.expect("a connection");
        operations::get(&mut conn, id).await.expect("get").expect("there").outcome
    }
}

#[tokio::test]
async fn e11_e12_auto_month_keeps_seven_days_and_five_weeks_of_what_is_primary_then() {
    let mut town = Town::new().await;
    let manual = town.ground.ask(Operation::Capture, town.id, town.ground.apps[0]).await;
    town.settle().await;
    assert_eq!(town.outcome(manual.expect("not refused")).await, Outcome::Done);
    town.plan("auto-month").await;
    town.days(2).await;
    let labels: Vec<_> = town.all().await.iter().map(Transfer::label).collect();
    assert_eq!(labels, ["b001", "a002", "a003"], "E8, E11");
    let (other, _) = town.ground.ask_for_database(town.ground.apps[0], "hobby-dev", 2).await;
    town.settle().await;
    let app = town.ground.apps[0];
    town.ground.ask(Operation::Promote, other, app).await.expect("not refused");
    town.settle().await;
    town.days(58).await;
    let all = town.all().await;
    let automatic: Vec<_> = all.iter().filter(|one| one.cause == Cause::Automatic).collect();
    assert_eq!(automatic.len(), 7 + 5, "{automatic:?}");
    assert_eq!(automatic.last().expect("some").database_id, other, "the new primary");
    assert_eq!(automatic.last().expect("some").number, 61, "one a day");
    assert_eq!(all.len(), 13, "the manual one is not touched");
    let dumps = town.ground.agent.world().transfers.dumps.clone();
    assert_eq!(dumps, all.iter().map(|one| one.id).collect(), "what is listed is what is there");
}

#[tokio::test]
async fn e13_a_schedule_runs_once_a_day_also_after_an_outage_and_waits_for_what_is_in_its_way() {
    let mut town = Town::new().await;
    let (app, now) = (town.ground.apps[0], town.ground.stage.now());
    let hour: Hour = "7".parse().expect("an hour");
    let new = Schedule {
        id: uuid::Uuid::now_v7(),
        app_id: app,
        database_id: town.id,
        name: "DATABASE_URL".to_owned(),
        by_name: true,
        hour,
        zone: "Europe/Berlin".to_owned(),
        next_at: now,
        created_at: now,
    };
    let mut tx = town.ground.store.begin().await.expect("begin");
    schedules::insert(&mut tx, &new).await.expect("insert");
    tx.commit().await.expect("commit");
    // It was due several times while nobody looked.
    town.ground.stage.pass(80 * HOUR);
    town.ground.show(&town.worker).await;
    town.settle().await;
    town.ground.ask(Operation::Reset, town.id, app).await.expect("not refused");
    assert_eq!(town.worker.control.run_schedules().await.expect("run"), 0, "it is being reset");
    town.settle().await;
    assert_eq!(town.worker.control.run_schedules().await.expect("run"), 1, "once for all");
    assert_eq!(town.worker.control.run_schedules().await.expect("run"), 0);
    town.settle().await;
    town.days(9).await;
    let all = town.all().await;
    assert_eq!(all.len(), 7, "a schedule keeps seven days without a plan: {all:?}");
    assert!(all.iter().all(|one| one.schedule_id == Some(new.id) && one.succeeded == Some(true)));
}

#[tokio::test]
async fn e9_an_agent_that_forgets_again_and_again_is_given_up_and_what_it_left_is_erased() {
    let mut town = Town::new().await;
    let asked = town.ground.ask(Operation::Capture, town.id, town.ground.apps[0]).await;
    let asked = asked.expect("not refused");
    for _ in 0..100 {
        if town.outcome(asked).await != Outcome::Running {
            break;
        }
        town.ground.work(&mut town.worker).await;
        town.ground.agent.restart();
        town.ground.show(&town.worker).await;
        town.ground.stage.pass(Duration::from_secs(1));
    }
    assert_eq!(town.outcome(asked).await, Outcome::Undone);
    let one = town.all().await.pop().expect("it is listed");
    assert_eq!((one.succeeded, one.attempts), (Some(false), 3), "{one:?}");
    let why = one.error.as_deref().unwrap_or_default();
    assert!(why.contains("began anew"), "{why}");
    // A dump that came to its end after all, as the agent was only away.
    let dump = TransferId(asked.0);
    town.ground.agent.world().transfers.dumps.insert(dump);
    town.worker.control.erase_dumps().await.expect("erase");
    assert!(town.ground.agent.world().transfers.dumps.is_empty());
}

#[tokio::test]
async fn e29_what_is_cancelled_leaves_the_database_as_it_was() {
    let mut town = Town::new().await;
    let app = town.ground.apps[0];
    let asked = town.ground.ask(Operation::Restore, town.id, app).await.expect("not refused");
    while town.ground.agent.world().transfers.begun.is_empty() {
        town.ground.work(&mut town.worker).await;
    }
    town.ground.agent.step();
    town.ground.show(&town.worker).await;
    town.ground.cancel(asked).await;
    town.settle().await;
    assert_eq!(town.outcome(asked).await, Outcome::Undone);
    let one = town.all().await.pop().expect("it is listed");
    assert!(one.canceled_at.is_some() && one.source_url.is_none(), "{one:?}");
    assert!(town.ground.agent.world().transfers.filled.is_empty(), "something of it is left");

    // The order to begin was late, and reached an agent that has forgotten the order to end.
    let spec = town.ground.agent.world().transfers.spec(TransferId(asked.0));
    town.ground.agent.restart();
    town.ground.agent.world().transfers.arrive(spec);
    while town.ground.agent.step() {}
    assert_eq!(town.ground.agent.world().transfers.filled.len(), 1);
    town.ground.show(&town.worker).await;
    town.worker.control.erase_dumps().await.expect("break off");
    assert!(town.ground.agent.world().transfers.filled.is_empty(), "it was taken back again");
}

#[tokio::test]
async fn c14_backups_go_with_their_database_once_it_cannot_be_brought_back() {
    let mut town = Town::new().await;
    let app = town.ground.apps[0];
    let asked = town.ground.ask(Operation::Capture, town.id, app).await.expect("not refused");
    town.settle().await;
    let dump = TransferId(asked.0);
    town.ground.ask(Operation::Destroy, town.id, app).await.expect("not refused");
    town.settle().await;
    assert_eq!(town.all().await, [], "nobody sees them");
    let erase = async |town: &Town| {
        town.ground.show(&town.worker).await;
        town.worker.control.erase_dumps().await.expect("erase");
        town.ground.agent.world().transfers.dumps.contains(&dump)
    };
    assert!(erase(&town).await, "it may be brought back");
    town.ground.stage.pass(23 * HOUR);
    assert!(erase(&town).await, "it may be brought back");
    town.ground.stage.pass(2 * HOUR);
    assert!(!erase(&town).await, "its time is over");
}

#[tokio::test]
async fn e7_a_backup_is_read_from_a_follower_that_streams_and_is_near() {
    let mut town = Town::new().await;
    let app = town.ground.apps[0];
    let follower = town.ground.ask_for_copy(app, How::Follow, town.id, 2).await;
    let (follower, _) = follower.expect("it has data");
    town.settle().await;
    let houses = async |town: &Town| {
        let mut conn = town.ground.store.reader().get().await.expect("a connection");
        let all = databases::list_placed(&mut conn, &[town.id.0, follower.0]).await.expect("list");
        let at = |id| all.iter().find(|one| one.database.id == id);
        let at = |id| at(id).and_then(|one| one.database.participant_id).expect("placed");
        (at(town.id), at(follower))
    };
    let (leader, standby) = houses(&town).await;
    let read_from = async |town: &mut Town| {
        let asked = town.ground.ask(Operation::Capture, town.id, app).await.expect("not refused");
        town.settle().await;
        assert_eq!(town.outcome(asked).await, Outcome::Done);
        match town.ground.agent.world().transfers.spec(TransferId(asked.0)).from {
            From::Database { participant, .. } => participant,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read_from(&mut town).await, standby);
    // It lags behind: its leader has written a lot that it has not replayed.
    town.ground.agent.world().housed.get_mut(&leader).expect("there").lsn += 1 << 30;
    town.ground.show(&town.worker).await;
    assert_eq!(read_from(&mut town).await, leader);
}
