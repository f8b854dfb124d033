-- Sessions that hold or want a lock that keeps others from writing or from reading.
select a.pid, c.relname, l.transactionid, l.granted, {query} as query_snippet,
  pg_catalog.age(pg_catalog.clock_timestamp(), a.query_start) as age
from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
  left join pg_catalog.pg_class c on c.oid = l.relation
where l.mode in ('ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and l.locktype <> 'virtualxid' and a.datname = pg_catalog.current_database()
  and a.query <> '<insufficient privilege>' and a.pid <> pg_catalog.pg_backend_pid()
order by a.query_start, a.pid, c.relname
