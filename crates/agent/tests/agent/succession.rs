//! A follower takes its leader's place in the same history.

use howdah_model::agent::InstanceState;
use howdah_model::protection::{FollowingBy, Origin, Until};

use super::archive::{Ledger, rows};
use super::*;

/// A follower of a leader that is to take its place, once it streams.
async fn following(agent: &Agent, ledger: &Ledger) -> ParticipantSpec {
    let spec = ParticipantSpec {
        id: ParticipantId::new(),
        revision: Revision(1),
        role: Role::Follower,
        leader: Some(ledger.spec.id),
        source: Source::Timeline(Origin {
            timeline: ledger.spec.timeline,
            beside: Some(ledger.spec.id),
            until: Until::End,
        }),
        databases: BTreeMap::new(),
        ..ledger.spec.clone()
    };
    agent.put_and_wait(&spec).await;
    agent
        .wait(spec.id, "it streams", |one| {
            one.following.as_ref().is_some_and(|f| f.by == FollowingBy::Stream)
        })
        .await;
    spec
}

async fn stop(agent: &Agent, ledger: &mut Ledger) -> ParticipantObservation {
    next(&mut ledger.spec);
    ledger.spec.run = Run::Stopped;
    assert_eq!(agent.put(&ledger.spec).await.status(), StatusCode::OK);
    let revision = ledger.spec.revision;
    agent.wait(ledger.spec.id, "it stands still", |one| one.applied == Some(revision)).await
}

/// What the follower is told to lead.
fn leading(follower: &ParticipantSpec, ledger: &Ledger) -> ParticipantSpec {
    ParticipantSpec {
        role: Role::Leader,
        leader: None,
        epoch: Epoch(follower.epoch.0 + 1),
        revision: Revision(follower.revision.0 + 1),
        databases: ledger.spec.databases.clone(),
        ..follower.clone()
    }
}

/// G25: the platform is killed, PostgreSQL dies, and the archive is away, all while a follower is
/// promoted: it has all that was committed.
#[tokio::test]
async fn g25_a_follower_that_dies_in_its_promotion_needs_nothing_but_its_own_wal() {
    for major in majors() {
        let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
        let mut ledger = Ledger::new(&agent, &major).await;
        ledger.protected(&agent).await;
        let follower = following(&agent, &ledger).await;
        let (archive, away) = (agent.home().join("archive"), agent.home().join("away"));
        std::fs::rename(&archive, &away).unwrap();
        std::fs::write(&archive, "").unwrap();
        ledger.run("insert into t values (4)").await;
        let stopped = stop(&agent, &mut ledger).await;
        let end = stopped.position.expect("the end of its WAL").lsn;
        let seen = agent
            .wait(follower.id, "it has all", |one| one.position.is_some_and(|at| at.lsn > end))
            .await;

        agent.end().await;
        kill_process(agent.postmaster(follower.id).unwrap().pid, Signal::KILL).unwrap();
        let leader = leading(&follower, &ledger);
        let on_disk = agent.home().join("p").join(follower.id.to_string()).join("spec.json");
        std::fs::write(on_disk, serde_json::to_vec(&leader).unwrap()).unwrap();
        agent.begin().await;
        agent
            .wait(leader.id, "it leads", |one| {
                one.applied == Some(leader.revision) && one.following.is_none()
            })
            .await;
        assert_eq!(rows(&ledger.tenant, &seen).await, "1 2 3 4");
        let session = ledger.tenant.connect(&seen.socket_dir).await.unwrap();
        session.ask("insert into t values (5)").await.unwrap();

        std::fs::remove_file(&archive).unwrap();
        std::fs::rename(&away, &archive).unwrap();
        agent
            .wait(leader.id, "its WAL goes to the archive", |one| {
                one.protected.as_ref().is_some_and(|p| p.trouble.is_none() && p.lag_bytes == 0)
            })
            .await;
    }
}

/// A server that was killed has no last checkpoint that ends its WAL: nobody may take its place.
#[tokio::test]
async fn g25_a_server_that_has_crashed_does_not_say_where_its_wal_ends() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start_with_archive(std::slice::from_ref(&major)).await;
    let mut ledger = Ledger::new(&agent, &major).await;
    ledger.run("insert into t values (4)").await;
    agent.end().await;
    kill_process(agent.postmaster(ledger.spec.id).unwrap().pid, Signal::KILL).unwrap();
    next(&mut ledger.spec);
    ledger.spec.run = Run::Stopped;
    let on_disk = agent.home().join("p").join(ledger.spec.id.to_string()).join("spec.json");
    std::fs::write(on_disk, serde_json::to_vec(&ledger.spec).unwrap()).unwrap();
    agent.begin().await;
    let revision = ledger.spec.revision;
    let seen = agent
        .wait(ledger.spec.id, "it stands still", |one| {
            one.applied == Some(revision) && one.instance == InstanceState::Down
        })
        .await;
    assert_eq!(seen.position, None);
    next(&mut ledger.spec);
    ledger.spec.run = Run::Up;
    agent.put_and_wait(&ledger.spec).await;
    assert_eq!(rows(&ledger.tenant, &ledger.seen).await, "1 2 3 4");
}
