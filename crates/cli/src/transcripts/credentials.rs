//! pg:credentials:create, :destroy, :rotate, :repair-default, and `--reset`.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Platform, two_databases};

fn credential(name: &str, logins: Value) -> Value {
    json!({
        "uuid": "1", "name": name, "state": "active", "database": "d1", "host": "127.0.0.1",
        "port": 5433, "credentials": logins,
    })
}

fn platform(more: &[(&'static str, u16, Value)]) -> Platform {
    let mut answers = two_databases();
    answers.extend_from_slice(more);
    Platform::with(&answers)
}

#[test]
fn d28_a_credential_is_made_and_destroyed_with_what_to_do_next() {
    let one = json!([{ "user": "u7", "password": "p7", "state": "active", "connections": 0 }]);
    let platform = platform(&[
        (
            "POST /postgres/v0/databases/postgresql-calm-11111/credentials",
            201,
            credential("reports", one),
        ),
        (
            "DELETE /postgres/v0/databases/postgresql-calm-11111/credentials/reports",
            200,
            json!({ "message": "gone" }),
        ),
    ]);
    assert_snapshot!(platform.howdah("pg:credentials:create gold --name reports -a demo"), @r"
    $ howdah pg:credentials:create gold --name reports -a demo
    User name: u7
    2> Creating credential reports... done
    2> No app uses it yet; attach it: `howdah addons:attach postgresql-calm-11111 --credential reports -a demo`
    2> It may only enter the database yet; grant it what it needs: `howdah pg:psql postgresql-calm-11111 -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:credentials:create gold -a demo"), @r"
    $ howdah pg:credentials:create gold -a demo
    2>  !    Must specify the credential with --name
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:credentials:destroy gold -n reports -a demo --confirm demo"), @r"
    $ howdah pg:credentials:destroy gold -n reports -a demo --confirm demo
    2> Destroying credential reports... done
    2> The credential has been destroyed within postgresql-calm-11111.
    2> Database objects owned by reports will be assigned to the default credential.
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:credentials:destroy gold -n default -a demo"), @r"
    $ howdah pg:credentials:destroy gold -n default -a demo
    2>  !    Default credential cannot be destroyed.
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:credentials:destroy gold -n reports -a demo --no-input"), @r"
    $ howdah pg:credentials:destroy gold -n reports -a demo --no-input
    2>  !    This command is destructive, and was not confirmed for demo
    2>  !    hint: run it with the confirmation: `howdah pg:credentials:destroy gold -n reports -a demo --no-input --confirm demo`
    exit 5
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /postgres/v0/databases/postgresql-calm-11111/credentials {"name":"reports"}
    DELETE /postgres/v0/databases/postgresql-calm-11111/credentials/reports
    "#);
}

/// Where a credential has a permission.
fn with_permissions() -> Platform {
    let one = |permission: Value| {
        let logins =
            json!([{ "user": "u7", "password": "p7", "state": "active", "connections": 0 }]);
        let mut credential = credential("reports", logins);
        credential["permission"] = permission;
        credential
    };
    platform(&[
        (
            "POST /postgres/v0/databases/postgresql-calm-11111/credentials",
            201,
            one(json!("readonly")),
        ),
        (
            "GET /postgres/v0/databases/postgresql-calm-11111/credentials/reports",
            200,
            one(json!("readonly")),
        ),
        (
            "PATCH /howdah/v1/databases/postgresql-calm-11111/credentials/reports",
            200,
            one(json!("readwrite")),
        ),
        (
            "GET /postgres/v0/databases/id-postgresql-calm-11111/credentials",
            200,
            json!([one(json!("none")), one(Value::Null)]),
        ),
        ("GET /postgres/v0/databases/id-postgresql-wise-22222/credentials", 200, json!([])),
    ])
}

#[test]
fn d28_a_credential_is_made_with_a_permission_which_is_shown_and_set() {
    let platform = with_permissions();
    let all = [
        "pg:credentials:create gold --name reports --permission readonly -a demo",
        "pg:credentials:create gold --name reports --permission all -a demo",
        "pg:credentials:permissions gold --name reports -a demo",
        "pg:credentials:permissions gold --name reports -a demo --json",
        "pg:credentials:permissions readwrite --name reports -a demo",
        "pg:credentials:permissions gold all --name reports -a demo",
        "pg:credentials:permissions gold readwrite -a demo",
        "pg:credentials -a demo",
    ];
    let all: Vec<_> = all.iter().map(|command| platform.howdah(command)).collect();
    assert_snapshot!(all.join("\n"), @r#"
    $ howdah pg:credentials:create gold --name reports --permission readonly -a demo
    User name: u7
    2> Creating credential reports... done
    2> No app uses it yet; attach it: `howdah addons:attach postgresql-calm-11111 --credential reports -a demo`
    exit 0
    $ howdah pg:credentials:create gold --name reports --permission all -a demo
    2>  !    all is no permission: say readonly, readwrite or none
    exit 2
    $ howdah pg:credentials:permissions gold --name reports -a demo
    reports on postgresql-calm-11111: readonly
    exit 0
    $ howdah pg:credentials:permissions gold --name reports -a demo --json
    {
      "data": {
        "database": "postgresql-calm-11111",
        "name": "reports",
        "permission": "readonly"
      },
      "meta": {
        "request_id": "req-1"
      },
      "schema": "howdah.v1/credential"
    }
    exit 0
    $ howdah pg:credentials:permissions readwrite --name reports -a demo
    reports on postgresql-calm-11111: readwrite
    2> Setting the permission of reports to readwrite... done
    exit 0
    $ howdah pg:credentials:permissions gold all --name reports -a demo
    2>  !    all is no permission: say readonly, readwrite or none
    exit 2
    $ howdah pg:credentials:permissions gold readwrite -a demo
    2>  !    Must specify the credential with --name
    exit 2
    $ howdah pg:credentials -a demo
    Database               Credential  User  State   Permission  Config vars
    postgresql-calm-11111  reports     u7    active  none
    postgresql-calm-11111  reports     u7    active  owner
    exit 0
    "#);
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /postgres/v0/databases/postgresql-calm-11111/credentials {"name":"reports","permission":"readonly"}
    PATCH /howdah/v1/databases/postgresql-calm-11111/credentials/reports {"permission":"readwrite"}
    "#);
}

#[test]
fn d25_d28_rotations_say_which_and_are_confirmed_and_a_reset_prints_the_books_lines() {
    let done = json!({ "message": "done" });
    let platform = platform(&[
        (
            "POST /postgres/v0/databases/postgresql-calm-11111/credentials/default/credentials_rotation",
            200,
            done.clone(),
        ),
        (
            "POST /postgres/v0/databases/postgresql-calm-11111/credentials_rotation",
            202,
            done.clone(),
        ),
        ("POST /postgres/v0/databases/postgresql-calm-11111/repair-default", 200, done),
    ]);
    assert_snapshot!(platform.howdah("pg:credentials:rotate -a demo --confirm demo"), @r"
    $ howdah pg:credentials:rotate -a demo --confirm demo
    2> Rotating default on postgresql-calm-11111... done
    2> The old URLs work until nobody uses them any more; to see whether that is so: `howdah pg:credentials -a demo`
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:credentials:rotate --all --force -a demo -c demo"), @r"
    $ howdah pg:credentials:rotate --all --force -a demo -c demo
    2> Rotating all credentials on postgresql-calm-11111... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:credentials:rotate --all --name x -a demo"), @r"
    $ howdah pg:credentials:rotate --all --name x -a demo
    2>  !    Say either --all or --name NAME, not both
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:credentials DATABASE --reset -a demo"), @r"
    $ howdah pg:credentials DATABASE --reset -a demo
    2> Resetting credentials for HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)... done
    2> Promoting HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:credentials:repair-default -a demo -c demo"), @r"
    $ howdah pg:credentials:repair-default -a demo -c demo
    2> Giving the default credential all rights in postgresql-calm-11111... done
    exit 0
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /postgres/v0/databases/postgresql-calm-11111/credentials/default/credentials_rotation {}
    POST /postgres/v0/databases/postgresql-calm-11111/credentials_rotation {"forced":true}
    POST /postgres/v0/databases/postgresql-calm-11111/credentials/default/credentials_rotation {"forced":true}
    POST /postgres/v0/databases/postgresql-calm-11111/repair-default {}
    "#);
}

#[test]
fn d28_a_refusal_is_said_in_the_platforms_words_and_a_rotation_shows_both_users() {
    let refused = json!({
        "id": "invalid_params",
        "message": "Credential reports must be detached from the app it is attached to before it is destroyed: REPORTS of demo.",
    });
    let mut rotating = credential(
        "default",
        json!([
            { "user": "u2", "password": "p2", "state": "active", "connections": null },
            { "user": "u1", "password": null, "state": "revoking", "connections": 3 },
        ]),
    );
    rotating["state"] = json!("rotating");
    let platform = platform(&[
        ("DELETE /postgres/v0/databases/postgresql-calm-11111/credentials/reports", 422, refused),
        ("GET /postgres/v0/databases/id-postgresql-calm-11111/credentials", 200, json!([rotating])),
        ("GET /postgres/v0/databases/id-postgresql-wise-22222/credentials", 200, json!([])),
    ]);
    assert_snapshot!(platform.howdah("pg:credentials:destroy gold -n reports -a demo -c demo"), @r"
    $ howdah pg:credentials:destroy gold -n reports -a demo -c demo
    2> Destroying credential reports... failed
    2>  !    Credential reports must be detached from the app it is attached to before it is destroyed: REPORTS of demo.
    exit 1
    ");
    assert_snapshot!(platform.howdah("pg:credentials -a demo"), @r"
    $ howdah pg:credentials -a demo
    Database               Credential  User    State     Permission  Config vars
    postgresql-calm-11111  default     u2, u1  rotating  owner       DATABASE_URL, HEROKU_POSTGRESQL_GOLD_URL
    exit 0
    ");
}
