-- Tables and indexes that are far larger than their rows need (I32). Its beginning is shared with
-- `pg:bloat`.
select case when bytes / needed > {red} then 2 else 1 end as severity, type,
  nspname || '.' || object_name as object, round(bytes / needed, 1) as bloat,
  pg_size_pretty(bytes - needed) as waste
from both_kinds
where needed > 0 and bytes - needed > 100 * 1024 * 1024 and bytes / needed > {yellow}
order by bytes - needed desc limit 20
