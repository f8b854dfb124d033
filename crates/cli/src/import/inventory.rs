//! What a database holds that matters to whoever moves it.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::libpq::Place;
use crate::session::Session;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Inventory {
    /// `server_version_num`.
    pub(crate) version: u32,
    pub(crate) bytes: u64,
    pub(crate) encoding: String,
    pub(crate) collation: String,
    /// Whether it can be written to now.
    pub(crate) writable: bool,
    /// Other sessions of clients on it.
    pub(crate) sessions: u64,
    pub(crate) schemas: u64,
    pub(crate) tables: u64,
    /// Rows as the planner estimates them.
    pub(crate) rows: u64,
    pub(crate) large_objects: u64,
    pub(crate) extensions: Vec<String>,
    /// Roles that own something, other than who asks.
    pub(crate) owners: Vec<String>,
    pub(crate) unlogged: Vec<String>,
    /// Tables by whose rows a change cannot be found: for replication.
    pub(crate) without_identity: Vec<String>,
    /// Tables that who asks may not read, or may see only some rows of.
    pub(crate) unreadable: Vec<String>,
    pub(crate) event_triggers: Vec<String>,
    /// What only superusers make, with its kind.
    pub(crate) superuser: Vec<String>,
    pub(crate) tablespaces: Vec<String>,
    pub(crate) prepared_transactions: u64,
}

impl Inventory {
    /// Looks at a database.
    pub(crate) async fn of(session: &Session, place: &Place) -> Result<Self, Failure> {
        let said = place.ask(session, QUESTION).await?;
        serde_json::from_str(&said).map_err(|error| {
            let message = format!("What {} says of itself is not understood: {error}", place.label);
            Failure::new(Exit::Failed, "bad-inventory", message)
        })
    }

    /// The major version.
    pub(crate) fn major(&self) -> u32 {
        self.version / 10_000
    }
}

/// In words that PostgreSQL 10 understands, and all that came after.
const QUESTION: &str = r"
set search_path = pg_catalog;
set default_transaction_read_only = on;
with own as (
  select c.oid, c.relname, c.relkind, c.relpersistence, c.reltuples, c.relowner, c.relreplident,
    c.reltablespace, c.relrowsecurity, c.relforcerowsecurity, n.nspname,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '_heroku') and not exists
    (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
), me as (
  select oid, rolsuper or rolbypassrls as sees_all from pg_roles where rolname = current_user
), theirs as (
  select 'function ' || p.oid::regprocedure || ' in ' || l.lanname as what
  from pg_proc p join pg_language l on l.oid = p.prolang
  where not l.lanpltrusted and l.lanname <> 'internal' and p.oid >= 16384 and not exists (select
    from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
  union all select 'foreign data wrapper ' || fdwname from pg_foreign_data_wrapper w
  where not exists (select from pg_depend d where d.objid = w.oid
    and d.classid = 'pg_foreign_data_wrapper'::regclass and d.deptype = 'e')
  union all select 'publication ' || pubname || ' for all tables' from pg_publication
  where puballtables
  union all select 'subscription ' || subname from pg_subscription
  where subdbid = (select oid from pg_database where datname = current_database())
)
select json_build_object(
  'version', current_setting('server_version_num')::int,
  'bytes', pg_database_size(current_database()),
  'encoding', current_setting('server_encoding'),
  'collation', (select datcollate from pg_database where datname = current_database()),
  'writable', not pg_is_in_recovery() and not exists (select from pg_db_role_setting s, unnest(
    s.setconfig) one where s.setdatabase = (select oid from pg_database
    where datname = current_database()) and one in ('default_transaction_read_only=on',
    'default_transaction_read_only=true')),
  'sessions', (select count(*) from pg_stat_activity where datname = current_database()
    and pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')),
  'schemas', (select count(distinct nspname) from own),
  'tables', (select count(*) from own where relkind = 'r'),
  'rows', (select coalesce(sum(greatest(reltuples, pg_stat_get_live_tuples(oid))), 0)::bigint
    from own where relkind = 'r'),
  'large_objects', (select count(*) from pg_largeobject_metadata),
  'extensions', (select coalesce(json_agg(extname order by extname), '[]') from pg_extension),
  'owners', (select coalesce(json_agg(distinct pg_get_userbyid(relowner)), '[]') from own
    where relowner <> (select oid from me)),
  'unlogged', (select coalesce(json_agg(name order by name), '[]') from own
    where relkind = 'r' and relpersistence = 'u'),
  'without_identity', (select coalesce(json_agg(name order by name), '[]') from own
    where relkind = 'r' and relreplident in ('d', 'n') and not (relreplident = 'd' and exists
    (select from pg_index i where i.indrelid = own.oid and i.indisprimary))),
  'unreadable', (select coalesce(json_agg(name order by name), '[]') from own, me
    where relkind in ('r', 'm', 'S') and (not has_table_privilege(own.oid, 'select')
    or relrowsecurity and not sees_all
    and (relforcerowsecurity or not pg_has_role(relowner, 'usage')))),
  'event_triggers', (select coalesce(json_agg(evtname order by evtname), '[]') from
    pg_event_trigger e where (select n.nspname from pg_proc p join pg_namespace n
    on n.oid = p.pronamespace where p.oid = e.evtfoid) <> '_heroku' and not exists (select from
    pg_depend d where d.objid = e.oid
    and d.classid = 'pg_event_trigger'::regclass and d.deptype = 'e')),
  'superuser', (select coalesce(json_agg(what order by what), '[]') from theirs),
  'tablespaces', (select coalesce(json_agg(distinct spcname), '[]') from own
    join pg_tablespace t on t.oid = own.reltablespace),
  'prepared_transactions', (select count(*) from pg_prepared_xacts
    where database = current_database())
);
";
