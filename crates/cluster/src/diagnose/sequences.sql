-- How far sequences are: to their own end, or to that of the column which takes their numbers.
with uses as (
  select d.objid as sequence, d.refobjid as relation, d.refobjsubid as number
  from pg_depend d
  where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    and d.deptype in ('a', 'i') and d.refobjsubid > 0
  union
  select d.refobjid, a.adrelid, a.adnum
  from pg_depend d join pg_attrdef a on a.oid = d.objid
  where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass
), limits as (
  select s.seqrelid, u.relation, u.number, s.seqmax,
    least(s.seqmax, case a.atttypid
      when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end) as last
  from pg_sequence s
    join pg_class c on c.oid = s.seqrelid and c.relpersistence <> 't'
    left join uses u on u.sequence = s.seqrelid
    left join pg_attribute a on a.attrelid = u.relation and a.attnum = u.number
  where s.seqincrement > 0 and not s.seqcycle
), shares as (
  select *, pg_sequence_last_value(seqrelid) as value,
    round(100.0 * pg_sequence_last_value(seqrelid) / last, 2) as per_cent
  from limits
)
select case when s.per_cent >= {red} then 2 else 1 end as severity,
  n.nspname || '.' || c.relname as sequence,
  coalesce(t.relname || '.' || a.attname, '') as "column", s.value, s.last, s.per_cent
from shares s
  join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_class t on t.oid = s.relation
  left join pg_attribute a on a.attrelid = s.relation and a.attnum = s.number
where s.per_cent >= {yellow}
order by s.per_cent desc limit 20
