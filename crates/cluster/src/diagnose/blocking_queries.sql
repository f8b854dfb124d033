-- Who waits for whom, and for how long.
select case when now() - blocked.query_start > interval '1 second' * {red} then 2 else 1 end
    as severity,
  by.pid as blocking_pid, coalesce(left(blocking.query, 200), '') as blocking_statement,
  blocked.pid as blocked_pid, left(blocked.query, 200) as blocked_statement,
  to_char(now() - blocked.query_start, 'HH24:MI:SS') as blocked_duration
from pg_stat_activity blocked
  cross join lateral (select distinct pid from unnest(pg_blocking_pids(blocked.pid)) as b (pid)) as by
  left join pg_stat_activity blocking on blocking.pid = by.pid
where blocked.datname = current_database() and blocked.wait_event_type = 'Lock'
  and now() - blocked.query_start > interval '1 second' * {yellow}
order by blocked.query_start limit 20
