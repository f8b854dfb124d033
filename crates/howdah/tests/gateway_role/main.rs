//! `howdah gateway`: a process of its own beside the platform, and one after another of them, while
//! real clients are at work. H20.

mod tools;

use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Instant;

use howdah_testkit::platform::{Platform, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::tools::{
    HOWDAH, Knocker, Role, Session, Stop, admin, current_pid, pgbench, platform, processed,
    sessions_of_tenants,
};

#[test]
fn h20_a_gateway_of_its_own_takes_over_from_the_platform_and_outlives_its_restarts() {
    let (demo, url) = platform(&[]);
    let platform_pid = u64::try_from(demo.pid()).expect("a pid");
    assert_eq!(current_pid(&demo), platform_pid, "it runs inside");
    let mut inside = Session::open(&demo, &url);
    let mut role = Role::start(&demo);
    assert_eq!(current_pid(&demo), u64::from(role.pid()));
    let mut outside = Session::open(&demo, &url);
    assert_eq!(inside.ask("select 1").as_deref(), Some("1"));
    assert!(inside.close().is_empty());

    // The platform is restarted in good order, and killed.
    let platform = Pid::from_raw(demo.pid());
    kill(platform, Signal::SIGTERM).expect("signalled");
    wait_until("the platform has ended", || kill(platform, None).is_err());
    assert_eq!(outside.ask("select 2").as_deref(), Some("2"));
    assert_eq!(demo.psql(&url, "select 3").ok().trim(), "3", "without a platform");
    let up = demo.say("up --detach").ok();
    assert!(up.contains(&format!("(a process of its own: {})", role.pid())), "{up}");
    demo.kill();
    assert_eq!(outside.ask("select 4").as_deref(), Some("4"));
    demo.up();
    assert_eq!(outside.ask("select 5").as_deref(), Some("5"));
    assert!(url.starts_with(&demo.config_var("DATABASE_URL", "demo")), "the same port");

    // Without it the platform serves again.
    role.signal(Signal::SIGTERM);
    assert!(role.end(), "a clean end: {}", role.rest());
    assert_eq!(outside.ask("select 6"), None);
    assert!(outside.close().contains("57P01"));
    wait_until("the platform serves", || demo.psql(&url, "select 7").code == 0);
    assert_eq!(current_pid(&demo), u64::try_from(demo.pid()).expect("a pid"));
}

#[test]
fn h20_ten_restarts_under_load_lose_nobody_and_every_transaction_is_counted() {
    const RESTARTS: usize = 10;
    let (demo, url) = platform(&[]);
    let mut roles = vec![Role::start(&demo)];
    let counted = || {
        let report = admin(&demo, "GET", "/pools");
        let pools = report["pools"].as_array().expect("pools").clone();
        pools.iter().filter_map(|pool| pool["totals"]["transactions"].as_u64()).sum::<u64>()
    };
    // What was asked to get here.
    let before = counted();
    let knocker = Knocker::new(&demo);
    let (lasting, coming) = std::thread::scope(|scope| {
        let _stop = Stop(&knocker);
        let knocking = scope.spawn(|| knocker.knock());
        let load = |options: &'static [&'static str]| {
            let mut command = pgbench(&demo, &url, "select 1;", options);
            scope.spawn(move || command.output().expect("pgbench"))
        };
        // At a rate, so that those who log in get their share of the processors.
        let lasting = load(&["-c", "4", "-T", "20", "-M", "extended", "-R", "1000"]);
        let coming = load(&["-C", "-c", "3", "-T", "20"]);
        for _ in 0..RESTARTS {
            let seen = knocker.answered();
            roles.push(Role::start(&demo));
            wait_until("clients came to it", || knocker.answered() > seen + 100);
        }
        assert!(!lasting.is_finished() && !coming.is_finished(), "the load lasted for all of it");
        let outputs = (lasting.join().expect("ran"), coming.join().expect("ran"));
        knocker.done.store(true, Ordering::Relaxed);
        knocking.join().expect("never refused");
        outputs
    });
    assert_eq!(knocker.broken.load(Ordering::Relaxed), 0);
    let knocks = knocker.answered();
    assert!(knocks >= 100 * RESTARTS as u64, "{knocks}");
    let (lasting, coming) = (processed(&lasting), processed(&coming));
    assert!(lasting > 0 && coming > 30, "{lasting} {coming}");
    let longest = knocker.longest.load(Ordering::Relaxed);
    println!(
        "{RESTARTS} restarts: {lasting} + {coming} transactions, {knocks} connects, the longest {longest} us"
    );
    let last = roles.pop().expect("the last one");
    for mut role in roles {
        assert!(role.end(), "it ended with its last session: {}", role.rest());
    }
    assert_eq!(counted(), before + lasting + coming, "over {RESTARTS} processes");
    drop(last);
}

