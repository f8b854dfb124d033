-- Statements of this database from `pg_stat_statements`, in the order that is asked for: the time
-- that they took in all, its share, how often they ran, and how long they waited for the disk.
select interval '1 millisecond' * total_exec_time as total_exec_time,
  pg_catalog.to_char(100 * total_exec_time / nullif(sum(total_exec_time) over (), 0), 'FM990D0')
    || '%' as prop_exec_time,
  pg_catalog.to_char(calls, 'FM999G999G999G990') as ncalls,
  interval '1 millisecond' * ({read} + {write}) as sync_io_time, {query} as query
from {schema}.pg_stat_statements s
where s.query <> '<insufficient privilege>'
  and s.dbid = (select oid from pg_catalog.pg_database
                where datname = pg_catalog.current_database())
order by {order} desc
limit {limit}
