//! The platform's own PostgreSQL: its state lives in a cluster that is made by the code that makes
//! every other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_cluster::settings::Settings;
use howdah_cluster::{Cluster, RunAs, StopMode};
use howdah_model::agent::Installed;
use howdah_model::version::Major;
use howdah_store::ConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::home::Home;

/// How long it may take to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster, with where it lies.
#[derive(Clone, Debug)]
pub(crate) struct System {
    home: Home,
    cluster: Cluster,
}

impl System {
    /// The cluster of a home: of the version that it has, or of the newest for a new one.
    pub(crate) fn new(home: &Home, installed: &[Installed], run_as: &RunAs) -> Result<Self> {
        let data = home.join("system/data");
        let has: Option<Major> = std::fs::read_to_string(data.join("PG_VERSION"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let program = match has {
            Some(major) => installed.iter().find(|one| one.version.major == major),
            None => installed.iter().max_by_key(|one| one.version),
        };
        let Some(program) = program else {
            match has {
                Some(major) => bail!(
                    "the platform's state needs PostgreSQL {major}, which is not installed\n\
                     Install it, or name its bin directory in HOWDAH_PG_BINDIRS"
                ),
                None => bail!("no PostgreSQL is installed"),
            }
        };
        Ok(Self { home: home.clone(), cluster: cluster(home, program.clone(), run_as.clone()) })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.cluster.postmaster().is_some()
    }

    /// Makes and starts it as far as needed; how to reach the platform's database in it.
    pub(crate) async fn start(&self) -> Result<ConnectOptions> {
        let database = "howdah".parse().context("name the platform's database")?;
        let reach = self
            .cluster
            .ensure_running(&self.home.join("templates"), &settings(), &database)
            .await
            .context("start the platform's own PostgreSQL")?;
        Ok(ConnectOptions::new_without_pgpass()
            .socket(&reach.socket_dir)
            .port(reach.port)
            .username(&reach.user)
            .database(&reach.database))
    }

    /// Starts it again whenever it ends, until the platform stops.
    pub(crate) async fn keep(self, stop: CancellationToken) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        loop {
            if let Some(postmaster) = self.cluster.postmaster() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    ended = postmaster.ended(&self.cluster.data) => ended?,
                }
                tracing::error!("the platform's own PostgreSQL ended; it is started again");
            }
            match self.start().await {
                Ok(_) => pause = Duration::from_millis(100),
                Err(error) => tracing::error!("start the platform's own PostgreSQL: {error:#}"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
            }
        }
    }

    /// Stops the cluster of a home, if it runs.
    pub(crate) async fn stop(home: &Home) -> Result<()> {
        let data = home.join("system/data");
        howdah_cluster::postmaster::stop(&data, StopMode::Fast, PATIENCE)
            .await
            .context("stop the platform's own PostgreSQL")
    }
}

fn cluster(home: &Home, installed: Installed, run_as: RunAs) -> Cluster {
    Cluster {
        data: home.join("system/data"),
        socket_dir: home.join("system/s"),
        log: home.join("system/log"),
        installed,
        run_as,
    }
}

/// Small: the platform's state is a few megabytes.
fn settings() -> Settings {
    [
        ("max_connections", "50"),
        ("shared_buffers", "32MB"),
        ("max_wal_size", "256MB"),
        ("autovacuum_naptime", "30s"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
