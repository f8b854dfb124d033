-- Transactions that are open for long, prepared ones among them.
with open as (
  select pid::text as who, usename as credential, xact_start as since, state, left(query, 200) as query
  from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend'
    and usename <> current_user and usename !~ '^howdah_'
  union all
  select 'prepared ' || gid, owner, prepared, 'prepared', '' from pg_prepared_xacts
  where database = current_database()
)
select case when now() - since > interval '1 second' * {red} then 2 else 1 end as severity,
  who as pid, to_char(now() - since, 'HH24:MI:SS') as duration, credential, state, query
from open where now() - since > interval '1 second' * {yellow}
order by since limit 20