#[test]
fn h20_a_younger_gateway_that_is_killed_at_any_moment_leaves_the_elder_accepting() {
    const MOMENTS: u32 = 16;
    let (demo, url) = platform(&[]);
    let elder = Role::start(&demo);
    let mut session = Session::open(&demo, &url);
    // How long a take-over takes here, once; it is taken back by the kill.
    let began = Instant::now();
    Role::start(&demo).kill();
    let whole = began.elapsed();
    let knocker = Knocker::new(&demo);
    std::thread::scope(|scope| {
        let _stop = Stop(&knocker);
        scope.spawn(|| knocker.knock());
        for moment in 0..MOMENTS {
            let began = Instant::now();
            let mut younger = Role::spawn(&demo);
            // From its first breath to after it has begun to serve.
            let then = whole * moment / (MOMENTS - 2);
            wait_until("the moment has come", || began.elapsed() >= then);
            younger.kill();
            wait_until("the elder accepts", || {
                let about = UnixStream::connect(demo.home().join("run/gateway.sock"));
                about.is_ok() && current_pid(&demo) == u64::from(elder.pid())
            });
            assert_eq!(session.ask("select 1").as_deref(), Some("1"));
            assert_eq!(demo.psql(&url, "select 2").ok().trim(), "2", "after moment {moment}");
        }
    });
    assert!(knocker.answered() > 0);
    let _successor = Role::start(&demo);
    assert_eq!(session.ask("select 3").as_deref(), Some("3"), "in the elder");
    assert!(session.close().is_empty());
}

#[test]
fn h20_an_elder_that_is_killed_costs_its_own_sessions_and_nothing_else() {
    let (demo, url) = platform(&[]);
    let mut elder = Role::start(&demo);
    let mut old = Session::open(&demo, &url);
    let mut younger = Role::start(&demo);
    let knocker = Knocker::new(&demo);
    std::thread::scope(|scope| {
        let _stop = Stop(&knocker);
        scope.spawn(|| knocker.knock());
        let mut new = Session::open(&demo, &url);
        elder.kill();
        assert_eq!(old.ask("select 1"), None);
        assert_eq!(new.ask("select 2").as_deref(), Some("2"));
        assert_eq!(demo.psql(&url, "select 3").ok().trim(), "3");
        // As soon as the other one is there it may be killed at any moment as well.
        for _ in 0..4 {
            let mut next = Role::spawn(&demo);
            wait_until("it has begun to serve", || {
                assert!(!next.has_ended(), "{}", next.rest());
                current_pid(&demo) == u64::from(next.pid())
            });
            younger.kill();
            younger = next;
            assert_eq!(demo.psql(&url, "select 4").ok().trim(), "4");
        }
    });
    assert!(knocker.answered() > 0);
}

#[test]
fn h22_a_cancel_finds_its_session_in_the_elder() {
    let (demo, url) = platform(&[]);
    let _elder = Role::start(&demo);
    let mut session = Session::open(&demo, &url);
    session.send("select pg_sleep(600)");
    wait_until("it sleeps", || {
        let sql = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
        demo.psql(&url, sql).ok().trim() == "1"
    });
    let _younger = Role::start(&demo);
    let psql = Pid::from_raw(i32::try_from(session.child.id()).expect("a pid"));
    kill(psql, Signal::SIGINT).expect("interrupted");
    assert_eq!(session.line(), None, "psql ends when it is interrupted and has no terminal");
    assert!(session.close().contains("57014"), "query_canceled");
}

#[test]
fn the_limit_of_a_database_holds_over_two_gateways() {
    const LIMIT: usize = 20;
    let (demo, url) = platform(&[]);
    let _elder = Role::start(&demo);
    let mut old: Vec<_> = (0..LIMIT - 1).map(|_| Session::open(&demo, &url)).collect();
    let _younger = Role::start(&demo);
    let last = Session::open(&demo, &url);
    let refused = demo.psql(&url, "select 1");
    assert!(refused.stderr.contains("too many connections"), "{refused:?}");
    assert_eq!(sessions_of_tenants(&demo), u32::try_from(LIMIT).expect("small"));
    // What the elder gives back can be had from the younger one.
    assert!(old.pop().expect("one").close().is_empty());
    wait_until("there is room again", || demo.psql(&url, "select 1").code == 0);
    assert!(last.close().is_empty());
}

