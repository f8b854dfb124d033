//! Transfers that are killed, broken off and told again; copies and imports.

use howdah_model::secret::Secret;
use tokio::net::{TcpListener, UnixStream};

use super::*;

/// What keeps a restore waiting as long as there is a role `hold`: a check of its one row.
const HOLD: &str = "\
create function held() returns bool language plpgsql as $$ begin \
  for i in 1..2400 loop \
    exit when not exists (select from pg_catalog.pg_roles where rolname = 'hold'); \
    perform pg_catalog.pg_sleep(0.05); \
  end loop; return true; end $$; \
create table waits (x int check (public.held())); insert into waits values (1)";

async fn platform(seen: &ParticipantObservation, sql: &str) {
    let platform = Connection::open(&seen.socket_dir, "postgres", Limits::WORK).await.unwrap();
    platform.run(sql).await.unwrap();
}

/// The processes of a program that work in a home.
fn programs(name: &str, home: &Path) -> Vec<rustix::process::Pid> {
    let home = home.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| {
            String::from_utf8_lossy(&std::fs::read(entry.path().join(file)).unwrap_or_default())
                .into_owned()
        };
        if read("comm").trim() == name && (read("environ") + &read("cmdline")).contains(home) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            found.extend(rustix::process::Pid::from_raw(pid));
        }
    }
    found
}

/// E7, E9, E29: a dump that waits for a lock says so, can be broken off, and begins anew after it was
/// killed; nothing half done is ever complete.
#[tokio::test]
async fn e9_a_capture_that_is_broken_off_or_killed_leaves_nothing() {
    let major = majors().remove(0);
    let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let tenant = Tenant::new("one");
    let spec = spec(&major, &[&tenant]);
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask("create table held as select 1 as x").await.unwrap();
    session.ask("begin; lock table held in access exclusive mode").await.unwrap();
    let nothing_left = async || {
        let dumps = agent.home().join("archive/dumps");
        assert!(!agent.archived().iter().any(|path| path.starts_with(&dumps)));
        until("no role is left", || async { left_over(&seen).await.is_empty() }).await;
        until("no program is left", || async { programs("pg_dump", agent.home()).is_empty() })
            .await;
    };

    let first = capture(&spec, &tenant);
    agent.transfer(&first).await;
    agent
        .wait_transfer(first.id, "who blocks is told", |one| {
            one.log.iter().any(|line| {
                line.message.contains("of u_one") && line.message.contains("public.held")
            })
        })
        .await;
    assert_eq!(agent.dump(first.id, None).await.status(), StatusCode::NOT_FOUND);
    let deleted =
        agent.http.delete(format!("http://agent/dumps/{}", first.id)).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::CONFLICT);
    agent.transfer(&TransferSpec { wanted: Wanted::Absent, ..first.clone() }).await;
    agent
        .wait_transfer(first.id, "it is broken off", |one| one.state == TransferState::Absent)
        .await;
    nothing_left().await;
    // A word that comes late does not bring it back.
    agent.transfer(&first).await;
    assert_eq!(agent.transferred(&first).await.state, TransferState::Absent);

    let second = capture(&spec, &tenant);
    agent.transfer(&second).await;
    until("it runs", || async { !programs("pg_dump", agent.home()).is_empty() }).await;
    for pid in programs("pg_dump", agent.home()) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let failed = agent.transferred(&second).await;
    // Told again while it ran, it went on; it has ended by the signal.
    assert_eq!(failed.state, TransferState::Failed, "{failed:?}");
    assert!(failed.error.unwrap().contains("signal: 9"));
    nothing_left().await;
    session.ask("commit").await.unwrap();
    let done = agent.transferred(&second).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
}

