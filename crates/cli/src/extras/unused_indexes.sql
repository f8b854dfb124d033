-- Indexes of tables of more than five blocks that were hardly ever used on this server since the
-- statistics were reset. Those that enforce something are needed all the same and left out.
select ui.schemaname || '.' || ui.relname as table, ui.indexrelname as index,
  pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(i.indexrelid)) as index_size,
  ui.idx_scan as index_scans
from pg_catalog.pg_stat_user_indexes ui
  join pg_catalog.pg_index i on i.indexrelid = ui.indexrelid
where not i.indisunique and not i.indisexclusion and not i.indisreplident and ui.idx_scan < 50
  and pg_catalog.pg_relation_size(i.indrelid)
    > 5 * pg_catalog.current_setting('block_size')::bigint
order by pg_catalog.pg_relation_size(i.indexrelid) / nullif(ui.idx_scan, 0) desc nulls first,
  pg_catalog.pg_relation_size(i.indexrelid) desc, index
