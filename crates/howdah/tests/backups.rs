//! Backups, restores, copies, pushes, pulls and imports with a whole platform: our command line, and
//! Heroku's own where it does something by itself.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use howdah_testkit::heroku::Heroku;
use howdah_testkit::platform::{Platform, Ran, wait_until};
use howdah_testkit::servers::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

/// A little of everything that a tenant may have.
const DATA: &str = r#"
create extension hstore;
create extension earthdistance cascade;
create schema "odd; one";
create type mood as enum ('good', 'bad');
create table items (id bigint generated always as identity primary key, name text not null, m mood,
  price numeric(10, 2), h hstore, j jsonb, at timestamptz default '2026-01-02 03:04:05+02', b bytea);
insert into items (name, m, price, h, j, b) select 'item ' || n, 'good', n / 7.0, 'a=>1',
  jsonb_build_object('n', n), decode(md5(n::text), 'hex') from generate_series(1, 3000) n;
create table "odd; one"."Tab ""le" (t text, p point);
insert into "odd; one"."Tab ""le" values (E'a\tb\n''c', '(1,2)');
create unique index by_name on items (name);
create view cheap as select * from items where price < 10;
create function half(n int) returns int language sql as 'select n / 2';
comment on table items is 'kept';
select lo_from_bytea(4711, '\x00ff');
"#;

const SUMS: &str = r#"
select (select count(*) || ' ' || sum(hashtextextended(i::text, 0)) from items i)
|| ' ' || (select string_agg(t::text, ',') from "odd; one"."Tab ""le" t)
|| ' ' || (select count(*) from cheap) || ' ' || obj_description('items'::regclass)
|| ' ' || encode(lo_get(4711), 'hex') || ' ' || half(84)"#;

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[track_caller]
fn fails(ran: &Ran, code: i32, part: &str) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    has(&ran.stderr, part);
}

/// The directory that commands are run in.
fn directory(platform: &Platform) -> PathBuf {
    platform.home().with_file_name("user")
}

/// An app with a database of the oldest major version, and one of the newest.
fn start() -> (Heroku, String, String) {
    let heroku = Heroku::start(BINARY, &[("HOWDAH_TRANSFER_ALLOW", "127.0.0.0/8")]);
    let platform = &heroku.platform;
    platform.say("apps:create demo").ok();
    platform.say("addons:create heroku-postgresql:standard-0 --version 15 -a demo --wait").ok();
    platform.say("addons:create heroku-postgresql:hobby-dev --as RED -a demo --wait").ok();
    let var = |name| platform.config_var(name, "demo");
    let (old, new) = (var("DATABASE_URL"), var("RED_URL"));
    platform.psql(&old, DATA).ok();
    (heroku, old, new)
}

/// The status and the body of an answer.
fn fetch(request: impl FnOnce(reqwest::Client) -> reqwest::RequestBuilder) -> (u16, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = request(client).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.bytes().await.expect("a body").to_vec())
    })
}

