-- The size of each table with its indexes and what is stored out of line, largest first.
select c.relname as name, pg_catalog.pg_size_pretty(pg_catalog.pg_total_relation_size(c.oid)) as size
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
order by pg_catalog.pg_total_relation_size(c.oid) desc, name
