//! Giving the owner of a database all rights on everything in it.

use std::path::Path;

use howdah_model::name::DatabaseName;

use crate::connection::{Connection, Limits, SqlError};

/// What other credentials own goes to the owner of the database, and they may go on using it; what
/// the owner has taken from itself it gets back. One transaction.
///
/// Names come from the catalogue and are quoted there (`regclass` and its like, with a pinned search
/// path); nothing of a tenant's is called.
const REPAIR: &str = r"
do $repair$
declare
    mine oid := (select datdba from pg_database where datname = current_database());
    others oid[];
    grants text[];
    one record;
begin
    select array_agg(distinct a.grantee) into others from pg_database d, aclexplode(d.datacl) a
    where d.datname = current_database() and a.grantee not in (0, d.datdba);
    select array_agg(format('grant all on %s to %I', what, pg_get_userbyid(role))) into grants
    from (
        select case when relkind = 'S' then 'sequence ' else 'table ' end || c.oid::regclass as what,
               relowner as role, relacl as acl
        from pg_class c where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relpersistence <> 't'
        union all
        select 'schema ' || oid::regnamespace, nspowner, nspacl from pg_namespace
        union all
        select 'routine ' || oid::regprocedure, proowner, proacl from pg_proc
        union all
        select 'large object ' || oid, lomowner, lomacl from pg_largeobject_metadata
    ) owned
    where role = any(others) or (role = mine and acl is not null);
    for one in select pg_get_userbyid(unnest(others)) as name loop
        execute format('reassign owned by %I to %I', one.name, pg_get_userbyid(mine));
    end loop;
    for one in select unnest(grants) as text loop
        execute one.text;
    end loop;
end
$repair$";

/// Gives the owner of a database all rights on everything in it.
///
/// # Errors
/// See [`SqlError`].
pub async fn repair(socket_dir: &Path, database: &DatabaseName) -> Result<(), SqlError> {
    let connection = Connection::open(socket_dir, database.as_str(), Limits::WORK).await?;
    connection.run(REPAIR).await?;
    connection.close().await;
    Ok(())
}
