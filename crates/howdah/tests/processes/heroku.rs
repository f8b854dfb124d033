//! Heroku's own CLI with processes and logs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use howdah_testkit::heroku::Heroku;
use howdah_testkit::platform::wait_until;

use super::{HOWDAH, Runner, runs, says};

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[test]
fn b17_b24_b27_the_official_cli_scales_restarts_runs_and_reads_logs() {
    let heroku = Heroku::start(HOWDAH, &[("HOWDAH_POOL_SIZE", "0")]);
    let demo = &heroku.platform;
    demo.say("apps:create demo --no-remote").ok();
    let procfile = "web: echo web is $NOTE; exec sleep 70601\nworker: exec sleep 70602\n";
    let _runner = Runner::start(demo.command(Path::new(HOWDAH)), procfile);
    wait_until("web runs", || runs(demo, &["web.1"]));

    // A tail sees what happens while it is open.
    let mut tail = heroku.command();
    tail.args(["logs", "-t", "-a", "demo"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut tail = tail.stderr(Stdio::null()).spawn().expect("start a tail");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut until = |part: &str| {
        // Without it the test would wait for ever; the runner of tests bounds that.
        lines.by_ref().map_while(Result::ok).find(|line| line.contains(part)).expect("a line")
    };
    let scaled = heroku.run("ps:scale web=2 worker=1 -a demo");
    has(&scaled.stderr, "now running web at 2:Basic, worker at 1:Basic");
    scaled.ok();
    wait_until("all run", || runs(demo, &["web.1", "web.2", "worker.1"]));
    until("Scaled to web@2:Basic worker@1:Basic by user owner@localhost");
    demo.say("config:set NOTE=seen -a demo").ok();
    let line = until("app[web.1]: web is seen");
    assert!(line.as_bytes()[4] == b'-' && line.contains("+00:00 "), "{line}");
    let _ = tail.kill();
    let _ = tail.wait();

    let listed = heroku.run("ps -a demo").ok();
    has(&listed, "web.2: up");
    has(&listed, "(2)");
    heroku.run("ps:restart -p worker -a demo").ok();
    heroku.run("ps:stop -d web.2 -a demo").ok();
    wait_until("both were restarted", || {
        says(demo, "heroku[worker.1]: Restarting") && says(demo, "heroku[web.2]: Restarting")
    });
    let logs = heroku.run("logs -a demo -s heroku -n 500").ok();
    has(&logs, "heroku[api]: Release v2 created by owner@localhost");
    assert!(!logs.contains("app[web"), "{logs}");

    // B27: attached to a terminal at the runner, by the rendezvous; and to none.
    let ran = heroku.words(&["run", "-x", "-a", "demo", "test -t 1 && echo $NOTE there; (exit 5)"]);
    assert_eq!((ran.stdout.trim(), ran.code), ("seen there", 5), "{ran:?}");
    let mut plain = heroku.command();
    plain.args(["run", "--no-tty", "-a", "demo", "--", "wc", "-c"]).stdin(Stdio::piped());
    let mut plain = plain.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
    let mut input = plain.stdin.take().expect("piped");
    input.write_all(&[b'x'; 100_000]).expect("write");
    drop(input);
    let counted = plain.wait_with_output().expect("ended");
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "100000");
}
