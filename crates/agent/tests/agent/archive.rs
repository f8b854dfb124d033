//! Protection, copies and followers with real clusters and a real archive (a directory).

use std::time::Duration;

use howdah_model::agent::{CredentialOf, CredentialSpec, InstanceState, ParticipantObservation};
use howdah_model::protection::{Drilled, FollowingBy, Origin, Until};
use howdah_model::transfer::TransferState;
use jiff::Timestamp;

use super::*;

/// One database with numbered rows.
pub(crate) struct Ledger {
    pub(crate) tenant: Tenant,
    pub(crate) spec: ParticipantSpec,
    pub(crate) seen: ParticipantObservation,
}

impl Ledger {
    /// Makes a leader with rows 1 to 3.
    pub(crate) async fn new(agent: &Agent, major: &Installed) -> Self {
        let tenant = Tenant::new("ledger");
        let spec = spec(major, &[&tenant]);
        let seen = agent.put_and_wait(&spec).await;
        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        session
            .ask("create table t (n int primary key, at timestamptz default clock_timestamp())")
            .await
            .unwrap();
        session.ask("insert into t select generate_series(1, 3)").await.unwrap();
        Self { tenant, spec, seen }
    }

    pub(crate) async fn run(&self, sql: &str) -> String {
        self.tenant.connect(&self.seen.socket_dir).await.unwrap().ask(sql).await.unwrap()
    }

    /// Waits until it has a base backup and everything is in the archive.
    pub(crate) async fn protected(&self, agent: &Agent) {
        let lsn = self.run("select pg_current_wal_insert_lsn()").await.parse().unwrap();
        until("all is in the archive", || async {
            let seen = agent.observe(None).await;
            let one = seen.participants.iter().find(|one| one.id == self.spec.id);
            let protected = one.and_then(|one| one.protected.as_ref());
            protected.is_some_and(|p| p.backup.is_some() && p.archived >= lsn)
        })
        .await;
    }

    /// A participant that is made from this one's history.
    fn copy(&self, beside: Option<ParticipantId>, until: Until) -> (Tenant, ParticipantSpec) {
        let mut tenant = Tenant::new("copy");
        tenant.spec.adopts = Some(self.tenant.name.clone());
        let origin = Origin { timeline: self.spec.timeline, beside, until };
        let spec = ParticipantSpec {
            id: ParticipantId::new(),
            timeline: TimelineId::new(),
            source: Source::Timeline(origin),
            databases: [(tenant.name.clone(), tenant.spec.clone())].into(),
            ..self.spec.clone()
        };
        (tenant, spec)
    }
}

pub(crate) async fn rows(tenant: &Tenant, seen: &ParticipantObservation) -> String {
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask("select string_agg(n::text, ' ' order by n) from t").await.unwrap()
}

/// M10, K15: what was committed is in the archive seconds later, and comes back when the server is
/// lost with all its data.
#[tokio::test]
async fn m10_a_server_that_is_lost_comes_back_from_the_archive() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let ledger = Ledger::new(&agent, &major).await;
        ledger.protected(&agent).await;
        ledger.run("insert into t values (4)").await;
        ledger.protected(&agent).await;
        // The plug: no last WAL is sent.
        let server = agent.postmaster(ledger.spec.id).unwrap();
        kill_process(server.pid, Signal::KILL).unwrap();
        std::fs::remove_dir_all(agent.dir(ledger.spec.id).join("data/base")).unwrap();

        let (tenant, spec) = ledger.copy(None, Until::End);
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(rows(&tenant, &seen).await, "1 2 3 4");
        // G32: the source's role is not in the copy.
        assert!(ledger.tenant.connect_to(&seen.socket_dir, tenant.name.as_str()).await.is_err());
    }
}

/// PostgreSQL itself hears that its WAL is archived; else it would keep all of it.
#[tokio::test]
async fn k15_postgresql_knows_what_is_archived() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let ledger = Ledger::new(&agent, &major).await;
        ledger.protected(&agent).await;
        until("a segment counts as archived", || async {
            ledger.run("select archived_count > 0 from pg_stat_archiver").await == "t"
        })
        .await;
        assert_eq!(ledger.run("select failed_count from pg_stat_archiver").await, "0");
    }
}

