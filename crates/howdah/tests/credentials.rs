//! Credentials on whole platforms, by our command line and by Heroku's: who comes in during and
//! after a rotation, and what goes on meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use howdah_testkit::heroku::Heroku;
use howdah_testkit::platform::{Platform, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");
/// Former logins are ended soon after nobody uses them, and none is made in advance.
const SETTINGS: &[(&str, &str)] = &[("HOWDAH_POOL_SIZE", "0"), ("HOWDAH_ROTATION_SETTLE", "1")];

/// A session of psql that stays open.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(platform: &Platform, url: &str) -> Self {
        let mut command = platform.command(Path::new("psql"));
        let command = command.args([url, "-XAtq"]).stderr(Stdio::null());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start psql");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut session = Self { child, input, output };
        assert_eq!(session.ask("select 'here'").as_deref(), Some("here"));
        session
    }

    /// The first line of the answer; none when the session has ended.
    fn ask(&mut self, sql: &str) -> Option<String> {
        writeln!(self.input, "{sql};").ok()?;
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("psql answers");
        (read > 0).then(|| line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn ask(demo: &Platform, url: &str, sql: &str) -> String {
    demo.psql(url, sql).ok().trim().to_owned()
}

/// A URL is not let in any more, as soon as the gateway has heard of it.
fn is_let_in_no_more(demo: &Platform, url: &str) {
    let refusal = "not permitted to log in";
    wait_until(refusal, || demo.psql(url, "select 1").stderr.contains(refusal));
}

fn state(demo: &Platform, name: &str) -> String {
    let text = demo.say("pg:credentials -a demo --json").ok();
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let all = all["data"].as_array().expect("a list").clone();
    let one = all.iter().find(|one| one["name"] == name).expect("the credential");
    one["state"].as_str().expect("a state").to_owned()
}

fn releases(demo: &Platform) -> usize {
    demo.say("releases -a demo").ok().lines().count()
}

/// Who and with which password; where.
fn parts(url: &str) -> (&str, &str) {
    url.rsplit_once('@').expect("a login and a place")
}

#[test]
fn d25_d26_d27_g24_rotations_with_a_follower_a_pool_and_a_kill_and_the_books_reset() {
    let demo = Platform::start(BINARY, SETTINGS);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:standard-0 --name pg-new-1 --wait -a demo").ok();
    demo.say("pg:connection-pooling:attach -a demo").ok();
    demo.say(
        "addons:create heroku-postgresql:standard-0 --follow DATABASE --as REPLICA --wait -a demo",
    )
    .ok();
    let replica = demo.config_var("REPLICA_URL", "demo");
    let first = demo.config_var("DATABASE_URL", "demo");
    ask(&demo, &first, "create table t (a int); alter role current_user set work_mem = '7MB'");

    let old = rotated_while_the_platform_dies(&demo, &first);
    // A rotation with sessions that are open.
    let pool = demo.config_var("DATABASE_CONNECTION_POOL_URL", "demo");
    let before = releases(&demo);
    let mut session = Session::open(&demo, &old);
    let mut pooled = Session::open(&demo, &pool);
    demo.say("pg:credentials:rotate -a demo --confirm demo").ok();
    assert_eq!(state(&demo, "default"), "rotating");
    assert_eq!(releases(&demo), before + 1, "one release for both URLs");
    let new = demo.config_var("DATABASE_URL", "demo");
    assert_eq!(parts(&old).1, parts(&new).1, "the same place and database");
    assert_ne!(parts(&old).0, parts(&new).0);
    let new_pool = demo.config_var("DATABASE_CONNECTION_POOL_URL", "demo");
    assert_eq!((parts(&new_pool).0, parts(&new_pool).1), (parts(&new).0, parts(&pool).1));
    assert_eq!(demo.config_var("REPLICA_URL", "demo"), replica, "it has a login of its own");
    for url in [&new, &old, &new_pool, &pool] {
        ask(&demo, url, "insert into t values (1)");
        assert_eq!(ask(&demo, url, "show work_mem"), "7MB");
    }
    ask(&demo, &new, "alter table t add column b int");
    ask(&demo, &old, "alter table t add column c int");
    wait_until("it follows", || demo.psql(&replica, "select count(c) from t").stdout.trim() == "0");
    for open in [&mut session, &mut pooled] {
        assert_eq!(open.ask("select count(*) from t").as_deref(), Some("4"), "it lives on");
    }
    drop(session);
    assert_eq!(pooled.ask("select 'alone'").as_deref(), Some("alone"));
    assert_eq!(state(&demo, "default"), "rotating");
    drop(pooled);
    wait_until("nobody uses the old login any more", || state(&demo, "default") == "active");
    for gone in [&old, &pool] {
        is_let_in_no_more(&demo, gone);
    }
    wait_until("the old role is gone", || {
        let others = "select count(*) from pg_auth_members where roleid = current_user::regrole";
        // The follower's is left.
        ask(&demo, &new, others) == "1"
    });
    let owners = "select string_agg(distinct tableowner, ',') = current_user from pg_tables \
                  where schemaname = 'public'";
    assert_eq!(ask(&demo, &new, owners), "t");
    the_books_reset(&demo, &new, &replica);
}

/// Asks for a rotation, and the platform dies at once. Answers the URL that came of it.
fn rotated_while_the_platform_dies(demo: &Platform, first: &str) -> String {
    let unconfirmed = demo.say("pg:credentials:rotate -a demo --no-input");
    assert_eq!(unconfirmed.code, 5, "{unconfirmed:?}");
    let words = ["pg:credentials:rotate", "-a", "demo", "--confirm", "demo"];
    let mut asking = demo.command(Path::new(BINARY)).args(words).spawn().expect("ask");
    wait_until("it is asked for", || {
        let operations = demo.say("pg:operations -a demo --json");
        operations.stdout.contains("\"rotate\"")
    });
    demo.kill();
    demo.up();
    let _ = asking.wait();
    wait_until("it is done", || demo.config_var("DATABASE_URL", "demo") != first);
    let old = demo.config_var("DATABASE_URL", "demo");
    wait_until("the gateway is there again", || demo.psql(&old, "select 1").code == 0);
    wait_until("nobody has the first login", || state(demo, "default") == "active");
    old
}

/// As the book has it, after the tenant has changed its password; then the follower's own login.
fn the_books_reset(demo: &Platform, new: &str, replica: &str) {
    ask(demo, new, "alter role current_user password 'mine'");
    let mut session = Session::open(demo, replica);
    let said = demo.say("pg:credentials DATABASE_URL --reset -a demo");
    let lines = "Resetting credentials for DATABASE_URL... done\nPromoting DATABASE_URL... done\n";
    assert_eq!(said.stderr, lines);
    assert_eq!(said.code, 0);
    let last = demo.config_var("DATABASE_URL", "demo");
    assert_ne!(last, new);
    ask(demo, &last, "insert into t values (2)");
    is_let_in_no_more(demo, new);
    assert_eq!(session.ask("select 'on the follower'").as_deref(), Some("on the follower"));
    // Its leader makes it.
    demo.say("pg:credentials:rotate REPLICA -a demo --confirm demo").ok();
    let again = demo.config_var("REPLICA_URL", "demo");
    assert_ne!(again, replica);
    wait_until("it has come by replication", || demo.psql(&again, "select 1").code == 0);
    assert_eq!(session.ask("select 'still'").as_deref(), Some("still"));
    let refused = demo.say("pg:credentials:create REPLICA --name x -a demo");
    assert_eq!(refused.code, 6, "{refused:?}");
    demo.say("pg:unfollow REPLICA -a demo --confirm demo").ok();
    wait_until("it is writable", || demo.psql(&again, "insert into t values (3)").code == 0);
}

#[test]
fn d28_c20_herokus_command_line_makes_attaches_rotates_and_destroys_credentials() {
    let heroku = Heroku::start(BINARY, SETTINGS);
    let demo = &heroku.platform;
    demo.say("apps:create demo --no-remote").ok();
    demo.say(
        "addons:create heroku-postgresql:standard-0 --version 15 --name pg-one-1 --wait -a demo",
    )
    .ok();
    let owner = demo.config_var("DATABASE_URL", "demo");
    ask(demo, &owner, "create table t as select 42 as a");

    heroku.run("pg:credentials:create DATABASE --name reports -a demo").ok();
    demo.say("addons:attach pg-one-1 --credential reports --as REPORTS -a demo").ok();
    let reports = demo.config_var("REPORTS_URL", "demo");
    let user = reports.trim_start_matches("postgres://").split(':').next().expect("a user");
    assert_eq!(ask(demo, &reports, "select 1"), "1");
    let refused = demo.psql(&reports, "select * from t");
    assert!(refused.stderr.contains("permission denied"), "{refused:?}");
    ask(
        demo,
        &owner,
        &format!("grant select on t to {user}; grant create on schema public to {user}"),
    );
    assert_eq!(ask(demo, &reports, "select * from t"), "42");
    ask(demo, &reports, "create table hers (a int)");
    assert_ne!(demo.psql(&owner, "select * from hers").code, 0);
    heroku.run("pg:credentials:repair-default DATABASE -a demo --confirm demo").ok();
    ask(demo, &owner, "insert into hers values (1); alter table hers add b int");
    assert_eq!(ask(demo, &reports, "select count(*) from hers"), "1");
    let by_name = ["pg:psql", "pg-one-1", "--credential", "reports", "-a", "demo", "-c"];
    let by_name = demo.howdah(&[&by_name[..], &["select a from t"]].concat());
    assert!(by_name.clone().ok().contains("42"), "{by_name:?}");

    let mut session = Session::open(demo, &reports);
    let rotated =
        heroku.run("pg:credentials:rotate DATABASE --name reports -a demo --confirm demo");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let shown = heroku.run("pg:credentials DATABASE -a demo").ok();
    assert!(shown.contains("waiting for no connections to be revoked"), "{shown}");
    let next = demo.config_var("REPORTS_URL", "demo");
    assert_ne!(next, reports);
    assert_eq!(demo.config_var("DATABASE_URL", "demo"), owner, "only that one");
    for url in [&next, &reports] {
        assert_eq!(ask(demo, url, "select * from t"), "42", "grants stay");
    }
    assert_eq!(session.ask("select a from t").as_deref(), Some("42"));
    demo.say("pg:credentials:rotate DATABASE --name reports --force -a demo --confirm demo").ok();
    wait_until("the old session has ended", || session.ask("select 1").is_none());
    for gone in [&next, &reports] {
        is_let_in_no_more(demo, gone);
    }
    heroku.run("pg:credentials:rotate DATABASE --all -a demo --confirm demo").ok();
    assert_ne!(demo.config_var("DATABASE_URL", "demo"), owner);
    let url = heroku.run("pg:credentials:url DATABASE --name reports -a demo").ok();
    assert!(url.contains(&demo.config_var("REPORTS_URL", "demo")), "{url}");

    let attached =
        heroku.run("pg:credentials:destroy DATABASE --name reports -a demo --confirm demo");
    assert_ne!(attached.code, 0);
    assert!(attached.stderr.contains("must be detached"), "{attached:?}");
    demo.say("addons:detach REPORTS -a demo").ok();
    heroku.run("pg:credentials:destroy DATABASE --name reports -a demo --confirm demo").ok();
    assert!(!demo.say("pg:credentials -a demo").ok().contains("reports"));
    let now = demo.config_var("DATABASE_URL", "demo");
    ask(demo, &now, "drop table hers; drop table t");
    links(&heroku);
}

/// Each of the two majors reads and writes the other's tables.
fn links(heroku: &Heroku) {
    let demo = &heroku.platform;
    let other = "--name pg-two-2 --as OTHER --wait -a demo";
    demo.say(&format!("addons:create heroku-postgresql:standard-0 {other}")).ok();
    let (local, remote) =
        (demo.config_var("DATABASE_URL", "demo"), demo.config_var("OTHER_URL", "demo"));
    ask(demo, &remote, "create table shop (a int primary key, b text)");
    ask(demo, &remote, "insert into shop values (1, 'one')");
    let made = heroku.run("pg:links:create OTHER DATABASE --as shops -a demo");
    if !nix::unistd::Uid::effective().is_root() {
        assert!(made.stderr.contains("run `howdah up` as root"), "{made:?}");
        return;
    }
    made.ok();
    assert!(heroku.run("pg:links DATABASE -a demo").ok().contains("OTHER (pg-two-2)"));
    let shown = demo.say("pg:credentials -a demo").ok();
    assert!(!shown.contains("link"), "its credential is nobody's: {shown}");
    assert_eq!(ask(demo, &local, "select b from shops.shop"), "one");
    ask(demo, &local, "insert into shops.shop values (2, 'two')");
    assert_eq!(ask(demo, &remote, "select count(*) from shop"), "2");
    // It lives on when either rotates.
    demo.say("pg:credentials:rotate OTHER --all --force -a demo --confirm demo").ok();
    demo.say("pg:credentials:rotate DATABASE --force -a demo --confirm demo").ok();
    let (local, remote) =
        (demo.config_var("DATABASE_URL", "demo"), demo.config_var("OTHER_URL", "demo"));
    assert_eq!(ask(demo, &local, "select count(*) from shops.shop"), "2");

    // Nothing leads elsewhere by it, and its password is in no log.
    for hostile in [
        "alter server shops options (set host '127.0.0.1')",
        "alter server shops options (add sslkey '/etc/passwd')",
        "alter user mapping for current_user server shops options (add sslcert '/etc/passwd')",
        "alter user mapping for current_user server shops options (add password_required 'false')",
        "create server mine foreign data wrapper postgres_fdw options (host '/run')",
        "drop server shops cascade",
    ] {
        let refused = demo.psql(&local, hostile);
        assert_ne!(refused.code, 0, "{hostile}: {refused:?}");
    }
    let password = "select o.option_value from pg_user_mappings m, \
                    pg_options_to_table(m.umoptions) o where o.option_name = 'password'";
    let password = ask(demo, &local, password);
    assert_eq!(password.len(), 32, "the owner's own");
    let found = std::process::Command::new("grep")
        .args(["-rlF", "--exclude-dir=data", &password])
        .arg(demo.home())
        .output()
        .expect("run grep");
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));

    for (wrong, why) in [
        ("pg:links:create OTHER DATABASE --as shops -a demo", "already taken"),
        ("pg:links:create OTHER DATABASE --as public -a demo", "link name"),
        ("pg:links:create DATABASE DATABASE --as self -a demo", "to itself"),
    ] {
        let refused = demo.say(wrong);
        assert!(refused.code != 0 && refused.stderr.contains(why), "{refused:?}");
    }
    ask(demo, &local, "create schema taken; create view v as select * from shops.shop");
    let refused = demo.say("pg:links:create OTHER DATABASE --as taken -a demo");
    assert!(refused.stderr.contains("\"taken\" already exists"), "{refused:?}");
    heroku.run("pg:links:destroy DATABASE shops -a demo --confirm demo").ok();
    assert_eq!(ask(demo, &local, "select count(*) from pg_namespace where nspname = 'shops'"), "0");
    assert_eq!(demo.psql(&local, "select * from v").code, 1);
    wait_until("nothing of it is left there", || {
        let act = "select count(*) from pg_auth_members where roleid = current_user::regrole";
        ask(demo, &remote, act) == "0"
    });
    demo.say("pg:links:create DATABASE OTHER -a demo").ok();
    assert_eq!(ask(demo, &remote, "select count(*) from pg_foreign_server"), "1");
    demo.say("pg:reset OTHER -a demo --confirm demo").ok();
    assert!(demo.say("pg:links OTHER -a demo").stderr.contains("There are no links"));
}
