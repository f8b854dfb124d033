//! Figures, settings, maintenance and reports on a whole platform: by our command line and by
//! Heroku's.

use howdah_testkit::heroku::Heroku;
use howdah_testkit::platform::{Platform, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

/// What the servers of all databases have logged.
fn logs(platform: &Platform) -> String {
    let participants = std::fs::read_dir(platform.home().join("p")).expect("participants");
    let log = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(entry.expect("an entry").path().join("log")).unwrap_or_default()
    };
    participants.map(log).collect()
}

#[test]
fn d32_d33_the_official_cli_and_ours_show_figures_settings_and_reports_of_both_majors() {
    let heroku = Heroku::start(BINARY, &[("HOWDAH_POOL_SIZE", "0")]);
    let platform = &heroku.platform;
    platform.say("apps:create demo --no-remote").ok();
    platform.say("addons:create heroku-postgresql:standard-0 --wait -a demo").ok();
    platform
        .say("addons:create heroku-postgresql:standard-0 --as OLD --wait -a demo -- --version 15")
        .ok();
    platform.say("addons:create heroku-postgresql:hobby-dev --as SMALL --wait -a demo").ok();
    let url = |name: &str| platform.config_var(&format!("{name}_URL"), "demo");
    let (database, old, small) = (url("DATABASE"), url("OLD"), url("SMALL"));
    for url in [&database, &old] {
        platform.psql(url, "create table t (a int primary key); insert into t values (1)").ok();
    }

    // What differs between the majors, and between the plans; the rest is in the transcripts.
    for (line, part) in [
        ("pg:calls OLD -a demo", "ncalls"),
        ("pg:outliers OLD -a demo", "prop_exec_time"),
        ("pg:outliers SMALL --reset -a demo", ""),
        ("pg:fdwsql far DATABASE -a demo", "CREATE FOREIGN TABLE far_t"),
    ] {
        has(&heroku.run(line).ok(), part);
    }
    for database in ["DATABASE", "OLD", "SMALL"] {
        for name in ["bloat", "vacuum-stats", "calls", "extensions"] {
            has(&platform.say(&format!("pg:{name} {database} -a demo")).ok(), " row");
        }
    }
    // It is there again after a reset.
    platform.say("pg:reset SMALL -a demo --confirm demo").ok();
    has(&platform.say("pg:outliers SMALL -a demo").ok(), "ncalls");
    platform.say("pg:outliers SMALL --reset -a demo").ok();

    has(&heroku.run("pg:settings DATABASE -a demo").ok(), "log-min-duration-statement:");
    let set = heroku.run("pg:settings:log-statement DATABASE ddl -a demo").ok();
    has(&set, "log-statement has been set to ddl for");
    heroku.run("pg:settings:auto-explain OLD on -a demo").ok();
    platform.say("pg:settings:auto-explain:log-min-duration OLD 0 -a demo").ok();
    platform.say("pg:settings:track-functions OLD pl -a demo").ok();
    let show = |url: &str, setting: &str| platform.psql(url, &format!("show {setting}")).stdout;
    wait_until("sessions have it", || show(&database, "log_statement").trim() == "ddl");
    wait_until("sessions have them", || {
        show(&old, "track_functions").trim() == "pl"
            && show(&old, "auto_explain.log_min_duration").trim() == "0"
    });
    platform.psql(&old, "select 4711 as explained").ok();
    let log = logs(platform);
    has(&log, "Query Text: select 4711 as explained");
    for refused in ["set auto_explain.log_min_duration = 5", "set log_statement = 'none'"] {
        has(&platform.psql(&old, refused).stderr, "permission denied");
    }
    platform.say("pg:reset OLD -a demo --confirm demo").ok();
    assert_eq!(show(&old, "track_functions").trim(), "pl", "a reset keeps it");
    platform.say("pg:settings:track-functions OLD none -a demo").ok();
    wait_until("it is as before", || show(&old, "track_functions").trim() == "none");
    let window = heroku.run("data:maintenances:window:update DATABASE sunday 1:30PM -a demo").ok();
    has(&window, "Sundays 13:30 to Sundays 17:30 UTC");
    has(&platform.say("pg:maintenance DATABASE -a demo").ok(), "Sundays 13:30");

    platform.psql(&database, "create unlogged table gone (a int primary key)").ok();
    let report = heroku.run("pg:diagnose DATABASE -a demo").ok();
    for part in ["Report ", "YELLOW: Unlogged Tables", "public.gone", "GREEN: Connection Count"] {
        has(&report, part);
    }
    let id = report.split_whitespace().nth(1).expect("an id");
    has(&heroku.run(&format!("pg:diagnose {id} -a demo --json")).ok(), "\"Unlogged Tables\"");
    let ours = platform.say(&format!("pg:diagnose {id} -a demo --only Sequences")).ok();
    has(&ours, "GREEN: Sequences");
    let of_small = platform.say("pg:diagnose SMALL -a demo --json").ok();
    has(&of_small, "\"skipped\"");
    assert!(!platform.psql(&small, "select 1").stdout.is_empty());
}
