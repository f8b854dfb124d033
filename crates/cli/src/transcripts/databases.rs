use insta::assert_snapshot;

use super::*;

fn info(rows: &[(&str, &str)]) -> Value {
    let row = |(name, value): &(&str, &str)| json!({ "name": name, "values": [value], "resolve_db_name": value.starts_with("postgres") });
    let rows: Vec<_> = rows.iter().map(row).collect();
    json!({ "info": rows, "resource_url": GOLD_URL, "following": null })
}

fn status(waiting: bool, message: &str) -> Value {
    json!({ "waiting?": waiting, "error?": false, "message": message })
}

/// The two databases, each with a relation to another.
fn related() -> Platform {
    let mut answers = two_databases();
    let gold = info(&[("Plan", "Standard 0"), ("Status", "Available"), ("Followers", RED_URL)]);
    let red = info(&[
        ("Plan", "Standard 0"),
        ("Following", GOLD_URL),
        ("Forked From", "postgres://x:y@h:1/d9"),
    ]);
    answers.push(("GET /client/v11/databases/id-postgresql-calm-11111", 200, gold));
    answers.push(("GET /client/v11/databases/id-postgresql-wise-22222", 200, red));
    Platform::with(&answers)
}

#[test]
fn pg_info_as_json_holds_no_password() {
    let platform = related();
    assert_snapshot!(platform.howdah("pg info red -a demo --json"), @r#"
    $ howdah pg info red -a demo --json
    {
      "data": [
        {
          "addon": "postgresql-wise-22222",
          "config_var": "HEROKU_POSTGRESQL_RED_URL",
          "info": [
            {
              "name": "Plan",
              "resolve_db_name": false,
              "values": [
                "Standard 0"
              ]
            },
            {
              "name": "Following",
              "resolve_db_name": false,
              "values": [
                "HEROKU_POSTGRESQL_GOLD"
              ]
            },
            {
              "name": "Forked From",
              "resolve_db_name": false,
              "values": [
                "Database on h:1/d9"
              ]
            },
            {
              "name": "Add-on",
              "resolve_db_name": false,
              "values": [
                "postgresql-wise-22222"
              ]
            }
          ],
          "label": "HEROKU_POSTGRESQL_RED_URL"
        }
      ],
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/databases"
    }
    exit 0
    "#);
}

#[test]
fn d2_d4_d5_databases_are_shown_with_their_relations_and_without_passwords() {
    let platform = related();
    assert_snapshot!(platform.howdah("pg -a demo"), @r"
    $ howdah pg -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)
    Plan:       Standard 0
    Status:     Available
    Followers:  HEROKU_POSTGRESQL_RED
    Add-on:     postgresql-calm-11111

    === HEROKU_POSTGRESQL_RED_URL
    Plan:         Standard 0
    Following:    HEROKU_POSTGRESQL_GOLD
    Forked From:  Database on h:1/d9
    Add-on:       postgresql-wise-22222

    exit 0
    ");
    let whole = platform.howdah("pg:info -a demo");
    for typed in
        ["demo::gold", "gold -a demo", "DATABASE_URL -a demo", "postgresql-calm-11111 -a demo"]
    {
        let one = platform.howdah(&format!("pg:info {typed}"));
        let block = one.split_once('\n').expect("lines").1.trim_end_matches("exit 0");
        assert!(whole.contains(block) && one.ends_with("exit 0"), "{one}");
    }
    assert_snapshot!(platform.howdah("pg:info purple -a demo"), @r"
    $ howdah pg:info purple -a demo
    2>  !    Unknown database: purple. Valid options are: DATABASE_URL, HEROKU_POSTGRESQL_GOLD_URL, HEROKU_POSTGRESQL_RED_URL
    2>  !    hint: its databases: `howdah pg:info -a demo`
    exit 3
    ");
}

#[test]
fn d1_an_app_without_databases_and_one_whose_database_is_being_made() {
    let platform = Platform::with(&[
        ("GET /apps/demo/addon-attachments", 200, json!([])),
        ("GET /apps/demo/config-vars", 200, json!({})),
    ]);
    assert_snapshot!(platform.howdah("pg -a demo"), @r"
    $ howdah pg -a demo
    demo has no heroku-postgresql databases.
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:psql -a demo"), @r"
    $ howdah pg:psql -a demo
    2>  !    demo has no databases.
    2>  !    hint: make one: `howdah addons:create heroku-postgresql -a demo`
    exit 3
    ");
    let mut answers = two_databases();
    let path = "GET /client/v11/databases/id-postgresql-calm-11111";
    answers.push((path, 404, json!({ "id": "not_found" })));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:info gold -a demo"), @r"
    $ howdah pg:info gold -a demo
    2>  !    HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL) is not yet provisioned; wait for it: `howdah pg:wait HEROKU_POSTGRESQL_GOLD_URL -a demo`
    exit 0
    ");
}

#[test]
fn d8_psql_is_opened_on_the_primary_or_on_the_named_database() {
    let platform = Platform::with(&two_databases());
    assert_snapshot!(platform.howdah("psql -a demo"), @r"
    $ howdah psql -a demo
    2> ---> Connecting to HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)
    becomes psql --set PROMPT1=demo::GOLD%R%#  --set PROMPT2=demo::GOLD%R%#
    ");
    assert_snapshot!(platform.howdah("pg:psql red -a demo -c 'select 1'"), @r"
    $ howdah pg:psql red -a demo -c 'select 1'
    2> ---> Connecting to HEROKU_POSTGRESQL_RED_URL
    becomes psql -c select 1 --set PROMPT1=demo::RED%R%#  --set PROMPT2=demo::RED%R%#
    ");
    assert_snapshot!(platform.call("pg:psql -a demo", "", &[("PATH", "/nonexistent")]), @r"
    $ howdah pg:psql -a demo
    2>  !    The local psql command could not be located.
    2>  !    Install it: `apt-get install postgresql-client`, `brew install libpq`, or https://www.postgresql.org/download
    exit 1
    ");
}

#[test]
fn pg_wait_waits_until_the_database_can_be_used() {
    let mut answers = two_databases();
    let path = "GET /client/v11/databases/id-postgresql-calm-11111/wait_status";
    answers.push((path, 200, status(true, "preparing")));
    answers.push((path, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:wait gold -a demo"), @r"
    $ howdah pg:wait gold -a demo
    2> Waiting for database HEROKU_POSTGRESQL_GOLD_URL... available
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:wait gold -a demo"), @r"
    $ howdah pg:wait gold -a demo
    exit 0
    ");
    let mut answers = two_databases();
    answers.push((path, 200, status(true, "preparing")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:wait gold -a demo --timeout 1"), @r"
    $ howdah pg:wait gold -a demo --timeout 1
    2> Waiting for database HEROKU_POSTGRESQL_GOLD_URL... not done yet
    2>  !    HEROKU_POSTGRESQL_GOLD_URL is not done after 1 s
    2>  !    hint: wait for it: `howdah pg:wait HEROKU_POSTGRESQL_GOLD_URL -a demo`
    exit 7
    ");
}

#[test]
fn c10_c11_promoting_keeps_a_name_for_the_primary_that_was() {
    let gold_only = json!([attachment("DATABASE", GOLD), attachment("HEROKU_POSTGRESQL_RED", RED)]);
    let status_path = "GET /client/v11/databases/id-postgresql-wise-22222/wait_status";
    let platform = Platform::with(&[
        ("GET /apps/demo/addon-attachments", 200, gold_only),
        ("GET /apps/demo/config-vars", 200, json!({})),
        ("GET /apps/demo/releases", 200, json!([release(7, "Attach DATABASE")])),
        ("POST /addon-attachments", 201, attachment("HEROKU_POSTGRESQL_GOLD", GOLD)),
        ("POST /addon-attachments", 201, attachment("DATABASE", RED)),
        (status_path, 200, status(false, "available")),
        ("GET /client/v11/databases/id-postgresql-wise-22222", 200, info(&[])),
    ]);
    assert_snapshot!(platform.howdah("pg:promote red -a demo"), @r"
    $ howdah pg:promote red -a demo
    2> Ensuring an alternate alias for existing DATABASE_URL... done, HEROKU_POSTGRESQL_GOLD_URL
    2> Promoting HEROKU_POSTGRESQL_RED_URL to DATABASE_URL... done, v7
    exit 0
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /addon-attachments {"addon":{"name":"postgresql-calm-11111"},"app":{"name":"demo"},"confirm":"demo","namespace":null}
    POST /addon-attachments {"addon":{"name":"postgresql-wise-22222"},"app":{"name":"demo"},"confirm":"demo","name":"DATABASE","namespace":null}
    "#);
    assert_snapshot!(platform.howdah("pg:promote DATABASE_URL -a demo"), @r"
    $ howdah pg:promote DATABASE_URL -a demo
    2>  !    postgresql-calm-11111 is already promoted on demo
    exit 6
    ");
    assert_snapshot!(platform.howdah("pg:promote NOPE -a demo"), @r"
    $ howdah pg:promote NOPE -a demo
    2>  !    Unknown database: NOPE. Valid options are: DATABASE_URL, HEROKU_POSTGRESQL_RED_URL
    2>  !    hint: its databases: `howdah pg:info -a demo`
    exit 3
    ");
}

#[test]
fn c12_a_database_that_is_being_made_is_promoted_only_by_force() {
    let mut answers = two_databases();
    let path = "GET /client/v11/databases/id-postgresql-wise-22222/wait_status";
    answers.push((path, 200, status(true, "preparing")));
    answers.push(("POST /addon-attachments", 201, attachment("DATABASE", RED)));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:promote red -a demo"), @r"
    $ howdah pg:promote red -a demo
    2>  !    HEROKU_POSTGRESQL_RED_URL is still being prepared, and was not promoted
    2>  !    hint: to promote it all the same: `howdah pg:promote HEROKU_POSTGRESQL_RED_URL -a demo --force`
    exit 6
    ");
    assert!(platform.changes().is_empty());
    assert!(platform.howdah("pg:promote red -a demo --force").ends_with("exit 0"));
}

#[test]
fn d24_credentials_are_printed_for_one_database_and_listed_for_all() {
    let credential = json!({
        "uuid": "c-1", "name": "default", "state": "active", "database": "d1", "host": "127.0.0.1", "port": 5433,
        "credentials": [{ "user": "u1", "password": "p1", "state": "active", "connections": 1 }],
    });
    let mut answers = two_databases();
    answers.push((
        "GET /postgres/v0/databases/postgresql-calm-11111/credentials/default",
        200,
        credential.clone(),
    ));
    answers.push((
        "GET /postgres/v0/databases/id-postgresql-calm-11111/credentials",
        200,
        json!([credential]),
    ));
    answers.push((
        "GET /postgres/v0/databases/id-postgresql-wise-22222/credentials",
        200,
        json!([]),
    ));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:credentials DATABASE_URL -a demo"), @r#"
    $ howdah pg:credentials DATABASE_URL -a demo
    Connection info string:
       "dbname=d1 host=127.0.0.1 port=5433 user=u1 password=p1 sslmode=require"
    Connection URL:
       postgres://u1:p1@127.0.0.1:5433/d1
    exit 0
    "#);
    assert_eq!(
        platform.howdah("pg:credentials:url -a demo").lines().skip(1).collect::<Vec<_>>(),
        platform.howdah("pg:credentials gold -a demo").lines().skip(1).collect::<Vec<_>>()
    );
    assert_snapshot!(platform.howdah("pg:credentials -a demo"), @r"
    $ howdah pg:credentials -a demo
    Database               Credential  User  State   Permission  Config vars
    postgresql-calm-11111  default     u1    active  owner       DATABASE_URL, HEROKU_POSTGRESQL_GOLD_URL
    exit 0
    ");
}

#[test]
fn d29_d30_a_reset_names_its_database_and_is_confirmed() {
    let mut answers = two_databases();
    answers.push((
        "PUT /client/v11/databases/id-postgresql-calm-11111/reset",
        200,
        json!({ "message": "ok" }),
    ));
    let path = "GET /client/v11/databases/id-postgresql-calm-11111/wait_status";
    answers.push((path, 200, status(true, "preparing")));
    answers.push((path, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:reset -a demo"), @r"
    $ howdah pg:reset -a demo
    2>  !    Must specify DATABASE to reset
    exit 2
    ");
    assert_snapshot!(platform.fed("pg:reset gold -a demo", "nope\n"), @r#"
    $ howdah pg:reset gold -a demo
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> >  !    Confirmation did not match demo. Aborted.
    exit 5
    "#);
    assert!(platform.changes().is_empty());
    assert_snapshot!(platform.howdah("pg:reset DATABASE -a demo --confirm demo -e Hstore,citext"), @r"
    $ howdah pg:reset DATABASE -a demo --confirm demo -e Hstore,citext
    2> Resetting HEROKU_POSTGRESQL_GOLD_URL... done
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [
            r#"PUT /client/v11/databases/id-postgresql-calm-11111/reset {"extensions":["citext","hstore"]}"#
        ]
    );
}

#[test]
fn d22_d23_kills_take_a_number_and_killall_ends_every_session() {
    let mut answers = two_databases();
    answers.push((
        "POST /client/v11/databases/id-postgresql-calm-11111/connection_reset",
        200,
        json!({ "message": "Connections terminated", "terminated": 2 }),
    ));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:kill -a demo"), @r"
    $ howdah pg:kill -a demo
    2>  !    pg:kill needs PID
    2>  !    usage: howdah pg:kill PID [DATABASE] [options]
    2>  !    hint: how it is used: `howdah help pg:kill`
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:kill 12x -a demo"), @r"
    $ howdah pg:kill 12x -a demo
    2>  !    PID is a number, not `12x`
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:killall -a demo"), @r"
    $ howdah pg:killall -a demo
    2> Terminating connections for all credentials... done, 2 ended
    exit 0
    ");
}

#[test]
fn operations_are_listed_and_explained_step_by_step() {
    let id = "0190f3c2-0000-7000-8000-000000000001";
    let mut operation = json!({
        "id": id, "kind": "provision", "state": "done", "outcome": "done", "reason": "its release is out",
        "addon": { "id": "x", "name": GOLD }, "created_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z",
    });
    let mut answers = two_databases();
    answers.push(("GET /howdah/v1/apps/demo/operations", 200, json!([operation])));
    operation["transitions"] = json!([
        { "from": null, "to": "requested", "reason": "asked for", "at": "2026-01-02T03:04:05Z" },
        { "from": "requested", "to": "done", "reason": "its release is out", "at": "2026-01-02T03:04:06Z" },
    ]);
    answers.push((
        "GET /howdah/v1/operations/0190f3c2-0000-7000-8000-000000000001",
        200,
        operation,
    ));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:operations -a demo"), @r"
    $ howdah pg:operations -a demo
    Id                                    Operation  Add-on                 State  Asked                 Reason
    0190f3c2-0000-7000-8000-000000000001  provision  postgresql-calm-11111  done   2026-01-02T03:04:05Z  its release is out
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:operations:explain 0190f3c2 -a demo"), @r"
    $ howdah pg:operations:explain 0190f3c2 -a demo
    === provision of postgresql-calm-11111

    Id:       0190f3c2-0000-7000-8000-000000000001
    State:    done
    Outcome:  done
    Asked:    2026-01-02T03:04:05Z
    Ended:    2026-01-02T03:04:06Z

    When                      From       To         Reason
    2026-01-02T03:04:05.000Z  -          requested  asked for
    2026-01-02T03:04:06.000Z  requested  done       its release is out
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:operations:explain ffff -a demo"), @r"
    $ howdah pg:operations:explain ffff -a demo
    2>  !    No operation of demo begins with ffff
    exit 3
    ");
}

#[test]
fn c37_versions_are_listed_with_what_is_promised_of_them() {
    let versions = json!([
        { "major": 15, "version": "15.20", "status": "supported", "default": false },
        { "major": 18, "version": "18.6", "status": "supported", "default": true },
    ]);
    let platform = Platform::with(&[("GET /howdah/v1/versions", 200, versions)]);
    assert_snapshot!(platform.howdah("pg:versions"), @r"
    $ howdah pg:versions
    Version  Installed  Status
    15       15.20      supported
    18       18.6       supported (default)
    exit 0
    ");
}
