-- How much tables and B-tree indexes take, and how much their rows need. An estimate: the width of
-- rows is that of the last ANALYZE, the size is read from the disk.
with block as (
  select pg_catalog.current_setting('block_size')::numeric as size
), tables as (
  select c.oid, n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid) as bytes,
    greatest(c.reltuples, t.n_live_tup, 0)::numeric as tuples,
    coalesce((select option_value::numeric from pg_catalog.pg_options_to_table(c.reloptions)
              where option_name = 'fillfactor'), 100) as fill
  from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_stat_user_tables t on t.relid = c.oid
  where c.relkind in ('r', 'm')
), rows as (
  select t.oid, 23 + case when max(s.null_frac) > 0 then 1 + count(*) / 8 else 0 end as header,
    sum((1 - s.null_frac) * s.avg_width)::numeric as data
  from tables t
    join pg_catalog.pg_stats s
      on s.schemaname = t.nspname and s.tablename = t.relname and not s.inherited
  group by t.oid
), table_bloat as (
  select 'table' as type, t.nspname, t.relname::text as object_name, t.bytes,
    ceil(t.tuples / greatest(1, floor(
      (b.size - 24) * t.fill / 100 / (4 + ceil(r.header / 8.0) * 8 + ceil(r.data / 8) * 8)
    ))) * b.size as needed
  from tables t join rows r using (oid) cross join block b
), keys as (
  select i.indexrelid, i.indrelid, i.indpred is not null as partial,
    sum((1 - s.null_frac) * s.avg_width)::numeric as data
  from pg_catalog.pg_index i
    join tables t on t.oid = i.indrelid
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_am m on m.oid = c.relam and m.amname = 'btree'
    join pg_catalog.pg_attribute a on a.attrelid = i.indexrelid and a.attnum > 0
    left join pg_catalog.pg_attribute o
      on o.attrelid = i.indrelid and o.attnum = i.indkey[a.attnum - 1] and o.attnum <> 0
    join pg_catalog.pg_stats s on s.schemaname = t.nspname and not s.inherited
      and s.tablename = case when o.attnum is null then c.relname else t.relname end
      and s.attname = coalesce(o.attname, a.attname)
  group by i.indexrelid, i.indrelid, partial
), index_bloat as (
  select 'index' as type, t.nspname, t.relname || '::' || c.relname as object_name,
    pg_catalog.pg_relation_size(c.oid) as bytes,
    (1 + ceil(case when k.partial then greatest(c.reltuples, 0)::numeric else t.tuples end
      / greatest(1, floor((b.size - 40) * 0.9 / (12 + ceil(k.data / 8) * 8))))) * b.size as needed
  from keys k
    join tables t on t.oid = k.indrelid
    join pg_catalog.pg_class c on c.oid = k.indexrelid
    cross join block b
), both_kinds as (
  select * from table_bloat union all select * from index_bloat
)
