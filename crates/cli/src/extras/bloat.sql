-- How much larger tables and B-tree indexes are than their rows need, worst waste first. What is
-- counted is in `howdah_model::diagnosis::BLOAT`.
select type, nspname as schemaname, object_name,
  round(case when needed = 0 then 0 else bytes / needed end, 1) as bloat,
  pg_catalog.pg_size_pretty(greatest(bytes - needed, 0)) as waste
from both_kinds
order by greatest(bytes - needed, 0) desc, bloat desc, object_name