#[test]
fn e5_to_e31_backups_are_captured_fetched_restored_and_deleted() {
    let (heroku, old, new) = start();
    let platform = &heroku.platform;
    let sums = platform.psql(&old, SUMS).ok();
    let captured = platform.say("pgbackups:capture -a demo").ok();
    has(&captured, "DATABASE_URL  ----backup---->  b001");
    has(&platform.say("pgbackups -a demo").ok(), "b001");
    let archive = platform.home().join("archive/dumps");
    let dumps = || std::fs::read_dir(&archive).map_or(0, Iterator::count);
    assert_eq!(dumps(), 1);

    // E6, E17: what comes is the same whoever fetches it, and goes on where it was broken off.
    let here = directory(platform);
    heroku.run("pg:backups:download b001 -a demo -o theirs.dump").ok();
    let dump = std::fs::read(here.join("theirs.dump")).expect("a dump");
    assert!(dump.starts_with(b"PGDMP"));
    platform.say("pg:backups:download -a demo").ok();
    assert!(std::fs::read(here.join("latest.dump")).expect("a dump") == dump);
    let listed = platform.program("pg_restore", &["-l", "latest.dump"], &[]);
    has(&listed.ok(), "odd; one Tab \"le");
    let url = platform.say("pgbackups:url b001 -a demo").ok().trim().to_owned();
    let (status, body) = fetch(|client| client.get(&url));
    assert!(status == 200 && body == dump);
    let (status, body) = fetch(|client| client.get(&url).header("range", "bytes=100-199"));
    assert!(status == 206 && body == dump[100..200]);
    let (start, last) = url.split_at(url.len() - 1);
    let forged = format!("{start}{}", if last == "0" { "1" } else { "0" });
    assert_eq!(fetch(|client| client.get(&forged)).0, 403);

    // E19, E20, E22: from 15 to 18; what the backup lacks is gone, and all belongs to the owner.
    platform.psql(&new, "create table extra (a int); create table items (b int)").ok();
    let restored = platform.say("pgbackups:restore RED b001 -a demo --confirm demo");
    has(&restored.stderr, "RED_URL  <---restore---  b001");
    has(&restored.stderr, "Retrieving... done");
    restored.ok();
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);
    assert_eq!(platform.psql(&new, "select to_regclass('extra') is null").ok().trim(), "t");
    let same = platform.howdah(&["pg:import:verify", &old, "RED", "-a", "demo"]);
    has(&same.ok(), "Differences:    0");

    // E21, E31: a file, a signed URL, and another app's backup.
    platform.say("pg:reset RED -a demo --confirm demo").ok();
    let line = "pg:backups:restore latest.dump RED -a demo --confirm demo";
    has(&platform.say(line).stderr, "Uploading latest.dump... done");
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);
    platform.say("apps:create other").ok();
    platform.say("addons:create heroku-postgresql:hobby-dev -a other --wait").ok();
    let theirs = platform.config_var("DATABASE_URL", "other");
    for backup in ["demo::b001", url.as_str()] {
        let line = format!("pg:backups:restore {backup} DATABASE_URL -a other --confirm other");
        platform.say(&line).ok();
        assert_eq!(platform.psql(&theirs, SUMS).ok(), sums, "{backup}");
        platform.psql(&theirs, "drop table items cascade").ok();
    }

    // What is no dump leaves all as it was.
    std::fs::write(here.join("page.dump"), "PGDMP<html>").expect("writes");
    let broken = platform.say("pg:backups:restore page.dump RED -a demo --confirm demo");
    fails(&broken, 1, "An error occurred and your restore did not finish.");
    let id = platform.say("addons:info RED -a demo --json=id").ok();
    let id = id.split('"').find(|word| word.len() == 36).expect("an id").to_owned();
    let token = std::fs::read_to_string(here.join(".config/howdah/credentials.json"));
    let token = token.expect("a key");
    let token = token.split('"').find(|word| word.starts_with("hwd_")).expect("a key").to_owned();
    let upload = format!("{}/howdah/v1/databases/{id}/dumps", platform.url());
    let sent =
        |body: &'static str| fetch(|client| client.post(&upload).bearer_auth(&token).body(body)).0;
    assert_eq!([sent("<html>"), sent("PGD"), sent("")], [422; 3]);
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);

    // E18: deleted, its URL dies at once.
    has(&platform.say("pgbackups:destroy b001 -a demo").stderr, "Destroying b001... done");
    assert_eq!(fetch(|client| client.get(&url)).0, 404);
    fails(&platform.say("pgbackups:destroy b001 -a demo"), 1, "already destroyed");
    let listed = platform.say("pg:backups -a demo").ok();
    has(&listed, "No backups. Capture one with");
    // Nothing stays of it, nor of what was sent from here.
    wait_until("no dump is left", || dumps() == 0);
    has(&listed, "r002");
}

