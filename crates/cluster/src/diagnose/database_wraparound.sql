-- How old the oldest transaction number and multixact of the database are.
with ages as (
  select age(datfrozenxid) as xids, mxid_age(datminmxid) as mxids,
    greatest(age(datfrozenxid)::numeric / current_setting('autovacuum_freeze_max_age')::numeric,
      mxid_age(datminmxid)::numeric
        / current_setting('autovacuum_multixact_freeze_max_age')::numeric) as times
  from pg_database where datname = current_database()
)
select case when times > {red} or greatest(xids, mxids) > 1200000000 then 2 else 1 end as severity,
  xids as transactions, mxids as multixacts
from ages where times > {yellow} or greatest(xids, mxids) > 1200000000