/// A hole in the archive is found, told, and closed by a base backup behind it.
#[tokio::test]
async fn m11_wal_that_is_missing_in_the_archive_is_told_and_a_base_backup_is_taken() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let ledger = Ledger::new(&agent, &major).await;
    ledger.protected(&agent).await;
    until("a segment counts as archived", || async {
        ledger.run("select archived_count > 0 from pg_stat_archiver").await == "t"
    })
    .await;
    let seen = agent.observe(None).await.participants.pop().unwrap();
    let first = seen.protected.unwrap().backup.unwrap().id;
    agent.end().await;
    let objects = agent.archived();
    let is_segment = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.len() == 24 && path.to_string_lossy().contains("/wal/")
    };
    let newest = objects.iter().filter(is_segment).max().unwrap();
    std::fs::remove_file(newest).unwrap();
    agent.begin().await;
    let seen = agent
        .wait(ledger.spec.id, "the gap is told and closed", |one| {
            let Some(protected) = &one.protected else { return false };
            let is_new = protected.backup.as_ref().is_some_and(|backup| backup.id != first);
            is_new && protected.gap.is_some()
        })
        .await;
    let gap = seen.protected.unwrap().gap.unwrap();
    let name = newest.file_name().unwrap().to_string_lossy().into_owned();
    assert!(gap.what.contains(&name), "{}", gap.what);
    ledger.run("insert into t values (4)").await;
    ledger.protected(&agent).await;
    let (tenant, spec) = ledger.copy(None, Until::End);
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(rows(&tenant, &seen).await, "1 2 3 4");
}

/// `howdah down`: servers are stopped in order without an agent, and what they wrote last is archived.
#[tokio::test]
async fn k15_servers_that_are_stopped_without_an_agent_archive_their_last_wal() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let ledger = Ledger::new(&agent, &major).await;
    ledger.protected(&agent).await;
    agent.end().await;
    ledger.run("insert into t values (4)").await;
    let archive = agent.archive.clone();
    let stopped = howdah_agent::stop_all(agent.home(), &agent.home.run_as, archive).await;
    assert_eq!(stopped.unwrap(), 1);
    let log = std::fs::read_to_string(agent.dir(ledger.spec.id).join("log")).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
    // The data is lost before anybody starts it again.
    std::fs::remove_dir_all(agent.dir(ledger.spec.id)).unwrap();
    agent.begin().await;
    let (tenant, spec) = ledger.copy(None, Until::End);
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(rows(&tenant, &seen).await, "1 2 3 4");
}

/// A participant that is told to stand still keeps its data, says where it came to, and goes on when
/// it is told to.
#[tokio::test]
async fn a_participant_stands_still_and_goes_on() {
    let major = majors().pop().unwrap();
    let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let mut ledger = Ledger::new(&agent, &major).await;
    next(&mut ledger.spec);
    ledger.spec.run = Run::Stopped;
    assert_eq!(agent.put(&ledger.spec).await.status(), StatusCode::OK);
    let revision = ledger.spec.revision;
    let seen = agent
        .wait(ledger.spec.id, "it stands still", |one| {
            one.applied == Some(revision) && one.instance == InstanceState::Down
        })
        .await;
    assert!(agent.postmaster(ledger.spec.id).is_none());
    assert!(seen.position.is_some_and(|position| position.lsn.0 > 0));
    assert_eq!(seen.deaths, 0);
    next(&mut ledger.spec);
    ledger.spec.run = Run::Up;
    agent.put_and_wait(&ledger.spec).await;
    assert_eq!(rows(&ledger.tenant, &ledger.seen).await, "1 2 3");
    ledger.protected(&agent).await;
}

/// G1, G8: a copy has what was committed by a moment and nothing else; the source is not touched.
#[tokio::test]
async fn g1_g8_a_rollback_has_what_was_committed_by_then() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let ledger = Ledger::new(&agent, &major).await;
        ledger.protected(&agent).await;
        ledger.run("insert into t values (4)").await;
        let then: Timestamp = ledger.run("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").await.parse().unwrap();
        ledger.run("insert into t values (5)").await;
        ledger.run("drop table t").await;

        let (tenant, spec) = ledger.copy(None, Until::Time { at: then });
        let seen = agent.put_and_wait(&spec).await;
        assert_eq!(rows(&tenant, &seen).await, "1 2 3 4");
        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        session.ask("insert into t values (40)").await.unwrap();
        assert_eq!(ledger.run("select count(*) from pg_tables where tablename = 't'").await, "0");
    }
}

