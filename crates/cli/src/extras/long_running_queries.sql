-- Statements that run, or transactions that stand idle, for more than five minutes.
select pid, pg_catalog.clock_timestamp() - query_start as duration, query
from pg_catalog.pg_stat_activity
where query <> '' and query <> '<insufficient privilege>' and state <> 'idle'
  and datname = pg_catalog.current_database() and backend_type = 'client backend'
  and pg_catalog.clock_timestamp() - query_start > interval '5 minutes'
order by duration desc
