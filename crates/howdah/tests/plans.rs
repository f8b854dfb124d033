//! Changes of plan on a whole platform, with clients that go on meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use howdah_testkit::platform::{Platform, wait_until};

const CLIENTS: usize = 10;

/// A platform with an app `demo` that has a standard database.
fn platform() -> Platform {
    let binary = env!("CARGO_BIN_EXE_howdah");
    let demo = Platform::start(binary, &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:standard-0 --name pg-plan-1 --wait -a demo").ok();
    demo
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

fn ask(demo: &Platform, url: &str, sql: &str) -> String {
    demo.psql(url, sql).ok().trim().to_owned()
}

/// A line of `pg:info`, by its label.
fn row(demo: &Platform, database: &str, label: &str) -> Option<String> {
    let info = demo.howdah(&["pg:info", database, "-a", "demo"]).ok();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{label}:")));
    line.map(|value| value.trim().to_owned())
}

/// Increments a counter and writes it into a ledger, one transaction after the other, until it is
/// told to stop. Answers how many were acknowledged and the longest that one took.
fn work(demo: &Platform, url: &str, nth: usize, stop: &AtomicBool) -> (u64, Duration) {
    let mut command = demo.command(Path::new("psql"));
    let command = command.args([url, "-XAtq", "-v", "ON_ERROR_STOP=1"]);
    let mut psql = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start psql");
    let mut input = psql.stdin.take().expect("its input");
    let mut output = BufReader::new(psql.stdout.take().expect("its output"));
    let (mut acknowledged, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let n = acknowledged + 1;
        // Half of the clients have transactions of several statements.
        let sql = if nth.is_multiple_of(2) {
            format!(
                "begin; update counters set value = value + 1 where id = {nth};\n\
                 insert into ledger values ({nth}, {n});\ncommit;\n\\echo {n}"
            )
        } else {
            format!(
                "with one as (update counters set value = value + 1 where id = {nth}) \
                 insert into ledger values ({nth}, {n});\n\\echo {n}"
            )
        };
        let mut line = String::new();
        let asked = writeln!(input, "{sql}").and_then(|()| input.flush());
        let answered = asked.and_then(|()| output.read_line(&mut line));
        if answered.is_err() || line.trim() != n.to_string() {
            break;
        }
        longest = longest.max(began.elapsed());
        acknowledged = n;
    }
    drop(input);
    let ended = psql.wait_with_output().expect("psql ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "client {nth}: {said}");
    (acknowledged, longest)
}

#[test]
fn g25_a_plan_is_changed_under_load_without_an_error_and_nothing_is_lost_or_doubled() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(
        &demo,
        &url,
        "create table counters (id int primary key, value bigint not null);
         insert into counters select n, 0 from generate_series(0, 99) n;
         create table ledger (client int, n bigint, primary key (client, n));
         create table ballast as select n, repeat('x', 500) from generate_series(1, 40000) n",
    );
    demo.say("addons:create heroku-postgresql --follow DATABASE --as REPLICA --wait -a demo").ok();
    let follower = demo.config_var("REPLICA_URL", "demo");
    assert_eq!(row(&demo, "DATABASE", "Plan").as_deref(), Some("Standard 0"));

    let stop = AtomicBool::new(false);
    let (upgraded, done) = thread::scope(|scope| {
        let _stops = Stops(&stop);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|nth| {
                let (demo, url, stop) = (&demo, url.as_str(), &stop);
                scope.spawn(move || work(demo, url, nth, stop))
            })
            .collect();
        wait_until("all clients work", || {
            let at_work = "select count(distinct client) from ledger";
            ask(&demo, &url, at_work) == CLIENTS.to_string()
        });
        let upgrade = "addons:upgrade DATABASE heroku-postgresql:standard-2 --wait -a demo";
        let upgraded = demo.say(upgrade);
        // They go on at the new server.
        let before = ask(&demo, &url, "select count(*) from ledger");
        wait_until("they go on", || ask(&demo, &url, "select count(*) from ledger") != before);
        stop.store(true, Ordering::Relaxed);
        let done: Vec<_> =
            clients.into_iter().map(|client| client.join().expect("a client's count")).collect();
        (upgraded, done)
    });
    has(
        &upgraded.stderr,
        "from heroku-postgresql:standard-0 to heroku-postgresql:standard-2... done",
    );
    assert_eq!(upgraded.code, 0, "{upgraded:?}");
    let acknowledged: u64 = done.iter().map(|(count, _)| count).sum();
    let longest = done.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
    eprintln!("{acknowledged} transactions, the longest took {longest:?}");
    assert_eq!(ask(&demo, &url, "select count(*) from ledger"), acknowledged.to_string());
    assert_eq!(ask(&demo, &url, "select sum(value) from counters"), acknowledged.to_string());
    assert!(longest < Duration::from_secs(30), "clients waited for {longest:?}");

    assert_eq!(demo.config_var("DATABASE_URL", "demo"), url, "its URL stays");
    assert_eq!(row(&demo, "DATABASE", "Plan").as_deref(), Some("Standard 2"));
    assert_eq!(ask(&demo, &url, "show max_connections"), "410");
    has(&demo.say("releases -a demo").ok(), "Update pg-plan-1 to heroku-postgresql:standard-2");
    assert_eq!(row(&demo, "DATABASE", "Followers").as_deref(), Some("REPLICA"));
    ask(&demo, &url, "create table after_all as select 42 a");
    wait_until("the follower follows the new server", || {
        demo.psql(&follower, "select a from after_all").stdout.trim() == "42"
    });
    // Nothing is left of the old server.
    wait_until("two participants are left", || participants(&demo) == 2);

    let down = demo.say("addons:downgrade DATABASE standard-0 --wait -a demo");
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(row(&demo, "DATABASE", "Plan").as_deref(), Some("Standard 0"));
    assert_eq!(ask(&demo, &url, "select a from after_all"), "42");
    ask(&demo, &url, "insert into after_all values (43)");
    wait_until("the follower follows again", || {
        demo.psql(&follower, "select max(a) from after_all").stdout.trim() == "43"
    });
}

fn participants(demo: &Platform) -> usize {
    let dirs = std::fs::read_dir(demo.home().join("p")).expect("the participants");
    dirs.flatten().filter(|dir| dir.path().join("data/PG_VERSION").exists()).count()
}

#[test]
fn g25_what_cannot_be_changed_is_refused_with_the_way_out() {
    let demo = platform();
    let refused = |line: &str, why: &str| {
        let ran = demo.say(line);
        assert_ne!(ran.code, 0, "{ran:?}");
        has(&ran.stderr, why);
    };
    refused("addons:upgrade DATABASE hobby-basic -a demo", "share their server");
    refused("addons:upgrade DATABASE nonsense -a demo", "howdah addons:plans heroku-postgresql");
    refused("addons:upgrade DATABASE -a demo", "Must specify the new PLAN");
    let same = demo.say("addons:upgrade DATABASE standard-0 -a demo");
    assert_eq!(same.code, 0, "{same:?}");
    has(&same.stderr, "it has that plan already ($50/mo)");

    demo.say("addons:upgrade heroku-postgresql:standard-2 -a demo").ok();
    refused("addons:downgrade DATABASE standard-4 -a demo", "its plan is being changed");
    // Whoever destroys it does not wait for the change.
    demo.say("addons:destroy pg-plan-1 -a demo --confirm demo").ok();
    wait_until("nothing is left of either", || participants(&demo) == 0);
}

/// Where the newest operation is.
fn state(demo: &Platform) -> String {
    let text = demo.say("pg:operations --json -n 1 -a demo").ok();
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["data"][0]["state"].as_str().unwrap_or_default().to_owned()
}

/// Writes one number after the other, each in a session of its own, whatever becomes of the platform.
/// Answers those that were acknowledged.
fn write_through(demo: &Platform, url: &str, stop: &AtomicBool, from: u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for n in from.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if demo.psql(url, &format!("insert into ledger values ({n})")).code == 0 {
            acknowledged.push(n);
        }
    }
    acknowledged
}

