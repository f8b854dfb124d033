//! Platforms that were there before: their rows fit into newer tables.

use howdah_model::ids::ParticipantId;
use howdah_store::{Store, participants};
use howdah_testkit::scratch::Scratch;
use uuid::Uuid;

const BEFORE: [&str; 2] = [
    include_str!("../migrations/0001_platform.sql"),
    include_str!("../migrations/0002_stages.sql"),
];

/// A participant and one that is gone, as the first two migrations knew them.
const ROWS: &str = "
    insert into servers (id, name, region, agent, created_at)
    values (gen_random_uuid(), 'here', 'us', '/nowhere', now());
    insert into timelines (id, major, created_at) values (gen_random_uuid(), 15, now());
    insert into participants (id, server_id, timeline_id, role, wanted, major, plan, shared,
                              pooled, created_at, removed_at)
    select gen_random_uuid(), s.id, t.id, 'leader', 'present', 15, 'standard-0', false, false,
           now(), case when gone then now() end
    from servers s, timelines t, (values (false), (true)) as kinds (gone);
    insert into machines (id, kind, state, since, wake_at)
    select id, 'participant', 'available', now(), now() from participants;";

#[tokio::test]
async fn agents_are_told_anew_how_those_are_protected_that_were_there_before() {
    let scratch = Scratch::start().await;
    let pool = sqlx::PgPool::connect(&scratch.url()).await.expect("connect");
    for sql in BEFORE.into_iter().chain([ROWS, include_str!("../migrations/0003_protection.sql")]) {
        sqlx::raw_sql(sql).execute(&pool).await.expect("an older platform");
    }
    let ids: Vec<(Uuid,)> =
        sqlx::query_as("select id from participants order by removed_at nulls first")
            .fetch_all(&pool)
            .await
            .expect("list");
    let store = Store::connect(&scratch.url(), 2).await.expect("connect");
    let mut conn = store.reader().get().await.expect("a connection");
    let mut revisions = Vec::new();
    for (id,) in ids {
        let row = participants::get(&mut conn, ParticipantId(id)).await.expect("get");
        let row = row.expect("there");
        assert!(row.source.is_none() && row.leader_id.is_none(), "{row:?}");
        revisions.push(row.revision.0);
    }
    assert_eq!(revisions, [2, 1], "and one that is gone stays as it is");
}
