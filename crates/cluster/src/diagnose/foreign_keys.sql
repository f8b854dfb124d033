-- Foreign keys of large tables whose columns no index begins with.
select 1 as severity, n.nspname || '.' || t.relname as "table", k.conname as "constraint",
  (select string_agg(a.attname, ', ' order by o.place)
   from unnest(k.conkey) with ordinality as o (number, place)
     join pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.number) as columns,
  t.reltuples::bigint as rows
from pg_constraint k
  join pg_class t on t.oid = k.conrelid
  join pg_namespace n on n.oid = t.relnamespace
where k.contype = 'f' and t.relkind = 'r' and t.reltuples > {yellow}
  and not exists (
    select from pg_index i
    where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
      and (select array_agg(key order by key) from unnest(
             (string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality(k.conkey)]) as key)
        = (select array_agg(key order by key) from unnest(k.conkey) as key))
order by t.reltuples desc, 2 limit 20
