//! Forks, followers, rollbacks, unfollowing and undeleting; and waiting for what takes long.

use insta::assert_snapshot;

use super::*;

const MADE: &str = "POST /apps/demo/addons";
const RED_STATUS: &str = "GET /client/v11/databases/id-postgresql-wise-22222/wait_status";
const RED_INFO: &str = "GET /client/v11/databases/id-postgresql-wise-22222";
const UNFOLLOW: &str = "PUT /client/v11/databases/id-postgresql-wise-22222/unfollow";

/// An add-on that is being made, with what the platform says of it.
fn copied(message: &str) -> Value {
    let mut made = addon(RED, "provisioning", &["HEROKU_POSTGRESQL_RED_URL"]);
    made["provision_message"] = json!(message);
    made
}

fn answering(message: &str) -> Platform {
    let mut answers = two_databases();
    answers.push((MADE, 201, copied(message)));
    Platform::with(&answers)
}

fn status(waiting: bool, message: &str) -> Value {
    json!({ "waiting?": waiting, "error?": false, "message": message })
}

fn info(following: Value) -> Value {
    json!({ "info": [], "resource_url": RED_URL, "following": following })
}

#[test]
fn g5_a_rollback_is_told_with_its_moment_and_how_to_follow_it() {
    let platform = answering(
        "Database will become available after it completes rolling back to 2014-10-05 15:02:00 +0000 (00:59:43 ago)\n\
         Use `pg:wait` to track status.",
    );
    let line = "addons:add heroku-postgresql:standard-0 --rollback gold --to '2014-10-05 15:02:00+00' -a demo";
    assert_snapshot!(platform.howdah(line), @r"
    $ howdah addons:add heroku-postgresql:standard-0 --rollback gold --to '2014-10-05 15:02:00+00' -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Adding heroku-postgresql:standard-0 on demo... done ($50/mo)
    2> Database will become available after it completes rolling back to 2014-10-05 15:02:00 +0000 (00:59:43 ago)
    2> Use `pg:wait` to track status.
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
    let by = "addons:create heroku-postgresql:standard-0 --rollback gold --by '2 days 5 hours 10 minutes' -a demo";
    assert!(platform.howdah(by).ends_with("exit 0"));
    assert_snapshot!(platform.changes().join("\n"), @r#"
    POST /apps/demo/addons {"attachment":{},"config":{"rollback":"gold","to":"2014-10-05 15:02:00+00"},"plan":{"name":"heroku-postgresql:standard-0"}}
    POST /apps/demo/addons {"attachment":{},"config":{"by":"2 days 5 hours 10 minutes","rollback":"gold"},"plan":{"name":"heroku-postgresql:standard-0"}}
    "#);
}

#[test]
fn g13_a_follower_is_told_when_it_can_be_read() {
    let platform = answering(
        "Follower will become available for read-only queries when up-to-date\n\
         Use `pg:wait` to track status.",
    );
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql:standard-2 --follow DATABASE_URL -a demo"), @r"
    $ howdah addons:add heroku-postgresql:standard-2 --follow DATABASE_URL -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Adding heroku-postgresql:standard-2 on demo... done ($50/mo)
    2> Follower will become available for read-only queries when up-to-date
    2> Use `pg:wait` to track status.
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [
            r#"POST /apps/demo/addons {"attachment":{},"config":{"follow":"DATABASE_URL"},"plan":{"name":"heroku-postgresql:standard-2"}}"#
        ]
    );
}

#[test]
fn g27_g28_a_fork_and_a_fast_fork_are_told_with_the_age_of_their_data() {
    let platform = answering(
        "Database will become available after it completes forking\n\
         Use `pg:wait` to track status.\n",
    );
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql --fork demo::gold -a demo"), @r"
    $ howdah addons:add heroku-postgresql --fork demo::gold -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Adding heroku-postgresql on demo... done ($50/mo)
    2> Database will become available after it completes forking
    2> Use `pg:wait` to track status.
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
    let platform = answering(
        "Fork will contain data from October 14, 2014 3:10PM UTC (about 22 hours ago)\n\
         To create a fork with up-to-date data, exclude the `--fast` flag.\n\
         Database will become available after it completes forking\n\
         Use `pg:wait` to track status.",
    );
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql:standard-2 --fork DATABASE_URL --fast -a demo"), @r"
    $ howdah addons:add heroku-postgresql:standard-2 --fork DATABASE_URL --fast -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Adding heroku-postgresql:standard-2 on demo... done ($50/mo)
    2> Fork will contain data from October 14, 2014 3:10PM UTC (about 22 hours ago)
    2> To create a fork with up-to-date data, exclude the `--fast` flag.
    2> Database will become available after it completes forking
    2> Use `pg:wait` to track status.
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
}

#[test]
fn g2_c35_options_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    let platform = answering("");
    let refused = |options: &str| {
        let told = platform.howdah(&format!("addons:add heroku-postgresql -a demo {options}"));
        assert!(told.ends_with("\nexit 2"), "{told}");
        let lines = told.lines().filter_map(|line| line.strip_prefix("2>  !    "));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(refused("--rollback gold"), @r"
    --rollback needs to know how far back: --to TIME or --by INTERVAL, such as
    --to '2026-01-02 15:04:05+00' or --by '2 days 5 hours 3 minutes'
    ");
    let both =
        "You cannot specify both the --to and --by options for rollback. Specify one or the other";
    for options in [
        "--rollback gold --to '2014-10-05 15:02' --by '1 hour'",
        "-- --rollback gold --to now --by '1 hour'",
        "--rollback=gold --by=1day -- --to now",
        "rollback=gold to=now by=1",
    ] {
        assert_eq!(refused(options), both, "{options}");
    }
    assert_snapshot!(refused("--fast"), @"--fast goes with --fork DATABASE");
    assert_snapshot!(refused("--follow gold --fast"), @"--fast goes with --fork DATABASE");
    assert_snapshot!(refused("--to now"), @"--to goes with --rollback DATABASE");
    assert_snapshot!(refused("--fork gold --by '1 hour'"), @"--by goes with --rollback DATABASE");
    assert_snapshot!(refused("--fork gold --follow gold"), @"--fork and --follow exclude each other: specify one or the other");
    assert_snapshot!(refused("-- --fork"), @"--fork needs a value: DATABASE");
    assert_snapshot!(refused("fork="), @"--fork needs a value: DATABASE");
    assert_snapshot!(refused("--rollback gold --to ' '"), @"--to needs a value: TIME");
    assert!(refused("--follow").contains("a value is required for '--follow <DATABASE>'"));
    assert!(platform.changes().is_empty());
}

#[test]
fn what_the_platform_refuses_of_a_copy_is_told_in_its_words() {
    let message =
        "postgresql-calm-11111 can be rolled back to 2026-01-02 03:04 UTC at the earliest.";
    let platform =
        Platform::with(&[(MADE, 422, json!({ "id": "invalid_params", "message": message }))]);
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql --rollback gold --by '9 days' -a demo"), @r"
    $ howdah addons:add heroku-postgresql --rollback gold --by '9 days' -a demo
    2> Adding heroku-postgresql on demo... failed
    2>  !    postgresql-calm-11111 can be rolled back to 2026-01-02 03:04 UTC at the earliest.
    exit 1
    ");
}

#[test]
fn g9_waiting_shows_how_far_it_is_a_line_for_each_per_cent_where_there_is_no_terminal() {
    let mut answers = two_databases();
    for far in [
        "preparing",
        "preparing (5% completed, 1.0 GB)",
        "preparing (5% completed, 1.1 GB)",
        "preparing (60% completed, 12.0 GB)",
    ] {
        answers.push((RED_STATUS, 200, status(true, far)));
    }
    answers.push((RED_STATUS, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:wait red -a demo"), @r"
    $ howdah pg:wait red -a demo
    2> Waiting for database HEROKU_POSTGRESQL_RED_URL... preparing (5% completed, 1.0 GB)
    2> Waiting for database HEROKU_POSTGRESQL_RED_URL... preparing (60% completed, 12.0 GB)
    2> Waiting for database HEROKU_POSTGRESQL_RED_URL... available
    exit 0
    ");
}

#[test]
fn g9_on_a_terminal_one_line_turns_and_ends_with_available() {
    let mut answers = two_databases();
    for far in ["preparing (5% completed)", "preparing (5% completed)", "preparing (61% completed)"]
    {
        answers.push((RED_STATUS, 200, status(true, far)));
    }
    answers.push((RED_STATUS, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    let seen = platform.on_terminal("pg:wait red -a demo");
    let begin = "Waiting for database HEROKU_POSTGRESQL_RED_URL... ";
    let drawn: Vec<_> = seen.split("\r\x1b[K").collect();
    assert_eq!(drawn[0], begin);
    for far in ["preparing (5% completed)", "preparing (61% completed)"] {
        let turning = ["|", "/", "-", "\\"].map(|frame| format!("{begin}{frame} {far}"));
        assert!(drawn.iter().any(|line| turning.iter().any(|one| one == line)), "{seen}");
    }
    assert_eq!(*drawn.last().expect("lines"), format!("{begin}available\nCode(0)"), "{seen}");
    assert_eq!(seen.matches('\n').count(), 1, "one line: {seen}");
}

#[test]
fn g10_with_nothing_to_wait_for_nothing_is_printed() {
    let mut answers = two_databases();
    answers.push((RED_STATUS, 200, status(false, "available")));
    let gold = "GET /client/v11/databases/id-postgresql-calm-11111/wait_status";
    answers.push((gold, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_eq!(platform.howdah("pg:wait -a demo"), "$ howdah pg:wait -a demo\nexit 0");
    assert_eq!(platform.on_terminal("pg:wait -a demo"), "Code(0)");
    let none = Platform::with(&[("GET /apps/demo/addon-attachments", 200, json!([]))]);
    assert_eq!(none.howdah("pg:wait -a demo"), "$ howdah pg:wait -a demo\nexit 0");
}

#[test]
fn g11_a_build_that_fails_ends_the_wait_with_the_reason_after_the_others_are_there() {
    let failed = json!({ "waiting?": false, "error?": true, "message": "the archive has a gap at 0/5000000" });
    let gold = "GET /client/v11/databases/id-postgresql-calm-11111/wait_status";
    let mut answers = two_databases();
    answers.push((gold, 200, status(true, "preparing")));
    answers.push((gold, 200, failed));
    answers.push((RED_STATUS, 200, status(true, "preparing")));
    answers.push((RED_STATUS, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:wait -a demo"), @r"
    $ howdah pg:wait -a demo
    2> Waiting for database HEROKU_POSTGRESQL_GOLD_URL... failed
    2> Waiting for database HEROKU_POSTGRESQL_RED_URL... available
    2>  !    HEROKU_POSTGRESQL_GOLD_URL: the archive has a gap at 0/5000000
    2>  !    hint: see why: `howdah pg:operations -a demo`
    exit 1
    ");
}

#[test]
fn g11_a_build_that_was_taken_back_is_told_with_its_last_word() {
    let gone = json!({ "id": "not_found", "message": "Couldn't find that add-on." });
    let operation = json!({
        "id": "0190f3c2-0000-7000-8000-000000000001", "kind": "provision", "state": "undone",
        "outcome": "undone", "reason": "nothing is left of it",
        "transitions": [
            { "to": "undoing", "reason": "there was no progress for 10 minutes", "at": "2026-01-02T03:04:05Z" },
            { "to": "undone", "reason": "nothing is left of it", "at": "2026-01-02T03:04:06Z" },
        ],
        "addon": { "id": "id-postgresql-wise-22222", "name": RED },
        "created_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z",
    });
    let mut answers = two_databases();
    answers.push((RED_STATUS, 404, json!({ "id": "not_found" })));
    answers.push((RED_STATUS, 404, gone));
    let one = "GET /howdah/v1/operations/0190f3c2-0000-7000-8000-000000000001";
    answers.push(("GET /howdah/v1/apps/demo/operations", 200, json!([operation])));
    answers.push((one, 200, operation));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:wait red -a demo"), @r"
    $ howdah pg:wait red -a demo
    2> Waiting for database HEROKU_POSTGRESQL_RED_URL... failed
    2>  !    HEROKU_POSTGRESQL_RED_URL: there was no progress for 10 minutes
    2>  !    hint: see why: `howdah pg:operations -a demo`
    exit 1
    ");
}

#[test]
fn g12_a_copy_that_is_waited_for_shows_how_far_it_is() {
    let mut answers = two_databases();
    let path = "GET /apps/demo/addons/postgresql-wise-22222";
    let mut ready = copied("");
    ready["state"] = json!("provisioned");
    answers.push((MADE, 201, copied("Database will become available after it completes forking")));
    answers.push((path, 200, copied("")));
    answers.push((path, 200, ready));
    answers.push((RED_STATUS, 200, status(true, "preparing (7% completed)")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("addons:add heroku-postgresql --fork gold --wait -a demo"), @r"
    $ howdah addons:add heroku-postgresql --fork gold --wait -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Adding heroku-postgresql on demo... preparing (7% completed)
    2> Adding heroku-postgresql on demo... done, v7 ($50/mo)
    2> Database has been created and is available
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
}

#[test]
fn g20_unfollowing_tells_what_it_does_and_wants_the_apps_name() {
    let mut answers = two_databases();
    answers.push((RED_INFO, 200, info(json!(GOLD_URL))));
    answers.push((UNFOLLOW, 202, json!({ "message": "ok" })));
    answers.push((RED_STATUS, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.fed("pg:unfollow red -a demo", "nope\n"), @r#"
    $ howdah pg:unfollow red -a demo
    2>  !    HEROKU_POSTGRESQL_RED_URL will become writable and no longer
    2>  !    follow HEROKU_POSTGRESQL_GOLD. This cannot be undone.
    2>
    2>  !    WARNING: Destructive Action
    2>  !    This command will affect the app: demo
    2>  !    To proceed, type "demo" or re-run this command with --confirm demo
    2>
    2> >  !    Confirmation did not match demo. Aborted.
    exit 5
    "#);
    assert!(platform.changes().is_empty());
    answers.push((RED_INFO, 200, info(json!(GOLD_URL))));
    answers.push((RED_INFO, 200, info(Value::Null)));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg unfollow HEROKU_POSTGRESQL_RED_URL --confirm demo -a demo"), @r"
    $ howdah pg unfollow HEROKU_POSTGRESQL_RED_URL --confirm demo -a demo
    2>  !    HEROKU_POSTGRESQL_RED_URL will become writable and no longer
    2>  !    follow HEROKU_POSTGRESQL_GOLD. This cannot be undone.
    2>
    2> Unfollowing HEROKU_POSTGRESQL_RED_URL... done
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        ["PUT /client/v11/databases/id-postgresql-wise-22222/unfollow {}"]
    );
}

#[test]
fn g21_what_follows_nothing_cannot_be_unfollowed() {
    let mut answers = two_databases();
    answers.push((RED_INFO, 200, info(Value::Null)));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:unfollow red -a demo --confirm demo"), @r"
    $ howdah pg:unfollow red -a demo --confirm demo
    2>  !    HEROKU_POSTGRESQL_RED_URL is not following another database.
    exit 6
    ");
    assert_snapshot!(platform.howdah("pg:unfollow -a demo"), @r"
    $ howdah pg:unfollow -a demo
    2>  !    pg:unfollow needs DATABASE
    2>  !    usage: howdah pg:unfollow DATABASE [options]
    2>  !    hint: how it is used: `howdah help pg:unfollow`
    exit 2
    ");
    assert!(platform.changes().is_empty());
}

#[test]
fn c12_g23_a_follower_is_not_promoted_and_the_way_out_is_named() {
    let mut answers = two_databases();
    answers.push((RED_INFO, 200, info(json!(GOLD_URL))));
    answers.push(("POST /addon-attachments", 201, attachment("REPORTS", RED)));
    answers.push((RED_STATUS, 200, status(false, "available")));
    let platform = Platform::with(&answers);
    let refused = platform.howdah("pg:promote red -a demo");
    assert_snapshot!(refused, @r"
    $ howdah pg:promote red -a demo
    2>  !    HEROKU_POSTGRESQL_RED_URL follows another database and is read-only; it was not promoted
    2>  !    hint: unfollow first: `howdah pg:unfollow HEROKU_POSTGRESQL_RED_URL -a demo`
    exit 6
    ");
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&platform.howdah("pg:promote red --force -a demo")), lines(&refused));
    assert!(platform.changes().is_empty(), "no name was given to the primary that stays");
    let elsewhere = platform.howdah("pg:promote red --as REPORTS -a demo");
    assert!(elsewhere.ends_with("exit 0"), "{elsewhere}");
}

#[test]
fn a_removed_database_is_brought_back_by_its_name() {
    let path = "POST /howdah/v1/databases/undelete";
    let mut answers = two_databases();
    answers.push((
        path,
        201,
        copied("Database will become available after it completes restoring"),
    ));
    let platform = Platform::with(&answers);
    assert_snapshot!(platform.howdah("pg:undelete postgresql-wise-22222 -a demo"), @r"
    $ howdah pg:undelete postgresql-wise-22222 -a demo
    Attached as HEROKU_POSTGRESQL_RED_URL
    2> Bringing postgresql-wise-22222 back on demo... done ($50/mo)
    2> Database will become available after it completes restoring
    2> Use `howdah help pg` to see what can be done with it.
    exit 0
    ");
    assert_eq!(
        platform.changes(),
        [r#"POST /howdah/v1/databases/undelete {"app":"demo","name":"postgresql-wise-22222"}"#]
    );
    let json = platform.howdah("pg:undelete postgresql-wise-22222 -a demo --json=name,state");
    assert!(json.contains(r#""name": "postgresql-wise-22222""#), "{json}");
    let late = "postgresql-wise-22222 was removed on 2026-01-02 and kept until 2026-01-06.";
    let platform = Platform::with(&[(path, 410, json!({ "id": "gone", "message": late }))]);
    assert_snapshot!(platform.howdah("pg:undelete postgresql-wise-22222 -a demo"), @r"
    $ howdah pg:undelete postgresql-wise-22222 -a demo
    2> Bringing postgresql-wise-22222 back on demo... failed
    2>  !    postgresql-wise-22222 was removed on 2026-01-02 and kept until 2026-01-06.
    exit 3
    ");
    assert!(platform.howdah("pg:undelete -a demo").ends_with("exit 2"));
}
