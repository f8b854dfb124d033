-- The size of all indexes together.
select pg_catalog.pg_size_pretty(coalesce(sum(pg_catalog.pg_relation_size(c.oid)), 0)) as size
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'i'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
