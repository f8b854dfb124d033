//! Databases, their participants and the operations on them, on a real PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use howdah_model::agent::{Incarnation, Revision, Wanted};
use howdah_model::database;
use howdah_model::ids::{
    AccountId, AppId, CredentialId, DatabaseId, OperationId, ParticipantId, ServerId,
};
use howdah_model::operation::{Operation, Outcome};
use howdah_model::permission::Permission;
use howdah_model::plan::{self, Plan};
use howdah_model::version::Major;
use howdah_store::accounts::{self, Account};
use howdah_store::credentials::{self, Credential};
use howdah_store::observations::{self, Observation};
use howdah_store::operations::{self, New, NotAdmitted};
use howdah_store::participants::{self, New as NewParticipant};
use howdah_store::servers::{self, Server};
use howdah_store::wakes::Changed;
use howdah_store::{
    Connection, Error, Sealed, Store, Tx, apps, databases, machines, placement, routes, wakes,
};
use howdah_testkit::scratch::Scratch;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const MAJOR: Major = Major(15);

struct Ground {
    store: Store,
    app: AppId,
    server: ServerId,
    _scratch: Scratch,
}

fn plan(name: &str) -> &'static Plan {
    plan::find(name).expect("a plan")
}

impl Ground {
    async fn new() -> Self {
        let scratch = Scratch::start().await;
        let store = Store::connect(&scratch.url(), 5).await.expect("connect");
        store.migrate().await.expect("migrate");
        let (app, server) = (AppId::new(), ServerId::new());
        let ground = Self { store, app, server, _scratch: scratch };
        let owner = AccountId::new();
        let account = Account { id: owner, email: "a@b.c".into(), name: None, created_at: NOW };
        let mut tx = ground.tx().await;
        accounts::insert(&mut tx, &account, None).await.expect("insert an account");
        let name = "demo".parse().expect("a name");
        apps::insert(&mut tx, app, &name, owner, "us", NOW).await.expect("insert an app");
        servers::register(&mut tx, &ground.server("one")).await.expect("register");
        tx.commit().await.expect("commit");
        ground
    }

    fn server(&self, name: &str) -> Server {
        Server {
            id: self.server,
            name: name.to_owned(),
            region: "us".to_owned(),
            agent: "/run/agent.sock".to_owned(),
            created_at: NOW,
        }
    }

    async fn tx(&self) -> Tx {
        self.store.begin().await.expect("begin")
    }

    async fn database(&self, tx: &mut Tx, number: usize, plan: &'static Plan) -> DatabaseId {
        let id = DatabaseId::new();
        let new = databases::New {
            id,
            addon_name: &format!("postgresql-{number}").parse().expect("a name"),
            app_id: self.app,
            plan,
            major: MAJOR,
            name: &format!("d{number}").parse().expect("a name"),
            inherits: None,
        };
        databases::insert(tx, &new, NOW).await.expect("insert a database");
        let credential = Credential {
            id: CredentialId::new(),
            database_id: id,
            name: credentials::DEFAULT.to_owned(),
            role: format!("u{number}").parse().expect("a name"),
            password: Sealed(vec![1, 2, 3]),
            verifier: "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy".parse().expect("a verifier"),
            permission: Permission::None,
            created_at: NOW,
            revoked_at: None,
        };
        credentials::insert(tx, &credential).await.expect("insert a credential");
        id
    }

    async fn participant(&self, tx: &mut Tx, part: (bool, bool)) -> ParticipantId {
        let id = ParticipantId::new();
        let new = NewParticipant {
            id,
            server_id: self.server,
            major: MAJOR,
            plan: plan("standard-0"),
            shared: part.0,
            pooled: part.1,
        };
        participants::insert(tx, &new, "a test", NOW).await.expect("insert a participant");
        id
    }

    fn asked(&self, kind: Operation, database_id: DatabaseId) -> New {
        New {
            id: OperationId::new(),
            kind,
            database_id,
            app_id: self.app,
            account_id: None,
            arguments: json!({}),
        }
    }
}

