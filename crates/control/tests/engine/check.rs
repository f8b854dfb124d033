//! What must hold after every step, and what must be left at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use howdah_model::agent::{InstanceState, Role, Source, Wanted};
use howdah_model::ids::{DatabaseId, OperationId, ParticipantId, TransferId};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::operation::change_plan::Arguments;
use howdah_model::operation::{Operation, Outcome};
use howdah_store::databases::Database;
use howdah_store::operations::Operation as Row;
use howdah_store::transfers::{self, Transfer};
use howdah_store::{databases, operations};
use uuid::Uuid;

use crate::agent::Happened;
use crate::ground::Ground;

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Watchman {
    outcomes: HashMap<OperationId, Outcome>,
    /// Emptyings that happened, by database.
    emptied: HashMap<DatabaseId, usize>,
    looks: usize,
}

impl Watchman {
    /// Checks everything that must always hold.
    pub(crate) async fn look(&mut self, ground: &Ground) {
        self.nothing_happened_that_nobody_asked_for(ground).await;
        self.what_is_done_is_true(ground).await;
        none(ground, ALWAYS).await;
        self.looks += 1;
        if self.looks.is_multiple_of(20) {
            none(ground, EVER).await;
        }
        one_home_for_each(ground);
        one_writer_for_each(ground);
    }

    /// No database is lost without a destroy, an undo or a reset.
    async fn nothing_happened_that_nobody_asked_for(&mut self, ground: &Ground) {
        let events = std::mem::take(&mut ground.agent.world().events);
        for event in events {
            let name = &event.name;
            let database = housed_in(ground, event.at, name).await;
            match event.what {
                Happened::Made => {}
                Happened::Dropped => {
                    assert_eq!(database.wanted, Wanted::Absent, "{name} was dropped though wanted");
                    let asked = ended_on_purpose(ground, database.id).await;
                    assert!(asked, "{name} was dropped and nobody asked for it");
                }
                Happened::Emptied => {
                    let resets = ground.operations(database.id, Operation::Reset).await;
                    let times = self.emptied.entry(database.id).or_default();
                    *times += 1;
                    assert!(*times <= resets.len(), "{name} was emptied {times} times: {resets:?}");
                }
                Happened::Filled(by) => {
                    let restores = ground.operations(database.id, Operation::Restore).await;
                    let asked = restores.iter().any(|one| one.id.0 == by.0);
                    assert!(asked, "{name} took {by}, which nobody asked for");
                }
            }
        }
    }

    /// An operation is only done when the world is so.
    async fn what_is_done_is_true(&mut self, ground: &Ground) {
        let rows: Vec<(Uuid, String)> =
            sqlx::query_as("select id, outcome from operations where outcome <> 'running'")
                .fetch_all(&ground.pool)
                .await
                .expect("ask for operations");
        for (id, outcome) in rows {
            let id = OperationId(id);
            if self.outcomes.get(&id).is_some_and(|known| known.to_string() == outcome) {
                continue;
            }
            let mut conn = ground.store.reader().get().await.expect("a connection");
            let asked = operations::get(&mut conn, id).await.expect("get").expect("there");
            drop(conn);
            if self.outcomes.insert(id, asked.outcome) != Some(asked.outcome) {
                check_outcome(ground, &asked).await;
            }
        }
    }
}

