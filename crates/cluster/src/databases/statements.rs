//! The SQL that makes and repairs roles and databases. Names are checked when they are parsed and
//! need no quoting ([`DatabaseName`], [`RoleName`]); all that comes from elsewhere is quoted.

use std::collections::BTreeSet;

use howdah_model::agent::{CredentialOf, CredentialSpec, DatabaseSpec};
use howdah_model::name::{DatabaseName, RoleName};

use super::world::{FoundDatabase, FoundRole, Record};
use crate::sql::{identifier, literal};

/// The roles that every tenant's role is a member of: for `pgstattuple` (J19).
pub const MEMBER_OF: &[&str] = &["pg_stat_scan_tables"];

/// What is there of a role.
#[derive(Clone, Copy)]
pub enum Have<'a> {
    /// It is not there.
    Nothing,
    /// It is there, and differs.
    Other(&'a FoundRole),
    /// It is as it is wanted.
    All,
}

/// What makes a role of a database as it is wanted. Without a credential it may not log in.
#[must_use]
pub fn role(
    spec: &DatabaseSpec,
    role: &RoleName,
    credential: Option<&CredentialSpec>,
    have: Have<'_>,
) -> Vec<String> {
    let verb = match have {
        Have::All => return Vec::new(),
        Have::Nothing => "create",
        Have::Other(_) => "alter",
    };
    let rights = "nosuperuser nocreatedb nocreaterole noreplication nobypassrls inherit";
    let login = match credential {
        None => "nologin password null connection limit 0".to_owned(),
        Some(CredentialSpec { verifier, connection_limit, .. }) => {
            let verifier = literal(&verifier.to_string());
            format!("login password {verifier} connection limit {connection_limit}")
        }
    };
    let mut all = vec![
        format!("{verb} role {role} {rights} {login} valid until 'infinity'"),
        format!("insert into howdah.roles values ('{role}') on conflict do nothing"),
        format!("grant {} to {role}", MEMBER_OF.join(", ")),
    ];
    if let Have::Other(found) = have {
        all.extend(revoke_memberships(role.as_str(), found, &may_act_for(spec, role)));
    }
    let Some((of, acts_as)) = credential.and_then(|one| Some((one.of, acts_as(spec, one)?))) else {
        return all;
    };
    all.push(format!("grant {acts_as} to {role}"));
    match (of, have) {
        (CredentialOf::Former, Have::Nothing) => all.push(inherit_settings(role, acts_as)),
        (CredentialOf::Former, _) => {}
        _ => all.push(format!("alter role {role} reset all")),
    }
    all.push(format!("alter role {role} set {ACTS_AS} to {acts_as}"));
    all
}

/// The setting by which a login is another role from the first statement on.
pub const ACTS_AS: &str = "role";

/// Who a credential's login is from the first statement on, where that is another role than its own:
/// for a follower the owner, for a former login its successor.
#[must_use]
pub fn acts_as<'a>(spec: &'a DatabaseSpec, credential: &CredentialSpec) -> Option<&'a RoleName> {
    match credential.of {
        CredentialOf::Own => None,
        CredentialOf::Follower => Some(&spec.owner),
        CredentialOf::Former => {
            let mut all = spec.credentials.iter();
            let successor = all.find(|one| one.was.contains(&credential.role))?;
            Some(acts_as(spec, successor).unwrap_or(&successor.role))
        }
    }
}

/// The roles that may act for a role: of the owner, those of followers; of each, its former logins.
#[must_use]
pub fn may_act_for<'a>(spec: &'a DatabaseSpec, role: &RoleName) -> BTreeSet<&'a str> {
    let act = spec.credentials.iter().filter(|one| acts_as(spec, one) == Some(role));
    act.map(|one| one.role.as_str()).collect()
}

/// Gives a new role what another has set for itself (`ALTER ROLE … SET`), as it is stored: the
/// values are a tenant's, and nothing of them takes effect here.
fn inherit_settings(role: &RoleName, from: &RoleName) -> String {
    format!(
        "insert into pg_db_role_setting (setdatabase, setrole, setconfig) \
         select s.setdatabase, n.oid, s.setconfig from pg_db_role_setting s \
         join pg_authid o on o.oid = s.setrole and o.rolname = '{from}', pg_authid n \
         where n.rolname = '{role}'"
    )
}

/// Gives a role of ours another name.
#[must_use]
pub fn rename_role(from: &str, to: &RoleName) -> Vec<String> {
    vec![
        format!("alter role {} rename to {to}", identifier(from)),
        format!("delete from howdah.roles where name = {}", literal(from)),
        format!("insert into howdah.roles values ('{to}') on conflict do nothing"),
    ]
}

/// Takes from a role, whose name is quoted where it needs that, what it is a member of, and from
/// others that they are members of it, but for those that may be. A tenant may have lent its role
/// to another, which PostgreSQL 15 allows.
#[must_use]
pub fn revoke_memberships(role: &str, found: &FoundRole, may: &BTreeSet<&str>) -> Vec<String> {
    let strange = found.member_of.iter().filter(|of| !MEMBER_OF.contains(&of.as_str()));
    let members = found.members.iter().filter(|member| !may.contains(member.as_str()));
    members
        .map(|member| format!("revoke {role} from {}", identifier(member)))
        .chain(strange.map(|of| format!("revoke {} from {role}", identifier(of))))
        .collect()
}

