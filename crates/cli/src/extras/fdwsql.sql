-- Statements that make a foreign table of every table and view that can be seen without its schema.
select 'CREATE FOREIGN TABLE ' || pg_catalog.quote_ident('{prefix}_' || c.relname) || '('
  || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' '
    || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
  || ') SERVER {prefix}_db OPTIONS (schema_name ' || pg_catalog.quote_literal(n.nspname)
  || ', table_name ' || pg_catalog.quote_literal(c.relname) || ');' as statement
from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm')
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
  and pg_catalog.pg_table_is_visible(c.oid)
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
                    and d.deptype = 'e')
group by c.relname, n.nspname
order by c.relname
