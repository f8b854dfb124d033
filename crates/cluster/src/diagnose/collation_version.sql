-- Collations whose order may have changed with the system's library.
select 1 as severity, 'database' as collation, datcollversion as recorded,
  pg_database_collation_actual_version(oid) as actual
from pg_database
where datname = current_database()
  and datcollversion <> pg_database_collation_actual_version(oid)
union all
select 1, n.nspname || '.' || c.collname, c.collversion, pg_collation_actual_version(c.oid)
from pg_collation c join pg_namespace n on n.oid = c.collnamespace
where c.collversion <> pg_collation_actual_version(c.oid)
  and exists (select from pg_attribute a join pg_class r on r.oid = a.attrelid
              where a.attcollation = c.oid and r.relnamespace <> 'pg_catalog'::regnamespace)
limit 20
