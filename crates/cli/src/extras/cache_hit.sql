-- The share of blocks that were found in PostgreSQL's own cache, since the statistics were reset.
-- Without any reads there is no ratio.
select 'index hit rate' as name,
  sum(idx_blks_hit) / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0) as ratio
from pg_catalog.pg_statio_user_indexes
union all
select 'table hit rate',
  sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0)
from pg_catalog.pg_statio_user_tables
