//! How much of what was committed is lost when a server is lost with all its data: the plug is
//! pulled under a writer, again and again, and the database is restored from its archive.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to report to")]

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_agent::{ArchiveConfig, Config};
use howdah_archive::Archive;
use howdah_cluster::Postmaster;
use howdah_model::agent::{
    Epoch, Installed, InstanceState, ParticipantObservation, ParticipantSpec, Revision, Role, Run,
    ServerObservation, Source, Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId};
use howdah_model::protection::{Origin, Protection, Until};
use howdah_testkit::clusters::{Home, Tenant, majors, small, template, templates};
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the writer writes before the plug is pulled: up to twice this.
const WRITES: Duration = Duration::from_secs(4);

fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        println!("\n### What is lost when the plug is pulled\n");
        println!("One writer, one row a commit, as fast as it can; no standby; kill -9 of PostgreSQL and the agent, all data gone.\n");
        println!("| PostgreSQL | rounds | lost, s p50 | p90 | max | lost rows p50 | back after, s p50 |");
        println!("|---|---|---|---|---|---|---|");
        for major in majors() {
            let mut all = Vec::new();
            for round in 0..rounds {
                all.push(pull(&major, round).await);
            }
            tell(&major, &all);
        }
    });
}

struct Lost {
    seconds: f64,
    rows: i64,
    back: f64,
}

fn tell(major: &Installed, all: &[Lost]) {
    let sorted = |of: fn(&Lost) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (lost, back) = (sorted(|one| one.seconds), sorted(|one| one.back));
    let mut rows: Vec<i64> = all.iter().map(|one| one.rows).collect();
    rows.sort_unstable();
    let at = |values: &[f64], share: usize| values[(values.len() - 1) * share / 100];
    println!(
        "| {} | {} | {:.2} | {:.2} | {:.2} | {} | {:.2} |",
        major.version,
        all.len(),
        at(&lost, 50),
        at(&lost, 90),
        at(&lost, 100),
        rows[(rows.len() - 1) / 2],
        at(&back, 50)
    );
}

struct Agent {
    home: Home,
    http: reqwest::Client,
    stop: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

impl Agent {
    async fn start(archive: &Path) -> Self {
        let home = Home::new();
        std::os::unix::fs::symlink(templates(), home.path().join("templates")).unwrap();
        let socket = home.path().join("agent.sock");
        let http = reqwest::Client::builder().unix_socket(socket.clone()).build().unwrap();
        let config = howdah_archive::Config::parse(&archive.display().to_string(), None).unwrap();
        let archive = ArchiveConfig {
            archive: Archive::open(&config).unwrap(),
            program: env!("CARGO_BIN_EXE_wal-client").into(),
        };
        let config = Config {
            server: ServerId::new(),
            home: home.path().to_owned(),
            socket,
            installed: majors(),
            run_as: home.run_as.clone(),
            archive: Some(archive),
            transfer_allow: howdah_agent::Networks::default(),
            row_grace: howdah_model::compliance::GRACE,
        };
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(howdah_agent::run(config, stop.clone()));
        while http.get("http://agent/observation").send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { home, http, stop, task }
    }

    async fn put(&self, spec: &ParticipantSpec) {
        let url = format!("http://agent/participants/{}", spec.id);
        let answer = self.http.put(url).json(spec).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn wait(
        &self,
        id: ParticipantId,
        holds: impl Fn(&ParticipantObservation) -> bool,
    ) -> ParticipantObservation {
        let begin = Instant::now();
        loop {
            let answer = self.http.get("http://agent/observation").send().await.unwrap();
            let seen: ServerObservation = answer.json().await.unwrap();
            let one = seen.participants.into_iter().find(|one| one.id == id);
            if let Some(one) = one.filter(|one| holds(one)) {
                return one;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "it takes too long");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The plug: nothing is sent any more.
    async fn pull(mut self, id: ParticipantId) {
        self.task.abort_all();
        let data = self.home.path().join("p").join(id.to_string()).join("data");
        kill_process(Postmaster::find(&data).unwrap().pid, Signal::KILL).unwrap();
        while self.task.join_next().await.is_some() {}
        std::fs::remove_dir_all(data).unwrap();
    }
}

async fn pull(major: &Installed, round: u32) -> Lost {
    template(major).await;
    let archive = Home::new();
    let agent = Agent::start(&archive.path().join("archive")).await;
    let tenant = Tenant::new("ledger");
    let spec = ParticipantSpec {
        id: ParticipantId::new(),
        timeline: TimelineId::new(),
        epoch: Epoch(1),
        revision: Revision(1),
        wanted: Wanted::Present,
        role: Role::Leader,
        run: Run::Up,
        source: Source::Empty,
        leader: None,
        protection: Protection::default(),
        major: major.version.major,
        restarts: 0,
        settings: small(),
        databases: [(tenant.name.clone(), tenant.spec.clone())].into(),
    };
    agent.put(&spec).await;
    let is_protected = |one: &ParticipantObservation| {
        let protected = one.protected.as_ref();
        one.instance == InstanceState::Answering && protected.is_some_and(|p| p.backup.is_some())
    };
    let seen = agent.wait(spec.id, is_protected).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask("create table t (n serial primary key)").await.unwrap();
    let begin = Instant::now();
    let until = WRITES + WRITES * (round * 7 % 20) / 20;
    let mut acknowledged = Vec::new();
    while begin.elapsed() < until {
        session.ask("insert into t default values").await.unwrap();
        acknowledged.push(Instant::now());
    }
    let end = Instant::now();
    drop(session);
    agent.pull(spec.id).await;

    let begin = Instant::now();
    let agent = Agent::start(&archive.path().join("archive")).await;
    let mut copy = Tenant::new("copy");
    copy.spec.adopts = Some(tenant.name.clone());
    let origin = Origin { timeline: spec.timeline, beside: None, until: Until::End };
    let restored = ParticipantSpec {
        id: ParticipantId::new(),
        timeline: TimelineId::new(),
        source: Source::Timeline(origin),
        databases: [(copy.name.clone(), copy.spec.clone())].into(),
        ..spec
    };
    agent.put(&restored).await;
    let seen = agent.wait(restored.id, |one| one.applied == Some(Revision(1))).await;
    let back = begin.elapsed().as_secs_f64();
    let session = copy.connect(&seen.socket_dir).await.unwrap();
    let there: i64 = session.ask("select count(*) from t").await.unwrap().parse().unwrap();
    let kept = usize::try_from(there).unwrap();
    let last = kept.checked_sub(1).and_then(|at| acknowledged.get(at));
    let seconds = last.map_or(until, |last| end.duration_since(*last)).as_secs_f64();
    agent.stop.cancel();
    agent.pull(restored.id).await;
    Lost { seconds, rows: acknowledged.len() as i64 - there, back }
}
