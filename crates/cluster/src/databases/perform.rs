//! Carrying out one task. Every statement that is sent is a point where a crash may come.

use std::time::Duration;

use howdah_model::agent::DatabaseSpec;
use howdah_model::ids::TransferId;
use howdah_model::name::DatabaseName;
use tokio_postgres::error::SqlState;

use super::permissions;
use super::plan::{NEW, OLD, Task};
use super::spare::{self, SPARE};
use super::{Databases, Wanted, close_database, drop_database, statements};
use crate::connection::{Limits, SqlError};
use crate::logical::fill;
use crate::sql::{identifier, literal};

/// How long statistics of a database that was restored may take.
const ANALYZE: Duration = Duration::from_secs(15 * 60);

/// What a new database is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// The spare one, which is there.
    Spare,
    /// One that is made now.
    New,
}

impl Databases {
    pub(super) async fn perform(&mut self, task: Task, wanted: &Wanted) -> Result<(), SqlError> {
        match task {
            Task::CleanUp { name } => drop_database(&self.connection, &name).await,
            Task::Drop { name } => {
                drop_database(&self.connection, &name).await?;
                self.forget().await?;
                self.present.retain(|present, _| present.as_str() != name);
                Ok(())
            }
            Task::Forget => self.forget().await,
            Task::DropRole { role } => self.drop_role(&role).await,
            Task::Adopt { name, from, statements } => {
                if from != name.as_str() {
                    // A session in it would block its renaming.
                    close_database(&self.connection, &from).await?;
                }
                self.transaction(statements).await?;
                self.present.retain(|present, _| present.as_str() != from);
                let incarnation = wanted[&name].incarnation;
                self.present.insert(name, incarnation);
                Ok(())
            }
            Task::Missing { name, from } => Err(SqlError::Refused {
                code: SqlState::UNDEFINED_DATABASE,
                message: format!("`{from}`, which `{name}` was to be made of, is not in this data"),
            }),
            Task::Make { name, replaces, roles } => {
                let spec = &wanted[&name];
                self.make(&name, spec, replaces, roles).await?;
                self.present.insert(name, spec.incarnation);
                Ok(())
            }
            Task::Repair { statements, .. } => self.transaction(statements).await,
            Task::Permit { name, role, permission } => self.permit(&name, &role, permission).await,
            Task::Refuse { name } => Err(SqlError::Refused {
                code: SqlState::DUPLICATE_DATABASE,
                message: format!(
                    "a database `{name}` is there that the platform has not made; rename it"
                ),
            }),
        }
    }

    async fn make(
        &mut self,
        name: &DatabaseName,
        spec: &DatabaseSpec,
        replaces: Option<u32>,
        roles: Vec<String>,
    ) -> Result<(), SqlError> {
        let replaced = replaces.map(|oid| format!("{OLD}{oid}"));
        if let Some(transfer) = spec.filled {
            self.take_filled(transfer, name, spec, replaced.as_deref(), roles).await?;
            return match replaced {
                Some(old) => drop_database(&self.connection, &old).await,
                None => Ok(()),
            };
        }
        self.await_renewal().await;
        let mut done = None;
        if self.has_spare().await? {
            done = match self.make_of(Empty::Spare, name, spec, replaced.as_deref(), &roles).await {
                Err(error) if error.leaves_session() => {
                    tracing::warn!("cannot use the spare database for `{name}`: {error}");
                    None
                }
                done => Some(done),
            };
        }
        match done {
            Some(done) => done?,
            None => self.make_of(Empty::New, name, spec, replaced.as_deref(), &roles).await?,
        }
        match replaced {
            Some(old) => drop_database(&self.connection, &old).await,
            None => Ok(()),
        }
    }

    /// Puts the database that a transfer has filled in its place. When that is not there, complete,
    /// nothing changes: an empty one would be taken for what was restored.
    async fn take_filled(
        &mut self,
        transfer: TransferId,
        name: &DatabaseName,
        spec: &DatabaseSpec,
        replaced: Option<&str>,
        roles: Vec<String>,
    ) -> Result<(), SqlError> {
        let filled = fill::name(transfer);
        let complete = "select from howdah.fills f join pg_database d on d.oid = f.oid \
                        where f.transfer = $1 and d.datname = $2 and d.datconnlimit <> -2";
        let known = self.connection.rows(complete, &[&transfer.to_string(), &filled]).await?;
        if known.is_empty() {
            return Err(SqlError::Refused {
                code: SqlState::UNDEFINED_DATABASE,
                message: format!(
                    "the copy of transfer {transfer} that is to take the place of `{name}` is not \
                     there or not complete; nothing was changed"
                ),
            });
        }
        if replaced.is_some() {
            close_database(&self.connection, name.as_str()).await?;
        }
        // A session in it would block its renaming.
        close_database(&self.connection, &filled).await?;
        let mut all = roles;
        all.push(format!("alter database {filled} with is_template false connection limit -1"));
        all.extend(statements::exchange(&filled, name, spec, replaced));
        self.transaction(all).await?;
        self.analyze(name);
        Ok(())
    }

