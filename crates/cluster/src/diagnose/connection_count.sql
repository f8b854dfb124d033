-- Who has the sessions, once there are many.
with sessions as (
  select usename, application_name, state from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend'
    and usename <> current_user
), share as (
  select 100.0 * count(*) / greatest({connections}, 1) as per_cent from sessions
)
select case when per_cent >= {red} then 2 else 1 end as severity, usename as credential,
  application_name as application, coalesce(state, '') as state, count(*) as connections,
  {connections} as "limit"
from sessions cross join share
where per_cent >= {yellow}
group by per_cent, usename, application_name, state
order by connections desc limit 20
