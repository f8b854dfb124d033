//! Bringing the roles and databases of a running cluster to what a spec wants.
//!
//! What is there is read in one look ([`world`]), what to do about it is decided purely ([`plan`])
//! and each task is carried out by itself ([`perform`]), so that what is wrong with one database
//! never holds up another. A database is made aside and gets its name in the transaction that also
//! records it in `howdah.databases` of the database `postgres`; so after a crash between any two
//! statements the next look tells what is complete, and what is left over.

mod adopt;
pub mod perform;
mod permissions;
pub mod plan;
pub mod spare;
pub mod statements;
pub mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_model::agent::{DatabaseSpec, Incarnation, Installed};
use howdah_model::name::DatabaseName;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::connection::{Connection, Limits, SqlError};
use crate::sql::{identifier, literal};
use crate::{Cluster, replication, settings};
use permissions::Records;
use plan::Task;
use world::World;

/// The databases that a spec wants, by name.
pub type Wanted = BTreeMap<DatabaseName, DatabaseSpec>;

/// How much is looked at before something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What was done before is believed: for a changed spec.
    Differences,
    /// Everything is read: for the first time, and now and then, as tenants can change things.
    Everything,
}

/// What a convergence came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The wanted and unwanted databases of ours that are there now.
    pub present: BTreeMap<DatabaseName, Incarnation>,
    /// What did not succeed, for people; each names its database or role.
    pub errors: Vec<String>,
    /// How many tasks were carried out. None when all was as it is wanted.
    pub tasks: usize,
}

/// A spec that no cluster can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpec {
    /// The name belongs to PostgreSQL or the platform.
    #[error("`{0}` is a reserved name")]
    Reserved(String),
    /// Two databases would have the same role.
    #[error("role `{0}` is in more than one database")]
    SharedRole(String),
}

/// Whether a spec's names are ones that a cluster can have.
///
/// # Errors
/// See [`BadSpec`].
pub fn check(wanted: &Wanted) -> Result<(), BadSpec> {
    let mut roles = BTreeMap::new();
    for (name, spec) in wanted {
        let text = name.as_str();
        if ["postgres", "template0", "template1"].contains(&text) || text.starts_with("howdah") {
            return Err(BadSpec::Reserved(text.to_owned()));
        }
        for role in spec.credentials.iter().map(|c| &c.role).chain([&spec.owner]) {
            let text = role.as_str();
            let ours = text == settings::PLATFORM_ROLE || text.starts_with("howdah_");
            if ours || text == "public" || text.starts_with("pg_") {
                return Err(BadSpec::Reserved(text.to_owned()));
            }
            if roles.insert(role, name).is_some_and(|other| other != name) {
                return Err(BadSpec::SharedRole(text.to_owned()));
            }
        }
    }
    Ok(())
}

/// The databases of one running server, and the session that works on them.
#[derive(Debug)]
pub struct Databases {
    cluster: Cluster,
    connection: Connection,
    /// What is known to be there as it is wanted; `None` after something went wrong.
    applied: Option<Wanted>,
    present: BTreeMap<DatabaseName, Incarnation>,
    /// Number of the next database that is made aside.
    next: u32,
    /// The making of a spare database, in a session of its own.
    renewal: JoinSet<Result<(), SqlError>>,
    /// Statistics of what was restored, each in a session of its own.
    analyses: JoinSet<()>,
}

/// Held by the one session that changes databases, so that what a dead predecessor's session is
/// still doing cannot mix with ours. The number spells `howdah`.
const LOCK: i64 = 0x686f_7764_6168;