/// E21, E29: an agent or a PostgreSQL that dies in the middle of a restore leaves the database as it
/// was and nothing else; told again, the restore begins anew. What is not complete never takes its
/// place.
#[tokio::test]
async fn e21_a_restore_that_dies_begins_anew_and_is_never_half_done() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let tenant = Tenant::new("one");
    let mut spec = spec(&major, &[&tenant]);
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask(HOLD).await.unwrap();
    session.ask("create table kept as select 1 as n").await.unwrap();
    let capture = capture(&spec, &tenant);
    assert_eq!(agent.transferred(&capture).await.state, TransferState::Done);
    session.ask("update kept set n = 2").await.unwrap();
    platform(&seen, "create role hold").await;

    let restore = restore(From::Dump { transfer: capture.id }, &spec, &tenant);
    let waits = async |agent: &Agent| {
        agent.transfer(&restore).await;
        until("it restores rows", || async {
            left_over(&seen).await.len() == 2 && !programs("pg_restore", agent.home()).is_empty()
        })
        .await;
    };
    waits(&agent).await;
    let counted = async || {
        let seen = agent.observe(None).await;
        seen.transfers.iter().find(|one| one.id == restore.id).unwrap().processed
    };
    let before = counted().await;
    until("it is seen to work", || async { counted().await > before + 1 }).await;
    // Nobody takes what is not complete for it.
    let before = spec.clone();
    exchange(&mut spec, &tenant, restore.id);
    assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
    agent
        .wait(spec.id, "it is refused", |one| {
            one.error.as_ref().is_some_and(|why| why.contains("not there or not complete"))
        })
        .await;
    assert_eq!(session.ask("select n from kept").await.unwrap(), "2");
    let revision = spec.revision;
    spec = ParticipantSpec { revision, ..before };
    next(&mut spec);
    agent.put_and_wait(&spec).await;

    agent.end().await;
    until("no program is left", || async { programs("pg_restore", agent.home()).is_empty() }).await;
    agent.begin().await;
    until("what was left is gone", || async { left_over(&seen).await.is_empty() }).await;
    assert!(agent.home().join("transfers").read_dir().unwrap().next().is_none());

    waits(&agent).await;
    kill_process(agent.postmaster(spec.id).unwrap().pid, Signal::KILL).unwrap();
    agent.wait_transfer(restore.id, "it fails", |one| one.state == TransferState::Failed).await;
    agent
        .wait(spec.id, "it is back", |one| {
            one.deaths == 1 && one.instance == InstanceState::Answering
        })
        .await;
    until("what was left is gone", || async { left_over(&seen).await.is_empty() }).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    assert_eq!(session.ask("select n from kept").await.unwrap(), "2");

    platform(&seen, "drop role hold").await;
    let done = agent.transferred(&restore).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    exchange(&mut spec, &tenant, restore.id);
    agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    assert_eq!(session.ask("select n from kept").await.unwrap(), "1");
}

/// A server of somebody else: a port that leads to a socket.
async fn elsewhere(socket_dir: &Path) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = socket_dir.join(".s.PGSQL.5432");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut wires = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = socket.clone();
            wires.spawn(async move {
                let mut server = UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, serving)
}

/// E25, H24: databases are copied within a server, also from a follower, and from one that is not ours;
/// with 2,000 tables, and with what an address that is not allowed says.
#[tokio::test]
async fn e7_h24_copies_come_from_databases_here_followers_and_elsewhere() {
    let majors = majors();
    let (old, new) = (majors.first().unwrap(), majors.last().unwrap());
    let agent = Agent::start_with_archive(&majors).await;
    let (one, two) = (Tenant::new("one"), Tenant::new("two"));
    let mut from = spec(old, &[&one]);
    from.settings.insert("max_locks_per_transaction".to_owned(), "256".to_owned());
    let from_seen = agent.put_and_wait(&from).await;
    let session = one.connect(&from_seen.socket_dir).await.unwrap();
    session
        .ask("do $$ begin for i in 1..2000 loop execute format('create table t%s (id int primary key)', i); \
              end loop; for i in 1..60 loop execute format('create schema s%s', i); end loop; end $$")
        .await
        .unwrap();
    session.ask("insert into t7 values (7)").await.unwrap();
    let mut into = spec(new, &[&two]);
    let seen = agent.put_and_wait(&into).await;

    let copy = restore(database(&from, &one), &into, &two);
    let done = agent.transferred(&copy).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    assert_eq!(done.made.unwrap().tables, 2000);
    assert!(done.log.iter().any(|line| line.message.contains("61 schemas")), "{:?}", done.log);
    exchange(&mut into, &two, copy.id);
    agent.put_and_wait(&into).await;
    let there = two.connect(&seen.socket_dir).await.unwrap();
    assert_eq!(there.ask("select id from t7").await.unwrap(), "7");
    there.ask("drop table t8").await.unwrap();

    let (port, _serving) = elsewhere(&from_seen.socket_dir).await;
    let url = |password: &str, host: &str| From::Foreign {
        url: Secret::new(format!("postgres://u_one:{password}@{host}:{port}/d_one")),
    };
    for (bad, why) in [
        (url("mistaken", "127.0.0.1"), "password authentication failed"),
        (url("x", "169.254.1.1"), "not a public address"),
        (url("x", "nowhere.invalid"), "cannot be found"),
    ] {
        let failed = agent.transferred(&restore(bad, &into, &two)).await;
        let error = failed.error.unwrap_or_default();
        assert!(failed.state == TransferState::Failed && error.contains(why), "{error}");
        assert!(!format!("{error}{:?}", failed.log).contains("mistaken"), "{error}");
    }
    session.ask("insert into t7 values (8)").await.unwrap();
    let import = restore(url("secret%20of%20one", "127.0.0.1"), &into, &two);
    let done = agent.transferred(&import).await;
    assert_eq!(done.state, TransferState::Done, "{done:?}");
    exchange(&mut into, &two, import.id);
    agent.put_and_wait(&into).await;
    let there = two.connect(&seen.socket_dir).await.unwrap();
    assert_eq!(there.ask("select sum(id) from t7").await.unwrap(), "15");
    assert_eq!(left_over(&seen).await, [""; 0]);
    assert_eq!(left_over(&from_seen).await, [""; 0]);
}
