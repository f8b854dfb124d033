//! Databases that come with the data that a cluster was made from: they get the names, the owner
//! and the credentials that the spec wants, and nobody else gets in any more. Pure.
//!
//! The owner is renamed rather than replaced, so that it stays the owner of all that is in the
//! database. A follower's login, which has the name that the owner shall have, makes room.

use std::collections::BTreeSet;

use howdah_model::agent::DatabaseSpec;
use howdah_model::name::DatabaseName;

use super::plan::{OLD, Task, is_half_dropped, repaired_roles, roles_of};
use super::statements;
use super::world::{FoundDatabase, FoundRole, Record, World};
use super::{Wanted, statements::Have};
use crate::sql::{identifier, literal};

/// What the adoptions that are still to be made come to.
#[derive(Default)]
pub(super) struct Adoptions {
    /// One for each; before all else.
    pub(super) tasks: Vec<Task>,
    /// What the databases are called now: they are not unwanted.
    pub(super) from: BTreeSet<String>,
    /// What the databases will be called.
    pub(super) names: BTreeSet<DatabaseName>,
    /// Roles that have another name afterwards.
    pub(super) renamed: BTreeSet<String>,
    /// Roles that are there afterwards and not wanted.
    pub(super) aside: Vec<String>,
}

/// What stands for an adoption.
enum Stand<'a> {
    /// It is to be made of this one.
    Pending(&'a String, &'a FoundDatabase, &'a Record),
    /// It was made, or is none.
    Done,
    /// What it is to be made of is not there.
    Missing(&'a DatabaseName),
}

pub(super) fn adoptions(world: &World, wanted: &Wanted) -> Adoptions {
    let mut all = Adoptions::default();
    let roles: BTreeSet<&str> =
        wanted.values().flat_map(roles_of).map(|(role, _)| role.as_str()).collect();
    for (name, spec) in wanted {
        match stand(world, &roles, name, spec) {
            Stand::Done => {}
            Stand::Missing(from) => {
                all.names.insert(name.clone());
                all.tasks.push(Task::Missing { name: name.clone(), from: from.clone() });
            }
            Stand::Pending(from, found, record) => {
                let adoption = Adoption { world, roles: &roles, name, spec, from, found };
                all.names.insert(name.clone());
                all.from.insert(from.clone());
                all.renamed.extend(adoption.heir().map(|_| found.owner.clone()));
                all.aside.extend(adoption.aside());
                let statements = adoption.statements(record);
                let (name, from) = (name.clone(), from.clone());
                all.tasks.push(Task::Adopt { name, from, statements });
            }
        }
    }
    all
}

fn stand<'a>(
    world: &'a World,
    roles: &BTreeSet<&str>,
    name: &DatabaseName,
    spec: &'a DatabaseSpec,
) -> Stand<'a> {
    let Some(from) = &spec.adopts else { return Stand::Done };
    let ours = |wanted: &DatabaseName| {
        let (name, found) = world.databases.get_key_value(wanted.as_str())?;
        let record = found.record.as_ref().filter(|_| !is_half_dropped(found))?;
        Some((name, found, record))
    };
    let there = world.databases.get(name.as_str()).is_some_and(|found| !is_half_dropped(found));
    match (ours(from), there) {
        // Also when it is someone else's, which is told then as of every other database.
        (_, true) if from != name => Stand::Done,
        (Some((from, found, record)), _) if from != name.as_str() => {
            Stand::Pending(from, found, record)
        }
        // Only the owner is another. An owner that has a credential still has been succeeded.
        (Some((from, found, record)), _)
            if found.owner != spec.owner.as_str()
                && !roles.contains(found.owner.as_str())
                && world.roles.get(&found.owner).is_some_and(|role| role.ours) =>
        {
            Stand::Pending(from, found, record)
        }
        (Some(_), _) | (None, true) => Stand::Done,
        (None, false) => Stand::Missing(from),
    }
}

