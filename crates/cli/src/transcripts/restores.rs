//! Restores, downloads, copies and schedules, under the new names and the old ones.

use insta::assert_snapshot;

use super::backups::{ALL, answering, backup, but, failed, running, transfer};
use super::*;

const RESTORE: &str = "POST /client/v11/databases/id-postgresql-calm-11111/restores";
const SCHEDULES: &str = "GET /client/v11/databases/id-postgresql-calm-11111/transfer-schedules";

#[test]
fn e19_e31_a_restore_takes_its_arguments_in_both_orders_and_asks_first() {
    let one = "GET /client/v11/apps/demo/transfers/uuid-9";
    let restoring = transfer(9, "gof3r", "pg_restore");
    let platform = answering(&[
        (ALL, 200, json!([backup(1)])),
        ("GET /client/v11/apps/demo/transfers/1", 200, backup(1)),
        ("GET /client/v11/apps/other/transfers/3", 200, backup(3)),
        (
            RESTORE,
            201,
            but(running(restoring.clone(), "", 0, None), &[("started_at", Value::Null)]),
        ),
        (one, 200, running(restoring.clone(), "fetching", 1_000_000, Some(4_000_000))),
        (one, 200, running(restoring.clone(), "restoring", 3_000_000, Some(4_000_000))),
        (one, 200, restoring),
    ]);
    assert_snapshot!(platform.fed("pgbackups:restore -a demo", "demo\n"), @r#"
    $ howdah pgbackups:restore -a demo
    2> HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)  <---restore---  b001
    2>                                                            DATABASE
    2>                                                            2026-01-02T03:04:01Z
    2>                                                            2.4 MB
    2>
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> > Retrieving... fetching 25% (977 kB of 3.8 MB)
    2> Retrieving... done
    2> Restoring... done
    exit 0
    "#);
    assert_snapshot!(platform.howdah("pg:backups:restore other::b003 DATABASE_URL -a demo --confirm demo -e hstore,Citext"), @r"
    $ howdah pg:backups:restore other::b003 DATABASE_URL -a demo --confirm demo -e hstore,Citext
    2> Starting restore of b003 to postgresql-calm-11111... done
    2>
    2> Use Ctrl-C at any time to stop monitoring progress; the backup will continue restoring.
    2> Use `howdah pg:backups` to check progress.
    2> Stop a running restore with `howdah pg:backups:cancel`.
    2>
    2> Restoring... done
    exit 0
    ");
    let url = "https://example.com/my.dump";
    for line in [
        "pg:backups:restore DATABASE_URL b001 -a demo --confirm demo".to_owned(),
        format!("pgbackups:restore {url} -a demo --confirm demo"),
    ] {
        assert!(platform.howdah(&line).ends_with("exit 0"), "{line}");
    }
    assert_eq!(
        platform.changes(),
        [
            format!(r#"{RESTORE} {{"backup_url":"howdah-dump:uuid-1"}}"#),
            format!(
                r#"{RESTORE} {{"backup_url":"howdah-dump:uuid-3","extensions":["citext","hstore"]}}"#
            ),
            format!(r#"{RESTORE} {{"backup_url":"howdah-dump:uuid-1"}}"#),
            format!(r#"{RESTORE} {{"backup_url":"{url}"}}"#),
        ]
    );
}

#[test]
fn e21_what_cannot_be_restored_is_refused_before_anything_is_asked() {
    let platform = answering(&[
        (ALL, 200, json!([backup(1), failed(backup(2), &[])])),
        ("GET /client/v11/apps/demo/transfers/1", 200, backup(1)),
        ("GET /client/v11/apps/demo/transfers/2", 200, failed(backup(2), &[])),
    ]);
    let refused = platform.fed("pgbackups:restore -a demo", "no\n");
    assert!(refused.ends_with("exit 5"), "{refused}");
    assert_snapshot!(platform.howdah("pg:backups:restore b002 -a demo --confirm demo"), @r"
    $ howdah pg:backups:restore b002 -a demo --confirm demo
    2>  !    Backup b002 for demo did not complete successfully
    2>  !    hint: for more details: `howdah pg:backups:info b002 -a demo`
    exit 6
    ");
    assert_snapshot!(platform.howdah("pg:backups:restore gold red -a demo"), @r"
    $ howdah pg:backups:restore gold red -a demo
    2>  !    Neither argument is a backup: an ID such as b001, APP::ID, an http(s) URL, or a file such as ./latest.dump
    exit 2
    ");
    assert_snapshot!(platform.howdah("pg:backups:restore ./none.dump -a demo"), @r"
    $ howdah pg:backups:restore ./none.dump -a demo
    2>  !    /home/dev/./none.dump: No such file or directory (os error 2)
    exit 3
    ");
    std::fs::write(platform.home.path().join("page.html"), "<html>").expect("writes");
    assert_snapshot!(platform.howdah("pg:backups:restore page.html -a demo"), @r"
    $ howdah pg:backups:restore page.html -a demo
    2>  !    /home/dev/page.html: this is not a dump in PostgreSQL's custom format (pg_dump -Fc)
    exit 3
    ");
    assert!(platform.changes().is_empty());
}

#[test]
fn a_file_is_uploaded_before_it_is_restored() {
    let platform = answering(&[
        (
            "POST /howdah/v1/databases/id-postgresql-calm-11111/dumps",
            201,
            json!({ "backup_url": "howdah-dump:uuid-up" }),
        ),
        (RESTORE, 201, transfer(9, "gof3r", "pg_restore")),
        ("GET /client/v11/apps/demo/transfers/uuid-9", 200, transfer(9, "gof3r", "pg_restore")),
    ]);
    std::fs::write(platform.home.path().join("my.dump"), "PGDMP and more").expect("writes");
    assert_snapshot!(platform.howdah("pg:backups:restore my.dump gold -a demo --confirm demo"), @r"
    $ howdah pg:backups:restore my.dump gold -a demo --confirm demo
    2> Uploading my.dump... done, 14 bytes
    2> Starting restore of my.dump to postgresql-calm-11111... done
    2>
    2> Use Ctrl-C at any time to stop monitoring progress; the backup will continue restoring.
    2> Use `howdah pg:backups` to check progress.
    2> Stop a running restore with `howdah pg:backups:cancel`.
    2>
    2> Restoring... done
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [
            "POST /howdah/v1/databases/id-postgresql-calm-11111/dumps PGDMP and more".to_owned(),
            format!(r#"{RESTORE} {{"backup_url":"howdah-dump:uuid-up"}}"#),
        ]
    );
}

#[test]
fn e17_a_backup_is_downloaded_whole_and_goes_on_where_it_was_broken_off() {
    let url =
        json!({ "url": "https://127.0.0.1:9999/backups/x/demo/b001.dump?expires=1&signature=2" });
    let dump: String =
        "PGDMP".chars().chain((0..20_000).map(|n| char::from(b'a' + (n % 26) as u8))).collect();
    let platform = answering(&[
        (ALL, 200, json!([backup(1), failed(backup(2), &[])])),
        ("GET /client/v11/apps/demo/transfers/1", 200, backup(1)),
        ("POST /client/v11/apps/demo/transfers/1/actions/public-url", 200, url),
        ("GET /backups/x/demo/b001.dump", 200, json!(dump)),
    ]);
    assert_snapshot!(platform.howdah("pgbackups:url -a demo"), @r"
    $ howdah pgbackups:url -a demo
    http://howdah.test/backups/x/demo/b001.dump?expires=1&signature=2
    exit 0
    ");
    let file = |name: &str| platform.home.path().join(name);
    let read = |name: &str| std::fs::read_to_string(file(name)).expect("a file");
    // Half of it is there; another half belongs to another backup.
    std::fs::write(file("latest.dump.b001-uuid-1.part"), &dump[..9_000]).expect("writes");
    std::fs::write(file("latest.dump.b001-other.part"), "other").expect("writes");
    assert_snapshot!(platform.howdah("pg:backups:download -a demo"), @r"
    $ howdah pg:backups:download -a demo
    2> Downloading b001 to latest.dump... done, 19.5 kB
    exit 0
    ");
    assert!(read("latest.dump") == dump && !file("latest.dump.b001-uuid-1.part").exists());
    let asked = platform.asked.lock().expect("whole").clone();
    assert_eq!(asked.iter().filter(|line| line.starts_with("GET /backups")).count(), 1);
    // A part that is larger than the whole is not a part of it.
    std::fs::write(file("latest.dump.1.b001-uuid-1.part"), format!("{dump}{dump}"))
        .expect("writes");
    let told = platform.howdah("pg:backups:download b001 -a demo --json=file,bytes");
    assert!(told.contains("\"file\": \"latest.dump.1\"") && told.contains("20005"), "{told}");
    assert_eq!(read("latest.dump.1"), dump);
    assert!(platform.howdah("pg:backups:download b001 -a demo -o mine").ends_with("exit 0"));
    assert_eq!(read("mine"), dump);
}

#[test]
fn e13_schedules_are_set_listed_and_ended() {
    let schedules = json!([{ "uuid": "s-1", "name": "DATABASE_URL", "hour": 2, "timezone": "America/Los_Angeles" }]);
    let set = SCHEDULES.replace("GET", "POST");
    let set: &'static str = set.leak();
    let platform = answering(&[
        (SCHEDULES, 200, schedules),
        (set, 201, json!({})),
        (
            "DELETE /client/v11/databases/id-postgresql-calm-11111/transfer-schedules/s-1",
            200,
            json!({}),
        ),
    ]);
    assert_snapshot!(platform.howdah("pg:backups:schedule DATABASE_URL --at '02:00 PST' -a demo"), @r"
    $ howdah pg:backups:schedule DATABASE_URL --at '02:00 PST' -a demo
    2> Scheduling automatic daily backups of postgresql-calm-11111 at 2:00 America/Los_Angeles... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:schedules -a demo"), @r"
    $ howdah pg:backups:schedules -a demo
    === Backup Schedules

    DATABASE_URL: daily at 2:00 America/Los_Angeles
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:unschedule -a demo"), @r"
    $ howdah pg:backups:unschedule -a demo
    2> Unscheduling DATABASE_URL daily backups... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:unschedule gold -a demo"), @r"
    $ howdah pg:backups:unschedule gold -a demo
    2> Unscheduling DATABASE_URL daily backups... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:backups:schedule --at 02:30 -a demo"), @r"
    $ howdah pg:backups:schedule --at 02:30 -a demo
    2>  !    Invalid schedule format: expected --at '[HOUR]:00 [TIMEZONE]'
    exit 2
    ");
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /client/v11/databases/id-postgresql-calm-11111/transfer-schedules {"hour":"2","schedule_name":"DATABASE_URL","timezone":"America/Los_Angeles"}
    DELETE /client/v11/databases/id-postgresql-calm-11111/transfer-schedules/s-1
    DELETE /client/v11/databases/id-postgresql-calm-11111/transfer-schedules/s-1
    "#);
    let none = answering(&[(SCHEDULES, 200, json!([]))]);
    assert_snapshot!(none.howdah("pg:backups:schedules -a demo"), @r"
    $ howdah pg:backups:schedules -a demo
    2> No backup schedules found on demo; set one up: `howdah pg:backups:schedule DATABASE --at '02:00 UTC' -a demo`
    exit 0
    ");
    assert_snapshot!(none.howdah("pg:backups:unschedule -a demo"), @r"
    $ howdah pg:backups:unschedule -a demo
    2>  !    No schedules on demo
    exit 3
    ");
}

#[test]
fn a_copy_names_its_target_before_it_begins() {
    let copy = transfer(5, "pg_dump", "pg_restore");
    let begin = "POST /client/v11/databases/id-postgresql-wise-22222/transfers";
    let platform = answering(&[
        (begin, 201, copy.clone()),
        ("GET /client/v11/apps/demo/transfers/uuid-5", 200, copy),
        ("GET /postgres/v0/databases/postgresql-calm-11111/credentials", 200, json!([{}, {}])),
    ]);
    assert_snapshot!(platform.fed("pg:copy DATABASE_URL red -a demo", "RED\n"), @r#"
    $ howdah pg:copy DATABASE_URL red -a demo
    2>  !    WARNING: Destructive action
    2>  !    This command will remove all data from RED
    2>  !    Data from DATABASE will then be transferred to RED
    2>  !    To proceed, type "RED" or re-run this command with --confirm RED
    2>
    2> > Starting copy of DATABASE to RED... done
    2>  !    WARNING: the copy has the data of all credentials, but belongs to the default one; make the others again with pg:credentials:create
    2> Copying... done
    exit 0
    "#);
    assert_snapshot!(platform.changes().join("\n"), @r#"POST /client/v11/databases/id-postgresql-wise-22222/transfers {"from_name":"DATABASE","from_url":"postgres://u1:p1@127.0.0.1:5433/d1","to_name":"RED","to_url":"postgres://u2:p2@127.0.0.1:5433/d2"}"#);
    let url = "postgres://u:s3cret@db.example.com:6543/shop";
    for line in [
        format!("pgbackups:transfer {url} red -a demo --confirm RED"),
        "pg:copy gold RED -a demo --confirm demo".to_owned(),
    ] {
        let told = platform.howdah(&line);
        let (said, told) = told.split_once('\n').expect("lines");
        assert!(told.ends_with("exit 0") && !told.contains("s3cret"), "{said} {told}");
    }
    assert!(platform.changes()[0].contains("database shop on db.example.com:6543"));
    for (line, exit) in [
        ("pg:copy DATABASE_URL gold -a demo", "exit 2"),
        ("pg:copy DATABASE_URL red -a demo --confirm other", "exit 5"),
        ("pg:copy DATABASE_URL postgres://u:p@h/d -a demo", "exit 2"),
    ] {
        assert!(platform.howdah(line).ends_with(exit), "{line}");
    }
    assert!(platform.changes().is_empty());
}