/// Ends the writing also when something else has failed.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The platform is killed while the database is on its way to another server: it comes to one server,
/// with the plan of that, and all that was acknowledged is there.
#[test]
fn g25_a_platform_that_is_killed_in_a_change_of_plan_leaves_one_database_with_all_its_data() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &url, "create table ledger (n bigint primary key)");
    let mut from = 1;
    let mut plan = ("Standard 0".to_owned(), "standard-2", "Standard 2");
    for (at, later_ms) in
        [("following", 500), ("holding", 0), ("fencing", 0), ("promoting", 0), ("promoting", 150)]
    {
        demo.say(&format!("addons:upgrade DATABASE {} -a demo", plan.1)).ok();
        let stop = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let _stops = Stops(&stop);
            let writing = scope.spawn(|| write_through(&demo, &url, &stop, from));
            let order = ["requested", "following", "preparing", "holding", "fencing", "promoting"];
            let place = |state: &str| order.iter().position(|one| *one == state);
            let reached = place(at).expect("a state");
            wait_until(at, || place(&state(&demo)).is_none_or(|now| now >= reached));
            let begun = Instant::now();
            wait_until("the moment to kill", || begun.elapsed().as_millis() >= later_ms);
            eprintln!("killed in {}", state(&demo));
            demo.kill();
            demo.up();
            let is_over = || ["done", "undone"].contains(&state(&demo).as_str());
            wait_until("the operation ends", is_over);
            stop.store(true, Ordering::Relaxed);
            writing.join().expect("what was acknowledged")
        });
        let ended = state(&demo);
        eprintln!("it is {ended}; {} numbers were acknowledged", acknowledged.len());
        let there = ask(&demo, &url, &format!("select n from ledger where n >= {from}"));
        let there: std::collections::BTreeSet<u64> =
            there.lines().map(|line| line.parse().expect("a number")).collect();
        let lost: Vec<_> = acknowledged.iter().filter(|n| !there.contains(n)).collect();
        assert!(lost.is_empty(), "{at}: {lost:?} were acknowledged and are lost");
        from = there.last().copied().unwrap_or(from).max(from) + 1000;
        if ended == "done" {
            plan = match plan.1 {
                "standard-2" => (plan.2.to_owned(), "standard-0", "Standard 0"),
                _ => (plan.2.to_owned(), "standard-2", "Standard 2"),
            };
        }
        assert_eq!(row(&demo, "DATABASE", "Plan").as_deref(), Some(plan.0.as_str()), "{at}");
        wait_until("one server is left", || participants(&demo) == 1);
        assert_eq!(demo.psql(&url, "insert into ledger values (0)").code, 0);
        ask(&demo, &url, "delete from ledger where n = 0");
    }
}

