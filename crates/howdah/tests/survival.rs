//! What a platform and its databases survive: its own death at any moment, the death of a
//! postmaster, a second platform, a restart.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_testkit::platform::{Platform, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn platform() -> Platform {
    let platform = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    let _ = platform.say("apps:create demo --no-remote").ok();
    platform
}

/// The postmasters of the participants of a platform: pid files with their process.
fn postmasters(platform: &Platform) -> Vec<(PathBuf, Pid)> {
    let Ok(entries) = std::fs::read_dir(platform.home().join("p")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.path().join("data/postmaster.pid");
            let pid = std::fs::read_to_string(&file).ok()?.lines().next()?.parse().ok()?;
            Some((file, Pid::from_raw(pid)))
        })
        .collect()
}

/// Whether the process works: one that has ended and that init has not noticed yet does not.
fn alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn k21_databases_go_on_when_the_platform_is_killed_and_the_next_one_takes_them_over() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:standard-0 --wait -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.psql(&url, "create table t as select 1 a").ok();
    let before = postmasters(&demo);
    assert_eq!(before.len(), 1);
    demo.kill();
    assert!(alive(before[0].1), "the database goes on");
    demo.up();
    assert_eq!(postmasters(&demo), before, "the same process was taken over");
    wait_until("the gateway routes again", || demo.psql(&url, "select a from t").code == 0);
    let info = demo.say("pg:info -a demo").ok();
    assert!(info.contains("Available"), "{info}");
}

#[test]
fn a_postmaster_that_dies_is_started_again_at_once() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:standard-0 --wait -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.psql(&url, "create table t as select 1 a").ok();
    let (_, dead) = postmasters(&demo)[0].clone();
    let began = Instant::now();
    kill(dead, Signal::SIGKILL).expect("kill the postmaster");
    wait_until("the database answers again", || demo.psql(&url, "select a from t").code == 0);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(!alive(dead));
}

#[test]
fn a_second_platform_on_the_same_home_refuses() {
    let demo = platform();
    let mut second = demo.command(std::path::Path::new(env!("CARGO_BIN_EXE_howdah")));
    let output = second.arg("up").output().expect("run");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another platform runs on") && said.contains("howdah down"), "{said}");
    let again = demo.say("up --detach");
    assert!(again.ok().contains("is up already"));
}

#[test]
fn a_second_platform_on_the_same_database_refuses() {
    let demo = platform();
    let socket = demo.home().join("system/s");
    let url = format!("postgres://howdah@localhost/howdah?host={}", socket.display());
    let other = Platform::prepare(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_DATABASE_URL", &url)]);
    let refused = other.say("up --detach");
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("same state"), "{refused:?}");
}

#[test]
fn down_stops_everything_and_up_brings_it_back() {
    let demo = platform();
    demo.say("addons:create heroku-postgresql:hobby-dev --wait -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.psql(&url, "create table t as select 1 a").ok();
    let processes = postmasters(&demo);
    demo.down();
    assert!(processes.iter().all(|(_, pid)| !alive(*pid)));
    assert_eq!(demo.say("pg:info -a demo").code, 8, "the platform cannot be reached");
    demo.down();
    demo.up();
    wait_until("the database answers again", || demo.psql(&url, "select a from t").code == 0);
}

#[test]
fn ctrl_c_stops_everything_that_a_foreground_platform_started() {
    let demo = Platform::prepare(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "1")]);
    let mut up = demo.command(std::path::Path::new(env!("CARGO_BIN_EXE_howdah")));
    let mut child = up.arg("up").stdout(std::process::Stdio::null()).spawn().expect("run");
    wait_until("it is up", || demo.home().join("run/addresses.json").exists());
    wait_until("the pool is filled", || !postmasters(&demo).is_empty());
    let processes = postmasters(&demo);
    let pid = i32::try_from(child.id()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("interrupt");
    assert!(child.wait().expect("ended").success());
    assert!(processes.iter().all(|(_, pid)| !alive(*pid)), "no database is left");
    assert!(!demo.home().join("system/data/postmaster.pid").exists());
}

