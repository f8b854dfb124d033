-- Clients that do nothing within a transaction: since they stopped, not since they last began.
select case when now() - state_change > interval '1 second' * {red} then 2 else 1 end as severity,
  pid, to_char(now() - state_change, 'HH24:MI:SS') as duration, usename as credential,
  left(query, 200) as query
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend'
  and state like 'idle in transaction%' and usename <> current_user
  and now() - state_change > interval '1 second' * {yellow}
order by state_change limit 20
