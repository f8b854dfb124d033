//! How long a database takes to be there, beside what PostgreSQL's own programs take for the same.
//! `script/bench provision` runs it; the rounds of both sides alternate, medians are printed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use howdah_testkit::platform::{Platform, wait_until};
use serde_json::{Value, json};

const HOWDAH: &str = env!("CARGO_BIN_EXE_howdah");

fn main() {
    // `cargo nextest` and `cargo test` build benches too and ask for their list.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    println!("rounds: {rounds}; medians in ms; a ratio is ours / theirs of the same round\n");
    hobby(rounds);
    standard(rounds, "standard-0, no pool", 0);
    standard(rounds, "standard-0, from the pool", 1);
    used_up(rounds);
    at_rest();
}

/// hobby-dev against `createuser` and `createdb` on a running cluster.
fn hobby(rounds: usize) {
    let platform = Bench::start(0);
    let plain = Plain::new();
    plain.initdb();
    plain.start();
    let mut pairs = Vec::new();
    for round in 0..=rounds {
        platform.rest();
        let theirs = time(|| {
            plain.run("createuser", &[&format!("u{round}")]);
            plain.run("createdb", &["-O", &format!("u{round}"), &format!("d{round}")]);
        });
        let ours = platform.provision("hobby-dev");
        pairs.push((ours, theirs));
    }
    plain.stop();
    report("hobby-dev", "createuser + createdb", &pairs[1..]);
}

/// standard-0 against `initdb`, start and `createdb`.
fn standard(rounds: usize, name: &str, pool: u32) {
    let platform = Bench::start(pool);
    let mut pairs = Vec::new();
    for _ in 0..=rounds {
        if pool > 0 {
            wait_until("the pool is filled", || platform.pooled() >= u64::from(pool));
        }
        platform.rest();
        let plain = Plain::new();
        let theirs = time(|| {
            plain.initdb();
            plain.start();
            plain.run("createdb", &["d"]);
        });
        plain.stop();
        let ours = platform.provision("standard-0");
        pairs.push((ours, theirs));
        platform.destroy_all();
    }
    report(name, "initdb + start + createdb", &pairs[1..]);
}

/// standard-0 when what was prepared has been used up: the last of five in a row.
fn used_up(rounds: usize) {
    let platform = Bench::start(0);
    let mut pairs = Vec::new();
    for _ in 0..rounds.min(5) {
        platform.rest();
        let plain = Plain::new();
        let theirs = time(|| {
            plain.initdb();
            plain.start();
            plain.run("createdb", &["d"]);
        });
        plain.stop();
        for _ in 0..4 {
            let _ = platform.provision("standard-0");
        }
        pairs.push((platform.provision("standard-0"), theirs));
        platform.destroy_all();
    }
    report("standard-0, fifth in a row", "initdb + start + createdb", &pairs);
}

/// 200 databases: made, felt and destroyed, and what that costs while nothing happens.
fn at_rest() {
    let count = 200;
    let platform = Bench::start(0);
    let made = time(|| {
        for _ in 0..count {
            platform.provision("hobby-dev");
        }
    });
    let mut info: Vec<f64> = (0..15)
        .map(|_| {
            time(|| {
                let _ = platform.platform.howdah(&["pg:info", "DATABASE", "-a", "bench"]).ok();
            })
        })
        .collect();
    let span = Duration::from_secs(60);
    let before = cpu_seconds(&platform.processes());
    #[expect(clippy::disallowed_methods, reason = "the measured rest")]
    std::thread::sleep(span);
    let after = cpu_seconds(&platform.processes());
    let of_a_core = |index: usize| 100.0 * (after[index] - before[index]) / span.as_secs_f64();
    let gone = time(|| platform.destroy_all());
    println!("\n{count} hobby-dev databases");
    println!("  made, one after the other    {:.0} ms each", made / f64::from(count));
    println!("  pg:info, whole process       {:.0} ms (median)", median(&mut info));
    println!("  at rest, howdah              {:.1} % of a core", of_a_core(0));
    println!("  at rest, its own PostgreSQL  {:.1} % of a core", of_a_core(1));
    println!("  destroyed                    {:.0} ms each", gone / f64::from(count));
}

/// A platform with an app, and what the benchmark does with it.
struct Bench {
    platform: Platform,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    token: String,
}

impl Bench {
    fn start(pool: u32) -> Self {
        let platform = Platform::start(HOWDAH, &[("HOWDAH_POOL_SIZE", &pool.to_string())]);
        let _ = platform.howdah(&["apps:create", "bench", "--no-remote"]).ok();
        let token = platform.howdah(&["auth:token"]).ok().trim().to_owned();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let bench = Self { platform, runtime, client: reqwest::Client::new(), token };
        // The template and the shared participant are made once, not by the first measured round.
        let _ = bench.provision("hobby-dev");
        let _ = bench.provision("standard-0");
        bench.destroy_all();
        bench
    }

    fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.platform.url()))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.json().await.expect("JSON")
        })
    }

    /// Milliseconds from the API call to the end of the first query, by `psql` through the gateway.
    fn provision(&self, plan: &str) -> f64 {
        time(|| {
            let addon = self.call(
                reqwest::Method::POST,
                "/apps/bench/addons",
                Some(json!({ "plan": { "name": format!("heroku-postgresql:{plan}") } })),
            );
            let name = addon["name"].as_str().expect("a name").to_owned();
            let mut addon = addon;
            while addon["state"] != "provisioned" {
                addon = self.call(reqwest::Method::GET, &format!("/addons/{name}"), None);
            }
            let var = addon["config_vars"][0].as_str().expect("a config var");
            let vars = self.call(reqwest::Method::GET, "/apps/bench/config-vars", None);
            let url = vars[var].as_str().expect("its URL");
            assert_eq!(self.platform.psql(url, "select 1").ok().trim(), "1");
        })
    }

    /// Waits until what the platform prepares in advance is there again, so that neither side is
    /// measured while it is being prepared.
    fn rest(&self) {
        let spares = self.platform.home().join("spares");
        let ready = || {
            let Ok(entries) = std::fs::read_dir(&spares) else { return 0 };
            let names = entries.flatten().map(|entry| entry.file_name());
            names.filter(|name| !name.to_string_lossy().contains('.')).count()
        };
        wait_until("copies of the templates are ready", || ready() >= 3);
        // The spare database of the shared participant; with exactly one database it keeps none.
        #[expect(clippy::disallowed_methods, reason = "a rest")]
        std::thread::sleep(Duration::from_millis(1500));
    }

    /// Participants of the pool that are ready, by the platform's own state.
    fn pooled(&self) -> u64 {
        let dir = self.platform.home().join("system/s").display().to_string();
        let sql = "select count(*) from participants p join machines m on m.id = p.id \
            where p.pooled and p.wanted = 'present' and m.state = 'available'";
        let count = ["-XAtqc", sql, "-h", &dir, "-U", "howdah", "howdah"];
        self.platform.program("psql", &count, &[]).ok().trim().parse().expect("a number")
    }

    fn destroy_all(&self) {
        let addons = self.call(reqwest::Method::GET, "/apps/bench/addons", None);
        for addon in addons.as_array().expect("a list") {
            let id = addon["id"].as_str().expect("an id");
            self.call(reqwest::Method::DELETE, &format!("/apps/bench/addons/{id}"), None);
        }
        wait_until("all are gone", || {
            let left = self.call(reqwest::Method::GET, "/apps/bench/addons", None);
            left.as_array().is_some_and(Vec::is_empty)
        });
    }

    /// The platform's process, and those of its own PostgreSQL.
    fn processes(&self) -> [Vec<i32>; 2] {
        let pidfile = self.platform.home().join("system/data/postmaster.pid");
        let text = std::fs::read_to_string(pidfile).expect("the platform's own PostgreSQL runs");
        let postmaster: i32 = text.lines().next().and_then(|l| l.parse().ok()).expect("a pid");
        let mut own = vec![postmaster];
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
                continue;
            };
            if stat(pid).is_some_and(|fields| fields[1].parse() == Ok(postmaster)) {
                own.push(pid);
            }
        }
        [vec![self.platform.pid()], own]
    }
}

/// PostgreSQL by hand: its own programs on a directory of its own.
struct Plain {
    dir: tempfile::TempDir,
    bindir: PathBuf,
    root: bool,
}

impl Plain {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("plain").tempdir().expect("a directory");
        let root = nix::unistd::geteuid().is_root();
        if root {
            let user = nix::unistd::User::from_name("postgres").expect("users").expect("postgres");
            nix::unistd::chown(dir.path(), Some(user.uid), Some(user.gid)).expect("give it away");
        }
        Self { dir, bindir: newest_bindir(), root }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.bindir.join(program);
        let mut command = if self.root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(arguments).env("PGHOST", self.dir.path()).env("LC_ALL", "C.UTF-8");
        command.current_dir(self.dir.path());
        // Not a pipe: the server would keep it open.
        let log = std::fs::File::create(self.dir.path().join("program.log")).expect("a log");
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let status = command.status().expect(program);
        let said = || std::fs::read_to_string(self.dir.path().join("program.log"));
        assert!(status.success(), "{program}: {:?}", said());
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    fn initdb(&self) {
        self.run("initdb", &["-D", &self.data(), "-k", "-A", "trust", "-U", "postgres"]);
    }

    fn start(&self) {
        let options = format!("-c listen_addresses= -k {}", self.dir.path().display());
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "start"]);
    }

    fn stop(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "fast", "stop"]);
    }
}

fn newest_bindir() -> PathBuf {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL")
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    dirs.sort();
    dirs.pop().expect("PostgreSQL")
}

fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1000.0
}

fn report(name: &str, theirs: &str, pairs: &[(f64, f64)]) {
    let mut ours: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let mut others: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.0 / pair.1).collect();
    println!(
        "{name:28} {:7.0} ms   {theirs:26} {:7.0} ms   ratio {:.2}",
        median(&mut ours),
        median(&mut others),
        median(&mut ratios)
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processor seconds that the processes of each group have used so far.
fn cpu_seconds(groups: &[Vec<i32>; 2]) -> [f64; 2] {
    let ticks = |pid: &i32| {
        stat(*pid).map_or(0.0, |fields| {
            let number = |index: usize| fields[index].parse::<f64>().unwrap_or_default();
            number(11) + number(12)
        })
    };
    // USER_HZ is 100 on every Linux that this runs on.
    [0, 1].map(|group| groups[group].iter().map(ticks).sum::<f64>() / 100.0)
}

/// The fields of /proc/PID/stat after the program's name: state, parent, …
fn stat(pid: i32) -> Option<Vec<String>> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
