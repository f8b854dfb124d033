-- The schema of `pg_stat_statements`, where it is there, and the names of two columns, which have
-- changed with PostgreSQL 17.
select pg_catalog.quote_ident(n.nspname),
  case when pg_catalog.current_setting('server_version_num')::int >= 170000
    then 'shared_blk' else 'blk' end
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'
