//! The database that a restore fills, beside the one whose place it will take.
//!
//! It is the restoring role's while it is filled, so that a hostile dump is nobody else there; once
//! it is complete everything in it becomes the owner's, the database the platform's, nobody can
//! enter it, and a row of `howdah.fills` says so. That row goes with the database, wherever it is
//! renamed to: so a transfer that is told again is found to be done.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_model::ids::TransferId;
use howdah_model::name::RoleName;
use tokio_postgres::error::SqlState;

use super::list::Extension;
use super::role::{self, Role};
use super::{Failure, Notes};
use crate::connection::{Connection, Limits, SqlError};
use crate::databases::{close_database, drop_database};
use crate::sql::{identifier, literal};
use crate::{Cluster, extension_share};

/// How the names of all such databases begin.
pub const FILL: &str = "howdah_fill_";

/// How long one that is complete waits for its spec, in seconds.
const KEPT: u64 = 24 * 3600;

/// A restore's statements take long: an owner is changed a thousand times.
const LONG: Limits =
    Limits { connect: Duration::from_secs(10), statement: Duration::from_secs(3600) };

/// The name of the database of a transfer.
#[must_use]
pub fn name(id: TransferId) -> String {
    format!("{FILL}{}", id.0.simple())
}

/// Makes the empty database of a transfer, which is the role's; one that an earlier attempt has left
/// goes. `settings` are those of the database whose place it will take.
///
/// # Errors
/// See [`SqlError`].
pub async fn make(
    cluster: &Cluster,
    id: TransferId,
    role: &Role,
    settings: &[(&str, String)],
) -> Result<(), SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    let (name, role) = (name(id), role.name());
    drop_database(&connection, &name).await?;
    let create =
        format!("create database {name} owner {role} template template1 allow_connections false");
    connection.run(&create).await?;
    let mut all = vec![format!("revoke all on database {name} from public")];
    for (setting, value) in settings {
        let setting: Vec<_> = setting.split('.').map(identifier).collect();
        all.push(format!("alter database {name} set {} to {}", setting.join("."), literal(value)));
    }
    all.push(format!("alter database {name} with allow_connections true"));
    connection.run(&all.join("; ")).await?;
    connection.close().await;
    Ok(())
}

/// What is wanted of extensions in a database that is filled.
#[derive(Clone, Debug)]
pub struct Extensions {
    /// Those of the dump, and those that were asked for.
    pub wanted: Vec<Extension>,
    /// Names that tenants may have here.
    pub allowed: BTreeSet<String>,
}

/// Makes extensions as the platform, before anything of the dump is there that could get in between.
/// One that is not allowed or not installed is left out; returns how many.
///
/// # Errors
/// See [`SqlError`].
pub async fn create_extensions(
    cluster: &Cluster,
    id: TransferId,
    role: &Role,
    extensions: &Extensions,
    notes: &Notes,
) -> Result<u32, Failure> {
    let opened = cluster.connect(&name(id), LONG).await;
    let inside = opened.map_err(Failure::sql("open a session in the new database"))?;
    let mut warnings = 0;
    for extension in extensions.wanted.iter().filter(|one| one.name != "plpgsql") {
        let told = &extension.name;
        if !extensions.allowed.contains(told) {
            warnings += 1;
            notes.warn(format!("left out extension {told}: it is not available on this plan here"));
            continue;
        }
        match create(&inside, extension).await {
            Ok(()) => {}
            Err(error) if error.leaves_session() => {
                warnings += 1;
                notes.warn(format!("left out extension {told}: {error}"));
            }
            Err(error) => return Err(Failure::Sql { what: "create an extension", error }),
        }
    }
    let rights = rights(role.name());
    inside.run(&rights).await.map_err(Failure::sql("let the restore use extensions"))?;
    inside.close().await;
    Ok(warnings)
}

async fn create(inside: &Connection, extension: &Extension) -> Result<(), SqlError> {
    let fixed = "select schema::text from pg_available_extension_versions v \
                 join pg_available_extensions e on e.name = v.name \
                 and e.default_version = v.version where v.name = $1";
    let rows = inside.rows(fixed, &[&extension.name]).await?;
    let Some(row) = rows.first() else {
        return Err(SqlError::Refused {
            code: SqlState::UNDEFINED_FILE,
            message: "it is not installed on this server".to_owned(),
        });
    };
    let fixed: Option<String> = row.get(0);
    let schema = identifier(fixed.as_ref().or(extension.schema.as_ref()).map_or("public", |s| s));
    let mut all = String::new();
    if fixed.is_none() {
        all.push_str(&format!("create schema if not exists {schema}; "));
    }
    let extension = identifier(&extension.name);
    all.push_str(&format!("create extension if not exists {extension} schema {schema} cascade"));
    inside.run(&all).await
}

/// The schemas of extensions become the role's, as they would be if the dump had made them; it may
/// fill the tables of extensions that dumps have rows of, and use what wraps foreign data.
fn rights(role: &str) -> String {
    format!(
        "do $$ declare one record; begin \
         for one in select nspname from pg_namespace where nspowner = current_user::regrole \
           and nspname !~ '^pg_' and nspname <> 'information_schema' \
           and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass \
                           and d.objid = pg_namespace.oid and d.deptype = 'e') loop \
           execute format('alter schema %I owner to {role}', one.nspname); \
         end loop; \
         for one in select c.oid::regclass as name, c.relkind from pg_extension e, \
           unnest(e.extconfig) as t join pg_class c on c.oid = t loop \
           if one.relkind = 'S' then \
             execute format('grant usage, update on sequence %s to {role}', one.name); \
           else \
             execute format('grant insert on table %s to {role}', one.name); \
           end if; \
         end loop; \
         for one in select fdwname from pg_foreign_data_wrapper loop \
           execute format('grant usage on foreign data wrapper %I to {role}', one.fdwname); \
         end loop; \
         end $$"
    )
}

