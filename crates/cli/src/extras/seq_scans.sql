-- How often each table was read from its beginning to its end, since the statistics were reset.
select relname as name, seq_scan as count
from pg_catalog.pg_stat_user_tables
order by seq_scan desc, name