async fn ask(tx: &mut Tx, new: &New) -> Result<OperationId, String> {
    match operations::insert(tx, new, NOW).await {
        Ok(()) => Ok(new.id),
        Err(NotAdmitted::Refused { why, .. }) => Err(why.to_owned()),
        Err(NotAdmitted::Store(error)) => panic!("{error}"),
    }
}

async fn get(conn: &mut Connection, id: OperationId) -> operations::Operation {
    operations::get(conn, id).await.expect("get").expect("there")
}

#[tokio::test]
async fn the_conflict_matrix_holds_and_a_destroy_cancels_what_runs() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let id = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    let asked = |kind| ground.asked(kind, id);
    let provision = ask(&mut tx, &asked(Operation::Provision)).await.expect("nothing runs");
    let refused = ask(&mut tx, &asked(Operation::Reset)).await;
    assert_eq!(refused, Err("it is still being made".to_owned()));
    let promote = ask(&mut tx, &asked(Operation::Promote)).await.expect("both go on");
    let refused = ask(&mut tx, &asked(Operation::Promote)).await;
    assert_eq!(refused, Err("it is being promoted already".to_owned()));
    let destroy = ask(&mut tx, &asked(Operation::Destroy)).await.expect("it supersedes");
    for superseded in [provision, promote] {
        assert!(get(&mut tx, superseded).await.cancelled_at.is_some());
    }
    let refused = ask(&mut tx, &asked(Operation::Destroy)).await;
    assert_eq!(refused, Err("it is being destroyed".to_owned()));
    assert!(!operations::cancel(&mut tx, promote, NOW).await.expect("cancel"), "it is already");

    operations::record(&mut tx, destroy, Outcome::Done, Some(NOW)).await.expect("record");
    let done = get(&mut tx, destroy).await;
    assert_eq!((done.outcome, done.finished_at), (Outcome::Done, Some(NOW)));
    assert_eq!((done.kind, done.state.as_str()), (Operation::Destroy, "requested"));
    let running = operations::unfinished(&mut tx, id).await.expect("list");
    assert_eq!(running.len(), 2);
    let all = operations::list_of_app(&mut tx, ground.app, 2).await.expect("list");
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [destroy, promote]);
    assert!(!operations::was_published(&mut tx, id).await.expect("ask"));
    operations::asked_for(&mut tx, promote, Incarnation(2)).await.expect("record");
    assert_eq!(get(&mut tx, promote).await.incarnation, Some(Incarnation(2)));
}

#[tokio::test]
async fn two_who_ask_at_once_are_decided_one_after_the_other() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let id = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    tx.commit().await.expect("commit");
    let (one, other) = (ground.asked(Operation::Reset, id), ground.asked(Operation::Reset, id));
    let first = async {
        let mut tx = ground.tx().await;
        let asked = ask(&mut tx, &one).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        tx.commit().await.expect("commit");
        asked
    };
    let second = async {
        let mut tx = ground.tx().await;
        let asked = ask(&mut tx, &other).await;
        tx.commit().await.expect("commit");
        asked
    };
    let (first, second) = tokio::join!(first, second);
    let refused = [&first, &second].into_iter().filter(|asked| asked.is_err()).count();
    assert_eq!(refused, 1, "{first:?} {second:?}");
    let gone = ground.asked(Operation::Reset, DatabaseId::new());
    let mut tx = ground.tx().await;
    let error = operations::insert(&mut tx, &gone, NOW).await.expect_err("no such database");
    assert!(matches!(error, NotAdmitted::Store(Error::Gone { what: "the database" })));
}

