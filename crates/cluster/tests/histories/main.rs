//! Copies, standbys and recoveries of running servers, of every installed major.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod copies;
mod recovery;
mod repair;
mod standbys;

use std::path::Path;
use std::time::Duration;

use howdah_cluster::connection::Limits;
use howdah_cluster::copy::Progress;
use howdah_cluster::settings::Settings;
use howdah_cluster::{Cluster, Connection, Copied, Mode, Postmaster, copy_running};
use howdah_model::agent::Installed;
use howdah_testkit::clusters::{Home, small};

const PATIENCE: Duration = Duration::from_secs(60);

async fn session(cluster: &Cluster) -> Connection {
    let session = cluster.connect("postgres", Limits::WORK).await.unwrap();
    session.run("set search_path = public").await.unwrap();
    session
}

async fn run(cluster: &Cluster, sql: &str) {
    session(cluster).await.run(sql).await.unwrap();
}

async fn number(cluster: &Cluster, sql: &str) -> i64 {
    session(cluster).await.rows(sql, &[]).await.unwrap()[0].get(0)
}

/// A copy of a running server, configured and not started.
async fn copied(from: &Cluster, home: &Home, name: &str, settings: &Settings) -> (Cluster, Copied) {
    let to = home.cluster(&from.installed, name);
    let progress = Progress::default();
    let copied = copy_running(from, &to.data, &to.run_as, &progress).await.unwrap();
    assert_eq!(progress.done(), copied.bytes);
    to.configure(settings).await.unwrap();
    (to, copied)
}

async fn start_as(cluster: &Cluster, mode: &Mode) -> Postmaster {
    cluster.start_as(mode, PATIENCE).await.unwrap()
}

/// As by a loss of power, as far as a process can have one.
async fn kill(cluster: &Cluster) {
    let server = cluster.postmaster().unwrap();
    rustix::process::kill_process(server.pid, rustix::process::Signal::KILL).unwrap();
    server.ended(&cluster.data).await.unwrap();
    howdah_cluster::postmaster::clear(&cluster.data).await.unwrap();
}

fn with(more: &[(&str, &str)]) -> Settings {
    let mut settings = small();
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    settings
}

/// A running server with settings beside the usual ones.
async fn running(home: &Home, installed: &Installed, name: &str, more: &[(&str, &str)]) -> Cluster {
    let cluster = home.cluster(installed, name);
    let template = howdah_testkit::clusters::template(installed).await;
    cluster.make(&template).await.unwrap();
    cluster.configure(&with(more)).await.unwrap();
    cluster.start(PATIENCE).await.unwrap();
    cluster
}

/// A command that waits for a file, and not longer than the test's directory is there.
fn until_there(go: &Path) -> String {
    let home = go.parent().unwrap().display();
    format!("until test -f {} || ! test -d {home}; do sleep 0.02; done", go.display())
}
