-- How much was read from memory since the statistics were reset; with too few reads nothing is told.
with rates as (
  select 'index hit rate' as name, sum(idx_blks_hit) as hits,
    sum(idx_blks_hit) + sum(idx_blks_read) as reads
  from pg_statio_user_indexes
  union all
  select 'table hit rate', sum(heap_blks_hit), sum(heap_blks_hit) + sum(heap_blks_read)
  from pg_statio_user_tables
), shares as (
  select name, reads, 100 * hits / nullif(reads, 0) as per_cent from rates
)
select case when reads is null or reads < 10000 then -1 when per_cent < {red} then 2 else 1 end
    as severity,
  name, round(per_cent / 100, 4) as ratio, coalesce(reads, 0) as blocks,
  case when reads is null or reads < 10000
    then 'fewer than 10000 blocks were read since the statistics were reset' end as reason
from shares
where reads is null or reads < 10000 or per_cent < {yellow}
order by per_cent
