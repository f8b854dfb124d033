//! Secrets stay where they belong (M19), at rest and in what is printed.

use std::path::Path;

use howdah_testkit::platform::Platform;

fn password(url: &str) -> &str {
    let rest = url.strip_prefix("postgres://").expect("a URL");
    rest.split_once('@').and_then(|(user, _)| user.split_once(':')).expect("a password").1
}

/// All files below a directory that hold the text.
fn holding(dir: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            holding(&path, text, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
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
        let mut found = Vec::new();
        holding(&demo.home(), secret, &mut found);
        assert!(found.is_empty(), "{what} lies in clear in {found:?}");
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