/// G27: a fork of a source on the same server is a copy of its directory; both go on by themselves.
/// G29: a fork can be forked.
#[tokio::test]
async fn g27_g29_a_fork_is_the_source_as_of_the_request_and_can_be_forked() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let ledger = Ledger::new(&agent, &major).await;
        let now = || Until::Now { asked_at: Timestamp::UNIX_EPOCH };
        let (tenant, spec) = ledger.copy(Some(ledger.spec.id), now());
        let seen = agent.put_and_wait(&spec).await;
        ledger.run("insert into t values (4)").await;
        let session = tenant.connect(&seen.socket_dir).await.unwrap();
        session.ask("insert into t values (40)").await.unwrap();
        assert_eq!(rows(&tenant, &seen).await, "1 2 3 40");
        assert_eq!(rows(&ledger.tenant, &ledger.seen).await, "1 2 3 4");

        let fork = Ledger { tenant, spec, seen };
        let (mut tenant, mut again) = fork.copy(Some(fork.spec.id), now());
        tenant.name = "d_again".parse().unwrap();
        again.databases = [(tenant.name.clone(), tenant.spec.clone())].into();
        let seen = agent.put_and_wait(&again).await;
        assert_eq!(rows(&tenant, &seen).await, "1 2 3 40");
    }
}

/// G13, G20: a follower shows what the leader commits and cannot be written to; unfollowed, it is a
/// database of its own whose URL has not changed.
#[tokio::test]
async fn g13_g20_a_follower_streams_and_becomes_a_database_of_its_own() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let mut ledger = Ledger::new(&agent, &major).await;
        let follower = Tenant::new("follower");
        let credential =
            CredentialSpec { of: CredentialOf::Follower, ..follower.spec.credentials[0].clone() };
        let name = ledger.tenant.name.clone();
        next(&mut ledger.spec);
        ledger.spec.databases.get_mut(&name).unwrap().credentials.push(credential);
        agent.put_and_wait(&ledger.spec).await;

        let mut spec = ParticipantSpec {
            id: ParticipantId::new(),
            revision: Revision(1),
            role: Role::Follower,
            leader: Some(ledger.spec.id),
            source: Source::Timeline(Origin {
                timeline: ledger.spec.timeline,
                beside: Some(ledger.spec.id),
                until: Until::End,
            }),
            ..ledger.spec.clone()
        };
        agent.put_and_wait(&spec).await;
        let seen = agent
            .wait(spec.id, "it streams", |one| {
                one.following.as_ref().is_some_and(|f| f.by == FollowingBy::Stream)
            })
            .await;
        ledger.run("insert into t values (4)").await;
        let session = follower.connect_to(&seen.socket_dir, name.as_str()).await.unwrap();
        until("the row is there", || async {
            session.ask("select count(*) from t where n = 4").await.as_deref() == Ok("1")
        })
        .await;
        let refused = session.ask("insert into t values (5)").await.unwrap_err();
        assert!(refused.contains("read-only transaction"), "{refused}");
        // E7: a dump of it spares the leader.
        let capture = transfers::capture(&spec, &ledger.tenant);
        let done = agent.transferred(&capture).await;
        assert!(done.state == TransferState::Done, "{done:?}");
        assert!(done.log.iter().any(|line| line.message.contains("from a follower")), "{done:?}");
        assert_eq!(
            session.ask("select current_user").await.unwrap(),
            ledger.tenant.spec.owner.as_str()
        );
        drop(session);

        // Unfollow: a history and an owner of its own, the same URL.
        next(&mut spec);
        spec.role = Role::Leader;
        spec.leader = None;
        spec.epoch = Epoch(spec.epoch.0 + 1);
        spec.timeline = TimelineId::new();
        let mut own = follower.spec.clone();
        own.adopts = Some(name.clone());
        spec.databases = [(name.clone(), own)].into();
        let seen = agent.put_and_wait(&spec).await;
        let session = follower.connect_to(&seen.socket_dir, name.as_str()).await.unwrap();
        session.ask("insert into t values (6)").await.unwrap();
        assert_eq!(session.ask("select current_user").await.unwrap(), follower.spec.owner.as_str());
        assert!(ledger.tenant.connect(&seen.socket_dir).await.is_err(), "the leader's role is out");
        assert_eq!(rows(&ledger.tenant, &ledger.seen).await, "1 2 3 4");
        // It is protected by itself from here on.
        agent
            .wait(spec.id, "it has a base backup", |one| {
                one.protected.as_ref().is_some_and(|p| p.backup.is_some())
            })
            .await;
    }
}

