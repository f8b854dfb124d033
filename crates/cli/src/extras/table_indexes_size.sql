-- The size of all indexes of each table, largest first.
select c.relname as table,
  pg_catalog.pg_size_pretty(pg_catalog.pg_indexes_size(c.oid)) as index_size
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
order by pg_catalog.pg_indexes_size(c.oid) desc, c.relname
