//! What to do, from what is there and what is wanted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use howdah_model::agent::{CredentialSpec, DatabaseSpec};
use howdah_model::name::{DatabaseName, RoleName};

use super::Wanted;
use super::statements::{self, Have};
use super::world::{FoundDatabase, FoundRole, World};

/// What a database is called while it is being made.
pub const NEW: &str = "howdah_new_";
/// What a database is called that a reset has replaced.
pub const OLD: &str = "howdah_old_";

/// One thing to do. Each may be done twice, and be interrupted anywhere.
#[derive(Clone, PartialEq, Eq, strum::Display)]
pub enum Task {
    /// Drop what an interrupted creation or reset has left.
    #[strum(to_string = "clean up `{name}`")]
    CleanUp {
        /// The database.
        name: String,
    },
    /// Drop a database that is not wanted any more.
    #[strum(to_string = "drop database `{name}`")]
    Drop {
        /// The database.
        name: String,
    },
    /// Delete the records of databases and roles that are not there any more.
    #[strum(to_string = "delete records of what is gone")]
    Forget,
    /// Drop a role that is not wanted any more.
    #[strum(to_string = "drop role `{role}`")]
    DropRole {
        /// The role.
        role: String,
    },
    /// Make a database, with its roles; instead of the one of that name that is there, if any.
    #[strum(to_string = "make database `{name}`")]
    Make {
        /// The database.
        name: DatabaseName,
        /// The one that it replaces.
        replaces: Option<u32>,
        /// The roles, as statements.
        roles: Vec<String>,
    },
    /// Put right what differs from the spec.
    #[strum(to_string = "put right database `{name}`")]
    Repair {
        /// The database.
        name: DatabaseName,
        /// The statements, carried out in one transaction.
        statements: Vec<String>,
    },
    /// A database of someone else has the name.
    #[strum(to_string = "make database `{name}`")]
    Refuse {
        /// The database.
        name: DatabaseName,
    },
}

impl Task {
    /// The task for a database of which nothing is there, and none of its roles.
    #[must_use]
    pub fn new_database(name: &DatabaseName, spec: &DatabaseSpec) -> Self {
        let roles = roles_of(spec)
            .into_iter()
            .flat_map(|(role, credential)| statements::role(role, credential, Have::Nothing))
            .collect();
        Self::Make { name: name.clone(), replaces: None, roles }
    }
}

/// All tasks, in an order in which they can be carried out.
#[must_use]
pub fn plan(world: &World, wanted: &Wanted) -> Vec<Task> {
    let mut tasks = Vec::new();
    let wanted_names: BTreeSet<&str> = wanted.keys().map(DatabaseName::as_str).collect();
    for (name, found) in &world.databases {
        let unwanted = || !wanted_names.contains(name.as_str());
        if name.starts_with(NEW) || name.starts_with(OLD) {
            tasks.push(Task::CleanUp { name: name.clone() });
        } else if found.record.is_some() && (is_half_dropped(found) || unwanted()) {
            tasks.push(Task::Drop { name: name.clone() });
        }
    }
    if !world.lost_databases.is_empty() || !world.lost_roles.is_empty() {
        tasks.push(Task::Forget);
    }
    tasks.extend(wanted.iter().filter_map(|(name, spec)| one(world, name, spec)));
    // Last, as what is put right before may still name them.
    let wanted_roles: BTreeSet<&str> =
        wanted.values().flat_map(roles_of).map(|(role, _)| role.as_str()).collect();
    for (role, found) in &world.roles {
        if found.ours && !wanted_roles.contains(role.as_str()) {
            tasks.push(Task::DropRole { role: role.clone() });
        }
    }
    tasks
}

/// PostgreSQL marks a database so before it removes its files; it can only be dropped then.
fn is_half_dropped(found: &FoundDatabase) -> bool {
    found.connection_limit == -2
}

fn one(world: &World, name: &DatabaseName, spec: &DatabaseSpec) -> Option<Task> {
    let roles = repaired_roles(world, spec);
    let name = name.clone();
    let Some(found) = world.databases.get(name.as_str()).filter(|found| !is_half_dropped(found))
    else {
        return Some(Task::Make { name, replaces: None, roles });
    };
    let Some(record) = &found.record else { return Some(Task::Refuse { name }) };
    if record.incarnation < spec.incarnation {
        let mut roles = roles;
        let known =
            roles_of(spec).into_keys().filter(|role| world.roles.contains_key(role.as_str()));
        roles.extend(known.map(statements::forget_settings));
        return Some(Task::Make { name, replaces: Some(found.oid), roles });
    }
    let mut statements = roles;
    statements.extend(statements::repair_database(&name, spec, found, record));
    (!statements.is_empty()).then_some(Task::Repair { name, statements })
}

fn repaired_roles(world: &World, spec: &DatabaseSpec) -> Vec<String> {
    let mut all = Vec::new();
    for (role, credential) in roles_of(spec) {
        let have = match world.roles.get(role.as_str()) {
            None => Have::Nothing,
            Some(found) if is_right(found, credential) => Have::All,
            Some(found) => Have::Other(found),
        };
        all.extend(statements::role(role, credential, have));
    }
    all
}

/// The roles of a database: those that log in, and the owner although it may not.
fn roles_of(spec: &DatabaseSpec) -> BTreeMap<&RoleName, Option<&CredentialSpec>> {
    let mut roles = BTreeMap::from([(&spec.owner, None)]);
    roles.extend(spec.credentials.iter().map(|credential| (&credential.role, Some(credential))));
    roles
}

fn is_right(found: &FoundRole, wanted: Option<&CredentialSpec>) -> bool {
    let may_log_in = match wanted {
        None => !found.can_log_in,
        Some(credential) => {
            found.can_log_in
                && i64::from(found.connection_limit) == i64::from(credential.connection_limit)
                && found.verifier.as_deref() == Some(credential.verifier.to_string().as_str())
        }
    };
    may_log_in
        && found.ours
        && !found.strange
        && found.members.is_empty()
        && found.member_of.iter().map(String::as_str).eq(statements::MEMBER_OF.iter().copied())
}
