//! A newcomer's first database, through the whole platform (scenario S-1 of the requirements).

use howdah_testkit::platform::Platform;

fn platform() -> Platform {
    let platform = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[]);
    let _ = platform.howdah(&["apps:create", "demo", "--no-remote"]).ok();
    platform
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[test]
fn s1_a_first_database_is_made_used_inspected_reset_and_removed() {
    let demo = platform();
    let made = demo.say("addons:add heroku-postgresql:hobby-dev -a demo").ok();
    has(&made, "DATABASE_URL");
    let url = demo.config_var("DATABASE_URL", "demo");
    assert_eq!(demo.psql(&url, "create table t as select generate_series(1, 23) a").code, 0);
    assert_eq!(demo.psql(&url, "select count(*) from t").ok().trim(), "23");

    let info = demo.say("pg:info -a demo").ok();
    for label in
        ["Plan", "Status", "Connections", "PG Version", "Created", "Data Size", "Tables", "Rows"]
    {
        has(&info, label);
    }
    has(&info, "Hobby-dev");
    has(&info, "Available");

    let answer = demo.howdah_with(&["pg:psql", "-a", "demo"], "select 41 + 1").ok();
    has(&answer, "42");
    assert_ne!(demo.howdah(&["pg:psql", "-a", "demo", "-c", "select 1/0"]).code, 0);

    let refused = demo.say("pg:reset DATABASE -a demo");
    assert_eq!(refused.code, 5, "{refused:?}");
    assert_eq!(demo.psql(&url, "select count(*) from t").ok().trim(), "23");
    demo.say("pg:reset DATABASE -a demo --confirm demo").ok();
    assert_ne!(demo.psql(&url, "select count(*) from t").code, 0);

    demo.say("addons:remove DATABASE -a demo --confirm demo").ok();
    let late = demo.psql(&url, "select 1");
    has(&late.stderr, "is not permitted to log in");
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), "");
}

#[test]
fn c39_every_installed_major_can_be_asked_for() {
    let demo = platform();
    for major in ["15", "18"] {
        let name = format!("V{major}");
        let args = [
            "addons:create",
            "heroku-postgresql:standard-0",
            "--as",
            &name,
            "--wait",
            "-a",
            "demo",
            "--",
            "--version",
            major,
        ];
        demo.howdah(&args).ok();
        let url = demo.config_var(&format!("{name}_URL"), "demo");
        has(&demo.psql(&url, "show server_version").ok(), &format!("{major}."));
    }
    let none = demo.howdah(&[
        "addons:create",
        "heroku-postgresql:standard-0",
        "-a",
        "demo",
        "--",
        "--version",
        "9",
    ]);
    assert_ne!(none.code, 0);
    has(&none.stderr, "18");
}

#[test]
fn m1_only_tls_is_spoken_and_the_certificate_can_be_verified() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    let ca = demo.home().join("tls/ca.pem").display().to_string();
    let with = |options: &str| {
        demo.psql(&format!("{url}?{options}"), "select ssl from pg_stat_ssl limit 0")
    };
    assert_eq!(with("sslmode=require").code, 0);
    assert_eq!(with(&format!("sslmode=verify-full&sslrootcert={ca}")).code, 0);
    let plain = with("sslmode=disable");
    assert_ne!(plain.code, 0);
    has(&plain.stderr, "no encryption");
}

#[test]
fn c10_c11_promotion_moves_database_url_and_strands_nobody() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev --as SECOND -a demo").ok();
    let (first, second) =
        (demo.config_var("DATABASE_URL", "demo"), demo.config_var("SECOND_URL", "demo"));
    demo.say("pg:promote SECOND -a demo").ok();
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), second);
    has(&demo.say("config -a demo").ok(), &first);
    let again = demo.say("pg:promote SECOND -a demo");
    assert_ne!(again.code, 0);
    has(&again.stderr, "already promoted");
}

#[test]
fn c30_the_twenty_first_session_of_a_hobby_database_is_refused() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    // The twenty are let in before the next one asks, or it would take the place of one of them.
    let script = "for i in $(seq 20); do psql \"$URL\" -XAtqc \"select 'in'\" -c 'select pg_sleep(60)' & done >ins; \
        for i in $(seq 300); do [ \"$(grep -c in ins)\" = 20 ] && break; sleep 0.1; done; \
        echo \"in $(grep -c in ins)\"; \
        echo \"refused $(psql \"$URL\" -XAtqc 'select 1' 2>&1 | grep -c 'too many connections for role')\"; \
        kill $(jobs -p); wait";
    let ran = demo.program("bash", &["-c", script], &[("URL", &url)]);
    has(&ran.stdout, "in 20\nrefused 1");
}

#[test]
fn c16_database_url_is_refused_while_attached_and_says_how_to_detach() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    let refused = demo.say("config:set DATABASE_URL=postgres://x -a demo");
    assert_ne!(refused.code, 0);
    has(&refused.stderr, "detach");
    demo.say("addons:detach DATABASE -a demo").ok();
    demo.say("config:set DATABASE_URL=postgres://x -a demo").ok();
}
