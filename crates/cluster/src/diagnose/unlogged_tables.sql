-- Tables that a crash empties.
select 1 as severity, n.nspname || '.' || c.relname as "table",
  pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'u'
order by pg_total_relation_size(c.oid) desc, 2 limit 50
