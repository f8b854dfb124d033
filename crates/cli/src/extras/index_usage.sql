-- How often a scan of a table used one of its indexes, in per cent, largest tables first.
select relname,
  case when coalesce(idx_scan, 0) = 0 then 'Insufficient data'
    else (100 * idx_scan / (seq_scan + idx_scan))::text end as percent_of_times_index_used,
  n_live_tup as rows_in_table
from pg_catalog.pg_stat_user_tables
order by n_live_tup desc, relname
