//! What to do, from what is there and what is wanted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec};
use howdah_model::name::{DatabaseName, RoleName};
use howdah_model::permission::Permission;

use super::statements::{self, Have};
use super::world::{FoundDatabase, FoundRole, World};
use super::{Wanted, adopt};

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
    /// Give a database that came with the data its name, its owner and its credentials.
    #[strum(to_string = "adopt database `{from}` as `{name}`")]
    Adopt {
        /// What it shall be called.
        name: DatabaseName,
        /// What it is called.
        from: String,
        /// The statements, carried out in one transaction.
        statements: Vec<String>,
    },
    /// A database that is to be adopted is not there: an empty one must not take its place.
    #[strum(to_string = "adopt database `{from}` as `{name}`")]
    Missing {
        /// What it shall be called.
        name: DatabaseName,
        /// What it was called in the data.
        from: DatabaseName,
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
    /// Let a credential do in its database what it is permitted, and nothing more.
    #[strum(to_string = "set the permission of `{role}` in database `{name}`")]
    Permit {
        /// The database.
        name: DatabaseName,
        /// The credential's role.
        role: RoleName,
        /// What it is permitted.
        permission: Permission,
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
            .flat_map(|(role, credential)| statements::role(spec, role, credential, Have::Nothing))
            .collect();
        Self::Make { name: name.clone(), replaces: None, roles }
    }
}

/// All tasks, in an order in which they can be carried out.
#[must_use]
pub fn plan(world: &World, wanted: &Wanted) -> Vec<Task> {
    let mut adoptions = adopt::adoptions(world, wanted);
    let mut tasks = std::mem::take(&mut adoptions.tasks);
    let wanted_names: BTreeSet<&str> = wanted.keys().map(DatabaseName::as_str).collect();
    for (name, found) in &world.databases {
        let unwanted = || !wanted_names.contains(name.as_str()) && !adoptions.from.contains(name);
        if name.starts_with(NEW) || name.starts_with(OLD) {
            tasks.push(Task::CleanUp { name: name.clone() });
        } else if found.record.is_some() && (is_half_dropped(found) || unwanted()) {
            tasks.push(Task::Drop { name: name.clone() });
        }
    }
    if !world.lost_databases.is_empty() || !world.lost_roles.is_empty() {
        tasks.push(Task::Forget);
    }
    let others = || wanted.iter().filter(|(name, _)| !adoptions.names.contains(*name));
    let renames = renames(world, others().map(|(_, spec)| spec));
    let renamed = (!renames.is_empty()).then(|| world.renamed(&renames));
    let world = renamed.as_ref().unwrap_or(world);
    tasks.extend(others().filter_map(|(name, spec)| one(world, name, spec, &renames)));
    // Last, as what is put right before may still name them.
    let wanted_roles: BTreeSet<&str> =
        wanted.values().flat_map(roles_of).map(|(role, _)| role.as_str()).collect();
    for (role, found) in &world.roles {
        let gone = wanted_roles.contains(role.as_str()) || adoptions.renamed.contains(role);
        if found.ours && !gone {
            tasks.push(Task::DropRole { role: role.clone() });
        }
    }
    tasks.extend(adoptions.aside.into_iter().map(|role| Task::DropRole { role }));
    tasks
}

/// PostgreSQL marks a database so before it removes its files; it can only be dropped then.
pub(super) fn is_half_dropped(found: &FoundDatabase) -> bool {
    found.connection_limit == -2
}

/// The roles that get another name before anything else is done for their databases, by the name
/// that they have.
fn renames<'a>(
    world: &World,
    specs: impl Iterator<Item = &'a DatabaseSpec>,
) -> BTreeMap<String, RoleName> {
    let mut all = BTreeMap::new();
    for credential in specs.flat_map(|spec| &spec.credentials) {
        if world.roles.contains_key(credential.role.as_str()) {
            continue;
        }
        let ours = |was: &&RoleName| world.roles.get(was.as_str()).is_some_and(|role| role.ours);
        if let Some(was) = credential.was.iter().find(ours) {
            all.insert(was.to_string(), credential.role.clone());
        }
    }
    all
}