/// One adoption that is to be made.
struct Adoption<'a> {
    world: &'a World,
    /// All roles that are wanted.
    roles: &'a BTreeSet<&'a str>,
    name: &'a DatabaseName,
    spec: &'a DatabaseSpec,
    from: &'a String,
    found: &'a FoundDatabase,
}

impl Adoption<'_> {
    /// The owner that gets the name of the wanted one.
    fn heir(&self) -> Option<&FoundRole> {
        let owner = self.found.owner.as_str();
        let role = self.world.roles.get(owner).filter(|role| role.ours)?;
        (owner != self.spec.owner.as_str() && !self.roles.contains(owner)).then_some(role)
    }

    /// The name of the role that has to make room for the owner: a follower's login.
    fn aside(&self) -> Option<String> {
        self.heir()?;
        let there = self.world.roles.get(self.spec.owner.as_str()).filter(|role| role.ours)?;
        Some(format!("{OLD}{}", there.oid))
    }

    /// All of it, for one transaction.
    fn statements(&self, record: &Record) -> Vec<String> {
        let (name, oid) = (self.name, self.found.oid);
        let mut all = Vec::new();
        if self.from != name.as_str() {
            all.push(format!("alter database {} rename to {name}", identifier(self.from)));
        }
        all.extend(self.owner());
        all.extend(self.others());
        all.push(format!(
            "delete from howdah.databases where oid = {oid} or name = {}",
            literal(name.as_str())
        ));
        all.push(format!("alter database {name} with is_template false"));
        all.extend(statements::repair_database(name, self.spec, &self.as_renamed(), record));
        all.push(statements::record(name, self.spec));
        all
    }

    /// The owner gets its name, its password and its limit; nobody can act for it any more.
    fn owner(&self) -> Vec<String> {
        let (old, new) = (identifier(&self.found.owner), &self.spec.owner);
        let Some(heir) = self.heir() else { return Vec::new() };
        let mut all = statements::revoke_memberships(&old, heir, &BTreeSet::new());
        if let Some(aside) = self.aside() {
            all.push(format!("alter role {new} rename to {aside}"));
            all.push(format!("alter role {aside} nologin password null"));
            all.push(format!("update howdah.roles set name = '{aside}' where name = '{new}'"));
        }
        all.push(format!("alter role {old} rename to {new}"));
        let forget = literal(&self.found.owner);
        all.push(format!("delete from howdah.roles where name = {forget}"));
        let is_new = self.spec.credentials.iter().find(|one| one.role == *new);
        let bare = FoundRole { members: BTreeSet::new(), ..heir.clone() };
        all.extend(statements::role(self.spec, new, is_new, Have::Other(&bare)));
        all
    }

    /// The other roles of the spec; and whoever else could log in to what this is a copy of.
    fn others(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.heir().is_none() {
            all.extend(repaired_roles(self.world, self.spec, None));
        } else {
            all.extend(repaired_roles(self.world, self.spec, Some(&self.spec.owner)));
        }
        for (role, found) in &self.world.roles {
            let unwanted = !self.roles.contains(role.as_str()) && *role != self.found.owner;
            if found.ours && found.can_log_in && unwanted {
                all.push(format!("alter role {} nologin password null", identifier(role)));
            }
        }
        all
    }

    /// The database as it is once the roles have their new names.
    fn as_renamed(&self) -> FoundDatabase {
        let renamed = |role: &String| match self.aside() {
            _ if self.heir().is_none() => role.clone(),
            Some(aside) if role == self.spec.owner.as_str() => aside,
            _ if *role == self.found.owner => self.spec.owner.to_string(),
            _ => role.clone(),
        };
        let was_closed = self.from != self.name.as_str();
        FoundDatabase {
            owner: renamed(&self.found.owner),
            allows_connections: self.found.allows_connections && !was_closed,
            privileges: self
                .found
                .privileges
                .iter()
                .map(|(role, what)| (renamed(role), what.clone()))
                .collect(),
            ..self.found.clone()
        }
    }
}
