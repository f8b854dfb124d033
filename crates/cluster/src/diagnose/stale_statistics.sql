-- Tables that have changed much since they were last counted.
select 1 as severity, schemaname || '.' || relname as "table", n_mod_since_analyze as changed_rows,
  n_live_tup as rows,
  to_char(greatest(last_analyze, last_autoanalyze), 'YYYY-MM-DD HH24:MI') as last_analyze
from pg_stat_user_tables
where n_mod_since_analyze > greatest({yellow}, n_live_tup / 2.0)
order by n_mod_since_analyze desc limit 20
