//! `howdah local`: needs no platform.

use std::process::{Command, Stdio};

use howdah_testkit::platform::wait_until;

use super::{HOWDAH, with_words};

#[test]
fn b16_local_starts_the_procfile_says_so_and_ends_all_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let procfile = "web: echo port $PORT; echo note $NOTE; exec sleep 70501\n\
                    worker: exec sleep 70502\n\
                    clock: while [ ! -e go ]; do sleep 0.05; done; exit 4\nrelease: exit 1\n";
    std::fs::write(directory.path().join("Procfile"), procfile).expect("write");
    std::fs::write(directory.path().join(".env"), "NOTE=\"from file\"\n").expect("write");
    let mut local = Command::new(HOWDAH);
    local.args(["local", "-p", "7700"]).current_dir(directory.path()).env("HOME", directory.path());
    let local = local.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    wait_until("all run", || with_words("sleep 7050").len() == 2);
    std::fs::write(directory.path().join("go"), "").expect("write");
    let ended = local.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let has = |name: &str, part: &str| {
        let found = text.lines().any(|line| {
            let rest = line.get(8..).unwrap_or_default();
            line.as_bytes().get(2) == Some(&b':')
                && rest.starts_with(&format!(" {name}"))
                && rest.contains(part)
        });
        assert!(found, "{name} {part}\n{text}");
    };
    for name in ["web.1", "worker.1", "clock.1"] {
        has(name, "| started with pid ");
    }
    has("web.1", "| port 7700");
    has("web.1", "| note from file");
    has("clock.1", "| exited with code 4");
    has("worker.1", "| exited with code 143");
    assert_eq!(ended.status.code(), Some(4));
    assert!(!text.contains("release"), "{text}");
    assert!(with_words("sleep 7050").is_empty(), "nothing is left");

    let run = |words: &[&str]| {
        let mut command = Command::new(HOWDAH);
        command.args(words).current_dir(directory.path()).env("HOME", directory.path());
        let ran = command.output().expect("run");
        (String::from_utf8_lossy(&ran.stdout).trim().to_owned(), ran.status.code())
    };
    let one = run(&["local:run", "echo $NOTE $PORT; exit 5"]);
    assert_eq!(one, ("from file 5000".to_owned(), Some(5)));
    assert_eq!(run(&["local", "nope"]).1, Some(3));
}