async fn check_outcome(ground: &Ground, asked: &Row) {
    let database = get(ground, asked.database_id).await;
    let name = &database.name;
    let there = ground.agent.world().database(database.participant_id, name).cloned();
    let going = database.wanted == Wanted::Absent;
    match (asked.kind, asked.outcome) {
        (_, Outcome::Running | Outcome::NeedsOperator) => {}
        (Operation::Provision, Outcome::Done) => {
            assert!(there.is_some() || going, "{name} is done and not there");
            assert!(released(ground, asked.id).await, "{name} is done without its release");
        }
        (Operation::Provision, Outcome::Undone) | (Operation::Destroy, Outcome::Done) => {
            assert!(there.is_none(), "{name} is said to be gone and is there: {there:?}");
            assert_eq!(attachments(ground, database.id).await, 0, "{name} is still attached");
            assert!(database.removed_at.is_some(), "{name} is gone and not recorded so");
        }
        (Operation::Reset, Outcome::Done) => {
            let wanted = asked.incarnation.expect("a reset that is done asked for an incarnation");
            let reached = there.is_some_and(|there| there.incarnation >= wanted);
            assert!(reached || going, "{name} is said to be emptied and is not");
        }
        (Operation::Reset, Outcome::Undone) => {
            assert_eq!(asked.incarnation, None, "{name} was emptied by what was undone");
        }
        (Operation::Promote, Outcome::Done) => {
            assert!(released(ground, asked.id).await, "{name} was promoted without its release");
        }
        (Operation::Promote, Outcome::Undone) => {
            assert!(!released(ground, asked.id).await, "{name} was promoted by what was undone");
        }
        (Operation::Unfollow, Outcome::Done) => {
            let gone = database.wanted == Wanted::Absent;
            assert!(gone || database.follows.is_none(), "{name} still follows another");
        }
        (Operation::Unfollow, Outcome::Undone) => {
            assert!(database.adopts.is_none(), "{name} was changed by what was undone");
        }
        (Operation::ChangePlan, Outcome::Done) => {
            assert!(going || database.plan.name == "standard-4", "{name} has another plan");
            assert!(going || there.is_some(), "{name} has moved and is not there");
            assert!(going || released(ground, asked.id).await, "{name} has no release");
            assert!(going || database.participant_id == Some(next(asked)), "{name} has not moved");
        }
        (Operation::ChangePlan, Outcome::Undone) => {
            assert_ne!(database.participant_id, Some(next(asked)), "{name} was moved all the same");
            let left = ground.agent.world().housed.contains_key(&next(asked));
            assert!(!left, "something is left of what was undone");
        }
        (Operation::Rotate, Outcome::Done) => {
            let stages = login_stages(ground, asked).await;
            let handed_out = !stages.is_empty() && stages.iter().all(|stage| stage == "former");
            assert!(going || handed_out, "{name} has logins that are {stages:?}");
            assert!(going || released(ground, asked.id).await, "{name} has no release");
        }
        (Operation::Rotate, Outcome::Undone) => {
            assert!(
                login_stages(ground, asked).await.is_empty(),
                "{name} was changed all the same"
            );
        }
        (Operation::Capture | Operation::Restore, _) => check_transfer(ground, asked).await,
        (Operation::Destroy, Outcome::Undone) => panic!("a destroy is never undone"),
    }
}

async fn check_transfer(ground: &Ground, asked: &Row) {
    let database = get(ground, asked.database_id).await;
    let name = &database.name;
    let listed = transfer(ground, asked.id).await;
    assert_eq!(listed.succeeded, Some(asked.outcome == Outcome::Done), "{listed:?}");
    if asked.outcome == Outcome::Undone {
        assert_eq!(asked.incarnation, None, "{name} was changed by what was undone");
    } else if asked.kind == Operation::Capture {
        let complete = ground.agent.world().transfers.dumps.contains(&listed.id);
        assert!(complete || listed.deleted_at.is_some(), "{name}: a backup that is none");
    } else {
        let there = ground.agent.world().database(database.participant_id, name).cloned();
        let wanted = asked.incarnation.expect("a restore that is done asked for one");
        let reached = there.is_some_and(|there| there.incarnation >= wanted);
        assert!(reached || database.wanted == Wanted::Absent, "{name} is said to be restored");
    }
}

/// What the logins that a rotation has made are.
async fn login_stages(ground: &Ground, asked: &Row) -> Vec<String> {
    let sql = "select stage from logins where operation_id = $1";
    let all = sqlx::query_scalar(sql).bind(asked.id.0).fetch_all(&ground.pool).await;
    all.expect("ask for logins")
}

