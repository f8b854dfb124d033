//! What named credentials may do in their databases by the platform's doing.
//!
//! It is granted on what is there, and by default privileges of the owner on what that makes later.
//! What was granted to whom, where and with which owner is recorded in `howdah.permissions` of the
//! database `postgres` by PostgreSQL's numbers: so a renamed role keeps it, and a database or a role
//! that was made anew is seen to be without. The record is begun before the first grant and completed
//! after the last, so that nothing is given that could be forgotten.
//!
//! `GRANT` calls nothing of a tenant's, and what is granted counts as granted by the owner of each
//! thing.

use std::collections::BTreeMap;

use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::permission::Permission;
use tokio_postgres::error::SqlState;

use super::plan::Task;
use super::world::{FoundRole, World};
use super::{Databases, Wanted, exclusively};
use crate::connection::{Connection, SqlError};
use crate::replication;
use crate::sql::literal;

/// Grants and revokes. What is right already is left alone.
const PERMIT: &str = include_str!("permit.sql");

/// Held in a tenant's database by the one session that grants there, so that what a dead
/// predecessor's is still granting cannot mix with what ours takes back. The number spells `permit`.
const LOCK: i64 = 0x7065_726d_6974;

/// Deletes the records of roles and databases that are not there any more.
pub(super) const FORGET: &str = "delete from howdah.permissions p \
     where not exists (select from pg_authid a where a.oid = p.role) \
     or not exists (select from pg_database d where d.oid = p.database)";

/// What was recorded of a role in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// Who owned the database: what that makes later is given as well.
    owner: u32,
    /// What it was given.
    permission: Option<Permission>,
    /// Whether all of it was.
    complete: bool,
}

/// All records, by the numbers of database and role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records(BTreeMap<(u32, u32), Record>);

impl Records {
    pub(super) async fn look(connection: &Connection) -> Result<Self, SqlError> {
        let all = "select database, role, owner, permission, complete from howdah.permissions";
        let rows = match connection.rows(all, &[]).await {
            // It was a standby when its session was opened, of a primary of an older version.
            Err(error) if error.is(&SqlState::UNDEFINED_TABLE) => {
                replication::ensure(connection).await?;
                connection.rows(all, &[]).await?
            }
            rows => rows?,
        };
        let record = |row: &tokio_postgres::Row| {
            let permission = row.get::<_, &str>(3).parse().ok();
            let record = Record { owner: row.get(2), permission, complete: row.get(4) };
            ((row.get(0), row.get(1)), record)
        };
        Ok(Self(rows.iter().map(record).collect()))
    }

    /// What is to be given or taken back, after all else that is planned.
    pub(super) fn tasks(&self, world: &World, wanted: &Wanted) -> Vec<Task> {
        let all = wanted.iter().flat_map(|(name, spec)| named(spec).map(move |one| (name, one)));
        let all = all.filter(|(name, one)| !self.has(world, name, &wanted[*name], one));
        all.map(|(name, one)| task(name, one)).collect()
    }

    /// Whether a credential has just what it shall have.
    fn has(
        &self,
        world: &World,
        name: &DatabaseName,
        spec: &DatabaseSpec,
        credential: &CredentialSpec,
    ) -> bool {
        let record = || {
            let database = world.databases.get(name.as_str())?;
            // Another one is about to take its place.
            database.record.as_ref().filter(|one| one.incarnation >= spec.incarnation)?;
            let role = found(world, credential)?;
            let record = self.0.get(&(database.oid, role.oid))?;
            Some((record, spec.credentials.iter().find(|one| one.role == spec.owner)))
        };
        match record() {
            None => credential.permission == Permission::None,
            Some((record, owner)) => {
                let owner = match owner {
                    Some(owner) => found(world, owner),
                    None => world.roles.get(spec.owner.as_str()),
                };
                record.complete
                    && record.permission == Some(credential.permission)
                    && owner.is_some_and(|owner| owner.oid == record.owner)
            }
        }
    }
}

/// The tasks for a database of which nothing is there.
pub(super) fn of_new_database(name: &DatabaseName, spec: &DatabaseSpec) -> Vec<Task> {
    let some = named(spec).filter(|one| one.permission != Permission::None);
    some.map(|one| task(name, one)).collect()
}

fn named(spec: &DatabaseSpec) -> impl Iterator<Item = &CredentialSpec> {
    let all = spec.credentials.iter();
    all.filter(|one| one.of == CredentialOf::Own && one.role != spec.owner)
}

fn task(name: &DatabaseName, credential: &CredentialSpec) -> Task {
    let (role, permission) = (credential.role.clone(), credential.permission);
    Task::Permit { name: name.clone(), role, permission }
}

/// The role of a credential, also when it is about to get its name.
fn found<'a>(world: &'a World, credential: &CredentialSpec) -> Option<&'a FoundRole> {
    let mut names = std::iter::once(&credential.role).chain(&credential.was);
    names.find_map(|name| world.roles.get(name.as_str()).filter(|role| role.ours))
}

impl Databases {
    /// Lets a role do what it is permitted in a database, and nothing more than that. What it owns
    /// itself stays as it is.
    pub(super) async fn permit(
        &self,
        name: &DatabaseName,
        role: &RoleName,
        permission: Permission,
    ) -> Result<(), SqlError> {
        let (database, of) = (literal(name.as_str()), literal(role.as_str()));
        let begin = format!(
            "{FORGET}; insert into howdah.permissions (role, database, owner, permission, complete) \
             select a.oid, d.oid, d.datdba, '{permission}', false from pg_authid a, pg_database d \
             where a.rolname = {of} and d.datname = {database} \
             on conflict (role, database) do update set owner = excluded.owner, \
             permission = excluded.permission, complete = false"
        );
        self.connection.run(&begin).await?;
        let inside = exclusively(&self.cluster, name.as_str(), LOCK).await?;
        inside.run("set lock_timeout = '1s'").await?;
        let permit = PERMIT.replace("@role@", role.as_str());
        inside.run(&permit.replace("@permission@", permission.into())).await?;
        inside.close().await;
        let whose = format!(
            "role = (select oid from pg_authid where rolname = {of}) \
             and database = (select oid from pg_database where datname = {database})"
        );
        let end = match permission {
            Permission::None => format!("delete from howdah.permissions where {whose}"),
            _ => format!("update howdah.permissions set complete = true where {whose}"),
        };
        self.connection.run(&end).await
    }
}
