-- How many schemas there are but PostgreSQL's own and the platform's.
with schemas as (
  select count(*) as count from pg_namespace
  where nspname !~ '^pg_' and nspname not in ('information_schema', '_heroku')
)
select case when count >= {red} then 2 else 1 end as severity, count as schemas
from schemas where count >= {yellow}
