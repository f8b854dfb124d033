-- How old the oldest transaction number and multixact of tables are.
with ages as (
  select c.oid, n.nspname || '.' || c.relname as name, age(c.relfrozenxid) as xids,
    mxid_age(c.relminmxid) as mxids,
    greatest(age(c.relfrozenxid)::numeric
        / current_setting('autovacuum_freeze_max_age')::numeric,
      mxid_age(c.relminmxid)::numeric
        / current_setting('autovacuum_multixact_freeze_max_age')::numeric) as times
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm', 't') and c.relpersistence <> 't'
)
select case when times > {red} or greatest(xids, mxids) > 1200000000 then 2 else 1 end as severity,
  name as "table", xids as transactions, mxids as multixacts
from ages where times > {yellow} or greatest(xids, mxids) > 1200000000
order by times desc limit 20
