//! Links to other databases, by `postgres_fdw`: a server that belongs to the platform, so that its
//! owner cannot point it elsewhere, and a schema of foreign tables that belong to the tenant.

use std::path::Path;

use howdah_model::ids::LinkId;
use howdah_model::link::LinkSpec;
use howdah_model::name::{DatabaseName, LinkName};
use tokio_postgres::error::SqlState;

use crate::connection::{Connection, Limits, SqlError};
use crate::sql::{identifier, literal};

/// Keeps the password out of the server's log and out of the statistics of statements. A statement
/// of its own, as what is logged is decided before the first of several is carried out.
const QUIET: &str = "set log_statement = 'none'; set log_min_duration_statement = -1; \
     set log_min_duration_sample = -1; set log_min_error_statement = 'panic'; \
     set log_min_messages = 'panic'; set pg_stat_statements.track = 'none'; set track_activities = off";

/// Makes a link: one transaction, in which the tables of the other's schema `public` come in. Does
/// nothing when it is there. The password is the owner's to use, as the user of its mapping.
///
/// # Errors
/// See [`SqlError`]; PostgreSQL's when the name is taken by a schema or a server, when the other
/// database does not answer, or when one of its tables has a type that is not known here.
pub async fn make(
    socket_dir: &Path,
    database: &DatabaseName,
    link: &LinkSpec,
) -> Result<(), SqlError> {
    let connection = Connection::open(socket_dir, database.as_str(), Limits::ROWS).await?;
    connection.run(QUIET).await?;
    if is_there(&connection, &link.name, link.id).await? {
        connection.close().await;
        return Ok(());
    }
    let owner = "select pg_get_userbyid(datdba)::text from pg_database \
                 where datname = current_database()";
    let rows = connection.rows(owner, &[]).await?;
    let owner: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
    let made = connection.run(&statements(link, &identifier(&owner))).await;
    connection.close().await;
    made
}

fn statements(link: &LinkSpec, owner: &str) -> String {
    let LinkSpec { id, name, host, port, database, role, password } = link;
    let (name, host, password) =
        (identifier(name.as_str()), literal(host), literal(password.reveal()));
    [
        "begin".to_owned(),
        // A tenant makes nothing there that its functions could be mixed up with.
        "create extension if not exists postgres_fdw schema pg_catalog".to_owned(),
        format!(
            "create server {name} foreign data wrapper postgres_fdw options (host {host}, \
             port '{port}', dbname '{database}', sslmode 'require', connect_timeout '10')"
        ),
        format!("comment on server {name} is {}", literal(&comment(*id))),
        format!(
            "create user mapping for {owner} server {name} \
             options (user '{role}', password {password})"
        ),
        format!("grant usage on foreign server {name} to {owner}"),
        format!("create schema {name} authorization {owner}"),
        format!("set local role {owner}"),
        format!("import foreign schema public from server {name} into {name}"),
        "commit".to_owned(),
    ]
    .join("; ")
}

/// Removes a link with its foreign tables and what is made of these. Does nothing when it is not
/// there. The schema goes unless something else is in it.
///
/// # Errors
/// See [`SqlError`].
pub async fn remove(
    socket_dir: &Path,
    database: &DatabaseName,
    name: &LinkName,
    id: LinkId,
) -> Result<(), SqlError> {
    let connection = Connection::open(socket_dir, database.as_str(), Limits::ROWS).await?;
    if is_there(&connection, name, id).await? {
        let name = identifier(name.as_str());
        connection.run(&format!("drop server {name} cascade")).await?;
        match connection.run(&format!("drop schema if exists {name}")).await {
            Err(error) if error.is(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) => {}
            done => done?,
        }
    }
    connection.close().await;
    Ok(())
}

async fn is_there(connection: &Connection, name: &LinkName, id: LinkId) -> Result<bool, SqlError> {
    let there = "select from pg_foreign_server where srvname = $1::text \
         and obj_description(oid, 'pg_foreign_server') = $2::text";
    Ok(!connection.rows(there, &[&name.as_str(), &comment(id).as_str()]).await?.is_empty())
}

/// By what a server is known to be a link.
fn comment(id: LinkId) -> String {
    format!("link {id} of the platform")
}
