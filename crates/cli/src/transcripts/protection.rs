//! pg:protection, pg:drill, incidents.

use insta::assert_snapshot;

use super::*;

const STATE: &str = "GET /howdah/v1/databases/id-postgresql-calm-11111/protection";
const DRILL: &str = "PUT /howdah/v1/databases/id-postgresql-calm-11111/drill";
const BACKUP: &str = "PUT /howdah/v1/databases/id-postgresql-calm-11111/backup";
const INCIDENTS: &str = "GET /howdah/v1/incidents";

fn wanted(backups: u32, drills: u32) -> Value {
    json!({
        "backup_every": 86_400, "keep": 345_600, "drill_every": 604_800,
        "backups": backups, "drills": drills,
    })
}

fn protected(drill: Value) -> Value {
    json!({
        "archived": "0/3000000", "archived_at": "2026-01-02T03:04:05Z", "lag_bytes": 0,
        "trouble": null, "earliest": "2026-01-01T01:00:00Z",
        "backup": {
            "id": "20260102T010000Z", "ended_at": "2026-01-02T01:00:09Z",
            "bytes": 2_147_483_648_u64, "stored": 536_870_912,
        },
        "backing_up": null, "backups": 1, "drill": drill, "drills": 1,
    })
}

fn state(wanted: Value, protected: Value) -> Value {
    json!({ "wanted": wanted, "protected": protected })
}

fn proven() -> Value {
    json!({
        "at": "2026-01-02T02:00:00Z",
        "outcome": { "outcome": "proven", "took_ms": 41_000, "lost_ms": 2000 },
    })
}

fn incident(addon: Value, ended: Value) -> Value {
    json!({
        "id": "i-1", "what": "archive", "text": "WAL does not reach the archive: connection refused",
        "addon": addon, "app": { "name": "demo" }, "began_at": "2026-01-02T03:00:00Z",
        "ended_at": ended,
    })
}

#[test]
fn m10_protection_is_shown_with_lag_window_backup_proof_and_incidents() {
    let mut answers = two_databases();
    let incidents = json!([
        incident(json!({ "name": GOLD }), Value::Null),
        incident(json!({ "name": RED }), Value::Null),
    ]);
    answers.push((STATE, 200, state(wanted(1, 1), protected(proven()))));
    answers.push((INCIDENTS, 200, incidents));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:protection -a demo"), @r"
    $ howdah pg:protection -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    Continuous Protection:  On
    Archive Lag:            0 bytes
    Rollback:               earliest from 2026-01-01 01:00 UTC
    Last Base Backup:       2026-01-02T01:00:09Z, 2.0 GB, 512 MB stored
    Proven Restore:         2026-01-02T02:00:00Z, 41 s, lost 2.0 s
    Base Backups:           every 24 h
    Kept For:               4 days
    Restore Drills:         every 7 days

    Incident  Add-on                 Began                 Ended  What happened
    archive   postgresql-calm-11111  2026-01-02T03:00:00Z  -      WAL does not reach the archive: connection refused
    exit 0
    ");
    let json = platform.howdah("pg:protection gold -a demo --json");
    let json = json.split_once('\n').expect("lines").1.trim_end_matches("exit 0");
    let json: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json["schema"], "howdah.v1/protection");
    assert_eq!(json["data"]["addon"], GOLD);
    assert_eq!(json["data"]["protected"]["drill"], proven());
    assert_eq!(json["data"]["incidents"].as_array().map(Vec::len), Some(1));
}

