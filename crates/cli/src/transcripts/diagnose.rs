//! Settings, maintenance and reports: what is asked of the API and what is printed.

use insta::assert_snapshot;

use super::*;

fn platform(more: Vec<(&'static str, u16, Value)>) -> Platform {
    let mut answers = two_databases();
    answers.extend(more);
    Platform::with(&answers)
}

const CONFIG: &str = "/postgres/v0/databases/id-postgresql-calm-11111/config";

fn config(statement: &str) -> Value {
    json!({
        "log_statement": {
            "value": statement, "default": "none", "desc": "", "values": { "none": "No.", "all": "All." },
        },
        "log_lock_waits": { "value": true, "default": true, "desc": "", "values": {} },
        "auto_explain.log_min_duration": { "value": 500, "default": -1, "desc": "", "values": {} },
    })
}

#[test]
fn d33_settings_are_shown_and_each_is_shown_and_changed_by_its_command() {
    let get = format!("GET {CONFIG}");
    let patch = format!("PATCH {CONFIG}");
    let answers = vec![(&*get.leak(), 200, config("none")), (&*patch.leak(), 200, config("all"))];
    let platform = platform(answers);
    assert_snapshot!(platform.howdah("pg:settings -a demo"), @r"
    $ howdah pg:settings -a demo
    === HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)

    auto-explain.log-min-duration:  500
    log-lock-waits:                 true
    log-statement:                  none
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:settings:log-statement -a demo"), @r"
    $ howdah pg:settings:log-statement -a demo
    log-statement is set to none for postgresql-calm-11111.
    No SQL statements will be logged.
    exit 0
    ");
    // A value alone is meant for the primary.
    assert_snapshot!(platform.howdah("pg:settings:log-statement all -a demo"), @r"
    $ howdah pg:settings:log-statement all -a demo
    log-statement has been set to all for postgresql-calm-11111.
    All SQL statements executed will be logged.
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:settings:auto-explain:log-min-duration gold 500 -a demo"), @r"
    $ howdah pg:settings:auto-explain:log-min-duration gold 500 -a demo
    auto-explain.log-min-duration has been set to 500 for postgresql-calm-11111.
    All execution plans will be logged for queries taking up to 500 milliseconds or more.
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:settings:log-lock-waits DATABASE maybe -a demo"), @r"
    $ howdah pg:settings:log-lock-waits DATABASE maybe -a demo
    2>  !    `log_lock_waits` is on or off
    exit 2
    ");
    assert_eq!(
        platform.changes(),
        [
            format!("PATCH {CONFIG} {{\"log_statement\":\"all\"}}"),
            format!("PATCH {CONFIG} {{\"auto_explain.log_min_duration\":500}}"),
        ]
    );
}

const MAINTENANCE: &str = "/data/maintenances/v1/id-postgresql-calm-11111";

fn maintenance(status: &str) -> Value {
    let due = status != "none";
    let only = |value: Value| if due { value } else { Value::Null };
    json!({
        "addon": {
            "attachments": ["DATABASE"], "kind": "heroku-postgresql", "name": GOLD,
            "plan": "standard-0", "uuid": "id", "window": "Sundays 13:30 to Sundays 17:30 UTC",
        },
        "app": { "name": "demo", "uuid": "id-demo" }, "method": "restart",
        "reason": only("PostgreSQL 18.6 is installed, 18.5 runs".into()), "status": status,
        "scheduled_for": only("2026-01-04 13:30:00 +0000".into()), "required_by": null,
        "previously_scheduled_for": null, "started_at": null, "completed_at": null,
        "duration_seconds": null,
    })
}

#[test]
fn maintenance_is_shown_and_run_when_it_is_confirmed() {
    let mut answers = vec![
        ("GET /apps/demo", 200, app("demo")),
        (
            "GET /data/maintenances/v1/apps/demo",
            200,
            json!({ "maintenances": [maintenance("none")] }),
        ),
    ];
    let path = |method: &str, rest: &str| &*format!("{method} {MAINTENANCE}{rest}").leak();
    answers.extend([
        (path("GET", ""), 200, maintenance("pending")),
        (path("GET", ""), 200, maintenance("running")),
        (path("GET", ""), 200, maintenance("completed")),
        (path("POST", "/run"), 200, json!({ "message": "It is." })),
    ]);
    let platform = platform(answers);
    assert_snapshot!(platform.howdah("pg:maintenance -a demo"), @r"
    $ howdah pg:maintenance -a demo
    === postgresql-calm-11111

    Status:  nothing is due
    Window:  Sundays 13:30 to Sundays 17:30 UTC

    exit 0
    ");
    assert_snapshot!(platform.howdah("data:maintenances:info DATABASE -a demo"), @r"
    $ howdah data:maintenances:info DATABASE -a demo
    === postgresql-calm-11111

    Status:         pending
    Window:         Sundays 13:30 to Sundays 17:30 UTC
    Reason:         PostgreSQL 18.6 is installed, 18.5 runs
    Scheduled for:  2026-01-04 13:30:00 +0000

    exit 0
    ");
    let unconfirmed = platform.howdah("pg:maintenance:run DATABASE -a demo --no-input");
    assert!(
        unconfirmed.contains("--confirm demo") && unconfirmed.ends_with("exit 5"),
        "{unconfirmed}"
    );
    assert!(platform.changes().is_empty());
    assert_snapshot!(platform.howdah("pg:maintenance:run -a demo --confirm demo --wait"), @r"
    $ howdah pg:maintenance:run -a demo --confirm demo --wait
    2> Restarting the server of HEROKU_POSTGRESQL_GOLD_URL... done
    exit 0
    ");
    assert_eq!(platform.changes(), [format!("POST {MAINTENANCE}/run {{}}")]);
}

#[test]
fn what_is_due_is_put_off_and_its_window_chosen() {
    let path = |method: &str, rest: &str| &*format!("{method} {MAINTENANCE}{rest}").leak();
    let schedule = json!({
        "scheduled_for": "2026-01-18 13:30:00 +0000",
        "previously_scheduled_for": "2026-01-04 13:30:00 +0000",
    });
    let window = json!({
        "window": "Mondays 03:00 to Mondays 07:00 UTC", "scheduled_at": null,
        "previous_window": "Sundays 13:30 to Sundays 17:30 UTC", "previously_scheduled_at": null,
    });
    let platform = platform(vec![
        (path("GET", "/history/"), 200, json!({ "maintenances": [] })),
        (path("POST", "/schedule"), 200, schedule),
        (path("POST", "/window"), 200, window),
    ]);
    assert_snapshot!(platform.howdah("pg:maintenance:schedule --weeks 2 -a demo"), @r"
    $ howdah pg:maintenance:schedule --weeks 2 -a demo
    The maintenance of postgresql-calm-11111 was moved from 2026-01-04 13:30:00 +0000 to 2026-01-18 13:30:00 +0000.
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:maintenance:window DATABASE 'monday 3:00' -a demo"), @r"
    $ howdah pg:maintenance:window DATABASE 'monday 3:00' -a demo
    Window:           Mondays 03:00 to Mondays 07:00 UTC
    Previous window:  Sundays 13:30 to Sundays 17:30 UTC
    exit 0
    ");
    assert_snapshot!(platform.howdah("pg:maintenance:history -a demo"), @r"
    $ howdah pg:maintenance:history -a demo
    2> Nothing was ever due for HEROKU_POSTGRESQL_GOLD_URL.
    exit 0
    ");
    let [schedule, window] = platform.changes().try_into().expect("two changes");
    assert_eq!(schedule, format!("POST {MAINTENANCE}/schedule {{\"delay_weeks\":\"2\"}}"));
    let body = r#"{"day_of_week":"monday","time_of_day":"3:00"}"#;
    assert_eq!(window, format!("POST {MAINTENANCE}/window {body}"));
    let wrong = platform.howdah("pg:maintenance:window DATABASE monday -a demo");
    assert!(wrong.contains("not a day and a time") && wrong.ends_with("exit 2"), "{wrong}");
}

#[test]
fn d33_a_report_shows_the_worst_first_with_why_and_what_to_do() {
    let report = json!({
        "id": "0190f3c2-0000-7000-8000-000000000000", "app": "demo", "database": "DATABASE_URL",
        "created_at": "2026-01-02T03:04:05Z",
        "checks": [
            { "name": "Load", "status": "green", "results": [] },
            { "name": "Hit Rate", "status": "skipped", "results": [{ "reason": "nothing was read" }] },
            {
                "name": "Bloat", "status": "yellow", "why": "Room is wasted.", "fix": "`pg:vacuum`.",
                "results": [{ "object": "public.t", "bloat": 2.5 }, { "object": "public.long", "bloat": 12 }],
                "docs": "docs/diagnose.md#bloat",
            },
        ],
    });
    let answers = vec![
        ("POST /reports", 201, report.clone()),
        ("GET /reports/0190f3c2-0000-7000-8000-000000000000", 200, report),
    ];
    let platform = platform(answers);
    assert_snapshot!(platform.howdah("pg:diagnose -a demo"), @r"
    $ howdah pg:diagnose -a demo
    Report 0190f3c2-0000-7000-8000-000000000000 for demo::DATABASE_URL
    available for one month after creation on 2026-01-02T03:04:05Z

    YELLOW: Bloat
      bloat  object
      2.5    public.t
      12     public.long
      Why: Room is wasted.
      Fix: `pg:vacuum`.

    GREEN: Load
    SKIPPED: Hit Rate (nothing was read)
    2> Looking at HEROKU_POSTGRESQL_GOLD_URL... done
    exit 0
    ");
    let asked = r#"POST /reports {"app":"demo","database":"DATABASE_URL"}"#;
    assert_eq!(platform.changes(), [asked]);
    let again =
        platform.howdah("pg:diagnose 0190f3c2-0000-7000-8000-000000000000 -a demo --exit-code");
    assert!(again.contains("YELLOW: Bloat") && again.ends_with("exit 11"), "{again}");
    assert!(platform.changes().is_empty());
    let one = platform.howdah("pg:diagnose --only bloat --json=checks -a demo");
    assert!(one.contains("\"Bloat\"") && !one.contains("Hit Rate"), "{one}");
    let none = platform.howdah("pg:diagnose --only Nothing -a demo");
    assert!(none.contains("no check `Nothing`") && none.ends_with("exit 3"), "{none}");
}

#[test]
fn d33_a_git_remote_names_an_app_and_an_addons_page_is_shown() {
    let mut page = addon(GOLD, "provisioned", &[]);
    page["web_url"] = "http://howdah.test/databases/postgresql-calm-11111".into();
    let platform = platform(vec![
        ("GET /apps/demo", 200, app("demo")),
        ("POST /actions/addons/resolve", 200, json!([page])),
        ("GET /addons/id-postgresql-calm-11111", 200, page),
    ]);
    let shown = platform.howdah("addons:open DATABASE -a demo");
    assert!(shown.contains("http://howdah.test/databases/postgresql-calm-11111"), "{shown}");
    let outside = platform.howdah("git:remote -a demo");
    assert!(outside.contains("git init") && outside.ends_with("exit 1"), "{outside}");
    let made = std::process::Command::new("git")
        .args(["init", "-q"])
        .current_dir(platform.home.path())
        .env("HOME", platform.home.path())
        .status();
    assert!(made.expect("git runs").success());
    for name in ["heroku", "staging", "staging"] {
        let said = platform.howdah(&format!("git:remote -a demo -r {name}"));
        let line = format!("set git remote {name} to http://127.0.0.1:5080/demo.git");
        assert!(said.contains(&line) && said.ends_with("exit 0"), "{said}");
    }
    assert!(platform.howdah("maintenance -r staging").ends_with("exit 0"));
}