/// Takes back what a tenant has set for its role (`ALTER ROLE … SET`): it outlives the database,
/// and may be what keeps the tenant out of it.
#[must_use]
pub fn forget_settings(role: &RoleName) -> String {
    format!("alter role {role} reset all")
}

/// What gives a complete database `made` its name, in one transaction with the roles before it:
/// who owns it and may enter it, its settings, our record of it. The one that it replaces gets
/// another name in the same moment.
#[must_use]
pub fn exchange(
    made: &str,
    name: &DatabaseName,
    spec: &DatabaseSpec,
    replaced: Option<&str>,
) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(replaced) = replaced {
        all.push(format!("alter database {name} rename to {replaced}"));
    }
    all.push(format!("alter database {made} rename to {name}"));
    all.push(format!("alter database {name} owner to {}", spec.owner));
    all.push(format!("revoke all on database {name} from public"));
    all.extend(grant(name, spec));
    all.extend(spec.settings.iter().map(|(setting, value)| set(name, setting, value)));
    all.push(format!("alter database {name} with allow_connections true"));
    all.push(record(name, spec));
    all
}

/// Our record of a database that has its name.
#[must_use]
pub fn record(name: &DatabaseName, spec: &DatabaseSpec) -> String {
    let settings: Vec<_> = spec.settings.keys().map(|name| literal(name)).collect();
    format!(
        "insert into howdah.databases (oid, name, incarnation, settings) \
         select oid, datname, {}, array[{}]::text[] from pg_database where datname = '{name}' \
         on conflict (name) do update set oid = excluded.oid, \
         incarnation = excluded.incarnation, settings = excluded.settings, made_at = now()",
        spec.incarnation.0,
        settings.join(", ")
    )
}

fn set(name: &DatabaseName, setting: &str, value: &str) -> String {
    // A setting with a dot in its name is written as two identifiers.
    let setting: Vec<_> = setting.split('.').map(identifier).collect();
    format!("alter database {name} set {} to {}", setting.join("."), literal(value))
}

fn grant(name: &DatabaseName, spec: &DatabaseSpec) -> Option<String> {
    let roles: Vec<_> = spec.credentials.iter().map(|c| c.role.as_str()).collect();
    let to = roles.join(", ");
    (!roles.is_empty()).then(|| format!("grant connect, temporary on database {name} to {to}"))
}

/// What puts right a database that is there. Nothing when all is right.
#[must_use]
pub fn repair_database(
    name: &DatabaseName,
    spec: &DatabaseSpec,
    found: &FoundDatabase,
    recorded: &Record,
) -> Vec<String> {
    let mut all = Vec::new();
    if found.owner != spec.owner.as_str() {
        all.push(format!("alter database {name} owner to {}", spec.owner));
    }
    if !found.allows_connections || found.connection_limit != -1 {
        all.push(format!("alter database {name} with allow_connections true connection limit -1"));
    }
    all.extend(repair_privileges(name, spec, found));
    all.extend(repair_settings(name, spec, found, recorded));
    all
}

fn repair_privileges(
    name: &DatabaseName,
    spec: &DatabaseSpec,
    found: &FoundDatabase,
) -> Vec<String> {
    let mut right: BTreeSet<(&str, &str)> = BTreeSet::new();
    for credential in &spec.credentials {
        right.extend([
            (credential.role.as_str(), "CONNECT"),
            (credential.role.as_str(), "TEMPORARY"),
        ]);
    }
    right.extend(["CREATE", "CONNECT", "TEMPORARY"].map(|what| (spec.owner.as_str(), what)));
    let there: BTreeSet<_> =
        found.privileges.iter().map(|(role, what)| (role.as_str(), what.as_str())).collect();
    if there == right {
        return Vec::new();
    }
    let holders: BTreeSet<_> = there.difference(&right).map(|(role, _)| *role).collect();
    let mut all: Vec<_> = holders
        .into_iter()
        .map(|role| if role.is_empty() { "public".to_owned() } else { identifier(role) })
        .map(|role| format!("revoke all on database {name} from {role} cascade"))
        .collect();
    all.push(format!("grant all on database {name} to {}", spec.owner));
    all.extend(grant(name, spec));
    all
}

fn repair_settings(
    name: &DatabaseName,
    spec: &DatabaseSpec,
    found: &FoundDatabase,
    recorded: &Record,
) -> Vec<String> {
    let mut all: Vec<_> = spec
        .settings
        .iter()
        .filter(|(setting, value)| found.settings.get(*setting) != Some(value))
        .map(|(setting, value)| set(name, setting, value))
        .collect();
    // Only what was the platform's is taken back: the tenant may have settings of its own (J31).
    let dropped = recorded.settings.iter().filter(|old| !spec.settings.contains_key(*old));
    for setting in dropped {
        let quoted: Vec<_> = setting.split('.').map(identifier).collect();
        all.push(format!("alter database {name} reset {}", quoted.join(".")));
    }
    if !recorded.settings.iter().eq(spec.settings.keys()) {
        all.push(record(name, spec));
    }
    all
}