/// A session that holds a table until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(platform: &Platform, url: &str, table: &str) -> Self {
        let sql = format!("begin; lock table {table}; \\echo held\nselect pg_sleep(600);");
        let mut psql = platform.command(Path::new("psql"));
        psql.args([url, "-XAtq"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().expect("psql runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), sql.as_bytes())
            .expect("psql reads");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("psql writes");
        assert_eq!(line.trim(), "held");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn e29_whoever_stops_watching_finds_the_job_again_and_can_cancel_it() {
    let heroku = Heroku::start(BINARY, &[]);
    let platform = &heroku.platform;
    platform.say("apps:create demo").ok();
    platform.say("addons:create heroku-postgresql:hobby-dev -a demo --wait").ok();
    let url = platform.config_var("DATABASE_URL", "demo");
    platform.psql(&url, "create table held as select 1 as a").ok();
    let holder = Holder::of(platform, &url, "held");
    let mut capture = platform.command(Path::new(BINARY));
    capture.args(["pg:backups:capture", "-a", "demo"]).stdin(Stdio::null());
    let mut capture: Child = capture.stderr(Stdio::piped()).spawn().expect("howdah runs");
    let is = |status: &str| {
        platform.say("pg:backups -a demo --json=status").ok().contains(&format!("\"{status}\""))
    };
    wait_until("the capture runs", || is("running"));
    let mut said = BufReader::new(capture.stderr.take().expect("piped"));
    let mut begun = Vec::new();
    while !String::from_utf8_lossy(&begun).contains("Backing up DATABASE to b001...") {
        said.read_until(b'.', &mut begun).expect("howdah writes");
    }
    kill(Pid::from_raw(capture.id().cast_signed()), Signal::SIGINT).expect("interrupts");
    let status = capture.wait().expect("howdah ends");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("howdah wrote");
    assert_eq!(status.code(), Some(130), "{rest}");
    has(&rest, "Stopped watching. The backup b001 continues.");
    has(&rest, "howdah pg:backups:wait b001 -a demo");
    assert!(is("running"), "it goes on");
    has(&platform.say("pg:backups:cancel -a demo").stderr, "Cancelling b001... done");
    fails(&platform.say("pg:backups:wait b001 -a demo"), 1, "The backup b001 was canceled.");
    has(&platform.say("pg:backups -a demo").ok(), "Canceled");
    drop(holder);
    platform.say("pg:backups:capture -a demo").ok();
    fails(&platform.say("pg:backups:cancel -a demo"), 3, "No active backups");
}

/// A server elsewhere, which is reached by TCP while this lives.
struct Elsewhere {
    server: Server,
    port: u16,
    _relay: JoinSet<()>,
}

impl Elsewhere {
    async fn start(major: u16) -> Self {
        let server = Server::start(major, &[]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let socket = server.socket_dir().join(".s.PGSQL.5432");
        let mut relay = JoinSet::new();
        relay.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let socket = socket.clone();
                sessions.spawn(async move {
                    if let Ok(mut server) = UnixStream::connect(socket).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { server, port, _relay: relay }
    }

    /// Runs a program whose own server this is.
    fn mine(&self, command: &mut Command) -> Ran {
        let socket = self.server.socket_dir();
        command.env("PGHOST", socket).env("PGUSER", "postgres").stdin(Stdio::null());
        command.output().expect("it runs").into()
    }
}

/// What somebody who moves away may read, as on Heroku: all that is theirs, and nothing of the host's.
const FOR_MOVER: &str = r#"
create role someone; alter table items owner to someone;
create schema _heroku; create table _heroku.secret (a int);
grant usage on schema "odd; one" to mover;
grant select on all tables in schema public, "odd; one" to mover;
grant select on all sequences in schema public to mover;
grant select on large object 4711 to mover"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_h24_databases_move_in_and_out_between_versions() {
    let (heroku, old, new) = start();
    let platform = &heroku.platform;
    let sums = platform.psql(&old, SUMS).ok();
    let elsewhere = Elsewhere::start(18).await;
    let howdah = |line: &str| {
        let mut command = platform.command(Path::new(BINARY));
        elsewhere.mine(command.args(line.split_whitespace()))
    };
    let theirs = |line: &str| {
        let mut command = heroku.command();
        elsewhere.mine(command.args(line.split_whitespace()))
    };

    // D16, D11, D12: out of 15, and back into 18.
    howdah("pg:pull DATABASE_URL mine -a demo").ok();
    assert_eq!(elsewhere.server.sql_in("mine", SUMS).await, sums.trim());
    let again = howdah("pg:pull DATABASE_URL mine -a demo");
    fails(&again, 6, "Please drop the local database (`dropdb mine`) and try again.");
    howdah("pg:push mine RED -a demo").ok();
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);
    fails(&howdah("pg:push mine RED -a demo"), 6, "Remote database is not empty.");

    // Heroku's own do the same.
    platform.say("pg:reset RED -a demo --confirm demo").ok();
    has(&theirs("pg:push mine RED -a demo").ok(), "Pushing complete.");
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);
    has(&theirs("pg:pull RED back -a demo").ok(), "Pulling complete.");
    assert_eq!(elsewhere.server.sql_in("back", SUMS).await, sums.trim());

    // H24, H27: from a server that is none of ours, as a role that is not the owner of all.
    let server = &elsewhere.server;
    server.sql("create role mover login password 's3cret'").await;
    server.sql_in("mine", FOR_MOVER).await;
    let source = format!("postgres://mover:s3cret@127.0.0.1:{}/mine", elsewhere.port);
    let checked = howdah(&format!("pg:import {source} --into RED -a demo --check")).ok();
    has(&checked, "WARNING: It can still be written to");
    let import = format!("pg:import {source} --plan hobby-dev -a demo");
    let moved = howdah(&import);
    has(&moved.stderr, "Comparing both sides... equal");
    has(&moved.stderr, "howdah pg:promote HEROKU_POSTGRESQL_");
    has(&moved.ok(), "Differences:    0");
    server.sql_in("mine", "update items set name = 'late' where id = 1").await;
    let listed = platform.say("config -a demo --json").ok();
    let var = listed.split('"').find(|word| word.starts_with("HEROKU_POSTGRESQL_"));
    let var = var.expect("a new database");
    let verified = howdah(&format!("pg:import:verify {source} {var} -a demo"));
    has(&verified.stdout, "table public.items has 3000 rows on both sides, with other content");
    fails(&verified, 1, "differ");

    // The copy is as good between databases of the platform.
    platform.say("pg:copy DATABASE_URL RED -a demo --confirm RED").ok();
    assert_eq!(platform.psql(&new, SUMS).ok(), sums);
    let log = std::fs::read_to_string(platform.home().join("log/howdah.log")).expect("a log");
    assert!(!log.contains("s3cret"), "a password is in the log");
    let told = platform.say("logs -p pgbackups -a demo").ok();
    assert!(!told.contains("s3cret"), "a password is in the app's log");
}
