//! Making, starting, stopping and removing clusters of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use howdah_cluster::cluster::Written;
use howdah_cluster::connection::Limits;
use howdah_cluster::settings::BadSetting;
use howdah_cluster::{StartError, StopMode, postmaster};
use howdah_testkit::clusters::{Home, majors, small, template, until};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_cluster_is_made_started_stopped_and_removed_and_every_step_may_be_repeated() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.cluster(&major, "a");
        let template = template(&major).await;
        for _ in 0..2 {
            cluster.make(&template).await.unwrap();
            assert!(cluster.is_made());
        }
        assert_eq!(cluster.configure(&small()).await.unwrap(), Written::Changed);
        assert_eq!(cluster.configure(&small()).await.unwrap(), Written::Same);
        let first = cluster.start(PATIENCE).await.unwrap();
        assert_eq!(cluster.start(PATIENCE).await.unwrap(), first);
        let connection = cluster.connect("postgres", Limits::LOOK).await.unwrap();
        let rows = connection
            .rows("select current_user::text, current_setting('data_checksums')", &[])
            .await
            .unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "howdah");
        assert_eq!(rows[0].get::<_, &str>(1), "on");
        connection.close().await;
        for _ in 0..2 {
            cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
            assert!(cluster.postmaster().is_none());
        }
        cluster.start(PATIENCE).await.unwrap();
        for _ in 0..2 {
            cluster.remove().await.unwrap();
        }
        assert!(postmaster::processes(&cluster.data).is_empty());
        assert!(!cluster.data.exists() && !cluster.socket_dir.exists() && !cluster.log.exists());
    }
}

#[tokio::test]
async fn bad_settings_are_refused_before_they_are_written() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        for (name, value) in [("work_mem", "plenty"), ("no_such_setting", "1"), ("include", "/etc")]
        {
            let mut settings = small();
            settings.insert(name.to_owned(), value.to_owned());
            let error = cluster.configure(&settings).await.unwrap_err();
            assert!(error.downcast_ref::<BadSetting>().is_some(), "{error:#}");
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
        cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
        cluster.start(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn the_end_of_a_server_is_noticed_at_once_and_its_sessions_are_made_sure_gone() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let server = cluster.postmaster().unwrap();
        let session = cluster.connect("postgres", Limits::WORK).await.unwrap();
        let mut busy = tokio::task::JoinSet::new();
        busy.spawn(
            async move { session.run("select count(*) from generate_series(1, 1e12)").await },
        );
        let begin = std::time::Instant::now();
        rustix_kill(server.pid);
        server.ended(&cluster.data).await.unwrap();
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        postmaster::clear(&cluster.data).await.unwrap();
        assert!(postmaster::processes(&cluster.data).is_empty());
        cluster.start(PATIENCE).await.unwrap();
    }
}

fn rustix_kill(pid: rustix::process::Pid) {
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_frozen_server_can_be_stopped() {
    let home = Home::new();
    let cluster = home.running(&majors()[0], "a").await;
    let server = cluster.postmaster().unwrap();
    rustix::process::kill_process(server.pid, rustix::process::Signal::STOP).unwrap();
    until("the server is frozen", || async { server.is_frozen() }).await;
    assert!(cluster.connect("postgres", Limits::LOOK).await.is_err());
    cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
    assert!(cluster.postmaster().is_none());
}

#[tokio::test]
async fn a_process_id_of_someone_else_is_not_taken_for_the_server() {
    let home = Home::new();
    let cluster = home.cluster(&majors()[0], "a");
    cluster.make(&template(&majors()[0]).await).await.unwrap();
    let pid = std::process::id();
    let content = format!("{pid}\n{}\n1\n5432\n/\n\n0\nready\n", cluster.data.display());
    std::fs::write(cluster.data.join("postmaster.pid"), content).unwrap();
    assert_eq!(cluster.postmaster(), None);
    cluster.stop(StopMode::Fast, PATIENCE).await.unwrap();
    cluster.configure(&small()).await.unwrap();
    cluster.start(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn the_platforms_own_cluster_is_made_by_the_same_code() {
    let home = Home::new();
    let cluster = home.cluster(&majors()[0], "system");
    let templates = howdah_testkit::clusters::templates();
    template(&majors()[0]).await;
    let database = "platform".parse().unwrap();
    for _ in 0..2 {
        let parameters = cluster.ensure_running(&templates, &small(), &database).await.unwrap();
        assert_eq!(
            (parameters.user.as_str(), parameters.database.as_str()),
            ("howdah", "platform")
        );
        cluster.connect("platform", Limits::LOOK).await.unwrap();
    }
}

/// A restored base backup has the configuration of the cluster that it was taken of: with that it
/// would listen in the other's place, and send its WAL to the other's archive.
#[tokio::test]
async fn settings_of_another_cluster_are_never_fallen_back_to() {
    let home = Home::new();
    let source = home.running(&majors()[0], "it's").await;
    source.keep_settings().unwrap();
    source.stop(StopMode::Fast, PATIENCE).await.unwrap();
    assert!(source.is_configured());
    let copy = home.cluster(&majors()[0], "b");
    std::fs::create_dir_all(copy.data.parent().unwrap()).unwrap();
    howdah_cluster::copy::tree(&source.data, &copy.data, &copy.run_as, &|| false).unwrap();
    assert!(!copy.is_configured());
    let refused = copy.start(PATIENCE).await;
    assert!(matches!(refused, Err(StartError::NotConfigured)), "{refused:?}");
    let none = copy.await_ready(PATIENCE).await;
    assert!(matches!(none, Err(StartError::Ended(_))), "{none:?}");
    copy.configure(&small()).await.unwrap();
    assert!(copy.is_configured());
    let ours = std::fs::read_to_string(copy.data.join("postgresql.conf")).unwrap();
    assert!(!copy.fall_back().unwrap());
    assert_eq!(std::fs::read_to_string(copy.data.join("postgresql.conf")).unwrap(), ours);
    let started = copy.start(PATIENCE).await.unwrap();
    assert_eq!(copy.await_ready(PATIENCE).await.unwrap(), started);
    copy.keep_settings().unwrap();
    copy.configure(&{
        let mut other = small();
        other.insert("work_mem".to_owned(), "5MB".to_owned());
        other
    })
    .await
    .unwrap();
    assert!(copy.fall_back().unwrap(), "its own are");
}
