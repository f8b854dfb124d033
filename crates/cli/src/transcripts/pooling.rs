//! pg:connection-pooling:attach, pg:pool, and what a promotion does to pools.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{GOLD, Platform, RED, attachment, release, two_databases};

const ATTACH: &str = "POST /client/v11/databases/postgresql-calm-11111/connection-pooling";
const POOL: &str = "GET /howdah/v1/databases/id-postgresql-calm-11111/pool";

fn pool_attachment(addon: &str) -> Value {
    let mut pool = attachment("DATABASE_CONNECTION_POOL", addon);
    pool["namespace"] = json!("connection-pooling:default");
    pool
}

#[test]
fn d33_attaching_a_pool_says_what_it_does_and_sends_what_herokus_does() {
    let mut answers = two_databases();
    answers.push((ATTACH, 201, pool_attachment(GOLD)));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:connection-pooling:attach -a demo"), @r"
    $ howdah pg:connection-pooling:attach -a demo
    2> Enabling Connection Pooling on postgresql-calm-11111 to demo... done
    2> Setting DATABASE_CONNECTION_POOL config vars and restarting demo... done, v7
    exit 0
    ");
    let line = "pg connection-pooling attach gold --as QUEUE --credential reports -a demo";
    assert!(platform.howdah(line).ends_with("exit 0"));
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /client/v11/databases/postgresql-calm-11111/connection-pooling {"app":"demo","credential":"default"}
    POST /client/v11/databases/postgresql-calm-11111/connection-pooling {"app":"demo","credential":"reports","name":"QUEUE"}
    "#);
}

#[test]
fn d33_a_plan_without_pools_is_refused_in_the_platforms_words() {
    let mut answers = two_databases();
    let refused = json!({
        "id": "invalid_params",
        "message": "You can't perform this operation on Essential-tier databases.",
    });
    answers.push((ATTACH, 422, refused));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:connection-pooling:attach gold -a demo"), @r"
    $ howdah pg:connection-pooling:attach gold -a demo
    2> Enabling Connection Pooling on postgresql-calm-11111 to demo... failed
    2>  !    You can't perform this operation on Essential-tier databases.
    exit 1
    ");
}

fn report(pools: Value) -> Value {
    json!({ "at": "2026-01-02T03:04:05Z", "since": "2026-01-02T01:00:00Z", "pools": pools })
}

fn pool(credential: Value, mode: &str) -> Value {
    json!({
        "credential": credential, "database_id": "0190f3c2-0000-7000-8000-000000000000",
        "database": "d1", "role": "u1", "mode": mode, "flow": "open",
        "clients": { "active": 3, "waiting": 1, "idle": 20 },
        "servers": { "active": 3, "pinned": 0, "idle": 5 },
        "size": 90, "connection_limit": 120, "longest_wait_micros": 40_200,
        "totals": {
            "clients": 24, "transactions": 12_345, "queries": 45_678,
            "transaction_micros": 14_814_000, "query_micros": 14_160_180,
            "waits": 17, "wait_micros": 39_100, "longest_wait_micros": 41_000,
            "bytes_from_clients": 1_258_291, "bytes_to_clients": 34_603_008,
            "moves": 3, "holds": 12, "hold_micros": 2_000_000, "longest_hold_micros": 1_100_000,
            "resent": 2, "errors": { "server_lost": 1, "too_many_connections": 4 },
        },
    })
}

fn quiet(credential: Value) -> Value {
    let mut pool = pool(credential, "session");
    for part in ["clients", "servers", "totals"] {
        pool[part] = json!({});
    }
    pool["longest_wait_micros"] = json!(0);
    pool["size"] = json!(120);
    pool
}