/// M21, K10: the platform is killed again and again while databases are made, emptied and removed;
/// afterwards everything is as asked, and nothing is left over.
#[test]
fn m21_k10_kill_at_any_moment_converges_and_leaves_nothing_over() {
    let demo = platform();
    for round in 0..3_u64 {
        let name = format!("pg-k-{round}");
        for command in [
            format!("addons:create heroku-postgresql:hobby-dev --name {name} -a demo"),
            format!("pg:reset {name} --confirm demo -a demo"),
            format!("addons:destroy {name} --confirm demo -a demo"),
        ] {
            let mut client = demo.command(std::path::Path::new(env!("CARGO_BIN_EXE_howdah")));
            let mut client =
                client.args(command.split_whitespace()).stdout(std::process::Stdio::null());
            client = client.stderr(std::process::Stdio::null());
            let mut client = client.spawn().expect("run");
            // Another moment each time, from before the request to after its answer.
            let moment = Duration::from_millis(10 + 23 * round + command.len() as u64 % 7);
            let began = Instant::now();
            wait_until("the moment has come", || began.elapsed() >= moment);
            demo.kill();
            demo.up();
            let _ = client.wait();
            // Whether the request had arrived or not: asked again, it must come true.
            settle(&demo, &command, &name);
        }
    }
    let operations = demo.say("pg:operations --json -a demo").ok();
    assert!(!operations.contains("\"running\""), "{operations}");
    let addons = demo.say("addons --json -a demo").ok();
    assert!(!addons.contains("pg-k-"), "{addons}");
    let vars = demo.say("config -a demo").ok();
    assert!(!vars.contains("DATABASE_URL"), "{vars}");
    let left = tenant_databases(&demo);
    assert!(left.trim().is_empty(), "left over: {left}");
}

/// Runs a command until its effect is there.
fn settle(demo: &Platform, command: &str, name: &str) {
    let there = || demo.say(&format!("addons:info {name} -a demo")).code == 0;
    if command.starts_with("addons:create") {
        if !there() {
            let _ = demo.say(command);
        }
        wait_until("the database is available", || {
            demo.say(&format!("pg:info {name} -a demo")).stdout.contains("Available")
        });
    } else if command.starts_with("pg:reset") {
        wait_until("the reset comes true", || demo.say(command).code == 0);
    } else {
        wait_until("it is gone", || {
            if there() {
                let _ = demo.say(command);
            }
            !there()
        });
        wait_until("its operation is done", || {
            !demo.say("pg:operations --json -a demo").stdout.contains("\"running\"")
        });
    }
}

/// The databases and roles of tenants in all participants, asked past the gateway.
fn tenant_databases(demo: &Platform) -> String {
    let mut left = String::new();
    let Ok(entries) = std::fs::read_dir(demo.home().join("s")) else { return left };
    for entry in entries.flatten() {
        let dir = entry.path().display().to_string();
        let sql = "select datname from pg_database where datname not in \
            ('postgres', 'template0', 'template1', 'howdah_spare') union all select rolname from pg_roles \
            where rolname !~ '^(pg_|howdah)'";
        left += &demo
            .program("psql", &["-XAtqc", sql, "-h", &dir, "-U", "howdah", "postgres"], &[])
            .ok();
    }
    left
}

#[test]
fn whoever_of_several_starts_says_that_it_is_up_the_platform_answers_then() {
    let demo = Platform::prepare(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    let starts = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let start = demo.say("up --detach");
                    (start.code, demo.say("apps").code)
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().expect("a start")).collect::<Vec<_>>()
    });
    let up: Vec<_> = starts.iter().filter(|(start, _)| *start == 0).collect();
    assert!(!up.is_empty() && up.iter().all(|(_, apps)| *apps == 0), "{starts:?}");
    let late = demo.say("up --detach");
    assert!(late.code == 0 && late.stdout.contains("up already"), "{late:?}");
    demo.down();
    let line = format!("{} up --detach | head -c 1", env!("CARGO_BIN_EXE_howdah"));
    let short = demo.program("sh", &["-c", &line], &[]);
    assert!(!short.stderr.contains("panicked"), "{short:?}");
    wait_until("it answers", || demo.say("apps").code == 0);
}