#[test]
fn m11_trouble_and_lag_are_shown() {
    let mut troubled = protected(json!({
        "at": "2026-01-02T02:00:00Z", "outcome": { "outcome": "skipped", "why": "there is no room" },
    }));
    troubled["trouble"] = json!({ "what": "connection refused", "since": "2026-01-02T03:00:00Z" });
    troubled["lag_bytes"] = json!(33_554_432);
    troubled["backing_up"] = json!([1_073_741_824_u64, 2_147_483_648_u64]);
    troubled["earliest"] = Value::Null;
    troubled["backup"] = Value::Null;
    let mut answers = two_databases();
    answers.push((STATE, 200, state(wanted(1, 1), troubled)));
    answers.push((STATE, 200, state(Value::Null, Value::Null)));
    answers.push((INCIDENTS, 200, json!([])));
    let platform = Platform::with(&answers);
    let shown = platform.howdah("pg:protection -a demo");
    let lag = shown.lines().find(|line| line.starts_with("Archive Lag")).expect("a line");
    assert!(lag.starts_with("Archive Lag:            32.0 MB, ") && lag.ends_with(" min"), "{lag}");
    let shown = shown.replace(lag, "Archive Lag:            …");
    assert_snapshot!(shown, @r"
    $ howdah pg:protection -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    Continuous Protection:  in trouble since 2026-01-02T03:00:00Z: connection refused
    Archive Lag:            …
    Rollback:               Unsupported
    Last Base Backup:       none yet
    Base Backup:            50% (1.0 GB of 2.0 GB)
    Proven Restore:         2026-01-02T02:00:00Z, skipped: there is no room
    Base Backups:           every 24 h
    Kept For:               4 days
    Restore Drills:         every 7 days
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:protection -a demo"), @r"
    $ howdah pg:protection -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    Continuous Protection:  nothing is known of it yet
    exit 0
    ");
}

#[test]
fn m12_a_base_backup_is_taken_at_once_and_waited_for() {
    let mut running = protected(Value::Null);
    running["backing_up"] = json!([107_374_182, 2_147_483_648_u64]);
    running["backups"] = json!(0);
    let mut answers = two_databases();
    answers.push((BACKUP, 202, json!({})));
    answers.push((STATE, 200, state(wanted(1, 0), running)));
    answers.push((STATE, 200, state(wanted(1, 0), protected(Value::Null))));
    answers.push((INCIDENTS, 200, json!([])));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:protection gold --backup -a demo"), @r"
    $ howdah pg:protection gold --backup -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    Continuous Protection:  On
    Archive Lag:            0 bytes
    Rollback:               earliest from 2026-01-01 01:00 UTC
    Last Base Backup:       2026-01-02T01:00:09Z, 2.0 GB, 512 MB stored
    Proven Restore:         none yet
    Base Backups:           every 24 h
    Kept For:               4 days
    Restore Drills:         every 7 days
    2> Taking a base backup of HEROKU_POSTGRESQL_GOLD_URL... 4% (102 MB of 2.0 GB)
    2> Taking a base backup of HEROKU_POSTGRESQL_GOLD_URL... done
    exit 0
    ");
    assert_eq!(platform.changes(), [format!("{BACKUP} {{}}")]);
}

#[test]
fn m13_a_drill_is_started_or_waited_for_and_its_outcome_is_the_commands() {
    let with = |drill: Value| {
        let mut before = protected(Value::Null);
        before["drills"] = json!(0);
        let mut answers = two_databases();
        answers.push((DRILL, 202, json!({})));
        answers.push((STATE, 200, state(wanted(1, 1), before)));
        answers.push((STATE, 200, state(wanted(1, 1), protected(drill))));
        Platform::with(&answers)
    };
    let platform = with(proven());
    assert_snapshot!(platform.howdah("pg:drill -a demo"), @r"
    $ howdah pg:drill -a demo
    2> Restoring HEROKU_POSTGRESQL_GOLD_URL aside... begun
    2> It takes a while; see how it goes: `howdah pg:protection HEROKU_POSTGRESQL_GOLD_URL -a demo`
    exit 0
    ");
    assert_eq!(platform.changes(), [format!("{DRILL} {{}}")]);
    assert_snapshot!(platform.howdah("pg:drill gold --wait -a demo"), @r"
    $ howdah pg:drill gold --wait -a demo
    2> Restoring HEROKU_POSTGRESQL_GOLD_URL aside... done, 41 s, lost 2.0 s
    exit 0
    ");
    let ended = |outcome: Value| with(json!({ "at": "2026-01-02T02:00:00Z", "outcome": outcome }));
    let failed = ended(json!({ "outcome": "failed", "why": "pg_amcheck: index t_pkey is broken" }));
    assert_snapshot!(failed.howdah("pg:drill --wait -a demo"), @r"
    $ howdah pg:drill --wait -a demo
    2> Restoring HEROKU_POSTGRESQL_GOLD_URL aside... failed
    2>  !    HEROKU_POSTGRESQL_GOLD_URL could not be restored: pg_amcheck: index t_pkey is broken
    2>  !    hint: see how it goes: `howdah pg:protection HEROKU_POSTGRESQL_GOLD_URL -a demo`
    exit 1
    ");
    let skipped = ended(json!({ "outcome": "skipped", "why": "2.0 GB are free, 5.0 GB needed" }));
    let told = skipped.howdah("pg:drill --wait -a demo --json");
    assert!(told.contains(r#""code": "drill-skipped""#) && told.ends_with("exit 1"), "{told}");
}

#[test]
fn incidents_are_listed_of_an_app_or_of_all_while_they_last_or_also_after() {
    let over = json!("2026-01-02T04:00:00Z");
    let mut other = incident(json!({ "name": "postgresql-else-1" }), Value::Null);
    other["app"] = json!({ "name": "other" });
    let mut disk = incident(Value::Null, Value::Null);
    (disk["what"], disk["text"]) = (json!("disk"), json!("the disk is 91 % full"));
    disk["app"] = Value::Null;
    let all = json!([disk, incident(json!({ "name": GOLD }), over), other]);
    let platform = Platform::with(&[(INCIDENTS, 200, all), (INCIDENTS, 200, json!([]))]);
    let platform = (platform, Platform::with(&[(INCIDENTS, 200, json!([]))]));
    assert_snapshot!(platform.0.howdah("incidents --all -a demo"), @r"
    $ howdah incidents --all -a demo
    Incident  Add-on                 Began                 Ended                 What happened
    disk      -                      2026-01-02T03:00:00Z  -                     the disk is 91 % full
    archive   postgresql-calm-11111  2026-01-02T03:00:00Z  2026-01-02T04:00:00Z  WAL does not reach the archive: connection refused
    exit 0
    ");
    assert_snapshot!(platform.1.howdah("incidents -a demo"), @r"
    $ howdah incidents -a demo
    2> There are no incidents of demo now.
    exit 0
    ");
    assert!(platform.1.howdah("incidents --json").contains(r#""data": []"#));
}