#[test]
fn pools_are_shown_with_who_waits_how_long_things_take_and_what_went_wrong() {
    let mut answers = two_databases();
    let pools =
        json!([quiet("default".into()), pool("default".into(), "transaction"), quiet(Value::Null)]);
    answers.push((POOL, 200, report(pools)));
    let platform = Platform::with(&answers);
    let shown = platform.howdah("pg:pool -a demo");
    assert_snapshot!(shown, @r"
    $ howdah pg:pool -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    Clients  Mode         Active  Waiting  Idle  Longest wait  State
    default  session           0        0     0             -   open
    default  transaction       3        1    20         40 ms   open
    u1       session           0        0     0             -   open

    Servers  Mode         Active  Kept  Idle  All  Limit
    default  session           0     0     0    0    120
    default  transaction       3     0     5    8     90
    u1       session           0     0     0    0    120

    Since 2026-01-02T01:00:00Z:

    Work     Mode         Transactions  Average  Queries  Average       In      Out
    default  session                 0        -        0        -  0 bytes  0 bytes
    default  transaction         12345   1.2 ms    45678  0.31 ms   1.2 MB  33.0 MB
    u1       session                 0        -        0        -  0 bytes  0 bytes

    Waits    Mode         Times  Average  Longest  Moves  Holds  Longest  Errors
    default  session          0        -        -      0      0        -       0
    default  transaction     17   2.3 ms    41 ms      3     12    1.1 s       5
    u1       session          0        -        -      0      0        -       0

     !    default transaction: 1 server lost, 4 too many connections, 2 statements sent again
    exit 0
    ");
    let mut tables = shown.lines().filter(|line| !line.starts_with(" !"));
    assert!(tables.all(|line| line.chars().count() <= 80), "they fit a terminal: {shown}");
    assert_snapshot!(platform.howdah("pg:pool gold -a demo --json=since"), @r#"
    $ howdah pg:pool gold -a demo --json=since
    {
      "data": {
        "since": "2026-01-02T01:00:00Z"
      },
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/pools"
    }
    exit 0
    "#);
}

#[test]
fn a_database_without_clients_and_a_gateway_that_is_away_are_said_so() {
    let mut answers = two_databases();
    let away = json!({
        "id": "service_unavailable",
        "message": "The gateway does not say how its pools are: Connection refused. Try again.",
    });
    answers.push((POOL, 200, report(json!([]))));
    answers.push((POOL, 503, away));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:pool -a demo"), @r"
    $ howdah pg:pool -a demo
    2> No client of HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL) has come yet; open a session: `howdah pg:psql HEROKU_POSTGRESQL_GOLD_URL -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:pool -a demo --json"), @r#"
    $ howdah pg:pool -a demo --json
    {
      "error": {
        "code": "service-unavailable",
        "hint": null,
        "message": "The gateway does not say how its pools are: Connection refused. Try again.",
        "request_id": "req-1",
        "retryable": true
      },
      "schema": "howdah.v1/error"
    }
    exit 8
    "#);
}

#[test]
fn c11_the_pool_of_the_primary_goes_with_a_promotion() {
    let all = json!([
        attachment("DATABASE", GOLD),
        attachment("HEROKU_POSTGRESQL_GOLD", GOLD),
        attachment("HEROKU_POSTGRESQL_RED", RED),
        pool_attachment(GOLD),
    ]);
    let refused = json!({ "id": "invalid_params", "message": "It has no pools." });
    let promoted = |pool: (u16, Value)| {
        Platform::with(&[
            ("GET /apps/demo/addon-attachments", 200, all.clone()),
            ("GET /apps/demo/releases", 200, json!([release(7, "Attach DATABASE")])),
            ("POST /addon-attachments", 201, attachment("DATABASE", RED)),
            ("POST /addon-attachments", pool.0, pool.1),
        ])
    };
    let platform = promoted((201, pool_attachment(RED)));
    assert_snapshot!(platform.howdah("pg:promote red --force -a demo"), @r"
    $ howdah pg:promote red --force -a demo
    2> Promoting HEROKU_POSTGRESQL_RED_URL to DATABASE_URL... done, v7
    2> Reattaching DATABASE_CONNECTION_POOL_URL to postgresql-wise-22222... done, v7
    exit 0
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /addon-attachments {"addon":{"name":"postgresql-wise-22222"},"app":{"name":"demo"},"confirm":"demo","name":"DATABASE","namespace":null}
    POST /addon-attachments {"addon":{"name":"postgresql-wise-22222"},"app":{"name":"demo"},"confirm":"demo","name":"DATABASE_CONNECTION_POOL","namespace":"connection-pooling:default"}
    "#);
    let platform = promoted((422, refused));
    assert_snapshot!(platform.howdah("pg:promote red --force -a demo"), @r"
    $ howdah pg:promote red --force -a demo
    2> Promoting HEROKU_POSTGRESQL_RED_URL to DATABASE_URL... done, v7
    2> Reattaching DATABASE_CONNECTION_POOL_URL to postgresql-wise-22222... failed
    2>  !    It has no pools.
    2>  !    DATABASE_CONNECTION_POOL_URL still leads to postgresql-calm-11111; take its URL away: `howdah addons:detach DATABASE_CONNECTION_POOL -a demo`
    exit 0
    ");
}

#[test]
fn d24_the_var_of_the_pool_is_listed_with_its_credential() {
    let credential = json!({
        "uuid": "c-1", "name": "default", "state": "active", "database": "d1",
        "host": "127.0.0.1", "port": 5433,
        "credentials": [{ "user": "u1", "password": "p1", "state": "active", "connections": 1 }],
    });
    let all = json!([attachment("DATABASE", GOLD), pool_attachment(GOLD)]);
    let platform = Platform::with(&[
        ("GET /apps/demo/addon-attachments", 200, all),
        (
            "GET /postgres/v0/databases/id-postgresql-calm-11111/credentials",
            200,
            json!([credential]),
        ),
    ]);
    assert_snapshot!(platform.howdah("pg:credentials -a demo"), @r"
    $ howdah pg:credentials -a demo
    Database               Credential  User  State   Permission  Config vars
    postgresql-calm-11111  default     u1    active  owner       DATABASE_URL, DATABASE_CONNECTION_POOL_URL
    exit 0
    ");
}
