//! Heroku's own CLI with processes and logs.

use std::io::{BufRead as _, BufReader};
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
    heroku.run("apps:create demo --no-remote").ok();
    has(&heroku.run("ps -a demo").ok(), "No dynos on demo");
    let procfile = "web: echo web is $NOTE; exec sleep 70601\nworker: exec sleep 70602\n";
    let _runner = Runner::start(demo.command(Path::new(HOWDAH)), procfile);
    wait_until("web runs", || runs(demo, &["web.1"]));
    let scaled = heroku.run("ps:scale web=2 worker=1 -a demo");
    has(&scaled.stderr, "now running web at 2:Basic, worker at 1:Basic");
    scaled.ok();
    wait_until("all run", || runs(demo, &["web.1", "web.2", "worker.1"]));
    has(&heroku.run("ps:scale -a demo").ok(), "web=2:Basic worker=1:Basic");
    let listed = heroku.run("ps -a demo").ok();
    has(&listed, "web.2: up");
    has(&listed, "(2)");

    // A tail sees what happens while it is open.
    let mut tail = heroku.command();
    tail.args(["logs", "-t", "-a", "demo"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut tail = tail.stderr(Stdio::null()).spawn().expect("start a tail");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut until = |part: &str| {
        // Without it the test would wait for ever; the runner of tests bounds that.
        lines.by_ref().map_while(Result::ok).find(|line| line.contains(part)).expect("a line")
    };
    until("Scaled to web@2:Basic worker@1:Basic by user owner@localhost");
    heroku.run("config:set NOTE=seen -a demo").ok();
    let line = until("app[web.1]: web is seen");
    assert!(line.as_bytes()[4] == b'-' && line.contains("+00:00 "), "{line}");
    let _ = tail.kill();
    let _ = tail.wait();

    heroku.run("ps:restart -d web.1 -a demo").ok();
    heroku.run("ps:restart -p worker -a demo").ok();
    heroku.run("ps:stop -d web.2 -a demo").ok();
    wait_until("it was restarted", || says(demo, "heroku[worker.1]: Restarting"));
    let logs = heroku.run("logs -a demo -s heroku -n 500").ok();
    has(&logs, "heroku[api]: Release v2 created by owner@localhost");
    assert!(!logs.contains("app[web"), "{logs}");
    let missing = heroku.run("ps:restart -d web.9 -a demo");
    assert_ne!(missing.code, 0);
    has(&missing.stderr, "Couldn't find that process.");

    heroku.words(&["run:detached", "-a", "demo", "echo $NOTE by itself"]).ok();
    wait_until("it ran", || {
        super::log(demo, &["-p", "run"]).iter().any(|line| line.ends_with(": seen by itself"))
    });
}
