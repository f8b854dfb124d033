//! The database of this server that is copied.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use howdah_cluster::Cluster;
use howdah_cluster::connection::Limits;
use howdah_cluster::logical::role::Purpose;
use howdah_model::agent::{InstanceState, ParticipantSpec, Role as Part};
use howdah_model::ids::ParticipantId;
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::transfer::From;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::job::Job;

/// How long a follower may take until it has the role that its leader has.
const FOLLOWS: Duration = Duration::from_secs(30);

/// How long a server may take to come back.
const RESTARTS: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is read.
    pub(crate) cluster: Cluster,
    /// Where its roles are made: its leader.
    pub(crate) leader: Cluster,
    pub(crate) database: DatabaseName,
    /// All that may own something in it.
    pub(crate) owners: Vec<RoleName>,
}

impl Source {
    pub(crate) fn is_follower(&self) -> bool {
        self.cluster.data != self.leader.data
    }
}

impl Shared {
    /// A participant of this server that answers.
    pub(crate) fn participant(&self, id: ParticipantId) -> Result<(ParticipantSpec, Cluster)> {
        let spec = self.layout.read_spec(id).context("it is not on this server")?;
        let answers = self.board.one(id).is_some_and(|one| {
            matches!(one.instance, InstanceState::Answering | InstanceState::Silent)
        });
        if !answers {
            bail!("its server does not run now; try again when it does");
        }
        let installed = self.installed.iter().find(|one| one.version.major == spec.major);
        let installed =
            installed.with_context(|| format!("PostgreSQL {} is not installed", spec.major))?;
        let cluster = self.layout.cluster(id, installed, &self.run_as);
        Ok((spec, cluster))
    }

    /// The same, when it answers within a time.
    pub(crate) async fn await_participant(
        &self,
        id: ParticipantId,
    ) -> Result<(ParticipantSpec, Cluster)> {
        let deadline = Instant::now() + RESTARTS;
        loop {
            match self.participant(id) {
                Err(_) if self.board.one(id).is_some() && Instant::now() < deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                found => return found,
            }
        }
    }
}

impl Job {
    /// Where the copy comes from, when that is a database of this server.
    pub(crate) async fn source(&self) -> Result<Option<Source>> {
        let From::Database { participant, database, owner } = &self.spec.from else {
            return Ok(None);
        };
        let reach = || format!("cannot read database `{database}`");
        let (spec, cluster) =
            self.shared.await_participant(*participant).await.with_context(reach)?;
        let leader = match spec.role {
            Part::Leader => cluster.clone(),
            Part::Follower => {
                let leader = spec.leader.context("the leader of this follower is elsewhere");
                let leader = leader.with_context(reach)?;
                self.shared.await_participant(leader).await.with_context(reach)?.1
            }
        };
        let credentials = spec.databases.get(database).map(|known| known.credentials.as_slice());
        let others = credentials.unwrap_or_default().iter().map(|one| &one.role);
        let mut owners: Vec<_> = others.chain([owner]).cloned().collect();
        owners.sort_unstable();
        owners.dedup();
        Ok(Some(Source { cluster, leader, database: database.clone(), owners }))
    }

    /// Makes the role that reads, and waits until it is where it is needed.
    pub(crate) async fn make_reader(&self, source: &Source) -> Result<()> {
        let purpose = Purpose::Dump { of: source.owners.clone() };
        self.reader.make(&source.leader, &purpose).await.context("make a role that reads")?;
        let deadline = Instant::now() + FOLLOWS;
        while source.is_follower() && !self.has_reader(&source.cluster).await? {
            if Instant::now() > deadline {
                bail!("the follower is too far behind its leader to be read");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn has_reader(&self, follower: &Cluster) -> Result<bool> {
        let connection = follower.connect("postgres", Limits::LOOK).await?;
        let name = self.reader.name();
        let rows = connection.rows("select from pg_roles where rolname = $1", &[&name]).await?;
        connection.close().await;
        Ok(!rows.is_empty())
    }
}
