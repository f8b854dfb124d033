-- How many schemas there are but PostgreSQL's own.
with schemas as (
  select count(*) as count from pg_namespace
  where nspname !~ '^pg_' and nspname <> 'information_schema'
)
select case when count >= {red} then 2 else 1 end as severity, count as schemas
from schemas where count >= {yellow}
