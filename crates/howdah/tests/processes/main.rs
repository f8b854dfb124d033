//! Processes of an app on a whole platform: a runner, its Procfile, kills, restarts, the log.

mod heroku;
mod local;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use howdah_testkit::platform::{Platform, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");

/// A runner, killed at the latest when the test ends.
struct Runner {
    child: Child,
    said: PathBuf,
}

impl Runner {
    fn start(command: Command, procfile: &str) -> Self {
        Self::start_with(command, procfile, &["--grace", "2"])
    }

    fn start_with(mut command: Command, procfile: &str, options: &[&str]) -> Self {
        let directory = command.get_current_dir().expect("a directory").join("app");
        std::fs::create_dir_all(&directory).expect("make the app's directory");
        std::fs::write(directory.join("Procfile"), procfile).expect("write the Procfile");
        let said = directory.with_file_name("runner.log");
        let log = File::create(&said).expect("make the runner's log");
        command.arg("runner").arg(&directory).args(["-a", "demo"]).args(options);
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        Self { child: { child }.spawn().expect("start a runner"), said }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("signal the runner");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// All processes that descend from it.
    fn descendants(&self) -> Vec<Pid> {
        descendants(self.pid())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("runner: {}", self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that work: name, parent, and the words that they were started with.
fn processes() -> Vec<(Pid, Pid, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
            // One that has ended and that nobody has noticed yet does not work.
            let (state, parent) = (rest.next()?, rest.next()?);
            let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            (state != "Z").then_some((
                pid,
                Pid::from_raw(parent.parse().ok()?),
                words.replace('\0', " "),
            ))
        })
        .collect()
}

fn descendants(of: Pid) -> Vec<Pid> {
    let all = processes();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, of, _)| *of == parent).map(|(pid, ..)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Processes whose words have this text, other than keepers, whose words have it too.
fn with_words(text: &str) -> Vec<Pid> {
    let all = processes().into_iter();
    let found = all.filter(|(_, _, words)| words.contains(text) && !words.contains("dyno-keeper"));
    found.map(|(pid, ..)| pid).collect()
}

/// Ends processes with these words when the test ends, however that is.
struct Leftovers(&'static str);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for pid in with_words(self.0) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The lines of an app's log that pass these options, without their times.
fn log(platform: &Platform, options: &[&str]) -> Vec<String> {
    let all = platform.howdah(&[&["logs", "-a", "demo", "-n", "1500"], options].concat()).ok();
    all.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
}

fn says(platform: &Platform, line: &str) -> bool {
    log(platform, &[]).iter().any(|one| one == line)
}

fn count(platform: &Platform, line: &str) -> usize {
    log(platform, &[]).iter().filter(|one| *one == line).count()
}

fn platform() -> Platform {
    let platform = Platform::start(HOWDAH, &[("HOWDAH_POOL_SIZE", "0")]);
    let _ = platform.say("apps:create demo --no-remote").ok();
    platform
}

fn runs(platform: &Platform, names: &[&str]) -> bool {
    let json = platform.say("ps --json=name,state -a demo").ok();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let up = json["data"].as_array().expect("a list").iter().filter(|one| one["state"] == "up");
    let up: BTreeSet<_> = up.filter_map(|one| one["name"].as_str()).collect();
    up == names.iter().copied().collect()
}

/// B10, B13, B17, B18: equal variables, restarts with each release, maintenance, scaling.
#[test]
fn b10_b13_b17_b18_processes_have_the_apps_vars_and_follow_every_change() {
    let demo = platform();
    demo.say("config:set NOTE=one -a demo").ok();
    let early = demo.say("ps -a demo");
    assert!(early.stderr.contains("howdah runner DIR -a demo"), "{early:?}");
    let procfile = "web: echo url $DATABASE_URL; exec sleep 70301\n\
                    worker: env | sed \"s/^/env /\"; exec sleep 70302\nrelease: exit 1\n";
    let runner = Runner::start(demo.command(Path::new(HOWDAH)), procfile);
    wait_until("web=1 is what a first Procfile means", || runs(&demo, &["web.1"]));

    // B17, B10: one more of a type is like the others.
    let scaled = demo.say("ps:scale worker=3 -a demo");
    assert!(scaled.stderr.contains("Scaling worker dynos... done, now running 3"), "{scaled:?}");
    wait_until("workers run", || runs(&demo, &["web.1", "worker.1", "worker.2", "worker.3"]));
    demo.say("ps:scale worker+1 -a demo").ok();
    let of = |number: u32| -> BTreeSet<String> {
        let process = format!("worker.{number}");
        let prefix = format!("app[{process}]: env ");
        let all = log(&demo, &["-p", &process]);
        let vars = all.iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned);
        vars.filter(|var| *var != format!("DYNO={process}")).collect()
    };
    wait_until("each has said its variables", || (1..=4).all(|n| of(n).len() >= 3));
    let mut names: Vec<_> = of(1).into_iter().collect();
    names.retain(|var| !var.starts_with("PATH=") && !var.starts_with("HOME="));
    // PWD, SHLVL and `_` are shells'.
    names.retain(|var| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| var.starts_with(own)));
    assert_eq!(names, ["NOTE=one"], "exactly the app's");
    assert!((2..=4).all(|number| of(number) == of(1)), "identical");

    // B13: whatever changes a var starts them anew: an add-on, an attachment, a promotion.
    let kept = with_words("sleep 70301");
    demo.say("addons:create heroku-postgresql:hobby-dev --wait -a demo").ok();
    let url = demo.config_var("DATABASE_URL", "demo");
    wait_until("web has the URL", || says(&demo, &format!("app[web.1]: url {url}")));
    assert_ne!(with_words("sleep 70301"), kept);
    demo.say("addons:create heroku-postgresql:hobby-dev --name pg-two-2 --wait -a demo").ok();
    demo.say("pg:promote pg-two-2 -a demo").ok();
    let promoted = demo.config_var("DATABASE_URL", "demo");
    assert_ne!(promoted, url);
    wait_until("web has the new URL", || says(&demo, &format!("app[web.1]: url {promoted}")));
    let starts = || count(&demo, &format!("app[web.1]: url {promoted}"));
    let before = starts();
    demo.say("addons:attach pg-two-2 --as OTHER -a demo").ok();
    wait_until("it starts anew", || starts() > before);

    // B27: a one-off process has the vars, and passes its input and its exit code on.
    let select = "select 1 + 1";
    let words = ["run", "-a", "demo", "--", "psql", "$DATABASE_URL", "-Atc", select];
    assert_eq!(demo.howdah(&words).ok().trim(), "2");
    let input = "x".repeat(300_000);
    let fed = demo.howdah_with(&["run", "-a", "demo", "wc -c; echo bad >&2; exit 7"], &input);
    assert_eq!((fed.stdout.trim(), fed.code), ("300000", 7), "{}", fed.stderr);
    assert!(fed.stderr.contains("bad"));
    let local = demo.howdah(&["run", "--local", "-a", "demo", "echo $NOTE; exit 3"]);
    assert_eq!((local.stdout.trim(), local.code), ("one", 3));
    demo.howdah(&["run:detached", "-a", "demo", "echo detached $NOTE"]).ok();
    wait_until("it says so in the log", || {
        log(&demo, &["-p", "run", "-s", "app"]).iter().any(|line| line.ends_with(": detached one"))
    });

    // B18: in maintenance nothing of the formation runs; one-off processes do.
    demo.say("maintenance:on -a demo").ok();
    wait_until("nothing runs", || runner.descendants().is_empty());
    assert_eq!(demo.howdah(&["run", "-a", "demo", "echo still"]).ok().trim(), "still");
    demo.say("maintenance:off -a demo").ok();
    let all = ["web.1", "worker.1", "worker.2", "worker.3", "worker.4"];
    wait_until("all run again", || runs(&demo, &all));

    // B17: scaled to nothing, nothing is left; the sessions of the processes are gone with them.
    demo.say("ps:scale web=0 worker=0 -a demo").ok();
    wait_until("nothing is left", || runner.descendants().is_empty());
    assert!(with_words("sleep 7030").is_empty());
    assert!(!runner.said().contains("postgres://"), "the runner shows no URL");
}

/// B21, B24: what is killed comes back or leaves nothing, whoever it is.
#[test]
fn b21_whoever_is_killed_nothing_is_lost_and_nothing_is_left_over() {
    let demo = platform();
    let _leftovers = Leftovers("sleep 7040");
    let procfile = "web: setsid sleep 70401 & (sleep 70402 & exec sleep 70403) & exec sleep 70404\n\
        stubborn: trap '' TERM; echo ready; while :; do sleep 0.1; done\n\
        loud: head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'a\\033[31mb\\033[0m\\007\\377c\\n'; exec sleep 70405\n";
    let mut runner = Runner::start(demo.command(Path::new(HOWDAH)), procfile);
    let family = || with_words("sleep 7040").len();
    wait_until("web runs with all its children", || family() == 4);

    // The process itself, and its keeper: in both cases nothing of the old family stays.
    let main = with_words("sleep 70404");
    kill(main[0], Signal::SIGKILL).expect("kill the process");
    let crashed = "heroku[web.1]: State changed from up to crashed";
    wait_until("it has crashed", || says(&demo, crashed));
    assert!(says(&demo, "heroku[web.1]: Process exited with status 137"));
    wait_until("it is there again", || family() == 4 && with_words("sleep 70404") != main);
    let old: Vec<_> = with_words("sleep 7040");
    let keeper = runner.descendants()[0];
    kill(keeper, Signal::SIGKILL).expect("kill the keeper");
    wait_until("the group is gone", || {
        let now = with_words("sleep 7040");
        now.iter().filter(|pid| old.contains(pid)).count() <= 1 && now.len() >= 4
    });

    hostile_lines_are_cut_and_harmless(&demo);
    who_does_not_want_to_end_is_killed(&demo);

    // The platform is killed: processes go on, and are known again afterwards.
    let before = with_words("sleep 70404");
    demo.kill();
    demo.up();
    wait_until("they are known again", || runs(&demo, &["web.1"]));
    assert_eq!(with_words("sleep 70404"), before, "the same process");
    demo.say("config:set A=1 -a demo").ok();
    wait_until("it starts anew", || {
        let now = with_words("sleep 70404");
        now.len() == 1 && now != before
    });
    wait_until("the log goes on", || {
        says(&demo, "heroku[web.1]: State changed from starting to up")
    });

    // A second runner is refused, the first goes on.
    let directory = demo.home().with_file_name("user").join("app");
    let second =
        demo.howdah(&["runner", &directory.display().to_string(), "-a", "demo", "--name", "other"]);
    assert_eq!(second.code, 6, "{second:?}");
    assert!(second.stderr.contains("are run by the runner"), "{second:?}");

    // The runner is killed: all go with it.
    wait_until("the whole family is there", || {
        ["70402", "70403", "70404"]
            .iter()
            .all(|one| !with_words(&format!("sleep {one}")).is_empty())
    });
    let all = runner.descendants();
    assert!(all.len() >= 4, "{all:?}");
    runner.signal(Signal::SIGKILL);
    let _ = runner.child.wait();
    wait_until("nothing is left", || {
        let there: Vec<_> = processes().into_iter().map(|(pid, ..)| pid).collect();
        all.iter().all(|pid| !there.contains(pid))
    });
    let left = with_words("sleep 7040");
    // What has left its keeper's session lives on only where the keeper itself was killed.
    assert!(left.len() <= 1, "{left:?}");
}

fn hostile_lines_are_cut_and_harmless(demo: &Platform) {
    demo.say("ps:scale loud=1 -a demo").ok();
    let said = || log(demo, &["-p", "loud", "-s", "app"]);
    wait_until("it has said all", || said().len() >= 2);
    let lines = said();
    assert_eq!(lines[0].len(), "app[loud.1]: ".len() + 10_000);
    assert_eq!(lines[1], "app[loud.1]: ab\u{fffd}\u{fffd}c");
    demo.say("ps:scale loud=0 web=0 -a demo").ok();
}

fn who_does_not_want_to_end_is_killed(demo: &Platform) {
    demo.say("ps:scale stubborn=1 -a demo").ok();
    wait_until("it is deaf", || says(demo, "app[stubborn.1]: ready"));
    demo.say("ps:restart stubborn.1 -a demo").ok();
    wait_until("it was killed", || {
        says(demo, "heroku[stubborn.1]: Process exited with status 137")
    });
    let late = "heroku[stubborn.1]: Error R12 (Exit timeout) -> At least one process failed to exit \
                within 2 seconds of SIGTERM";
    assert!(says(demo, late));
    demo.say("ps:scale stubborn=0 web=1 -a demo").ok();
    wait_until("only web runs", || runs(demo, &["web.1"]));
}