impl Databases {
    /// Opens the session. Another one that does the same work is ended. A primary that was made by
    /// an older version gets what the platform needs in it now.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn open(cluster: &Cluster) -> Result<Self, SqlError> {
        let connection = exclusively(cluster, "postgres", LOCK).await?;
        replication::ensure(&connection).await?;
        Ok(Self {
            cluster: cluster.clone(),
            connection,
            applied: None,
            present: BTreeMap::new(),
            next: 1,
            renewal: JoinSet::new(),
            analyses: JoinSet::new(),
        })
    }

    /// The session, for short questions to the same server.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The databases of ours that are there, by one look: all that can be done on a standby, where
    /// databases come by replication.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn present(&mut self) -> Result<BTreeMap<DatabaseName, Incarnation>, SqlError> {
        self.applied = None;
        self.present = World::look(&self.connection).await?.present();
        Ok(self.present.clone())
    }

    /// Brings roles and databases to what is wanted. What can be done is done, also when something
    /// else cannot.
    ///
    /// # Errors
    /// When the session was lost, and nothing can be done with this any more.
    pub async fn converge(&mut self, wanted: &Wanted, look: Look) -> Result<Report, SqlError> {
        let wanted = as_offered(&self.cluster.installed, wanted);
        let tasks = match self.only_new(&wanted, look) {
            Some(tasks) => tasks,
            None => {
                let world = World::look(&self.connection).await?;
                self.present = world.present();
                let permissions = Records::look(&self.connection).await?;
                let mut tasks = plan::plan(&world, &wanted);
                tasks.extend(permissions.tasks(&world, &wanted));
                tasks
            }
        };
        self.applied = None;
        let mut errors = Vec::new();
        let count = tasks.len();
        for task in tasks {
            let what = task.to_string();
            match self.perform(task, &wanted).await {
                Ok(()) => {}
                Err(error) if error.leaves_session() => errors.push(format!("{what}: {error}")),
                Err(error) => return Err(error),
            }
        }
        if errors.is_empty() {
            self.applied = Some(wanted);
        }
        Ok(Report { present: self.present.clone(), errors, tasks: count })
    }

    /// Begins to make a spare database when there is none that is fit. It goes on beside what else
    /// is done, and ends with this.
    ///
    /// # Errors
    /// That of the last one that was begun, if it did not succeed; see [`SqlError`].
    pub async fn renew_spare(&mut self) -> Result<(), SqlError> {
        let last = self.renewal.try_join_next().map_or(Ok(()), outcome);
        if self.renewal.is_empty() && !self.has_spare().await? {
            let cluster = self.cluster.clone();
            self.renewal.spawn(async move { spare::renew(&cluster).await });
        }
        last
    }

    /// Whether there is a spare database that can be taken now.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn has_spare(&self) -> Result<bool, SqlError> {
        spare::is_fit(&self.connection, &self.cluster.installed).await
    }

    /// A spare that is being made is there sooner than another database that is begun now.
    async fn await_renewal(&mut self) {
        if self.renewal.is_empty() {
            return;
        }
        if let Ok(Some(renewed)) = timeout(RENEWAL, self.renewal.join_next()).await
            && let Err(error) = outcome(renewed)
        {
            tracing::debug!("no spare database: {error}");
        }
    }

    /// The tasks when all that differs from what is known to be there is new databases. This is
    /// what makes a new database among hundreds cost no look at the others.
    fn only_new(&self, wanted: &Wanted, look: Look) -> Option<Vec<Task>> {
        let applied = self.applied.as_ref().filter(|_| look == Look::Differences)?;
        let kept = applied.iter().all(|(name, spec)| wanted.get(name) == Some(spec));
        let new = || wanted.iter().filter(|(name, _)| !applied.contains_key(name));
        let all_new = new().all(|(_, spec)| spec.adopts.is_none());
        let tasks = |(name, spec)| {
            std::iter::once(Task::new_database(name, spec))
                .chain(permissions::of_new_database(name, spec))
        };
        (kept && all_new).then(|| new().flat_map(tasks).collect())
    }
}

/// How long a new database waits for the spare that is being made.
const RENEWAL: Duration = Duration::from_millis(500);

fn outcome(renewed: Result<Result<(), SqlError>, tokio::task::JoinError>) -> Result<(), SqlError> {
    renewed.unwrap_or_else(|panic| Err(SqlError::Lost(panic.to_string())))
}

/// Opens the only session in a database that holds a lock. Another one that does is ended.
async fn exclusively(cluster: &Cluster, database: &str, lock: i64) -> Result<Connection, SqlError> {
    let connection = cluster.connect(database, Limits::WORK).await?;
    let end_others = format!(
        "select pg_terminate_backend(pid, 3000) from pg_locks \
         where locktype = 'advisory' and granted and pid <> pg_backend_pid() \
         and database = (select oid from pg_database where datname = current_database()) \
         and (classid::bigint << 32 | objid::bigint) = {lock}"
    );
    connection.run(&end_others).await?;
    connection.run(&format!("select pg_advisory_lock({lock})")).await?;
    Ok(connection)
}

pub(crate) async fn drop_database(connection: &Connection, name: &str) -> Result<(), SqlError> {
    let quoted = identifier(name);
    let drop = format!("drop database if exists {quoted} with (force)");
    // Files go before the drop is committed. After a commit of its own, a recovery to the moment
    // before ends at that one, and has the database whole.
    connection.run("select pg_current_xact_id()").await?;
    match connection.run(&drop).await {
        // Its owner has made it a template, which cannot be dropped, and may do so again.
        Err(error) if error.is(&SqlState::WRONG_OBJECT_TYPE) => {}
        done => return done,
    }
    close_database(connection, name).await?;
    let ordinary = format!("alter database {quoted} with is_template false");
    connection.run(&ordinary).await?;
    connection.run(&drop).await
}

/// Lets no session into a database and ends those that are in it.
pub(crate) async fn close_database(connection: &Connection, name: &str) -> Result<(), SqlError> {
    let close = format!("alter database {} with allow_connections false", identifier(name));
    connection.run(&close).await?;
    let end = format!(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
         where datname = {} and pid <> pg_backend_pid()",
        literal(name)
    );
    connection.run(&end).await
}

fn as_offered(installed: &Installed, wanted: &Wanted) -> Wanted {
    let mut wanted = wanted.clone();
    for spec in wanted.values_mut() {
        for (name, value) in &mut spec.settings {
            *value = settings::offered(installed, name, value);
        }
    }
    wanted
}
