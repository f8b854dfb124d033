-- About how many rows each table has, largest first.
select relname as name, n_live_tup as estimated_count
from pg_catalog.pg_stat_user_tables
order by n_live_tup desc, name
