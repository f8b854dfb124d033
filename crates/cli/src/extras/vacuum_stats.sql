-- When tables were vacuumed, and whether autovacuum is about to: it is when more rows are dead than
-- threshold + scale factor x rows, each as the table has it or else as the server does.
with limits as (
  select c.oid, n.nspname, c.relname, greatest(c.reltuples, 0)::numeric as rows,
    coalesce(o.threshold, pg_catalog.current_setting('autovacuum_vacuum_threshold'))::numeric
      as threshold,
    coalesce(o.factor, pg_catalog.current_setting('autovacuum_vacuum_scale_factor'))::numeric
      as factor,
    -- Since PostgreSQL 18; -1 is none.
    nullif(coalesce(o.most, pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true))
      ::numeric, -1) as most,
    coalesce(o.enabled::bool, true) as enabled
  from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
      select max(option_value) filter (where option_name = 'autovacuum_vacuum_threshold')
          as threshold,
        max(option_value) filter (where option_name = 'autovacuum_vacuum_scale_factor') as factor,
        max(option_value) filter (where option_name = 'autovacuum_vacuum_max_threshold') as most,
        max(option_value) filter (where option_name = 'autovacuum_enabled') as enabled
      from pg_catalog.pg_options_to_table(c.reloptions)
    ) as o
)
select l.nspname as schema, l.relname as table,
  pg_catalog.to_char(t.last_vacuum, 'YYYY-MM-DD HH24:MI') as last_vacuum,
  pg_catalog.to_char(t.last_autovacuum, 'YYYY-MM-DD HH24:MI') as last_autovacuum,
  pg_catalog.to_char(l.rows, '9G999G999G990') as rowcount,
  pg_catalog.to_char(t.n_dead_tup, '9G999G999G990') as dead_rowcount,
  pg_catalog.to_char(least(l.threshold + l.factor * l.rows, l.most), '9G999G999G990')
    as autovacuum_threshold,
  case when l.enabled and t.n_dead_tup > least(l.threshold + l.factor * l.rows, l.most) then 'yes'
  end as expect_autovacuum
from pg_catalog.pg_stat_user_tables t join limits l on l.oid = t.relid
order by 1, 2
