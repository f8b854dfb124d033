-- Statements of clients that run for long. Dumps of the platform are not meant.
select case when now() - query_start > interval '1 second' * {red} then 2 else 1 end as severity,
  pid, to_char(now() - query_start, 'HH24:MI:SS') as duration, usename as credential,
  left(query, 200) as query
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and state = 'active'
  and usename <> current_user and usename !~ '^howdah_'
  and now() - query_start > interval '1 second' * {yellow}
order by query_start limit 20
