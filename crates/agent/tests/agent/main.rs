//! The agent with real clusters, over its own socket.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod archive;
mod disk;
mod moments;
mod prepared;
mod rows;
mod succession;
mod transfers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_agent::{ArchiveConfig, Config};
use howdah_cluster::connection::Limits;
use howdah_cluster::{Connection, Postmaster, postmaster};
use howdah_model::agent::{
    DatabaseLook, Epoch, Incarnation, Installed, InstanceState, ParticipantObservation,
    ParticipantSpec, Refusal, Revision, Role, Run, ServerObservation, Source, Wanted,
};
use howdah_model::ids::{ParticipantId, ServerId, TimelineId};
use howdah_model::protection::Protection;
use howdah_testkit::clusters::{Home, Tenant, majors, small, template, templates, until};
use reqwest::StatusCode;
use rustix::process::{Signal, kill_process};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An agent in this process.
struct Agent {
    home: Home,
    http: reqwest::Client,
    stop: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
    archive: Option<ArchiveConfig>,
}

impl Drop for Agent {
    /// What works in a thread of its own ends before its directory goes.
    fn drop(&mut self) {
        self.stop.cancel();
        for _ in 0..1000 {
            let spares = std::fs::read_dir(self.home().join("spares")).unwrap();
            let is_half = |name: std::ffi::OsString| name.to_string_lossy().starts_with('.');
            if !spares.flatten().any(|entry| is_half(entry.file_name())) {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Agent {
    async fn start(installed: &[Installed]) -> Self {
        Self::start_in(Home::new(), installed, None).await
    }

    async fn start_with_archive(installed: &[Installed]) -> Self {
        let home = Home::new();
        let url = home.path().join("archive").display().to_string();
        let config = howdah_archive::Config::parse(&url, None).unwrap();
        let archive = ArchiveConfig {
            archive: howdah_archive::Archive::open(&config).unwrap(),
            program: env!("CARGO_BIN_EXE_wal-client").into(),
        };
        archive.archive.check().await.unwrap();
        Self::start_in(home, installed, Some(archive)).await
    }

    /// All objects of its archive.
    fn archived(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let mut dirs = vec![self.home().join("archive")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() { dirs.push(path) } else { all.push(path) }
            }
        }
        all
    }

    async fn start_in(home: Home, installed: &[Installed], archive: Option<ArchiveConfig>) -> Self {
        for major in installed {
            template(major).await;
        }
        // All tests share the templates; making one takes a second.
        std::os::unix::fs::symlink(templates(), home.path().join("templates")).unwrap();
        let socket = home.path().join("agent.sock");
        let http = reqwest::Client::builder().unix_socket(socket).build().unwrap();
        let (stop, task) = (CancellationToken::new(), JoinSet::new());
        let mut agent = Self { home, http, stop, task, archive };
        agent.begin().await;
        agent
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    async fn begin(&mut self) {
        self.stop = CancellationToken::new();
        let config = Config {
            server: ServerId::new(),
            home: self.home().to_owned(),
            socket: self.home().join("agent.sock"),
            installed: majors(),
            run_as: self.home.run_as.clone(),
            archive: self.archive.clone(),
            transfer_allow: "127.0.0.0/8".parse().unwrap(),
            row_grace: Duration::ZERO,
        };
        self.task.spawn(howdah_agent::run(config, self.stop.clone()));
        until("the agent answers", || async {
            self.http.get("http://agent/observation").send().await.is_ok()
        })
        .await;
    }

    async fn end(&mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }

    async fn put(&self, spec: &ParticipantSpec) -> reqwest::Response {
        let url = format!("http://agent/participants/{}", spec.id);
        self.http.put(url).json(spec).send().await.unwrap()
    }

    async fn put_and_wait(&self, spec: &ParticipantSpec) -> ParticipantObservation {
        let response = self.put(spec).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
        self.wait(spec.id, "the spec is applied", |one| {
            one.applied == Some(spec.revision) && one.instance == InstanceState::Answering
        })
        .await
    }

    async fn observe(&self, after: Option<u64>) -> ServerObservation {
        let after = after.map_or(String::new(), |after| format!("&after={after}"));
        let url = format!("http://agent/observation?wait_ms=1000{after}");
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Waits by long polls, as the control plane does.
    async fn wait(
        &self,
        id: ParticipantId,
        what: &str,
        holds: impl Fn(&ParticipantObservation) -> bool,
    ) -> ParticipantObservation {
        let begin = Instant::now();
        let mut seen = self.observe(None).await;
        loop {
            let one = seen.participants.iter().find(|one| one.id == id);
            if let Some(one) = one.filter(|one| holds(one)) {
                return one.clone();
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "not that {what}: {one:?}");
            seen = self.observe(Some(seen.change)).await;
        }
    }

    async fn wait_gone(&self, id: ParticipantId) {
        until("the participant is gone", || async {
            self.observe(None).await.participants.iter().all(|one| one.id != id)
        })
        .await;
    }

    fn dir(&self, id: ParticipantId) -> PathBuf {
        self.home().join("p").join(id.to_string())
    }

    fn postmaster(&self, id: ParticipantId) -> Option<Postmaster> {
        Postmaster::find(&self.dir(id).join("data"))
    }

    async fn post(
        &self,
        one: ParticipantId,
        rest: &str,
        body: serde_json::Value,
    ) -> reqwest::Response {
        let url = format!("http://agent/participants/{one}/databases/{rest}");
        self.http.post(url).json(&body).send().await.unwrap()
    }
}

fn spec(major: &Installed, tenants: &[&Tenant]) -> ParticipantSpec {
    ParticipantSpec {
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
        databases: tenants.iter().map(|t| (t.name.clone(), t.spec.clone())).collect(),
    }
}

fn next(spec: &mut ParticipantSpec) {
    spec.revision.0 += 1;
}

#[tokio::test]
async fn a_participant_is_made_changed_and_destroyed_and_nothing_is_left() {
    for major in majors() {
        let agent = Agent::start(std::slice::from_ref(&major)).await;
        let (one, mut two) = (Tenant::new("one"), Tenant::new("two"));
        let mut spec = spec(&major, &[&one]);
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(seen.version, Some(major.version));
        one.connect(&seen.socket_dir).await.unwrap().ask("select 1").await.unwrap();

        next(&mut spec);
        spec.databases.insert(two.name.clone(), two.spec.clone());
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(seen.databases.len(), 2);
        let session = two.connect(&seen.socket_dir).await.unwrap();
        session.ask("create table t (x int)").await.unwrap();

        next(&mut spec);
        two.spec.incarnation = Incarnation(2);
        spec.databases.insert(two.name.clone(), two.spec.clone());
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(seen.databases[&two.name].incarnation, Incarnation(2));
        assert!(two.connect(&seen.socket_dir).await.unwrap().ask("select from t").await.is_err());

        next(&mut spec);
        spec.databases.remove(&two.name);
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(seen.databases.len(), 1);
        assert!(two.connect(&seen.socket_dir).await.is_err());

        let process = agent.postmaster(spec.id).unwrap();
        next(&mut spec);
        spec.wanted = Wanted::Absent;
        assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
        agent.wait_gone(spec.id).await;
        assert!(!agent.dir(spec.id).exists() && !seen.socket_dir.exists());
        assert!(agent.postmaster(spec.id).is_none());
        assert!(postmaster::processes(&agent.dir(spec.id).join("data")).is_empty(), "{process:?}");
    }
}

#[tokio::test]
async fn an_older_spec_is_refused_and_the_same_is_fine_also_after_a_removal_and_a_restart() {
    let mut agent = Agent::start(&majors()[..1]).await;
    let mut spec = spec(&majors()[0], &[]);
    spec.revision = Revision(5);
    agent.put_and_wait(&spec).await;
    let older = ParticipantSpec { revision: Revision(4), ..spec.clone() };
    let newer_epoch = ParticipantSpec { epoch: Epoch(2), revision: Revision(1), ..spec.clone() };
    for _ in 0..2 {
        let response = agent.put(&older).await;
        assert_eq!(response.status(), StatusCode::CONFLICT);
        let refusal: Refusal = response.json().await.unwrap();
        assert_eq!(refusal, Refusal::Older { id: spec.id, epoch: Epoch(1), has: Revision(5) });
        assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
        agent.end().await;
        agent.begin().await;
    }
    assert_eq!(agent.put(&newer_epoch).await.status(), StatusCode::OK);
    assert_eq!(agent.put(&spec).await.status(), StatusCode::CONFLICT);
    let absent = ParticipantSpec { wanted: Wanted::Absent, revision: Revision(7), ..newer_epoch };
    for _ in 0..2 {
        assert_eq!(agent.put(&absent).await.status(), StatusCode::OK);
        agent.wait_gone(spec.id).await;
        assert_eq!(agent.put(&spec).await.status(), StatusCode::CONFLICT);
        agent.end().await;
        agent.begin().await;
        assert!(agent.observe(None).await.participants.is_empty());
    }
}

#[tokio::test]
async fn a_spec_that_cannot_be_is_refused_with_what_to_do() {
    let agent = Agent::start(&[]).await;
    let good = spec(&majors()[0], &[]);
    let missing = ParticipantSpec { major: "99".parse().unwrap(), ..good.clone() };
    let mut reserved = Tenant::new("one");
    reserved.spec.owner = "howdah".parse().unwrap();
    let reserved = spec(&majors()[0], &[&reserved]);
    for (bad, what) in [(missing, "99 is not installed"), (reserved, "reserved")] {
        let response = agent.put(&bad).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let body: serde_json::Value = response.json().await.unwrap();
        assert!(body["message"].as_str().unwrap().contains(what), "{body}");
    }
    assert!(agent.observe(None).await.participants.is_empty());
}

#[tokio::test]
async fn a_new_agent_takes_over_what_runs_and_changes_go_on_growing() {
    let mut agent = Agent::start(&majors()[..1]).await;
    let one = Tenant::new("one");
    let spec = spec(&majors()[0], &[&one]);
    let seen = agent.put_and_wait(&spec).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    let (before, change) = (agent.postmaster(spec.id), agent.observe(None).await.change);
    agent.end().await;
    assert_eq!(agent.postmaster(spec.id), before, "PostgreSQL does not need the agent");
    session.ask("select 1").await.unwrap();
    agent.begin().await;
    assert!(agent.observe(None).await.change > change);
    agent.wait(spec.id, "it is applied", |one| one.applied == Some(spec.revision)).await;
    assert_eq!(agent.postmaster(spec.id), before);
    session.ask("select 1").await.unwrap();
}

#[tokio::test]
async fn a_postmaster_that_is_killed_is_noticed_at_once_and_started_again() {
    for major in majors() {
        let agent = Agent::start(std::slice::from_ref(&major)).await;
        let one = Tenant::new("one");
        let spec = spec(&major, &[&one]);
        let seen = agent.put_and_wait(&spec).await;
        let before = agent.postmaster(spec.id).unwrap();
        let busy = one.connect(&seen.socket_dir).await.unwrap();
        let mut sleeping = JoinSet::new();
        sleeping.spawn(async move { busy.ask("select pg_sleep(100)").await });
        let begin = Instant::now();
        kill_process(before.pid, Signal::KILL).unwrap();
        agent.wait(spec.id, "the death is noticed", |one| one.deaths == 1).await;
        let noticed = begin.elapsed();
        agent
            .wait(spec.id, "it answers again", |one| {
                one.deaths == 1 && one.instance == InstanceState::Answering
            })
            .await;
        eprintln!(
            "PostgreSQL {}: noticed {noticed:?}, answers {:?}",
            major.version,
            begin.elapsed()
        );
        assert!(noticed < Duration::from_secs(1), "{noticed:?}");
        assert_ne!(agent.postmaster(spec.id).unwrap().pid, before.pid);
        one.connect(&seen.socket_dir).await.unwrap();
    }
}

#[tokio::test]
async fn k6_a_frozen_postmaster_is_silent_delays_no_other_and_is_restarted_when_asked() {
    let agent = Agent::start(&majors()[..1]).await;
    let mut frozen = spec(&majors()[0], &[]);
    let tenant = Tenant::new("one");
    let mut well = spec(&majors()[0], &[]);
    agent.put_and_wait(&frozen).await;
    agent.put_and_wait(&well).await;
    let before = agent.postmaster(frozen.id).unwrap();
    let begin = Instant::now();
    kill_process(before.pid, Signal::STOP).unwrap();
    agent.wait(frozen.id, "it is silent", |one| one.instance == InstanceState::Silent).await;
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());

    // K12: the other is served as always.
    next(&mut well);
    well.databases.insert(tenant.name.clone(), tenant.spec.clone());
    let begin = Instant::now();
    agent.put_and_wait(&well).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    // It comes back by itself when it can.
    kill_process(before.pid, Signal::CONT).unwrap();
    agent.wait(frozen.id, "it is back", |one| one.instance == InstanceState::Answering).await;
    assert_eq!(agent.postmaster(frozen.id), Some(before));

    kill_process(before.pid, Signal::STOP).unwrap();
    agent.wait(frozen.id, "it is silent", |one| one.instance == InstanceState::Silent).await;
    next(&mut frozen);
    frozen.restarts = 1;
    let seen = agent.put_and_wait(&frozen).await;
    assert_eq!((seen.restarts, seen.deaths), (1, 0));
    assert_ne!(agent.postmaster(frozen.id).unwrap().pid, before.pid);
}

#[tokio::test]
async fn bad_settings_are_told_and_keep_no_database_down() {
    let agent = Agent::start(&majors()[..1]).await;
    let one = Tenant::new("one");
    let mut spec = spec(&majors()[0], &[&one]);
    agent.put_and_wait(&spec).await;
    for (name, value, restarts) in [("work_mem", "plenty", 0), ("shared_buffers", "900TB", 1)] {
        next(&mut spec);
        spec.settings = small();
        spec.settings.insert(name.to_owned(), value.to_owned());
        spec.restarts = restarts;
        assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
        let seen = agent
            .wait(spec.id, "the error is told", |seen| {
                seen.error.is_some()
                    && seen.instance == InstanceState::Answering
                    && seen.restarts == restarts
            })
            .await;
        assert_ne!(seen.applied, Some(spec.revision), "{seen:?}");
        one.connect(&seen.socket_dir).await.unwrap();
    }
    next(&mut spec);
    spec.settings = small();
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(seen.error, None);
}

#[tokio::test]
async fn k5_looks_come_by_themselves_and_when_asked_and_sessions_can_be_ended() {
    let agent = Agent::start(&majors()[..1]).await;
    let one = Tenant::new("one");
    let spec = spec(&majors()[0], &[&one]);
    let seen = agent.put_and_wait(&spec).await;
    agent.wait(spec.id, "it is looked into", |seen| seen.databases[&one.name].look.is_some()).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    session.ask("create table t as select 1").await.unwrap();
    let response = agent.post(spec.id, "d_one/look", serde_json::Value::Null).await;
    let look: DatabaseLook = response.json().await.unwrap();
    assert_eq!((look.connections, look.table_count), (1, 1));
    let unknown = agent.post(spec.id, "d_two/look", serde_json::Value::Null).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let reset = agent.post(spec.id, "d_one/stats_reset", serde_json::Value::Null).await;
    assert_eq!(reset.status(), StatusCode::OK);
    let all = serde_json::json!({ "pid": null, "only_cancel": false });
    let response = agent.post(spec.id, "d_one/terminate", all).await;
    assert_eq!(response.json::<serde_json::Value>().await.unwrap()["terminated"], 1);
    assert!(session.ask("select 1").await.is_err());
}

#[tokio::test]
async fn stop_all_stops_every_participant_of_a_home() {
    let mut agent = Agent::start(&majors()[..1]).await;
    let specs = [spec(&majors()[0], &[]), spec(&majors()[0], &[])];
    let mut sockets = BTreeMap::new();
    for spec in &specs {
        sockets.insert(spec.id, agent.put_and_wait(spec).await.socket_dir);
    }
    kill_process(agent.postmaster(specs[0].id).unwrap().pid, Signal::STOP).unwrap();
    agent.end().await;
    let stopped = howdah_agent::stop_all(agent.home(), &agent.home.run_as, None).await.unwrap();
    assert_eq!(stopped, 2);
    for spec in &specs {
        assert!(agent.postmaster(spec.id).is_none());
        assert!(Connection::open(&sockets[&spec.id], "postgres", Limits::LOOK).await.is_err());
    }
    assert_eq!(howdah_agent::stop_all(agent.home(), &agent.home.run_as, None).await.unwrap(), 0);
    agent.begin().await;
    for spec in &specs {
        agent.wait(spec.id, "it is up again", |one| one.applied == Some(spec.revision)).await;
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_tried_again_until_it_is_gone() {
    let agent = Agent::start(&majors()[..1]).await;
    let (stuck, well) = (spec(&majors()[0], &[]), spec(&majors()[0], &[]));
    let obstacle = agent.dir(stuck.id).join("data");
    std::fs::create_dir_all(agent.dir(stuck.id)).unwrap();
    std::fs::write(&obstacle, "in the way").unwrap();
    assert_eq!(agent.put(&stuck).await.status(), StatusCode::OK);
    let seen = agent.wait(stuck.id, "the error is told", |one| one.error.is_some()).await;
    assert!(seen.error.as_ref().unwrap().contains("make the data directory"), "{seen:?}");
    agent.put_and_wait(&well).await;
    std::fs::remove_file(&obstacle).unwrap();
    let seen = agent.put_and_wait(&stuck).await;
    assert_eq!(seen.error, None);
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_keeps_nothing_else_down() {
    let mut agent = Agent::start(&majors()[..1]).await;
    let (broken, well) = (spec(&majors()[0], &[]), spec(&majors()[0], &[]));
    agent.put_and_wait(&broken).await;
    agent.put_and_wait(&well).await;
    agent.end().await;
    std::fs::write(agent.dir(broken.id).join("spec.json"), "{").unwrap();
    let before = agent.postmaster(broken.id);
    agent.begin().await;
    agent.wait(well.id, "the other is applied", |one| one.applied == Some(Revision(1))).await;
    assert!(before.is_some() && agent.postmaster(broken.id) == before, "it goes on");
    let told = agent.wait(broken.id, "it is there", |one| one.error.is_some()).await;
    assert_eq!((told.epoch, told.revision, told.applied), (Epoch(0), Revision(0), None));
    let seen = agent.put_and_wait(&broken).await;
    assert_eq!(seen.error, None);
    assert_eq!(agent.postmaster(broken.id), before);
}
