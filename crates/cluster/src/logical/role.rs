//! The role of one copy: made for it, with a password that nobody else knows, gone when it has ended.

use howdah_model::name::RoleName;
use rand::Rng as _;

use crate::Cluster;
use crate::connection::{Connection, Limits, SqlError};
use crate::sql::{identifier, literal};

/// How the names of all such roles begin. They are in no record of the platform's, so what tells
/// them apart is the name; no tenant can have one like it.
pub const TRANSFER: &str = "howdah_transfer_";

/// What a role is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To read all of a database, whose objects are these roles'.
    Dump {
        /// The owner and the other credentials.
        of: Vec<RoleName>,
    },
    /// To fill a new database, which it owns for that time. It is nobody else's member: a hostile dump
    /// could drop the tenant's database as the tenant.
    Restore,
}

/// A role that was made. Whoever has it must [`Role::remove`] it; one that was left goes with
/// [`remove_others`].
#[derive(Clone)]
pub struct Role {
    name: String,
    password: String,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Role").field(&self.name).finish()
    }
}

fn random() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Role {
    /// A role with a name that no other has; it is not there yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: format!("{TRANSFER}{}", random()),
            password: format!("{}{}", random(), random()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its password, for the environment of a program that comes as it.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Makes it, in one transaction.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn make(&self, cluster: &Cluster, purpose: &Purpose) -> Result<(), SqlError> {
        let connection = cluster.connect("postgres", Limits::WORK).await?;
        // A credential that is only wanted yet owns nothing.
        let there = match purpose {
            Purpose::Dump { of } => {
                let names: Vec<&str> = of.iter().map(RoleName::as_str).collect();
                let known = "select rolname::text from pg_roles where rolname = any ($1)";
                connection.rows(known, &[&names]).await?.iter().map(|row| row.get(0)).collect()
            }
            Purpose::Restore => Vec::new(),
        };
        connection.run(&self.statements(purpose, &there)).await?;
        connection.close().await;
        Ok(())
    }

    fn statements(&self, purpose: &Purpose, owners: &[String]) -> String {
        let name = &self.name;
        let verifier = postgres_protocol::password::scram_sha_256(self.password.as_bytes());
        let bypass = match purpose {
            Purpose::Dump { .. } => "bypassrls",
            Purpose::Restore => "nobypassrls",
        };
        let mut all = vec![
            format!(
                "create role {name} login nosuperuser nocreatedb nocreaterole noreplication \
                 {bypass} inherit password {}",
                literal(&verifier)
            ),
            // Should it be left behind, it opens nothing for long.
            format!(
                "do $$ begin execute format('alter role {name} valid until %L', \
                 now() + interval '{VALID_DAYS} days'); end $$"
            ),
        ];
        if matches!(purpose, Purpose::Dump { .. }) {
            all.push(format!("grant pg_read_all_data to {name}"));
            // Large objects are read by their owners only.
            all.extend(owners.iter().map(|owner| format!("grant {} to {name}", identifier(owner))));
        }
        all.join("; ")
    }

    /// Ends its sessions and removes it; fine when it is not there. It must own nothing.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn remove(&self, cluster: &Cluster) -> Result<(), SqlError> {
        remove(cluster, &self.name).await
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a role that was left behind could log in.
const VALID_DAYS: u32 = 3;

async fn remove(cluster: &Cluster, name: &str) -> Result<(), SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    let rows = connection.rows("select from pg_roles where rolname = $1", &[&name]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    end(&connection, name).await?;
    drop_role(&connection, name).await?;
    connection.close().await;
    Ok(())
}

/// Ends what a role does, for good.
pub(super) async fn end(connection: &Connection, name: &str) -> Result<(), SqlError> {
    let end = format!(
        "alter role {name} nologin; \
         select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = {}",
        literal(name)
    );
    connection.run(&end).await
}

async fn drop_role(connection: &Connection, name: &str) -> Result<(), SqlError> {
    // Of databases it has at most the right to enter.
    let databases = "select d.datname::text from pg_database d, aclexplode(d.datacl) a \
                     join pg_roles r on r.oid = a.grantee where r.rolname = $1";
    for row in connection.rows(databases, &[&name]).await? {
        let database = identifier(row.get(0));
        connection.run(&format!("revoke all on database {database} from {name}")).await?;
    }
    connection.run(&format!("drop role if exists {name}")).await
}

/// Removes the roles of copies that have ended without it: all but those that live, which is asked
/// after what is there was looked at.
///
/// # Errors
/// See [`SqlError`].
pub async fn remove_others(
    cluster: &Cluster,
    lives: impl Fn(&str) -> bool,
) -> Result<(), SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    let others = "select rolname::text from pg_roles where starts_with(rolname, $1)";
    let rows = connection.rows(others, &[&TRANSFER]).await?;
    connection.close().await;
    for row in rows {
        let name: String = row.get(0);
        if !lives(&name) {
            remove(cluster, &name).await?;
        }
    }
    Ok(())
}
