-- Large tables without a primary key.
select 1 as severity, n.nspname || '.' || c.relname as "table", c.reltuples::bigint as rows
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.reltuples > {yellow}
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
  and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
order by c.reltuples desc, 2 limit 20