    /// Lets PostgreSQL look at what was restored, beside all else: until then it plans badly.
    fn analyze(&mut self, name: &DatabaseName) {
        while self.analyses.try_join_next().is_some() {}
        let (cluster, name) = (self.cluster.clone(), name.clone());
        self.analyses.spawn(async move {
            let limits = Limits { statement: ANALYZE, ..Limits::WORK };
            let analyzed = match cluster.connect(name.as_str(), limits).await {
                Ok(inside) => inside.run("analyze").await,
                Err(error) => Err(error),
            };
            if let Err(error) = analyzed {
                tracing::warn!("`{name}` is not analyzed yet, PostgreSQL will do it: {error}");
            }
        });
    }

    /// Makes all of a database but the end of the one that it replaces.
    async fn make_of(
        &mut self,
        empty: Empty,
        name: &DatabaseName,
        spec: &DatabaseSpec,
        replaced: Option<&str>,
        roles: &[String],
    ) -> Result<(), SqlError> {
        let aside = format!("{NEW}{}", self.next);
        self.next += 1;
        let mut made = aside.as_str();
        let mut all = roles.to_vec();
        match empty {
            // Nobody can enter it before it is complete: a session in it would block its renaming.
            Empty::New => {
                let create =
                    format!("create database {aside} template template1 allow_connections false");
                self.connection.run(&create).await?;
            }
            Empty::Spare if spec.extensions.is_empty() => {
                made = SPARE;
                all.push(spare::unmark());
            }
            // From here on it is no spare any more: what is in it is one database's.
            Empty::Spare => {
                let take = format!("{}; alter database {SPARE} rename to {aside}", spare::unmark());
                self.connection.run(&take).await?;
            }
        }
        if !spec.extensions.is_empty() {
            self.create_extensions(made, spec).await?;
        }
        if replaced.is_some() {
            close_database(&self.connection, name.as_str()).await?;
        }
        all.extend(statements::exchange(made, name, spec, replaced));
        self.transaction(all).await
    }

    /// Extensions that the platform promised for a new database. They are the platform's own. One
    /// that is not installed here is left out: it would hold the database up for ever.
    async fn create_extensions(&self, made: &str, spec: &DatabaseSpec) -> Result<(), SqlError> {
        let open = format!(
            "revoke all on database {made} from public; \
             alter database {made} with allow_connections true"
        );
        self.connection.run(&open).await?;
        let inside = self.cluster.connect(made, Limits::WORK).await?;
        let rows = inside.rows("select name::text from pg_available_extensions", &[]).await?;
        let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for extension in spec.extensions.iter().filter(|name| there.contains(name)) {
            let extension = identifier(extension);
            let create =
                format!("create extension if not exists {extension} schema public cascade");
            inside.run(&create).await?;
        }
        inside.close().await;
        Ok(())
    }

    async fn transaction(&self, statements: Vec<String>) -> Result<(), SqlError> {
        let done = self.connection.run(&format!("begin; {}; commit", statements.join("; "))).await;
        if done.as_ref().is_err_and(SqlError::leaves_session) {
            self.connection.run("rollback").await?;
        }
        done
    }

    async fn forget(&self) -> Result<(), SqlError> {
        let lost = "delete from howdah.databases k \
             where not exists (select from pg_database d where d.oid = k.oid); \
             delete from howdah.roles k \
             where not exists (select from pg_authid a where a.rolname = k.name)";
        self.connection.run(&format!("{lost}; {}", permissions::FORGET)).await
    }

    /// Ends the role's sessions and drops it. What others let it own goes to the role that it acted
    /// for, else to the owner of the database that it is in; what others let it do ends.
    async fn drop_role(&self, role: &str) -> Result<(), SqlError> {
        let drop = vec![
            format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = {}",
                literal(role)
            ),
            format!("drop role if exists {}", identifier(role)),
            format!("delete from howdah.roles where name = {}", literal(role)),
            permissions::FORGET.to_owned(),
        ];
        match self.transaction(drop.clone()).await {
            Err(error) if error.is(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {}
            done => return done,
        }
        let where_owner = "select d.datname::text, coalesce(\
             (select g.rolname from pg_auth_members m join pg_authid g on g.oid = m.roleid \
              join howdah.roles k on k.name = g.rolname join pg_authid a on a.oid = m.member \
              where a.rolname = $1 and d.datdba <> 10 limit 1), pg_get_userbyid(d.datdba))::text \
             from pg_database d where d.datallowconn and d.datname <> 'template1' and (d.datname \
             = current_database() or d.oid in (select dbid from pg_shdepend s \
             join pg_authid a on a.oid = s.refobjid where a.rolname = $1))";
        for row in self.connection.rows(where_owner, &[&role]).await? {
            let (database, owner): (String, String) = (row.get(0), row.get(1));
            let owner = if owner == role { "current_user".to_owned() } else { identifier(&owner) };
            let inside = self.cluster.connect(&database, Limits::WORK).await?;
            let role = identifier(role);
            inside
                .run(&format!("reassign owned by {role} to {owner}; drop owned by {role}"))
                .await?;
            inside.close().await;
        }
        self.transaction(drop).await
    }
}