#[tokio::test]
async fn a_database_is_placed_emptied_withdrawn_and_removed() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let id = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    let name = "postgresql-1".parse().expect("a name");
    let found = databases::find(&mut tx, &name).await.expect("find").expect("there");
    assert_eq!(
        (found.id, found.participant_id, found.state),
        (id, None, database::State::Preparing)
    );
    let participant = ground.participant(&mut tx, (true, false)).await;
    let revision = participants::raise(&mut tx, participant).await.expect("raise");
    assert_eq!(revision, Revision(2));
    placement::place(&mut tx, id, participant, revision).await.expect("place");
    let placed = databases::list_placed(&mut tx, &[id.0]).await.expect("list").remove(0);
    assert_eq!((placed.server_id, placed.participant_removed), (Some(ground.server), false));
    assert_eq!(databases::list_live(&mut tx).await.expect("list"), [placed]);
    let revision = participants::raise(&mut tx, participant).await.expect("raise");
    let extensions = ["hstore".to_owned()];
    let next = databases::want_incarnation(
        &mut tx,
        id,
        revision,
        databases::Content::Extensions(&extensions),
    )
    .await;
    assert_eq!(next.expect("want"), Incarnation(2));
    let wanted = databases::list_wanted(&mut tx, participant).await.expect("list").remove(0);
    assert_eq!((wanted.incarnation, wanted.revision), (Incarnation(2), Revision(3)));
    assert_eq!(wanted.extensions, extensions);
    let roles = credentials::list_of_participant(&mut tx, participant).await.expect("list");
    assert_eq!(roles.len(), 1);

    databases::withdraw(&mut tx, id, &withdrawn(Some(Revision(4))), NOW).await.expect("withdraw");
    credentials::revoke_all(&mut tx, id, NOW).await.expect("revoke");
    assert!(databases::list_wanted(&mut tx, participant).await.expect("list").is_empty());
    assert!(credentials::list(&mut tx, id).await.expect("list").is_empty());
    let default = credentials::find(&mut tx, id, credentials::DEFAULT).await.expect("find");
    assert_eq!(default, None);
    databases::removed(&mut tx, id, NOW).await.expect("remove");
    assert_eq!(databases::find(&mut tx, &name).await.expect("find"), None);
    assert!(databases::list_of_app(&mut tx, ground.app).await.expect("list").is_empty());
    let gone = databases::get(&mut tx, id).await.expect("get").expect("the row stays");
    assert_eq!((gone.wanted, gone.removed_at), (Wanted::Absent, Some(NOW)));
    let renamed = databases::rename(&mut tx, id, &name).await;
    assert!(matches!(renamed, Err(Error::Gone { .. })));
}

#[tokio::test]
async fn routes_are_the_credentials_with_how_their_databases_fare() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let (one, two) = (
        ground.database(&mut tx, 1, plan("hobby-dev")).await,
        ground.database(&mut tx, 2, plan("standard-0")).await,
    );
    let participant = ground.participant(&mut tx, (false, false)).await;
    placement::place(&mut tx, two, participant, Revision(1)).await.expect("place");
    let dirs = [(participant, "/s/1".to_owned())];
    assert!(participants::socket_dirs(&mut tx, &dirs).await.expect("record"), "it is news");
    assert!(!participants::socket_dirs(&mut tx, &dirs).await.expect("record"), "it is not");
    credentials::revoke_all(&mut tx, one, NOW).await.expect("revoke");
    routes::changed(&mut tx).await.expect("tell");
    let before = NOW.checked_sub(Duration::from_secs(1)).expect("a time");
    let all = routes::list(&mut tx, before, NOW).await.expect("list");
    assert_eq!(all.iter().map(|one| one.role.as_str()).collect::<Vec<_>>(), ["u1", "u2"]);
    assert_eq!((all[0].revoked_at, &all[0].socket_dir), (Some(NOW), &None));
    assert_eq!((all[1].database_id, all[1].plan.name), (two, "standard-0"));
    assert_eq!(all[1].socket_dir, Some(PathBuf::from("/s/1")));
    assert_eq!(
        routes::list(&mut tx, NOW, NOW).await.expect("list").len(),
        1,
        "the other is too old"
    );
}

