//! Backups and what becomes of them, under the new names and the old ones.

use insta::assert_snapshot;

use super::*;

pub(super) const ALL: &str = "GET /client/v11/apps/demo/transfers";
const CAPTURE: &str = "POST /client/v11/databases/id-postgresql-calm-11111/backups";

/// A transfer that has ended well.
pub(super) fn transfer(num: u64, from_type: &str, to_type: &str) -> Value {
    json!({
        "uuid": format!("uuid-{num}"), "num": num, "from_name": "DATABASE", "from_type": from_type,
        "to_name": if to_type == "gof3r" { "BACKUP" } else { "HEROKU_POSTGRESQL_RED" },
        "to_type": to_type, "to_url": format!("howdah-dump:uuid-{num}"), "from_url": "secret",
        "created_at": format!("2026-01-02T03:04:{num:02}Z"), "started_at": "2026-01-02T03:04:05Z",
        "finished_at": "2026-01-02T03:05:05Z", "canceled_at": null, "succeeded": true,
        "processed_bytes": 2_500_000, "source_bytes": 10_000_000, "warnings": 0, "schedule": null,
        "options": {}, "num_keep": null, "updated_at": "2026-01-02T03:05:05Z",
        "logs": [
            { "created_at": "2026-01-02T03:04:06Z", "level": "info", "message": "dumping 3 tables" },
            { "created_at": "2026-01-02T03:05:05Z", "level": "info", "message": "done" },
        ],
    })
}

pub(super) fn backup(num: u64) -> Value {
    transfer(num, "pg_dump", "gof3r")
}

/// The same with other fields.
pub(super) fn but(mut transfer: Value, fields: &[(&str, Value)]) -> Value {
    for (name, value) in fields {
        transfer[name] = value.clone();
    }
    transfer
}

pub(super) fn running(transfer: Value, step: &str, processed: u64, total: Option<u64>) -> Value {
    but(
        transfer,
        &[
            ("finished_at", Value::Null),
            ("succeeded", Value::Null),
            ("step", json!(step)),
            ("processed_bytes", json!(processed)),
            ("total_bytes", json!(total)),
        ],
    )
}

pub(super) fn failed(transfer: Value, lines: &[&str]) -> Value {
    let line = |line: &&str| json!({ "created_at": "2026-01-02T03:04:06Z", "level": "error", "message": line });
    let lines: Vec<_> = lines.iter().map(line).collect();
    but(transfer, &[("succeeded", json!(false)), ("logs", json!(lines))])
}

