//! Secrets stay where they belong (M19), at rest and in what is printed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use howdah_testkit::platform::Platform;

fn password(url: &str) -> &str {
    let rest = url.strip_prefix("postgres://").expect("a URL");
    rest.split_once('@').and_then(|(user, _)| user.split_once(':')).expect("a password").1
}

/// All files below a directory that hold the text. Links are not followed.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut grep = Command::new("grep")
        .args(["-rlaF", "-f", "-"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("grep is there");
    let mut patterns = grep.stdin.take().expect("a pipe");
    patterns.write_all(text.as_bytes()).expect("say what to look for");
    drop(patterns);
    let found = grep.wait_with_output().expect("wait for grep");
    assert!(found.status.code().is_some_and(|code| code < 2), "{found:?}");
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn m19_passwords_and_tokens_are_nowhere_in_clear() {
    let demo = Platform::start(
        env!("CARGO_BIN_EXE_howdah"),
        &[("HOWDAH_LOG", "debug"), ("HOWDAH_POOL_SIZE", "0")],
    );
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    demo.say("config:set TOP=verysecretvalue -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.psql(&url, "select 1").ok();
    demo.say("pg:reset DATABASE --confirm demo -a demo").ok();
    demo.say("pg:info -a demo").ok();
    let token = demo.say("auth:token").ok().trim().to_owned();
    demo.down();
    for (what, secret) in
        [("a password", password(&url)), ("a token", &token), ("a config var", "verysecretvalue")]
    {
        let found = holding(&demo.home(), secret);
        assert!(found.is_empty(), "{what} lies in clear in {found:?}");
    }
}

#[test]
fn m19_what_copies_followers_and_the_archive_are_made_with_is_nowhere_in_clear() {
    let demo = Platform::start(
        env!("CARGO_BIN_EXE_howdah"),
        &[("HOWDAH_LOG", "debug"), ("HOWDAH_POOL_SIZE", "0")],
    );
    demo.say("apps:create demo --no-remote").ok();
    let create = "addons:create heroku-postgresql:standard-0 --wait -a demo";
    demo.say(&format!("{create} --name pg-source-1")).ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.psql(&url, "create table t as select 'a tenant''s row' as a").ok();
    demo.say(&format!("{create} --fork {url} --as COPY")).ok();
    demo.say(&format!("{create} --follow DATABASE --as REPLICA")).ok();
    let (copy, replica) =
        (demo.config_var("COPY_URL", "demo"), demo.config_var("REPLICA_URL", "demo"));
    demo.psql(&copy, "select 1").ok();
    demo.psql(&replica, "select 1").ok();
    demo.say("pg:unfollow REPLICA --confirm demo -a demo").ok();
    demo.say("addons:destroy COPY --wait --confirm demo -a demo").ok();
    demo.say("pg:drill DATABASE --wait -a demo").ok();
    demo.down();
    let name = url.rsplit_once('/').expect("a name").1;
    assert!(!holding(&demo.home(), name).is_empty(), "what is no secret is found");
    for (what, url) in [("the source", &url), ("the fork", &copy), ("the follower", &replica)] {
        let found = holding(&demo.home(), password(url));
        assert!(found.is_empty(), "the password of {what} lies in clear in {found:?}");
    }
}

#[test]
fn m19_what_psql_is_started_with_does_not_show_the_password() {
    let demo = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    demo.say("apps:create demo --no-remote").ok();
    demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    let seen = demo
        .howdah(&["pg:psql", "-a", "demo", "-c", "\\! cat /proc/$PPID/cmdline | tr '\\0' ' '"])
        .ok();
    assert!(seen.contains("psql"), "{seen}");
    assert!(!seen.contains(password(&url)), "{seen}");
}

#[test]
fn a_platform_does_not_start_without_the_key_of_its_secrets_or_with_another() {
    let demo = Platform::start(env!("CARGO_BIN_EXE_howdah"), &[("HOWDAH_POOL_SIZE", "0")]);
    let _ = demo.say("apps:create demo --no-remote").ok();
    let _ = demo.say("addons:create heroku-postgresql:hobby-dev -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    demo.down();
    let file = demo.home().join("secret.key");
    let key = std::fs::read_to_string(&file).expect("the key");
    std::fs::remove_file(&file).expect("remove the key");
    let missing = demo.say("up --detach");
    assert!(missing.code != 0 && missing.stderr.contains("Put it back"), "{missing:?}");
    assert!(!file.exists(), "no other key was made");
    std::fs::write(&file, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("write");
    let wrong = demo.say("up --detach");
    assert!(wrong.code != 0 && wrong.stderr.contains("another key"), "{wrong:?}");
    std::fs::write(&file, key).expect("put the key back");
    demo.up();
    assert_eq!(demo.config_var("DATABASE_URL", "demo").split('@').next(), url.split('@').next());
}