#[tokio::test]
async fn placement_finds_shared_participants_with_room_and_takes_each_pooled_one_once() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let locked = servers::lock_region(&mut tx, "us").await.expect("lock");
    assert_eq!(locked, [ground.server]);
    assert!(servers::lock_region(&mut tx, "eu").await.expect("lock").is_empty());
    servers::lock(&mut tx, ground.server).await.expect("lock");
    assert_eq!(placement::region(&mut tx, ground.app).await.expect("region"), "us");
    assert_eq!(placement::shared(&mut tx, ground.server, MAJOR, 9).await.expect("find"), None);
    let shared = ground.participant(&mut tx, (true, false)).await;
    let found = placement::shared(&mut tx, ground.server, MAJOR, 1).await.expect("find");
    assert_eq!(found, Some(shared));
    assert_eq!(
        placement::shared(&mut tx, ground.server, Major(18), 1).await.expect("find"),
        None,
        "another version"
    );
    let id = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    placement::place(&mut tx, id, shared, Revision(1)).await.expect("place");
    assert_eq!(placement::shared(&mut tx, ground.server, MAJOR, 1).await.expect("find"), None);

    let (old, new) = (
        ground.participant(&mut tx, (false, true)).await,
        ground.participant(&mut tx, (false, true)).await,
    );
    assert_eq!(placement::count_pooled(&mut tx, ground.server, MAJOR).await.expect("count"), 2);
    let surplus = placement::surplus(&mut tx, ground.server, MAJOR, 1).await.expect("list");
    assert_eq!(surplus, [new]);
    let surplus = placement::surplus(&mut tx, ground.server, Major(18), 1).await.expect("list");
    assert_eq!(surplus, [old, new], "the default version has changed");
    let premium = plan("premium-0");
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(
            placement::take_pooled(&mut tx, ground.server, MAJOR, premium).await.expect("take"),
        );
    }
    assert_eq!(taken, [Some(old), Some(new), None]);
    let row = participants::get(&mut tx, old).await.expect("get").expect("there");
    assert!(!row.pooled && row.plan == premium);
}

#[tokio::test]
async fn a_participant_counts_what_it_is_told_and_a_restart_is_asked_for_once() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let id = ground.participant(&mut tx, (false, false)).await;
    assert!(participants::restart(&mut tx, id, Revision(1)).await.expect("ask"));
    assert!(!participants::restart(&mut tx, id, Revision(1)).await.expect("ask"), "felt before");
    participants::outgrow(&mut tx, id, Revision(7)).await.expect("outgrow");
    participants::outgrow(&mut tx, id, Revision(3)).await.expect("nothing to do");
    participants::want_absent(&mut tx, id, NOW).await.expect("want");
    participants::told(&mut tx, id, Revision(8), 40).await.expect("told");
    participants::told(&mut tx, id, Revision(7), 99).await.expect("older news");
    let row = participants::get(&mut tx, id).await.expect("get").expect("there");
    assert_eq!((row.restarts, row.revision, row.wanted), (1, Revision(8), Wanted::Absent));
    assert_eq!((row.told_revision, row.told_change), (Some(Revision(8)), Some(40)));
    assert!(participants::list_removed(&mut tx, &[id]).await.expect("list").is_empty());
    participants::removed(&mut tx, id, NOW).await.expect("remove");
    assert_eq!(participants::list_removed(&mut tx, &[id]).await.expect("list"), [id]);
    let none = participants::raise(&mut tx, ParticipantId::new()).await;
    assert!(matches!(none, Err(Error::Gone { what: "the participant" })));
}

#[tokio::test]
async fn a_server_is_registered_again_with_what_has_changed() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    servers::register(&mut tx, &ground.server("renamed")).await.expect("register again");
    let all = servers::list(&mut tx).await.expect("list");
    assert_eq!(all, [ground.server("renamed")]);
    let other = Server { id: ServerId::new(), ..ground.server("renamed") };
    let taken = servers::register(&mut tx, &other).await.expect_err("the name is taken");
    assert!(taken.is_conflict("servers_name_key"));
    let mut conn = ground.store.reader().get().await.expect("a connection");
    let one = servers::get(&mut conn, ground.server).await.expect("get");
    assert_eq!(one, Some(ground.server("one")), "what failed changed nothing");
}