pub(super) fn answering(more: &[(&'static str, u16, Value)]) -> Platform {
    let mut answers = two_databases();
    answers.extend_from_slice(more);
    Platform::with(&answers)
}

#[test]
fn e14_e30_backups_restores_and_copies_are_listed_and_shown() {
    let scheduled =
        but(backup(2), &[("schedule", json!({ "uuid": "s-1" })), ("warnings", json!(1))]);
    let pending = but(running(backup(6), "", 0, None), &[("started_at", Value::Null)]);
    let canceled = but(
        failed(backup(7), &[]),
        &[("canceled_at", json!("2026-01-02T03:05:05Z")), ("from_name", Value::Null)],
    );
    let all = json!([
        backup(1),
        scheduled,
        transfer(3, "htcat", "pg_restore"),
        transfer(4, "pg_dump", "pg_restore"),
        failed(backup(5), &[]),
        pending,
        canceled,
    ]);
    let platform = answering(&[
        (ALL, 200, all),
        ("GET /client/v11/apps/demo/transfers/1", 200, backup(1)),
        ("GET /client/v11/apps/demo/transfers/uuid-7", 200, backup(7)),
    ]);
    assert_snapshot!(platform.howdah("pg:backups -a demo"), @r"
    $ howdah pg:backups -a demo
    === Backups

    ID    Created at            Status                          Size     Database
    b007  2026-01-02T03:04:07Z  Canceled 2026-01-02T03:05:05Z   2.4 MB   UNKNOWN
    b006  2026-01-02T03:04:06Z  Pending                         0 bytes  DATABASE
    b005  2026-01-02T03:04:05Z  Failed 2026-01-02T03:05:05Z     2.4 MB   DATABASE
    a002  2026-01-02T03:04:02Z  Finished with 1 warning         2.4 MB   DATABASE
    b001  2026-01-02T03:04:01Z  Completed 2026-01-02T03:05:05Z  2.4 MB   DATABASE

    === Restores

    ID    Started at            Status                          Size    Database
    r003  2026-01-02T03:04:03Z  Completed 2026-01-02T03:05:05Z  2.4 MB  HEROKU_POSTGRESQL_RED

    === Copies

    ID    Started at            Status                          Size    From      To
    c004  2026-01-02T03:04:04Z  Completed 2026-01-02T03:05:05Z  2.4 MB  DATABASE  HEROKU_POSTGRESQL_RED
    exit 0
    ");
    assert_snapshot!(platform.howdah("pgbackups -a demo"), @r"
    $ howdah pgbackups -a demo
    ID    Backup Time           Status                            Size     Database
    ----  --------------------  --------------------------------  -------  --------------------------
    b001  2026-01-02T03:04:01Z  Completed @ 2026-01-02T03:05:05Z  2.4 MB   HEROKU_POSTGRESQL_GOLD_URL
    a002  2026-01-02T03:04:02Z  Finished with 1 warning           2.4 MB   HEROKU_POSTGRESQL_GOLD_URL
    b005  2026-01-02T03:04:05Z  Failed @ 2026-01-02T03:05:05Z     2.4 MB   HEROKU_POSTGRESQL_GOLD_URL
    b006  2026-01-02T03:04:06Z  Pending                           0 bytes  HEROKU_POSTGRESQL_GOLD_URL
    b007  2026-01-02T03:04:07Z  Canceled @ 2026-01-02T03:05:05Z   2.4 MB   UNKNOWN
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:info b001 -a demo"), @r"
    $ howdah pg:backups:info b001 -a demo
    === Backup b001

    Database:          DATABASE
    Started at:        2026-01-02T03:04:05Z
    Finished at:       2026-01-02T03:05:05Z
    Status:            Completed
    Type:              Manual
    Original DB Size:  9.5 MB
    Backup Size:       2.4 MB (75% compression)

    === Backup Logs

    2026-01-02T03:04:06Z dumping 3 tables
    2026-01-02T03:05:05Z done
    exit 0
    ");
    assert!(platform.howdah("pg:backups:info -a demo").contains("=== Backup b007"));
    let missing = platform.howdah("pg:backups:info a001 -a demo");
    assert!(missing.contains("Backup a001 not found for demo") && missing.ends_with("exit 3"));
    let json = platform.howdah("pg:backups -a demo --json");
    assert!(json.contains("\"id\": \"c004\"") && json.contains("\"canceled\""), "{json}");
    assert!(!json.contains("secret"), "{json}");
}

#[test]
fn e14_where_there_is_no_backup_people_are_told_how_to_make_one() {
    let none = answering(&[(ALL, 200, json!([]))]);
    assert_snapshot!(none.howdah("pg:backups -a demo"), @r"
    $ howdah pg:backups -a demo
    === Backups

    No backups. Capture one with `howdah pg:backups:capture -a demo`

    === Restores

    No restores found. Use `howdah pg:backups:restore` to restore a backup

    === Copies

    No copies found. Use `howdah pg:copy` to copy a database to another
    exit 0
    ");
    assert_snapshot!(none.howdah("pgbackups -a demo"), @r"
    $ howdah pgbackups -a demo
    2> No backups. Capture one with `howdah pgbackups:capture -a demo`
    exit 0
    ");
}

#[test]
fn e5_a_capture_is_followed_to_its_end() {
    let one = "GET /client/v11/apps/demo/transfers/uuid-8";
    let warned = but(
        backup(8),
        &[(
            "logs",
            json!([{ "created_at": "2026-01-02T03:04:06Z", "level": "warning", "message": "60 schemas" }]),
        )],
    );
    let platform = answering(&[
        (CAPTURE, 201, but(running(backup(8), "", 0, None), &[("started_at", Value::Null)])),
        (one, 200, running(backup(8), "dumping", 1000, None)),
        (one, 200, warned),
    ]);
    assert_snapshot!(platform.howdah("pg:backups:capture -a demo"), @r"
    $ howdah pg:backups:capture -a demo
    2> Starting backup of postgresql-calm-11111... done
    2>
    2> Use Ctrl-C at any time to stop monitoring progress; the backup will continue running.
    2> Use `howdah pg:backups:info` to check progress.
    2> Stop a running backup with `howdah pg:backups:cancel`.
    2>
    2> Backing up DATABASE to b008... done
    2>  !    WARNING: 60 schemas
    exit 0
    ");
    assert_snapshot!(platform.howdah("pgbackups:capture -a demo"), @r"
    $ howdah pgbackups:capture -a demo
    HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)  ----backup---->  b008

    2> Capturing... done
    2> Storing... done
    2>  !    WARNING: 60 schemas
    exit 0
    ");
    let red = answering(&[
        ("POST /client/v11/databases/id-postgresql-wise-22222/backups", 201, backup(9)),
        ("GET /client/v11/apps/demo/transfers/uuid-9", 200, backup(9)),
    ]);
    let told = red.howdah("pgbackups:capture red -a demo -e");
    assert!(told.contains("HEROKU_POSTGRESQL_RED_URL  ----backup---->  b009"), "{told}");
    assert_eq!(
        red.changes(),
        [r#"POST /client/v11/databases/id-postgresql-wise-22222/backups {"expire":true}"#]
    );
    assert_snapshot!(red.howdah("pg:backups:capture red -a demo --no-wait"), @r"
    $ howdah pg:backups:capture red -a demo --no-wait
    b009
    2> Starting backup of postgresql-wise-22222... done
    2> b009 has begun. To watch it: `howdah pg:backups:wait b009 -a demo`
    exit 0
    ");
    assert_snapshot!(red.howdah("pg:backups:capture red -a demo -v"), @r"
    $ howdah pg:backups:capture red -a demo -v
    2> Starting backup of postgresql-wise-22222... done
    2>
    2> Use Ctrl-C at any time to stop monitoring progress; the backup will continue running.
    2> Use `howdah pg:backups:info` to check progress.
    2> Stop a running backup with `howdah pg:backups:cancel`.
    2>
    2> Backing up DATABASE to b009...
    2> 2026-01-02T03:04:06Z dumping 3 tables
    2> 2026-01-02T03:05:05Z done
    2> Backing up DATABASE to b009... done
    exit 0
    ");
}

#[test]
fn e9_e10_a_capture_that_fails_or_is_refused_tells_why() {
    let lines = ["one", "two", "three", "four", "five", "pg_dump: error: out of memory"];
    let one = "GET /client/v11/apps/demo/transfers/uuid-8";
    let platform = answering(&[
        (CAPTURE, 201, backup(8)),
        (one, 200, running(backup(8), "dumping", 1000, None)),
        (one, 200, but(failed(backup(8), &lines), &[("error", json!("out of memory"))])),
    ]);
    assert_snapshot!(platform.howdah("pgbackups:capture -a demo"), @r"
    $ howdah pgbackups:capture -a demo
    HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)  ----backup---->  b008

    2> Capturing... failed
    2>  !    An error occurred and your backup did not finish.
    2>  !    two
    2>  !    three
    2>  !    four
    2>  !    five
    2>  !    pg_dump: error: out of memory
    2>  !    hint: for more details: `howdah pg:backups:info b008 -a demo`
    exit 1
    ");
    let canceled = failed(backup(8), &[]);
    let canceled = but(canceled, &[("canceled_at", json!("2026-01-02T03:05:05Z"))]);
    let platform = answering(&[(CAPTURE, 201, backup(8)), (one, 200, canceled)]);
    assert_snapshot!(platform.howdah("pg:backups:capture -a demo"), @r"
    $ howdah pg:backups:capture -a demo
    2> Starting backup of postgresql-calm-11111... done
    2>
    2> Use Ctrl-C at any time to stop monitoring progress; the backup will continue running.
    2> Use `howdah pg:backups:info` to check progress.
    2> Stop a running backup with `howdah pg:backups:cancel`.
    2>
    2> Backing up DATABASE to b008... canceled
    2>  !    The backup b008 was canceled.
    exit 1
    ");
    let refusal = json!({ "id": "backup_limit", "message": "demo has 7 manual backups, and plus keeps 7.\nDelete one, or capture with --expire." });
    let platform = answering(&[(CAPTURE, 422, refusal)]);
    assert_snapshot!(platform.howdah("pg:backups:capture -a demo"), @r"
    $ howdah pg:backups:capture -a demo
    2> Starting backup of postgresql-calm-11111... failed
    2>  !    demo has 7 manual backups, and plus keeps 7.
    2>  !    Delete one, or capture with --expire.
    exit 1
    ");
}

#[test]
fn e29_a_transfer_is_cancelled_and_watched_again() {
    let one = "GET /client/v11/apps/demo/transfers/uuid-8";
    let platform = answering(&[
        (ALL, 200, json!([backup(1), running(backup(8), "dumping", 1000, None)])),
        ("GET /client/v11/apps/demo/transfers/1", 200, backup(1)),
        ("POST /client/v11/apps/demo/transfers/uuid-8/actions/cancel", 200, json!({})),
        (one, 200, backup(8)),
    ]);
    assert_snapshot!(platform.howdah("pg:backups:cancel -a demo"), @r"
    $ howdah pg:backups:cancel -a demo
    2> Cancelling b008... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:cancel b001 -a demo"), @r"
    $ howdah pg:backups:cancel b001 -a demo
    2>  !    b001 has ended already: Completed 2026-01-02T03:05:05Z
    exit 6
    ");
    assert_snapshot!(platform.howdah("pg:backups:wait -a demo"), @r"
    $ howdah pg:backups:wait -a demo
    2> Waiting for backup b008... done
    exit 0
    ");
    let none = answering(&[(ALL, 200, json!([backup(1)]))]);
    assert_snapshot!(none.howdah("pg:backups:cancel -a demo"), @r"
    $ howdah pg:backups:cancel -a demo
    2>  !    No active backups or transfers on demo
    2>  !    hint: its backups: `howdah pg:backups -a demo`
    exit 3
    ");
}

#[test]
fn e18_a_backup_is_deleted_under_both_names_and_only_the_one_that_is_meant() {
    let platform = answering(&[
        ("GET /client/v11/apps/demo/transfers/4", 200, backup(4)),
        ("DELETE /client/v11/apps/demo/transfers/4", 200, backup(4)),
    ]);
    assert_snapshot!(platform.howdah("pgbackups:destroy b004 -a demo"), @r"
    $ howdah pgbackups:destroy b004 -a demo
    2> Destroying b004... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:delete b004 -a demo --confirm demo"), @r"
    $ howdah pg:backups:delete b004 -a demo --confirm demo
    2> Deleting backup b004 on demo... done
    exit 0
    ");
    assert_eq!(platform.changes(), ["DELETE /client/v11/apps/demo/transfers/4"; 2]);
    for line in [
        "pgbackups:destroy a004 -a demo",
        "pgbackups:destroy b005 -a demo",
        "pg:backups:delete b004 -a demo --confirm other",
        "pg:backups:delete b004 -a demo --no-input",
        "pg:backups:delete 4 -a demo --confirm demo",
    ] {
        assert!(!platform.howdah(line).ends_with("exit 0"), "{line}");
    }
    assert!(platform.changes().is_empty());
}