/// What is to be done for one database. In `world` its roles have their new names already.
fn one(
    world: &World,
    name: &DatabaseName,
    spec: &DatabaseSpec,
    renames: &BTreeMap<String, RoleName>,
) -> Option<Task> {
    let its = |to: &RoleName| spec.credentials.iter().any(|credential| credential.role == *to);
    let renames = renames.iter().filter(|(_, to)| its(to));
    let mut roles: Vec<_> =
        renames.flat_map(|(from, to)| statements::rename_role(from, to)).collect();
    roles.extend(repaired_roles(world, spec, None));
    let name = name.clone();
    let Some(found) = world.databases.get(name.as_str()).filter(|found| !is_half_dropped(found))
    else {
        return Some(Task::Make { name, replaces: None, roles });
    };
    let Some(record) = &found.record else { return Some(Task::Refuse { name }) };
    if record.incarnation < spec.incarnation {
        let mut roles = roles;
        let known = roles_of(spec).into_iter().filter(|(role, credential)| {
            credential.is_none_or(|one| one.of == CredentialOf::Own)
                && world.roles.contains_key(role.as_str())
        });
        roles.extend(known.map(|(role, _)| statements::forget_settings(role)));
        return Some(Task::Make { name, replaces: Some(found.oid), roles });
    }
    let mut statements = roles;
    statements.extend(statements::repair_database(&name, spec, found, record));
    (!statements.is_empty()).then_some(Task::Repair { name, statements })
}

/// What puts the roles of a database right, but for one that is seen to elsewhere.
pub(super) fn repaired_roles(
    world: &World,
    spec: &DatabaseSpec,
    but: Option<&RoleName>,
) -> Vec<String> {
    let mut all = Vec::new();
    for (role, credential) in roles_of(spec).into_iter().filter(|(role, _)| Some(*role) != but) {
        let have = match world.roles.get(role.as_str()) {
            None => Have::Nothing,
            Some(found) if is_right(found, spec, role, credential) => Have::All,
            Some(found) => Have::Other(found),
        };
        all.extend(statements::role(spec, role, credential, have));
    }
    all
}

/// The roles of a database: the owner, first, although it may not log in; and those that do.
pub(super) fn roles_of(spec: &DatabaseSpec) -> Vec<(&RoleName, Option<&CredentialSpec>)> {
    let of_owner = spec.credentials.iter().find(|credential| credential.role == spec.owner);
    let others = spec.credentials.iter().filter(|credential| credential.role != spec.owner);
    let others = others.map(|credential| (&credential.role, Some(credential)));
    std::iter::once((&spec.owner, of_owner)).chain(others).collect()
}

fn is_right(
    found: &FoundRole,
    spec: &DatabaseSpec,
    role: &RoleName,
    wanted: Option<&CredentialSpec>,
) -> bool {
    let may_log_in = match wanted {
        None => !found.can_log_in,
        Some(credential) => {
            found.can_log_in
                && i64::from(found.connection_limit) == i64::from(credential.connection_limit)
                && found.verifier.as_deref() == Some(credential.verifier.to_string().as_str())
        }
    };
    let mut member_of: BTreeSet<&str> = statements::MEMBER_OF.iter().copied().collect();
    let mut has_settings = true;
    if let Some((credential, acts_as)) =
        wanted.and_then(|one| Some((one, statements::acts_as(spec, one)?)))
    {
        member_of.insert(acts_as.as_str());
        let acts = found.settings.get(statements::ACTS_AS).map(String::as_str);
        // A former login has what its user has set as well.
        let alone = credential.of == CredentialOf::Former || found.settings.len() == 1;
        has_settings = alone && acts == Some(acts_as.as_str());
    }
    let members = statements::may_act_for(spec, role);
    may_log_in
        && found.ours
        && !found.strange
        && has_settings
        && found.members.iter().map(String::as_str).eq(members)
        && found.member_of.iter().map(String::as_str).eq(member_of)
}
