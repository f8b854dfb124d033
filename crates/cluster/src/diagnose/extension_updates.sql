-- Extensions of which a newer version is installed.
select 1 as severity, name as extension, installed_version as installed,
  default_version as available
from pg_available_extensions
where installed_version is not null and installed_version <> default_version
order by name
