select c.oid, n.nspname::text as schema, c.relname::text as name,
       coalesce(pg_stat_get_live_tuples(c.oid), 0)::int8 as live,
       coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) > 0 as changed,
       coalesce(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) is null as unknown,
       coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8 as pages
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.oid >= 16384
  and not exists (select from pg_roles r where r.oid = c.relowner and r.rolsuper)
