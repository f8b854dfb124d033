create function pg_catalog.howdah_extension_guard() returns event_trigger language plpgsql set search_path = pg_catalog, pg_temp as $$ declare stray text; begin select extname into stray from pg_extension e join pg_roles r on r.oid = e.extowner where not r.rolsuper limit 1; if found then raise insufficient_privilege using message = format('extension "%s" is not allowed in this database', stray), hint = 'See SHOW extwlist.extensions for those that are.'; end if; end $$;
create event trigger howdah_extension_guard on ddl_command_end when tag in ('CREATE EXTENSION') execute function pg_catalog.howdah_extension_guard();
alter extension plpgsql add function pg_catalog.howdah_extension_guard();
alter extension plpgsql add event trigger howdah_extension_guard;
