//! What is there: all roles and databases of a server, read in one look.

use std::collections::{BTreeMap, BTreeSet};

use howdah_model::agent::Incarnation;
use howdah_model::name::{DatabaseName, RoleName};
use tokio_postgres::Row;

use crate::connection::{Connection, SqlError};

/// A database that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDatabase {
    /// PostgreSQL's number of it.
    pub oid: u32,
    /// Its owner.
    pub owner: String,
    /// Whether sessions can be opened in it.
    pub allows_connections: bool,
    /// -1 for none; -2 when dropping it was interrupted.
    pub connection_limit: i32,
    /// Who may do what: `(role, privilege)`, with an empty role for everybody.
    pub privileges: BTreeSet<(String, String)>,
    /// What `ALTER DATABASE … SET` has set.
    pub settings: BTreeMap<String, String>,
    /// Our record of it, if we made it.
    pub record: Option<Record>,
}

/// What we recorded of a database when we made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// Names of the settings that are the platform's and not the tenant's.
    pub settings: BTreeSet<String>,
}

/// A role that is there.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundRole {
    /// PostgreSQL's number of it.
    pub oid: u32,
    /// Whether we made it.
    pub ours: bool,
    /// Whether it may log in.
    pub can_log_in: bool,
    /// Whether it has a right that no tenant has, or an end of validity.
    pub strange: bool,
    /// The most sessions; -1 for no limit.
    pub connection_limit: i32,
    /// The verifier of its password.
    pub verifier: Option<String>,
    /// The roles that it is a member of.
    pub member_of: BTreeSet<String>,
    /// The roles that are members of it.
    pub members: BTreeSet<String>,
    /// What `ALTER ROLE … SET` has set, in all databases.
    pub settings: BTreeMap<String, String>,
}

/// All roles and databases of a server but PostgreSQL's own and the platform's.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct World {
    /// By name.
    pub databases: BTreeMap<String, FoundDatabase>,
    /// By name.
    pub roles: BTreeMap<String, FoundRole>,
    /// Names of databases that are recorded and not there any more.
    pub lost_databases: Vec<String>,
    /// Names of roles that are recorded and not there any more.
    pub lost_roles: Vec<String>,
}

const DATABASES: &str = "\
select d.oid, d.datname::text, r.rolname::text as owner, d.datallowconn, d.datconnlimit, \
       k.incarnation, k.settings as recorded, \
       array(select coalesce(g.rolname::text, '') || ':' || a.privilege_type \
             from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
             left join pg_roles g on g.oid = a.grantee) as privileges, \
       coalesce(s.setconfig, '{}') as settings \
from pg_database d join pg_roles r on r.oid = d.datdba \
left join howdah.databases k on k.oid = d.oid \
left join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0 \
where d.datname not in ('postgres', 'template0', 'template1')";

const ROLES: &str = "\
select a.rolname::text, a.oid, k.name is not null as ours, a.rolcanlogin, a.rolconnlimit, a.rolpassword, \
       a.rolsuper or a.rolcreatedb or a.rolcreaterole or a.rolreplication or a.rolbypassrls \
       or not a.rolinherit or a.rolvaliduntil < 'infinity' is true as strange, \
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid \
             where m.member = a.oid) as member_of, \
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.member \
             where m.roleid = a.oid and not starts_with(g.rolname, 'howdah_transfer_')) as members, \
       coalesce(s.setconfig, '{}') as settings \
from pg_authid a left join howdah.roles k on k.name = a.rolname \
left join pg_db_role_setting s on s.setdatabase = 0 and s.setrole = a.oid \
where a.rolname !~ '^pg_' and a.rolname <> current_user";

const LOST_DATABASES: &str = "\
select name from howdah.databases k where not exists (select from pg_database d where d.oid = k.oid)";

const LOST_ROLES: &str = "\
select name from howdah.roles k where not exists (select from pg_authid a where a.rolname = k.name)";

impl World {
    /// Reads everything.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn look(connection: &Connection) -> Result<Self, SqlError> {
        let databases = connection.rows(DATABASES, &[]).await?;
        let roles = connection.rows(ROLES, &[]).await?;
        let names = |rows: Vec<Row>| rows.iter().map(|row| row.get(0)).collect();
        Ok(Self {
            databases: databases.iter().map(database).collect(),
            roles: roles.iter().map(role).collect(),
            lost_databases: names(connection.rows(LOST_DATABASES, &[]).await?),
            lost_roles: names(connection.rows(LOST_ROLES, &[]).await?),
        })
    }

    /// All as it will be when some roles have other names.
    #[must_use]
    pub(super) fn renamed(&self, names: &BTreeMap<String, RoleName>) -> Self {
        let now = |name: &String| names.get(name).map_or_else(|| name.clone(), ToString::to_string);
        let all = |names: &BTreeSet<String>| names.iter().map(now).collect();
        let mut world = self.clone();
        for found in world.databases.values_mut() {
            found.owner = now(&found.owner);
            found.privileges =
                found.privileges.iter().map(|(role, what)| (now(role), what.clone())).collect();
        }
        let roles = std::mem::take(&mut world.roles).into_iter();
        let roles = roles.map(|(name, found)| {
            let (member_of, members) = (all(&found.member_of), all(&found.members));
            (now(&name), FoundRole { member_of, members, ..found })
        });
        world.roles = roles.collect();
        world
    }

    /// The databases of ours that are there.
    #[must_use]
    pub fn present(&self) -> BTreeMap<DatabaseName, Incarnation> {
        let ours = |(name, found): (&String, &FoundDatabase)| {
            Some((name.parse().ok()?, found.record.as_ref()?.incarnation))
        };
        self.databases.iter().filter_map(ours).collect()
    }
}

fn pairs(row: &Row, column: &str, mark: char) -> Vec<(String, String)> {
    let texts: Vec<String> = row.get(column);
    let split = |text: String| {
        text.split_once(mark).map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    texts.into_iter().filter_map(split).collect()
}

fn database(row: &Row) -> (String, FoundDatabase) {
    let record = row.get::<_, Option<i32>>("incarnation").map(|incarnation| Record {
        incarnation: Incarnation(incarnation),
        settings: row.get::<_, Vec<String>>("recorded").into_iter().collect(),
    });
    let found = FoundDatabase {
        oid: row.get("oid"),
        owner: row.get("owner"),
        allows_connections: row.get("datallowconn"),
        connection_limit: row.get("datconnlimit"),
        privileges: pairs(row, "privileges", ':').into_iter().collect(),
        settings: pairs(row, "settings", '=').into_iter().collect(),
        record,
    };
    (row.get("datname"), found)
}

fn role(row: &Row) -> (String, FoundRole) {
    let names = |column: &str| row.get::<_, Vec<String>>(column).into_iter().collect();
    let found = FoundRole {
        oid: row.get("oid"),
        ours: row.get("ours"),
        can_log_in: row.get("rolcanlogin"),
        strange: row.get("strange"),
        connection_limit: row.get("rolconnlimit"),
        verifier: row.get("rolpassword"),
        member_of: names("member_of"),
        members: names("members"),
        settings: pairs(row, "settings", '=').into_iter().collect(),
    };
    (row.get("rolname"), found)
}