async fn transfer(ground: &Ground, id: OperationId) -> Transfer {
    let mut conn = ground.store.reader().get().await.expect("a connection");
    transfers::get(&mut conn, TransferId(id.0)).await.expect("get").expect("it is there")
}

/// Where a change of plan moves the database to.
fn next(asked: &Row) -> ParticipantId {
    let arguments: Arguments =
        serde_json::from_value(asked.arguments.clone()).expect("the arguments of a change of plan");
    arguments.next
}

async fn get(ground: &Ground, id: DatabaseId) -> Database {
    let mut conn = ground.store.reader().get().await.expect("a connection");
    databases::get(&mut conn, id).await.expect("get a database").expect("it is there")
}

/// The database that a participant has by a name, or had before it moved on in the same history.
async fn housed_in(ground: &Ground, at: ParticipantId, name: &DatabaseName) -> Database {
    let (id,): (Uuid,) = sqlx::query_as(
        "select d.id from databases d join participants p on p.id = d.participant_id
         where d.name = $2 and p.timeline_id = (select timeline_id from participants where id = $1)
           and (p.id = $1 or d.follows_id is null)
         order by p.id = $1 desc limit 1",
    )
    .bind(at.0)
    .bind(name.as_str())
    .fetch_one(&ground.pool)
    .await
    .unwrap_or_else(|error| panic!("find {name} in {at}: {error}"));
    get(ground, DatabaseId(id)).await
}

async fn released(ground: &Ground, operation: OperationId) -> bool {
    sqlx::query_scalar("select exists (select from releases where operation_id = $1)")
        .bind(operation.0)
        .fetch_one(&ground.pool)
        .await
        .expect("ask for releases")
}

async fn attachments(ground: &Ground, database: DatabaseId) -> i64 {
    sqlx::query_scalar("select count(*) from attachments where database_id = $1")
        .bind(database.0)
        .fetch_one(&ground.pool)
        .await
        .expect("ask for attachments")
}

async fn ended_on_purpose(ground: &Ground, id: DatabaseId) -> bool {
    let destroyed = !ground.operations(id, Operation::Destroy).await.is_empty();
    let provisioned = ground.operations(id, Operation::Provision).await;
    destroyed || provisioned.iter().any(|asked| asked.outcome != Outcome::Done)
}

impl Ground {
    async fn operations(&self, database: DatabaseId, kind: Operation) -> Vec<Row> {
        let rows: Vec<(Uuid,)> =
            sqlx::query_as("select id from operations where database_id = $1 and kind = $2")
                .bind(database.0)
                .bind(kind.to_string())
                .fetch_all(&self.pool)
                .await
                .expect("ask for operations");
        let mut conn = self.store.reader().get().await.expect("a connection");
        let mut all = Vec::new();
        for (id,) in rows {
            all.extend(operations::get(&mut conn, OperationId(id)).await.expect("get"));
        }
        all
    }
}

