//! Machines on a real PostgreSQL: claims, wakes, changes of state, and who may write them.

use std::time::Duration;

use howdah_model::ids::{ParticipantId, ServerId, TransferId};
use howdah_model::machine::{Kind, Machine};
use howdah_model::operation::promote::{Promote, State};
use howdah_model::participant;
use howdah_store::machines::{self, Lease, Rest, Stored};
use howdah_store::wakes::Changed;
use howdah_store::{Error, Store, Tx, transitions, wakes};
use howdah_testkit::scratch::Scratch;
use jiff::Timestamp;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const HOLD: Duration = Duration::from_secs(15);

struct Ground {
    store: Store,
    _scratch: Scratch,
}

impl Ground {
    async fn new() -> Self {
        let scratch = Scratch::start().await;
        let store = Store::connect(&scratch.url(), 5).await.expect("connect");
        store.migrate().await.expect("migrate");
        store.migrate().await.expect("migrate again");
        Self { store, _scratch: scratch }
    }

    async fn tx(&self) -> Tx {
        self.store.begin().await.expect("begin")
    }

    /// New machines, all due at once.
    async fn machines(&self, count: usize) -> Vec<Uuid> {
        let mut tx = self.tx().await;
        let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
        for id in &ids {
            machines::insert::<Promote>(&mut tx, *id, "a test", NOW).await.expect("insert");
        }
        tx.commit().await.expect("commit");
        ids
    }

    async fn claim(&self, at: Timestamp, limit: u32) -> (Uuid, Vec<Stored>) {
        let token = Uuid::new_v4();
        let mut tx = self.store.begin_relaxed().await.expect("begin");
        let claimed = machines::claim(&mut tx, token, at, HOLD, limit).await.expect("claim");
        tx.commit().await.expect("commit");
        (token, claimed)
    }

    async fn rest(&self, token: Uuid, id: Uuid, wake_at: Timestamp) {
        let rest = Rest { id, wake_at, attempt: 3, last_error: Some("no luck".to_owned()) };
        let mut tx = self.tx().await;
        machines::rest(&mut tx, token, &[rest]).await.expect("rest");
        tx.commit().await.expect("commit");
    }

    async fn wake(&self, ids: &[Uuid]) {
        let mut tx = self.tx().await;
        wakes::insert(&mut tx, ids).await.expect("wake");
        tx.commit().await.expect("commit");
    }

    async fn get(&self, id: Uuid) -> Stored {
        let mut conn = self.store.reader().get().await.expect("a connection");
        machines::get(&mut conn, id).await.expect("get").expect("there")
    }

    async fn next_due(&self) -> Option<Timestamp> {
        let mut conn = self.store.reader().get().await.expect("a connection");
        machines::next_due(&mut conn).await.expect("ask")
    }

    async fn goto(&self, lease: Lease, from: State, to: State) -> Result<(), Error> {
        let mut tx = self.tx().await;
        machines::goto::<Promote>(&mut tx, lease, from, to, "because", NOW).await?;
        tx.commit().await
    }
}

