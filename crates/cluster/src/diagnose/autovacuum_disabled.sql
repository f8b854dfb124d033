-- Tables that are never vacuumed by themselves.
select 1 as severity, n.nspname || '.' || c.relname as "table",
  pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and exists (
    select from pg_options_to_table(c.reloptions)
    where option_name = 'autovacuum_enabled' and not option_value::bool)
order by pg_total_relation_size(c.oid) desc, 2 limit 50
