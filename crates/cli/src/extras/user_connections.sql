-- How many sessions each credential has in this database.
select usename as credential, count(*) as connections
from pg_catalog.pg_stat_activity
where datname = pg_catalog.current_database() and backend_type = 'client backend'
  and pid <> pg_catalog.pg_backend_pid()
group by usename
order by connections desc, credential
