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
