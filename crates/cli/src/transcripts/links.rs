//! pg:links, :create and :destroy.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Platform, two_databases};

fn link() -> Value {
    json!({
        "id": "1", "name": "wise", "created_at": "2026-01-02T03:04:05Z",
        "remote": { "name": "postgresql-wise-22222", "attachment_name": "HEROKU_POSTGRESQL_RED" },
        "remote_name": "HEROKU_POSTGRESQL_RED",
    })
}

#[test]
fn links_are_listed_made_and_removed_as_with_heroku() {
    let mut answers = two_databases();
    answers.extend([
        ("GET /client/v11/databases/id-postgresql-calm-11111/links", 200, json!([link()])),
        ("GET /client/v11/databases/id-postgresql-wise-22222/links", 200, json!([])),
        ("POST /client/v11/databases/id-postgresql-calm-11111/links", 201, link()),
        ("DELETE /client/v11/databases/id-postgresql-calm-11111/links/wise", 200, json!({})),
    ]);
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:links -a demo"), @r"
    $ howdah pg:links -a demo
    Database                                   Link  Remote                                         Created
    HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)  wise  HEROKU_POSTGRESQL_RED (postgresql-wise-22222)  2026-01-02T03:04:05Z
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:links red -a demo"), @r"
    $ howdah pg:links red -a demo
    2> There are no links; make one: `howdah pg:links:create REMOTE DATABASE -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:links:create red gold --as wise -a demo"), @r"
    $ howdah pg:links:create red gold --as wise -a demo
    Schema: wise
    2> Adding link from postgresql-wise-22222 to postgresql-calm-11111... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:links:destroy gold wise -a demo --confirm demo"), @r"
    $ howdah pg:links:destroy gold wise -a demo --confirm demo
    2> Removing link wise from postgresql-calm-11111... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:links:destroy gold wise -a demo --no-input"), @r"
    $ howdah pg:links:destroy gold wise -a demo --no-input
    2>  !    This command is destructive, and was not confirmed for demo
    2>  !    hint: run it with the confirmation: `howdah pg:links:destroy gold wise -a demo --no-input --confirm demo`
    exit 5
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /client/v11/databases/id-postgresql-calm-11111/links {"as":"wise","target":"postgresql-wise-22222"}
    DELETE /client/v11/databases/id-postgresql-calm-11111/links/wise
    "#);
}

#[test]
fn a_link_that_cannot_be_made_says_why() {
    let mut answers = two_databases();
    let refused = json!({ "id": "invalid_params", "message": "The link red could not be made: schema \"red\" already exists" });
    answers.push(("POST /client/v11/databases/id-postgresql-calm-11111/links", 422, refused));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:links:create red gold -a demo"), @r#"
    $ howdah pg:links:create red gold -a demo
    2> Adding link from postgresql-wise-22222 to postgresql-calm-11111... failed
    2>  !    The link red could not be made: schema "red" already exists
    exit 1
    "#);
}