/// Rows of `what is wrong` and `where`; there must be none.
const ALWAYS: &str = "
    select 'a dedicated participant has several databases', p.id::text
    from participants p join databases d on d.participant_id = p.id
    where not p.shared group by p.id having count(*) > 1
    union all
    select 'a participant of the pool has a database', p.id::text
    from participants p join databases d on d.participant_id = p.id where p.pooled
    union all
    select 'a dedicated participant has no database', p.id::text
    from participants p
    where not p.shared and not p.pooled and p.wanted = 'present'
      and not exists (select from databases d where d.participant_id = p.id)
      and not exists (select from operations o
                      where o.kind = 'change_plan' and o.finished_at is null
                        and (o.arguments ->> 'next' = p.id::text
                             or p.id::text in (select n.source ->> 'beside' from participants n
                                               where n.id::text = o.arguments ->> 'next')))
    union all
    select 'two unfinished operations of a kind', database_id || kind
    from operations where finished_at is null group by database_id, kind having count(*) > 1
    union all
    select 'an app has two primaries', app_id::text
    from attachments where name = 'DATABASE' group by app_id having count(*) > 1
    union all
    select 'a follower is to follow what is not wanted', f.id::text
    from participants f join participants l on l.id = f.leader_id
    where f.wanted = 'present' and l.wanted = 'absent'
      and not exists (select from operations o
                      where o.kind = 'change_plan' and o.arguments ->> 'next' = f.id::text)
    union all
    select 'a history has two leaders', timeline_id::text
    from participants where role = 'leader' and removed_at is null and run = 'up'
    group by timeline_id having count(*) > 1
    union all
    select 'a history that is led is to be erased', t.id::text
    from timelines t join participants p on p.timeline_id = t.id
    where t.keep_until is not null and p.role = 'leader' and p.wanted = 'present'
    union all
    select 'a published database lost its last name on its app', d.name
    from databases d join operations o on o.database_id = d.id and o.kind = 'provision'
         join releases r on r.operation_id = o.id
    where d.wanted = 'present'
      and not exists (select from attachments a where a.database_id = d.id)";

/// What went wrong at some time and can be read for ever after.
const EVER: &str = "
    select 'a database has another incarnation than its resets asked for', d.name
    from databases d
    where d.origin is null
      and d.incarnation <> 1 + (select count(*) from operations o
                                where o.database_id = d.id and o.incarnation is not null)
    union all
    select 'an operation wrote its release twice', operation_id::text
    from releases r join operations o on o.id = r.operation_id
    where o.kind in ('provision', 'change_plan') group by operation_id having count(*) > 1
    union all
    select 'a state was left that the machine was not in', machine_id || ' ' || kind || ' ' || said
    from (select machine_id, kind, from_state || ' -> ' || to_state as said, from_state,
                 lag(to_state) over (partition by machine_id order by id) as before
          from transitions) steps
    where from_state is distinct from before";

/// What must not be left when everything has come to rest.
const AT_THE_END: &str = "
    select 'a machine at rest has attempts or an error', id || ' ' || kind || ' ' || state
    from machines where not over and (attempt > 0 or last_error is not null)
    union all
    select 'an operation is unfinished', id || ' ' || kind || ' ' || state
    from machines where not over and kind not in ('participant', 'database')
    union all
    select 'a database is neither available nor gone', d.name || ' ' || m.state
    from databases d join machines m using (id) where m.state not in ('available', 'removed')
    union all
    select 'what is gone is still attached, or has a credential', d.name
    from databases d
    where d.removed_at is not null
      and (exists (select from attachments a where a.database_id = d.id)
           or exists (select from credentials c
                      where c.database_id = d.id and c.revoked_at is null))";

async fn none(ground: &Ground, sql: &'static str) {
    let found: Vec<(String, String)> =
        sqlx::query_as(sql).fetch_all(&ground.pool).await.expect("ask what is wrong");
    assert!(found.is_empty(), "{found:?}");
}

/// No database is in two participants of the agent at once, but for followers and copies that have
/// not taken its name yet.
fn one_home_for_each(ground: &Ground) {
    let world = ground.agent.world();
    let mut seen = HashSet::new();
    let own = world.housed.values().filter(|one| one.spec.source == Source::Empty);
    for name in own.flat_map(|one| one.databases.keys()) {
        assert!(seen.insert(name.clone()), "{name} is in two participants");
    }
}

/// No two servers write the same history at the same time.
fn one_writer_for_each(ground: &Ground) {
    let world = ground.agent.world();
    let mut seen = HashSet::new();
    let writers = world.housed.values().filter(|one| {
        !one.follows
            && one.spec.role == Role::Leader
            && matches!(one.instance, InstanceState::Answering | InstanceState::Silent)
    });
    for one in writers {
        assert!(seen.insert(one.spec.timeline), "two write the history {}", one.spec.timeline);
    }
}