/// H17: whoever holds a database at the gateway that accepts holds the sessions of its elders as well,
/// and of its successor.
#[test]
fn h17_a_hold_reaches_the_sessions_of_all_gateways() {
    let (demo, url) = platform(&[]);
    let _first = Role::start(&demo);
    let mut sessions = vec![Session::open(&demo, &url)];
    let _second = Role::start(&demo);
    sessions.push(Session::open(&demo, &url));
    let pools = admin(&demo, "GET", "/pools");
    let database = pools["pools"][0]["database_id"].as_str().expect("an id").to_owned();

    assert_eq!(sessions[0].ask("begin; select 'open'").as_deref(), Some("open"));
    let hold = format!("/databases/{database}/hold?bound_ms=30000");
    std::thread::scope(|scope| {
        let holding = scope.spawn(|| admin(&demo, "POST", &hold));
        let list = format!("/databases/{database}/sessions");
        wait_until("one blocks and one is held", || {
            let seen = admin(&demo, "GET", &list);
            seen["blockers"].as_array().is_some_and(|blockers| blockers.len() == 1)
        });
        sessions[0].send("commit");
        let held = holding.join().expect("held");
        assert_eq!(
            (&held["done"], held["sessions"].as_array().map(Vec::len)),
            (&true.into(), Some(2))
        );
    });
    let _third = Role::start(&demo);
    for session in &mut sessions {
        session.send("select 'on'");
    }
    let seen = admin(&demo, "GET", &format!("/databases/{database}/sessions"));
    assert_eq!(seen["blockers"], serde_json::json!([]), "{seen}");
    let released = admin(&demo, "POST", &format!("/databases/{database}/release?bound_ms=10000"));
    assert_eq!(released["done"], true, "{released}");
    for mut session in sessions {
        assert_eq!(session.line().as_deref(), Some("on"));
        assert!(session.close().is_empty());
    }
}

#[test]
fn a_drain_has_a_bound_and_ends_what_is_left_with_57p01() {
    let (demo, url) = platform(&[("HOWDAH_GATEWAY_DRAIN", "500ms")]);
    let mut elder = Role::start(&demo);
    let mut session = Session::open(&demo, &url);
    let _younger = Role::start(&demo);
    assert!(elder.end(), "{}", elder.rest());
    assert_eq!(session.ask("select 1"), None);
    assert!(session.close().contains("57P01"));
}

#[test]
fn signals_reload_the_certificate_and_start_a_successor() {
    let (demo, url) = platform(&[]);
    let mut first = Role::start(&demo);
    let ca = demo.home().join("tls/ca.pem").display().to_string();
    let verified = url.replace("sslmode=disable", &format!("sslmode=verify-full&sslrootcert={ca}"));
    let reachable = || demo.psql(&verified, "select 1").code == 0;
    assert!(reachable());
    // Another authority: a gateway that showed the old certificate for ever could not be verified.
    for file in ["ca.pem", "ca.key", "gateway.pem", "gateway.key"] {
        std::fs::remove_file(demo.home().join("tls").join(file)).expect("removed");
    }
    howdah_gateway::tls::ensure(&demo.home().join("tls"), &[]).expect("another certificate");
    first.signal(Signal::SIGHUP);
    let log = demo.home().join("log/gateway.log");
    wait_until("it has read the certificate again", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("was read again"))
    });
    assert!(reachable());

    let mut session = Session::open(&demo, &url);
    first.signal(Signal::SIGUSR2);
    wait_until("a successor serves", || current_pid(&demo) != u64::from(first.pid()));
    let successor = Pid::from_raw(i32::try_from(current_pid(&demo)).expect("a pid"));
    assert_eq!(session.ask("select 1").as_deref(), Some("1"));
    assert!(session.close().is_empty());
    assert!(first.end(), "{}", first.rest());
    assert_eq!(demo.psql(&url, "select 2").ok().trim(), "2");
    kill(successor, Signal::SIGTERM).expect("signalled");
    wait_until("the platform serves again", || {
        let about = UnixStream::connect(demo.home().join("run/gateway.sock"));
        about.is_ok() && current_pid(&demo) == u64::try_from(demo.pid()).expect("a pid")
    });
}

#[test]
fn a_port_that_somebody_else_has_is_refused_in_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    let other = Platform::prepare(HOWDAH, &[("HOWDAH_GATEWAY_LISTEN", &address)]);
    let refused = other.say("gateway");
    assert_ne!(refused.code, 0);
    let said = refused.stderr;
    assert!(said.contains(&address) && said.contains("HOWDAH_GATEWAY_LISTEN"), "{said}");
    let help = other.say("gateway --help").ok();
    assert!(help.contains("takes over") && help.contains("SIGUSR2"), "{help}");
}

#[test]
fn a_platform_told_to_leave_the_gateway_to_others_runs_none() {
    let external = ("HOWDAH_GATEWAY", "external");
    let demo = Platform::prepare(HOWDAH, &[("HOWDAH_POOL_SIZE", "0"), external]);
    let refused = demo.say("up --detach");
    assert!(refused.code != 0 && refused.stderr.contains("howdah gateway"), "{refused:?}");
    let _role = Role::start(&demo);
    let up = demo.say("up --detach").ok();
    assert!(up.contains("(a process of its own"), "{up}");
    let down = demo.howdah(&["down"]).ok();
    assert!(down.contains("goes on in a process of its own"), "{down}");
}