/// How many relations change their owner in one transaction: each takes locks.
const AT_ONCE: u32 = 100;

/// Gives everything that the role has made to the owner, in portions: a database may have more
/// tables than one transaction can have locks.
fn hand_over(role: &str, owner: &RoleName) -> [String; 2] {
    let portions = format!(
        "do $$ declare one record; done int := 0; begin \
         for one in select c.oid::regclass as name, c.relkind from pg_class c \
           where c.relowner = '{role}'::regrole and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') \
           and not c.relispartition \
           and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass \
                           and d.objid = c.oid and d.deptype in ('a', 'i', 'e') \
                           and d.refclassid = 'pg_class'::regclass) \
         loop \
           execute format('alter %s %s owner to {owner}', case one.relkind when 'v' then 'view' \
             when 'm' then 'materialized view' when 'S' then 'sequence' \
             when 'f' then 'foreign table' else 'table' end, one.name); \
           done := done + 1; \
           if done % {AT_ONCE} = 0 then commit; end if; \
         end loop; end $$"
    );
    [portions, format!("reassign owned by {role} to {owner}; drop owned by {role}")]
}

/// Makes a database that was filled complete: everything in it becomes the owner's, nobody can enter
/// it any more. `made` is what [`find`] answers from then on.
///
/// # Errors
/// See [`SqlError`].
pub async fn complete(
    cluster: &Cluster,
    id: TransferId,
    role: &Role,
    owner: &RoleName,
    made: &str,
) -> Result<(), Failure> {
    let name = name(id);
    let opened = cluster.connect("postgres", LONG).await;
    let connection = opened.map_err(Failure::sql("open a session"))?;
    // Nothing of the dump runs any more when the owner gets what it has made.
    role::end(&connection, role.name())
        .await
        .map_err(Failure::sql("end the restore's sessions"))?;
    let opened = cluster.connect(&name, LONG).await;
    let inside = opened.map_err(Failure::sql("open a session in the new database"))?;
    let whole = format!("alter database {name} owner to current_user");
    connection.run(&whole).await.map_err(Failure::sql("take the new database"))?;
    for statement in hand_over(role.name(), owner) {
        inside.run(&statement).await.map_err(Failure::sql("give all to the owner"))?;
    }
    let used = use_extensions(cluster, &inside, owner).await;
    used.map_err(Failure::sql("let the owner use extensions"))?;
    inside.close().await;
    close_database(&connection, &name).await.map_err(Failure::sql("close the new database"))?;
    let mark = "insert into howdah.fills (oid, transfer, made) \
                select oid, $2, $3 from pg_database where datname = $1 \
                on conflict (oid) do update set transfer = excluded.transfer, made = excluded.made";
    let marked = connection.rows(mark, &[&name, &id.to_string(), &made]).await;
    marked.map_err(Failure::sql("mark the new database as complete"))?;
    connection.close().await;
    Ok(())
}

/// Does what is done when a tenant creates an extension by itself.
async fn use_extensions(
    cluster: &Cluster,
    inside: &Connection,
    owner: &RoleName,
) -> Result<(), SqlError> {
    for row in inside.rows("select extname::text from pg_extension", &[]).await? {
        let script = extension_share::after_create(&cluster.socket_dir, row.get(0));
        if let Some(script) = script {
            inside.run(&script.replace("@database_owner@", owner.as_str())).await?;
        }
    }
    Ok(())
}

/// What was made of a transfer whose database is complete, also after it has taken its place.
///
/// # Errors
/// See [`SqlError`].
pub async fn find(cluster: &Cluster, id: TransferId) -> Result<Option<String>, SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    let known = "select made from howdah.fills f join pg_database d on d.oid = f.oid \
                 where f.transfer = $1 and d.datconnlimit <> -2";
    let rows = connection.rows(known, &[&id.to_string()]).await?;
    connection.close().await;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Drops the database of a transfer that has not taken its place; fine when it is not there.
///
/// # Errors
/// See [`SqlError`].
pub async fn remove(cluster: &Cluster, id: TransferId) -> Result<(), SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    drop_database(&connection, &name(id)).await?;
    connection.run(FORGET).await?;
    connection.close().await;
    Ok(())
}

const FORGET: &str = "delete from howdah.fills f \
                      where not exists (select from pg_database d where d.oid = f.oid)";

/// Drops what restores have left that ended without their end: what is not complete, and what is and
/// that no spec has wanted for a day. What `is_kept` stays; it is asked after what is there was looked
/// at, so that what begins meanwhile is either not seen or kept.
///
/// # Errors
/// See [`SqlError`].
pub async fn remove_others(
    cluster: &Cluster,
    is_kept: impl Fn(TransferId) -> bool,
) -> Result<(), SqlError> {
    let connection = cluster.connect("postgres", Limits::WORK).await?;
    let others = format!(
        "select d.datname::text from pg_database d left join howdah.fills f on f.oid = d.oid \
         where starts_with(d.datname, $1) \
         and (f.at is null or f.at < now() - interval '{KEPT} seconds')"
    );
    for row in connection.rows(&others, &[&FILL]).await? {
        let name: String = row.get(0);
        let id = name[FILL.len()..].parse::<TransferId>();
        if !id.is_ok_and(&is_kept) {
            drop_database(&connection, &name).await?;
        }
    }
    connection.run(FORGET).await?;
    connection.close().await;
    Ok(())
}