/// Agent and store agree: participants, databases with their incarnations, roles; and nothing is
/// under way.
pub(crate) async fn nothing_is_left_over(ground: &Ground) {
    none(ground, EVER).await;
    none(ground, AT_THE_END).await;
    let wanted: Vec<(Uuid,)> =
        sqlx::query_as("select id from participants where removed_at is null")
            .fetch_all(&ground.pool)
            .await
            .expect("ask for participants");
    let wanted: BTreeSet<_> = wanted.into_iter().map(|(id,)| ParticipantId(id)).collect();
    // A follower has what its leader has: also the roles of all followers.
    let rows: Vec<(Uuid, String, i32, Vec<String>)> = sqlx::query_as(
        "select d.participant_id, d.name, l.incarnation,
                array(select u.role from credentials c join databases o on o.id = c.database_id
                      cross join lateral (
                          select c.role union all select role from logins
                          where credential_id = c.id and revoked_at is null) u
                      where (o.id = l.id or o.follows_id = l.id) and c.revoked_at is null
                      order by u.role)
         from databases d join databases l on l.id = coalesce(d.follows_id, d.id)
         where d.removed_at is null",
    )
    .fetch_all(&ground.pool)
    .await
    .expect("ask for databases");
    let databases: BTreeMap<_, _> = rows
        .into_iter()
        .map(|(at, name, incarnation, roles)| ((ParticipantId(at), name), (incarnation, roles)))
        .collect();
    let world = ground.agent.world();
    let housed: BTreeSet<_> = world.housed.keys().copied().collect();
    assert_eq!(housed, wanted, "the agent's participants are the wanted ones");
    let roles = |roles: &BTreeSet<RoleName>| roles.iter().map(ToString::to_string).collect();
    let mut kept = BTreeMap::<(ParticipantId, String), (i32, Vec<String>)>::new();
    for (at, one) in &world.housed {
        for (name, there) in &one.databases {
            kept.insert((*at, name.to_string()), (there.incarnation.0, roles(&there.roles)));
        }
    }
    assert_eq!(kept, databases, "the agent's databases are the wanted ones");
}

impl Ground {
    /// Whether nothing is under way between the store and the agent.
    pub(crate) async fn is_at_rest(&self) -> bool {
        let world_is_at_rest = {
            let world = self.agent.world();
            world.late.is_empty()
                && world.busy().is_empty()
                && world.housed.values().all(|one| one.applied == Some(one.spec.revision))
        };
        let restless: i64 = sqlx::query_scalar(
            "select count(*) from machines where not over and (
                 kind not in ('participant', 'database') or state <> 'available')",
        )
        .fetch_one(&self.pool)
        .await
        .expect("ask for machines");
        let untold: i64 = sqlx::query_scalar("select count(*) from wakes")
            .fetch_one(&self.pool)
            .await
            .expect("ask for wakes");
        world_is_at_rest && restless == 0 && untold == 0 && self.revisions_agree().await
    }

    async fn revisions_agree(&self) -> bool {
        let rows: Vec<(Uuid, i64)> =
            sqlx::query_as("select id, revision from participants where removed_at is null")
                .fetch_all(&self.pool)
                .await
                .expect("ask for participants");
        let world = self.agent.world();
        rows.iter().all(|(id, revision)| {
            let one = world.housed.get(&ParticipantId(*id));
            one.is_some_and(|one| one.spec.revision.0 == *revision)
        })
    }

    /// Prints all machines, for whoever looks for a mistake.
    pub(crate) async fn dump(&self) {
        let rows: Vec<(String,)> =
            sqlx::query_as("select m::text from machines m where not over order by serial")
                .fetch_all(&self.pool)
                .await
                .expect("ask for machines");
        for (row,) in rows {
            eprintln!("{row}");
        }
        eprintln!("{:#?}", self.agent.world().housed);
    }
}