/// M13: a drill restores, looks and leaves nothing.
#[tokio::test]
async fn m13_a_drill_proves_that_the_database_can_be_restored() {
    for major in majors() {
        let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let mut ledger = Ledger::new(&agent, &major).await;
        ledger.protected(&agent).await;
        next(&mut ledger.spec);
        ledger.spec.protection.drills = 1;
        agent.put_and_wait(&ledger.spec).await;
        let seen = agent
            .wait(ledger.spec.id, "the drill is over", |one| {
                one.protected.as_ref().is_some_and(|p| p.drills == 1)
            })
            .await;
        let drill = seen.protected.unwrap().drill.unwrap();
        assert!(matches!(drill.outcome, Drilled::Proven { .. }), "{drill:?}");
        let left = std::fs::read_dir(agent.home().join("drills")).unwrap().count();
        assert_eq!(left, 0, "nothing of it is left");

        // A base backup that is damaged is found.
        let objects = agent.archived();
        let part = objects.iter().find(|path| path.to_string_lossy().contains("part-")).unwrap();
        let mut bytes = std::fs::read(part).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(part, bytes).unwrap();
        next(&mut ledger.spec);
        ledger.spec.protection.drills = 2;
        agent.put_and_wait(&ledger.spec).await;
        let seen = agent
            .wait(ledger.spec.id, "the second drill is over", |one| {
                one.protected.as_ref().is_some_and(|p| p.drills == 2)
            })
            .await;
        let drill = seen.protected.unwrap().drill.unwrap();
        assert!(matches!(drill.outcome, Drilled::Failed { .. }), "{drill:?}");
        assert_eq!(seen.instance, InstanceState::Answering);
    }
}

/// What is removed can be wanted back: its last WAL goes to the archive before its data goes.
#[tokio::test]
async fn a_participant_that_is_removed_leaves_all_its_wal_behind() {
    let major = majors().pop().unwrap();
    let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let mut ledger = Ledger::new(&agent, &major).await;
    ledger.protected(&agent).await;
    ledger.run("insert into t values (4)").await;
    next(&mut ledger.spec);
    ledger.spec.wanted = Wanted::Absent;
    assert_eq!(agent.put(&ledger.spec).await.status(), StatusCode::OK);
    agent.wait_gone(ledger.spec.id).await;

    let mut source = ledger.spec.clone();
    source.wanted = Wanted::Present;
    let removed = Ledger { spec: source, ..ledger };
    let (tenant, spec) = removed.copy(None, Until::End);
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(rows(&tenant, &seen).await, "1 2 3 4");
}

/// M11: an archive that is away stops nobody, is told, and is caught up with when it is back.
#[tokio::test]
async fn m11_an_archive_that_is_away_is_told_and_caught_up_with() {
    let major = majors().pop().unwrap();
    let agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let ledger = Ledger::new(&agent, &major).await;
    ledger.protected(&agent).await;
    let (archive, away) = (agent.home().join("archive"), agent.home().join("away"));
    std::fs::rename(&archive, &away).unwrap();
    // What cannot be a directory cannot be made one.
    std::fs::write(&archive, "").unwrap();
    ledger.run("insert into t values (4)").await;
    let seen = agent
        .wait(ledger.spec.id, "the trouble is told", |one| {
            one.protected.as_ref().is_some_and(|p| p.trouble.is_some())
        })
        .await;
    assert_eq!(seen.instance, InstanceState::Answering);
    ledger.run("insert into t values (5)").await;
    std::fs::remove_file(&archive).unwrap();
    std::fs::rename(&away, &archive).unwrap();
    ledger.protected(&agent).await;
    let (tenant, spec) = ledger.copy(None, Until::End);
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(rows(&tenant, &seen).await, "1 2 3 4 5");
}

/// An agent that ends and comes back goes on where it was, also in the middle of a segment.
#[tokio::test]
async fn m10_an_agent_that_is_started_anew_goes_on_with_the_archive() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let ledger = Ledger::new(&agent, &major).await;
    ledger.protected(&agent).await;
    for n in 4..7 {
        agent.end().await;
        ledger.run(&format!("insert into t values ({n})")).await;
        if n == 5 {
            // PostgreSQL dies while nobody looks.
            kill_process(agent.postmaster(ledger.spec.id).unwrap().pid, Signal::KILL).unwrap();
        }
        agent.begin().await;
        agent
            .wait(ledger.spec.id, "it answers", |one| one.instance == InstanceState::Answering)
            .await;
        ledger.protected(&agent).await;
    }
    let (tenant, spec) = ledger.copy(None, Until::End);
    let seen = agent.put_and_wait(&spec).await;
    assert_eq!(rows(&tenant, &seen).await, "1 2 3 4 5 6");
    // Time has passed; nothing was asked for twice.
    tokio::time::timeout(Duration::from_secs(1), agent.observe(None)).await.unwrap();
}
