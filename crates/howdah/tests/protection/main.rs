//! Protection as people use it, on whole platforms: rollbacks, forks, followers, databases that come
//! back, restores that are proven.

mod followers;
mod forks;
mod proof;
mod rollback;
mod undelete;
mod waiting;

use howdah_testkit::platform::{Platform, Ran, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

/// A platform with an app `demo` that has a standard database.
fn platform() -> Platform {
    let demo = Platform::start(BINARY, &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:standard-0 --name pg-source-1 --wait -a demo").ok();
    demo
}

/// What is known of a database's protection.
fn protection(demo: &Platform, database: &str) -> serde_json::Value {
    let text = demo.howdah(&["pg:protection", database, "--json", "-a", "demo"]).ok();
    serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["data"].take()
}

/// Waits until a database can be rolled back: its first base backup is complete.
fn protected(demo: &Platform, database: &str) {
    wait_until("there is a base backup", || {
        protection(demo, database)["protected"]["earliest"].is_string()
    });
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[track_caller]
fn lacks(text: &str, part: &str) {
    assert!(!text.contains(part), "`{part}` is in:\n{text}");
}

/// Runs a command that must fail, and gives what it says on standard error.
#[track_caller]
fn refused(ran: Ran) -> String {
    assert_ne!(ran.code, 0, "{ran:?}");
    ran.stderr
}

/// One value of one row.
#[track_caller]
fn ask(demo: &Platform, url: &str, sql: &str) -> String {
    demo.psql(url, sql).ok().trim().to_owned()
}

/// A line of `pg:info`, by its label.
fn row(demo: &Platform, database: &str, label: &str) -> Option<String> {
    let info = demo.howdah(&["pg:info", database, "-a", "demo"]).ok();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{label}:")));
    line.map(|value| value.trim().to_owned())
}

/// The user of a database's URL.
fn user(url: &str) -> &str {
    let rest = url.strip_prefix("postgres://").expect("a URL");
    rest.split_once(':').expect("a user").0
}
