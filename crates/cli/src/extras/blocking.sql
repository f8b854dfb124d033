-- Which statement waits for which session, for every kind of lock. A blocking session that is idle
-- in its transaction shows the statement that it ran last; a prepared transaction has no session.
select blocked.pid as blocked_pid, blocking.query as blocking_statement,
  pg_catalog.clock_timestamp() - blocking.query_start as blocking_duration,
  by.pid as blocking_pid, blocked.query as blocked_statement,
  pg_catalog.clock_timestamp() - blocked.query_start as blocked_duration
from pg_catalog.pg_stat_activity blocked
  cross join lateral (
    select distinct pid from pg_catalog.unnest(pg_catalog.pg_blocking_pids(blocked.pid)) as b (pid)
  ) as by
  left join pg_catalog.pg_stat_activity blocking on blocking.pid = by.pid
where blocked.datname = pg_catalog.current_database() and blocked.wait_event_type = 'Lock'
order by blocked_duration desc, by.pid
