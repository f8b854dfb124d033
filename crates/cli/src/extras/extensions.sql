-- The extensions that this database may have, and which it has.
select name, default_version, installed_version, comment
from pg_catalog.pg_available_extensions
where name = any (pg_catalog.string_to_array(pg_catalog.replace(
  pg_catalog.current_setting('extwlist.extensions'), ' ', ''), ','))
order by name