/// G2: the history goes on: moments before and after the move can be restored.
#[test]
fn g2_g25_a_rollback_reaches_moments_on_both_sides_of_a_change_of_plan() {
    let demo = platform();
    let url = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &url, "create table t as select 'before' a");
    let protection = || -> serde_json::Value {
        let text = demo.howdah(&["pg:protection", "DATABASE", "--json", "-a", "demo"]).ok();
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["data"].take()
    };
    wait_until("there is a base backup", || protection()["protected"]["backup"].is_object());
    ask(&demo, &url, "insert into t values ('then')");
    let moment = || ask(&demo, &url, "select clock_timestamp()");
    let before = moment();
    ask(&demo, &url, "insert into t values ('late')");
    demo.say("addons:upgrade DATABASE standard-2 --wait -a demo").ok();
    wait_until("the base backup of before is known", || {
        protection()["protected"]["backup"].is_object()
    });
    ask(&demo, &url, "insert into t values ('after')");
    let after = moment();
    ask(&demo, &url, "insert into t values ('too late')");
    for (name, to, rows) in
        [("OLD", before, "before,then"), ("NEW", after, "after,before,late,then")]
    {
        let made = demo.howdah(&[
            "addons:create",
            "heroku-postgresql",
            "--rollback",
            "DATABASE",
            "--to",
            &to,
            "--as",
            name,
            "--wait",
            "-a",
            "demo",
        ]);
        assert_eq!(made.code, 0, "{made:?}");
        let copy = demo.config_var(&format!("{name}_URL"), "demo");
        assert_eq!(ask(&demo, &copy, "select string_agg(a, ',' order by a) from t"), rows);
    }
    wait_until("its WAL goes to the archive", || {
        protection()["protected"]["trouble"].is_null()
            && protection()["protected"]["lag_bytes"] == 0
    });
}
