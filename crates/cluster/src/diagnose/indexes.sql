-- Indexes that are no use: invalid, the same as another, or hardly read. Whether an index is read
-- can be told only after a week of statistics; one that enforces something is needed all the same.
with all_indexes as (
  select i.*, c.relname, n.nspname, t.relname as table_name, m.amname,
    pg_relation_size(i.indexrelid) as bytes, pg_relation_size(i.indrelid) as table_bytes,
    coalesce(s.idx_scan, 0) as scans,
    coalesce(u.n_tup_ins + u.n_tup_upd + u.n_tup_del, 0) as writes,
    coalesce(u.seq_scan, 0) + coalesce(u.idx_scan, 0) as table_scans,
    exists (select from pg_constraint k where k.conindid = i.indexrelid) as of_constraint
  from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace
    join pg_am m on m.oid = c.relam
    left join pg_stat_user_indexes s on s.indexrelid = i.indexrelid
    left join pg_stat_user_tables u on u.relid = i.indrelid
  where c.relkind = 'i' and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname !~ '^pg_toast'
), since as (
  select now() - greatest(stats_reset, (pg_stat_file('base/' || datid || '/PG_VERSION')).modification)
    > interval '7 days' as known
  from pg_stat_database where datname = current_database()
), found as (
  select case when not indisvalid or not indisready then 'Invalid'
      when exists (
        select from all_indexes o
        where o.indrelid = a.indrelid and o.indexrelid <> a.indexrelid and o.indisvalid
          and (o.indkey::text, o.indclass::text, o.indcollation::text, o.indoption::text)
            = (a.indkey::text, a.indclass::text, a.indcollation::text, a.indoption::text)
          and o.indexprs::text is not distinct from a.indexprs::text
          and o.indpred::text is not distinct from a.indpred::text and o.amname = a.amname
          and (o.indisunique or not a.indisunique) and not a.of_constraint
          and (o.of_constraint or o.indisunique > a.indisunique or o.indexrelid < a.indexrelid)
      ) then 'Duplicate'
      when indisunique or indisprimary or indisexclusion or indisreplident or of_constraint
        or bytes < 32768 or not (select known from since) or pg_is_in_recovery() then null
      when scans = 0 then 'Never used'
      when scans::numeric / greatest(writes, 1) <= 1 and writes > 100
        and scans::numeric / greatest(table_scans, 1) < 0.1 then 'Low scans, high writes'
      when scans::numeric / greatest(table_scans, 1) < 0.05 and bytes > 100 * 1024 * 1024
        then 'Seldom used'
    end as reason, *
  from all_indexes a
)
select 1 as severity, reason, nspname || '.' || table_name || '::' || relname as index,
  pg_size_pretty(bytes) as size, scans
from found where reason is not null
order by reason = 'Invalid' desc, bytes desc, index limit 50