fn ids(claimed: &[Stored]) -> Vec<Uuid> {
    claimed.iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn k11_each_machine_is_claimed_by_one_and_again_when_the_claim_has_run_out() {
    let ground = Ground::new().await;
    assert_eq!(ground.next_due().await, None);
    let all = ground.machines(5).await;
    assert_eq!(ground.next_due().await, Some(NOW));
    let (_, first) = ground.claim(NOW, 3).await;
    let (_, second) = ground.claim(NOW, 9).await;
    assert_eq!(ids(&first), all[..3], "longest due first, then in the order of their making");
    assert_eq!(ids(&second), all[3..]);
    let one = &first[0];
    assert_eq!((one.kind, one.state.as_str()), (Kind::Promote, "requested"));
    assert_eq!(ground.claim(NOW + HOLD / 2, 9).await.1, []);
    assert_eq!(ground.next_due().await, Some(NOW + HOLD));
    assert_eq!(ground.claim(NOW + HOLD, 9).await.1.len(), 5, "their worker is believed dead");
}

#[tokio::test]
async fn a_claim_passes_by_what_another_is_claiming_at_the_moment() {
    let ground = Ground::new().await;
    let all = ground.machines(3).await;
    let mut tx = ground.tx().await;
    let mine = machines::claim(&mut tx, Uuid::new_v4(), NOW, HOLD, 1).await.expect("claim");
    let (_, others) = ground.claim(NOW, 9).await;
    assert_eq!((ids(&mine), ids(&others)), (all[..1].to_vec(), all[1..].to_vec()));
}

#[tokio::test]
async fn a_wake_during_a_tick_is_not_slept_over() {
    let ground = Ground::new().await;
    let id = ground.machines(1).await[0];
    let (token, _) = ground.claim(NOW, 1).await;
    ground.wake(&[id, Uuid::now_v7()]).await;
    let later = NOW + Duration::from_secs(3600);
    ground.rest(token, id, later).await;
    assert!(ground.next_due().await.is_some_and(|due| due <= NOW), "it is due at once");
    let (token, claimed) = ground.claim(NOW, 1).await;
    assert_eq!(ids(&claimed), [id]);
    assert_eq!((claimed[0].attempt, claimed[0].last_error.as_deref()), (3, Some("no luck")));
    ground.rest(token, id, later).await;
    assert_eq!(ground.claim(NOW, 1).await.1, [], "one wake is one look");
    assert_eq!(ground.next_due().await, Some(later));
}

#[tokio::test]
async fn only_the_claim_that_holds_lets_go_moves_or_acts() {
    let ground = Ground::new().await;
    let id = ground.machines(1).await[0];
    let (old, _) = ground.claim(NOW, 1).await;
    let (new, _) = ground.claim(NOW + HOLD, 1).await;
    let (lost, holds) = (Lease { id, token: old }, Lease { id, token: new });
    ground.rest(old, id, NOW).await;
    assert_eq!(ground.claim(NOW + HOLD, 1).await.1, [], "whoever lost it lets go of nothing");

    let mut tx = ground.tx().await;
    let fenced = machines::fence(&mut tx, lost, "requested").await;
    assert!(matches!(fenced, Err(Error::Gone { what: machines::CLAIM })));
    let fenced = machines::fence(&mut tx, holds, "done").await;
    assert!(matches!(fenced, Err(Error::Gone { what: machines::CLAIM })), "another state");
    machines::fence(&mut tx, holds, "requested").await.expect("it holds");
    drop(tx);

    let moved = ground.goto(lost, State::Requested, State::Done).await;
    assert!(matches!(moved, Err(Error::Gone { .. })));
    ground.goto(holds, State::Requested, State::Done).await.expect("it holds");
    let again = ground.goto(holds, State::Requested, State::Done).await;
    assert!(matches!(again, Err(Error::Gone { .. })));
    let stored = ground.get(id).await;
    assert!(stored.over && stored.state == "done" && stored.attempt == 0);
    ground.wake(&[id]).await;
    assert_eq!(ground.claim(NOW + HOLD, 9).await.1, [], "at its end it is never looked at again");
    assert_eq!(ground.next_due().await, None);
}

#[tokio::test]
async fn every_change_of_state_is_kept_with_its_reason_until_it_is_old() {
    let ground = Ground::new().await;
    let id = ground.machines(1).await[0];
    let (token, _) = ground.claim(NOW, 1).await;
    ground.goto(Lease { id, token }, State::Requested, State::Undone).await.expect("it holds");
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let all = transitions::list(&mut conn, &[id]).await.expect("list");
    let said: Vec<_> =
        all.iter().map(|one| (one.from.as_deref(), one.to.as_str(), one.reason.as_str())).collect();
    assert_eq!(said, [(None, "requested", "a test"), (Some("requested"), "undone", "because")]);
    assert_eq!((all[1].kind, all[1].at), (Promote::KIND, NOW));
    let mut tx = ground.tx().await;
    assert_eq!(transitions::delete_before(&mut tx, NOW, 9).await.expect("delete"), 0);
    let later = NOW + Duration::from_secs(1);
    assert_eq!(transitions::delete_before(&mut tx, later, 1).await.expect("delete"), 1);
    assert_eq!(transitions::delete_before(&mut tx, later, 9).await.expect("delete"), 1);
}

#[tokio::test]
async fn a_transaction_that_is_not_committed_changes_nothing_and_notifies_nobody() {
    let ground = Ground::new().await;
    let mut listener = ground.store.listen(&[machines::DUE]).await.expect("listen");
    let mut tx = ground.tx().await;
    machines::insert::<participant::Participant>(&mut tx, Uuid::now_v7(), "a test", NOW)
        .await
        .expect("insert");
    drop(tx);
    assert_eq!(ground.next_due().await, None);
    ground.machines(1).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await;
    assert_eq!(heard.expect("in time").expect("heard").channel(), machines::DUE);
    assert!(listener.next_buffered().is_none(), "only the one that was committed");
}

#[tokio::test]
async fn wakes_of_machines_at_their_end_are_swept() {
    let ground = Ground::new().await;
    let id = ground.machines(1).await[0];
    let (token, _) = ground.claim(NOW, 1).await;
    // A wake that was on its way while the machine came to its end.
    let mut late = ground.tx().await;
    wakes::insert(&mut late, &[id]).await.expect("wake");
    ground.goto(Lease { id, token }, State::Requested, State::Done).await.expect("it holds");
    late.commit().await.expect("commit");
    let mut tx = ground.tx().await;
    wakes::sweep(&mut tx).await.expect("sweep");
    tx.commit().await.expect("commit");
    assert_eq!(ground.next_due().await, None);
}

#[tokio::test]
async fn a_change_that_concerns_nobody_wakes_nobody() {
    let ground = Ground::new().await;
    let changed = Changed {
        servers: vec![ServerId::new()],
        participants: vec![ParticipantId::new()],
        with_databases: vec![ParticipantId::new()],
        applied: vec![ParticipantId::new()],
        databases: vec!["d1".parse().expect("a name")],
        transfers: vec![TransferId::new()],
    };
    let mut tx = ground.tx().await;
    wakes::insert_for(&mut tx, &changed).await.expect("wake");
    tx.commit().await.expect("commit");
    assert_eq!(ground.next_due().await, None);
}