#[tokio::test]
async fn exactly_what_has_changed_is_woken() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let participant = ground.participant(&mut tx, (true, false)).await;
    let one = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    let two = ground.database(&mut tx, 2, plan("hobby-dev")).await;
    let homeless = ground.database(&mut tx, 3, plan("hobby-dev")).await;
    for id in [one, two] {
        placement::place(&mut tx, id, participant, Revision(1)).await.expect("place");
    }
    databases::withdraw(&mut tx, two, &withdrawn(None), NOW).await.expect("withdraw");
    let reset = ask(&mut tx, &ground.asked(Operation::Reset, one)).await.expect("nothing runs");
    tx.commit().await.expect("commit");
    let everybody = [participant.0, one.0, two.0, homeless.0, reset.0];
    let empty = Changed::default();
    let cases: [(Changed, &[Uuid]); 6] = [
        (Changed { participants: vec![participant], ..empty.clone() }, &[participant.0]),
        (Changed { with_databases: vec![participant], ..empty.clone() }, &[one.0, two.0, reset.0]),
        (Changed { applied: vec![participant], ..empty.clone() }, &[two.0]),
        (
            Changed { databases: vec!["d1".parse().expect("a name")], ..empty.clone() },
            &[one.0, reset.0],
        ),
        (Changed { servers: vec![ground.server], ..empty.clone() }, &everybody),
        (empty, &[]),
    ];
    for (changed, expected) in cases {
        asleep(&ground).await;
        let mut tx = ground.tx().await;
        wakes::insert_for(&mut tx, &changed).await.expect("wake");
        tx.commit().await.expect("commit");
        assert_eq!(woken(&ground).await, sorted(expected), "{changed:?}");
    }
    asleep(&ground).await;
    let mut tx = ground.tx().await;
    wakes::insert_for_operations(&mut tx, one).await.expect("wake");
    wakes::insert_for_databases(&mut tx, participant).await.expect("wake");
    tx.commit().await.expect("commit");
    assert_eq!(woken(&ground).await, sorted(&[one.0, two.0, reset.0]));
}

fn sorted(ids: &[Uuid]) -> Vec<Uuid> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids
}

/// Lets all machines sleep for long.
async fn asleep(ground: &Ground) {
    while !woken(ground).await.is_empty() {}
}

/// Claims all that is due and lets it sleep; answers what it was.
async fn woken(ground: &Ground) -> Vec<Uuid> {
    let token = Uuid::new_v4();
    let mut tx = ground.tx().await;
    let claimed = machines::claim(&mut tx, token, NOW, Duration::from_secs(9), 99).await;
    let claimed = claimed.expect("claim");
    let far = NOW + Duration::from_secs(99_999);
    let rest = |id| machines::Rest { id, wake_at: far, attempt: 0, last_error: None };
    let rests: Vec<_> = claimed.iter().map(|one| rest(one.id)).collect();
    machines::rest(&mut tx, token, &rests).await.expect("rest");
    tx.commit().await.expect("commit");
    sorted(&claimed.iter().map(|one| one.id).collect::<Vec<_>>())
}

#[tokio::test]
async fn k4_observations_are_a_history() {
    let ground = Ground::new().await;
    let mut tx = ground.tx().await;
    let id = ground.database(&mut tx, 1, plan("hobby-dev")).await;
    let later = NOW + Duration::from_secs(60);
    let rows = [
        Observation { connections: Some(3), ..Observation::new(id, NOW, None) },
        Observation::unavailable(id, later),
    ];
    observations::insert(&mut tx, &rows).await.expect("insert");
    let seen = observations::list(&mut tx, id, 9).await.expect("list");
    assert_eq!(seen, [rows[1].clone(), rows[0].clone()]);
    assert_eq!(observations::delete_before(&mut tx, later, 9).await.expect("delete"), 1);
    assert_eq!(observations::list(&mut tx, id, 9).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_snapshot_sees_one_moment_and_cannot_write() {
    let ground = Ground::new().await;
    let mut snapshot = ground.store.reader().snapshot().await.expect("begin");
    assert!(databases::list_live(&mut snapshot).await.expect("list").is_empty());
    let mut tx = ground.tx().await;
    ground.database(&mut tx, 1, plan("hobby-dev")).await;
    tx.commit().await.expect("commit");
    assert!(databases::list_live(&mut snapshot).await.expect("list").is_empty());
    let mut conn = ground.store.reader().get().await.expect("a connection");
    assert_eq!(databases::list_live(&mut conn).await.expect("list").len(), 1);
}

fn withdrawn(revision: Option<Revision>) -> databases::Withdrawn {
    let names = serde_json::json!([]);
    databases::Withdrawn { revision, incarnation: None, names, keep_until: None }
}
